//! What is asked of the certificate room from outside.

use tokio::sync::oneshot;

use super::lineage::Lineage;
use super::{Manager, orderable};
use crate::config::model::Acme;
use crate::names::Domain;

/// Where the answer goes: a sentence for people, either way.
pub type Answer = oneshot::Sender<Result<String, String>>;

/// Something an operator wants done now.
#[derive(Debug)]
pub enum Wish {
    /// A fresh certificate for the names among which this one is, before it is due and whatever
    /// failed before. Local limits and a pause that the authority asked for hold all the same.
    /// Answered when the order has ended.
    Renew { name: Domain, answer: Answer },
}

impl Manager {
    /// Takes a wish in; the next round grants it.
    pub(super) fn wish(&mut self, wish: Wish, acme: Option<&Acme>) {
        let Wish::Renew { name, answer } = wish;
        let lineage = acme.and_then(|acme| {
            let all = self.wanted.all();
            all.filter_map(|wanted| orderable(wanted, acme))
                .find(|lineage| lineage.names().contains(&name))
        });
        let reply = |answer: Answer, text: String| {
            // Whoever has gone does not want to know.
            let _ = answer.send(Err(text));
        };
        let Some(lineage) = lineage else {
            let why = if acme.is_none() {
                "there is no [acme] table"
            } else {
                "no instance that may order certificates has this name, or no authority can know it"
            };
            return reply(answer, format!("nothing is ordered for {name}: {why}"));
        };
        if let Some(why) = self.shelf.blocked(&lineage) {
            return reply(answer, why);
        }
        if let Some(trouble) = self.schedule.trouble() {
            return reply(answer, trouble.to_owned());
        }
        self.looks.forget(&lineage);
        self.wishing.push((lineage, answer));
    }

    /// The answer to everybody who wished for these names.
    pub(super) fn answer(&mut self, lineage: &Lineage, result: &Result<String, String>) {
        let (own, others) = std::mem::take(&mut self.wishing)
            .into_iter()
            .partition(|(wished, _)| wished == lineage);
        self.wishing = others;
        for (_, answer) in own {
            self.answers.push((answer, result.clone()));
        }
    }

    /// Gives the answers: what they tell of is served and reported by now.
    pub(super) fn tell(&mut self) {
        for (answer, result) in self.answers.drain(..) {
            // Whoever has gone does not want to know.
            let _ = answer.send(result);
        }
    }
}

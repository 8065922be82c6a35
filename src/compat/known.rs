//! What is known of one stack, and what comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lower::view;
use super::making::{Made, layered, made};
use super::orders::Routable;
use super::ruling::Outcome;
use super::stack::Reading;
use crate::config::{Config, Instance};
use crate::inventory::Stack;
use crate::names::StackName;

/// A stack, and what was made of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) content: Arc<Stack>,
    /// `None`: it claims nothing.
    pub(super) reading: Option<Reading>,
    pub(super) verdict: Option<Verdict>,
    pub(super) outcome: Arc<Outcome>,
    /// Patterns of those before it, when it was judged, and its own that are granted.
    pub(super) patterns: (usize, usize),
}

/// What was made of a reading, and what else it hung on.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) config: Arc<Config>,
    pub(super) base: Option<Arc<Instance>>,
    /// Hosts the stack has, and pairs that are another's.
    pub(super) has: BTreeSet<String>,
    pub(super) foreign: BTreeSet<String>,
    pub(super) routable: Routable,
    pub(super) made: Made,
}

impl Known {
    /// Says what comes of the reading; what was said stays where nothing it hangs on has changed.
    pub(super) fn judge(
        &mut self,
        stack: &StackName,
        config: &Arc<Config>,
        base: Option<&Arc<Instance>>,
        has: BTreeSet<String>,
        (foreign, routable): (BTreeSet<String>, Routable),
    ) {
        let same = self.verdict.as_ref().is_some_and(|verdict| {
            Arc::ptr_eq(&verdict.config, config)
                && verdict.base.as_deref() == base.map(|base| &**base)
                && verdict.has == has
                && verdict.foreign == foreign
                && verdict.routable == routable
        });
        let Some(reading) = self.reading.as_ref().filter(|_| !same) else {
            return;
        };
        let made = match base {
            Some(base) => {
                let gets = (&foreign, &routable);
                layered(reading, &self.content, config, base, &has, gets)
            }
            None => made(stack, reading, config, &has, (&foreign, &routable)),
        };
        self.verdict = Some(Verdict {
            config: Arc::clone(config),
            base: base.cloned(),
            has,
            foreign,
            routable,
            made,
        });
    }

    /// Puts together what comes of the stack. What is equal to what came of it before is the very same.
    pub(super) fn conclude(&mut self, mut troubles: Vec<String>) {
        let (Some(reading), Some(verdict)) = (&self.reading, &self.verdict) else {
            return;
        };
        let Verdict { made, base, .. } = verdict;
        let known = &self.outcome;
        troubles.extend(made.troubles.iter().cloned());
        let layered = made.layered.as_ref();
        let mut all = Vec::new();
        for (group, instance) in &made.groups {
            let name = &group.name;
            let before = known.made.iter().find(|(known, ..)| known == name);
            let seen = view(&self.content, reading, group).map(Arc::new);
            let known_view = before.and_then(|(.., view)| view.as_ref());
            let seen = seen.map(|seen| the_same(known_view, &seen));
            let instance = the_same(before.map(|(_, instance, _)| instance), instance);
            all.push((name.clone(), instance, seen));
        }
        self.outcome = Arc::new(Outcome {
            base: base.as_ref().map(|base| base.name.clone()),
            layered: layered.map(|layered| the_same(known.layered.as_ref(), layered)),
            made: all,
            troubles: match *known.troubles == *troubles {
                true => Arc::clone(&known.troubles),
                false => troubles.into(),
            },
        });
    }
}

/// What was there before, where it is equal.
fn the_same<T: PartialEq>(before: Option<&Arc<T>>, now: &Arc<T>) -> Arc<T> {
    let before = before.filter(|before| **before == *now);
    Arc::clone(before.unwrap_or(now))
}

//! What was decided, for people who come later: the last decisions of every instance.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::super::service::Change;
use crate::moment::Moment;

/// So many of an instance are remembered.
const REMEMBERED: usize = 100;

/// A decision that changed a number of replicas.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Decision {
    /// Counts all decisions since the start, from 1, so that nobody has to hear one twice.
    pub number: u64,
    pub at: Moment,
    pub instance: String,
    pub service: String,
    pub from: u32,
    pub to: u32,
    pub reason: String,
}

/// Decisions of one instance, the oldest first.
pub type Decisions = Arc<VecDeque<Arc<Decision>>>;

/// The decisions of all instances.
#[derive(Debug, Default)]
pub(super) struct DecisionLog {
    taken: u64,
    instances: BTreeMap<String, Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    log: Decisions,
    /// The newest of each service.
    newest: BTreeMap<String, Change>,
}

impl DecisionLog {
    /// Takes the newest decision of a service in. The same one again changes nothing.
    pub(super) fn note(&mut self, instance: &str, service: &str, change: &Change) {
        let taken = match self.instances.get_mut(instance) {
            Some(taken) => taken,
            None => self.instances.entry(instance.to_owned()).or_default(),
        };
        if taken.newest.get(service) == Some(change) {
            return;
        }
        taken.newest.insert(service.to_owned(), change.clone());
        self.taken += 1;
        let log = Arc::make_mut(&mut taken.log);
        if log.len() == REMEMBERED {
            log.pop_front();
        }
        log.push_back(Arc::new(Decision {
            number: self.taken,
            at: Moment(change.at),
            instance: instance.to_owned(),
            service: service.to_owned(),
            from: change.from,
            to: change.to,
            reason: change.reason.clone(),
        }));
    }

    pub(super) fn of(&self, instance: &str) -> Decisions {
        let taken = self.instances.get(instance);
        taken.map_or_else(Arc::default, |taken| Arc::clone(&taken.log))
    }

    /// How many were taken since the start.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Forgets instances that are not there any more.
    pub(super) fn keep_only(&mut self, there: impl Fn(&str) -> bool) {
        self.instances.retain(|name, _| there(name));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn change(seconds: u64, to: u32) -> Change {
        Change {
            at: UNIX_EPOCH + Duration::from_secs(seconds),
            from: to.saturating_sub(1),
            to,
            reason: format!("{to} are wanted"),
        }
    }

    #[test]
    fn a_decision_is_told_once_and_the_last_hundred_are_kept() {
        let mut log = DecisionLog::default();
        for to in 1..=150 {
            log.note("congress", "web", &change(to.into(), to));
            log.note("congress", "web", &change(to.into(), to));
        }
        let kept = log.of("congress");
        assert_eq!(log.taken(), 150);
        assert_eq!(kept.len(), 100);
        let ends = [kept.front(), kept.back()].map(|end| end.map(|end| (end.number, end.to)));
        assert_eq!(ends, [Some((51, 51)), Some((150, 150))]);
    }

    #[test]
    fn what_is_gone_is_forgotten_and_numbers_go_on() {
        let mut log = DecisionLog::default();
        log.note("congress", "web", &change(1, 2));
        log.keep_only(|name| name != "congress");
        assert!(log.of("congress").is_empty());
        log.note("assembly", "web", &change(2, 2));
        assert_eq!(log.of("assembly")[0].number, 2);
    }
}

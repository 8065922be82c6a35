//! What of a status is worth an alert: every cause once, whoever it concerns.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::Status;
use crate::control::status::{Level, Reason};
use crate::moment::Moment;

/// Parts of the status that are about receivers of alerts begin with this.
pub(super) const RECEIVER: &str = "alert:";

/// Which part of what. The order is that of the statistics: what all share comes first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key {
    /// `None`: shared by all instances.
    pub(super) instance: Option<String>,
    pub(super) part: String,
}

/// Why something is not healthy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cause {
    pub(super) status: Level,
    pub(super) text: String,
    pub(super) since: Moment,
    /// What follows from it.
    pub(super) also: Vec<String>,
}

/// A status, as far as alerts are about it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Of at least the level that was asked for.
    pub(super) causes: BTreeMap<Key, Cause>,
    pub(super) instances: BTreeSet<String>,
    /// Instances that nobody expects to answer: paused, or on standby.
    pub(super) silent: BTreeSet<String>,
}

impl Facts {
    /// Of `receiver` nothing is said: he is who cannot be told.
    pub(super) fn new(status: &Status, least: Level, receiver: &str) -> Self {
        let mut facts = Self::default();
        let himself = |part: &str| part.strip_prefix(RECEIVER) == Some(receiver);
        for reason in &status.reasons {
            // What is wrong with an instance is told cause by cause, below.
            if !reason.part.starts_with("instance:") && !himself(&reason.part) {
                facts.add(None, reason, least);
            }
        }
        for instance in &status.instances {
            facts.instances.insert(instance.name.clone());
            if instance.paused || instance.standby {
                facts.silent.insert(instance.name.clone());
                continue;
            }
            for reason in &instance.reasons {
                facts.add(Some(&instance.name), reason, least);
            }
        }
        facts
    }

    fn add(&mut self, instance: Option<&String>, reason: &Reason, least: Level) {
        if reason.status < least {
            return;
        }
        let key = Key {
            instance: instance.cloned(),
            part: reason.part.clone(),
        };
        let cause = Cause {
            status: reason.status,
            text: reason.text.clone(),
            since: reason.since,
            also: reason.also.clone(),
        };
        self.causes.insert(key, cause);
    }
}

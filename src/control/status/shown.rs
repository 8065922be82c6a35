//! How every instance is, and how many are in which way: a look at one costs one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::finding::Level;
use super::model::InstanceStatus;
use crate::names::InstanceName;
use crate::shared::Map;

#[derive(Debug, Default)]
pub(in crate::control) struct Shown {
    all: Map<InstanceName, InstanceStatus>,
    /// Those that something is to be said about.
    troubled: BTreeSet<InstanceName>,
    /// Those that are expected to serve, and how many of them do not.
    counting: usize,
    critical: usize,
}

impl Shown {
    pub(super) fn all(&self) -> &Map<InstanceName, InstanceStatus> {
        &self.all
    }

    pub(super) fn troubled(&self) -> &BTreeSet<InstanceName> {
        &self.troubled
    }

    /// Whether half of those that are expected to serve do not.
    pub(super) fn is_critical(&self) -> bool {
        self.critical > 0 && self.critical * 2 >= self.counting
    }

    pub(super) fn insert(&mut self, name: &InstanceName, status: Arc<InstanceStatus>) {
        self.remove(name);
        if !status.reasons.is_empty() {
            self.troubled.insert(name.clone());
        }
        self.counting += usize::from(counts(&status));
        self.critical += usize::from(is_critical(&status));
        self.all.insert(name.clone(), status);
    }

    pub(super) fn remove(&mut self, name: &InstanceName) {
        if let Some(status) = self.all.remove(name) {
            self.troubled.remove(name);
            self.counting -= usize::from(counts(&status));
            self.critical -= usize::from(is_critical(&status));
        }
    }
}

fn counts(status: &InstanceStatus) -> bool {
    status.rests().is_none()
}

fn is_critical(status: &InstanceStatus) -> bool {
    counts(status) && status.status == Level::Critical
}

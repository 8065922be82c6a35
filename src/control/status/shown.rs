//! How every instance is, and how many are in which way: a look at one costs one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::finding::Level;
use super::model::InstanceStatus;
use crate::names::InstanceName;
use crate::shared::{List, Map};

#[derive(Debug, Default)]
pub(in crate::control) struct Shown {
    all: Map<InstanceName, InstanceStatus>,
    /// The same by their places, in the order of their names.
    listed: List<InstanceStatus>,
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

    pub(super) fn listed(&self) -> &List<InstanceStatus> {
        &self.listed
    }

    pub(super) fn troubled(&self) -> &BTreeSet<InstanceName> {
        &self.troubled
    }

    /// Whether half of those that are expected to serve do not.
    pub(super) fn is_critical(&self) -> bool {
        self.critical > 0 && self.critical * 2 >= self.counting
    }

    pub(super) fn insert(&mut self, name: &InstanceName, status: Arc<InstanceStatus>) {
        let known = self.forget(name);
        match self.place(name) {
            Ok(place) if known => drop(self.listed.set(place, Arc::clone(&status))),
            Ok(place) | Err(place) => self.listed.insert(place, Arc::clone(&status)),
        }
        if !status.reasons.is_empty() {
            self.troubled.insert(name.clone());
        }
        self.counting += usize::from(counts(&status));
        self.critical += usize::from(is_critical(&status));
        self.all.insert(name.clone(), status);
    }

    pub(super) fn remove(&mut self, name: &InstanceName) {
        if let (true, Ok(place)) = (self.forget(name), self.place(name)) {
            self.listed.remove(place);
        }
    }

    /// Where it is listed, or is to be.
    fn place(&self, name: &InstanceName) -> Result<usize, usize> {
        self.listed
            .binary_search_by(|status| (*status.name).cmp(name.as_str()))
    }

    /// Whether it was known.
    fn forget(&mut self, name: &InstanceName) -> bool {
        let Some(status) = self.all.remove(name) else {
            return false;
        };
        self.troubled.remove(name);
        self.counting -= usize::from(counts(&status));
        self.critical -= usize::from(is_critical(&status));
        true
    }
}

fn counts(status: &InstanceStatus) -> bool {
    status.rests().is_none()
}

fn is_critical(status: &InstanceStatus) -> bool {
    counts(status) && status.status == Level::Critical
}

//! What is left of usher's own containers that never ran or do not run any more.
//!
//! A Compose service counts containers that rest, and starts them at the next `up`; so a sibling
//! that ended is cleared away, whoever was killed in the middle of making or unmaking it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::event::Now;
use crate::inventory::{Origin, Phase, Unit};
use crate::names::ReplicaId;

/// One that could not be removed is tried again after this.
const REMOVE_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Those of one service.
#[derive(Debug, Default)]
pub(in crate::control) struct Leftovers {
    listed: Vec<ReplicaId>,
    /// An action is about it, or is not to be before this.
    ordered: BTreeMap<ReplicaId, Option<Instant>>,
}

impl Leftovers {
    pub(in crate::control) fn list(&mut self, units: &[Unit]) {
        let left = |unit: &&Unit| {
            matches!(unit.origin, Origin::Added { .. })
                && matches!(unit.phase, Phase::Created | Phase::Exited { .. })
        };
        self.listed = units
            .iter()
            .filter(left)
            .map(|unit| unit.id.clone())
            .collect();
        self.ordered.retain(|id, _| self.listed.contains(id));
    }

    /// The next that is to be removed, one at a time.
    pub(in crate::control) fn next(&mut self, now: Now) -> Option<ReplicaId> {
        let waits = |id: &ReplicaId| match self.ordered.get(id) {
            Some(None) => true,
            Some(Some(at)) => now.at < *at,
            None => false,
        };
        let id = self.listed.iter().find(|id| !waits(id))?.clone();
        self.ordered.insert(id.clone(), None);
        Some(id)
    }

    /// The engine is done with one. Where it succeeded, the next listing does not have it.
    pub(in crate::control) fn removed(&mut self, now: Now, id: &ReplicaId) {
        self.ordered
            .insert(id.clone(), Some(now.at + REMOVE_AGAIN_AFTER));
    }
}

//! Who gets how much of the processors while there is too little for all: the replicas of a service
//! share what its stack weighs, however many they are.
//!
//! What the maker of a container has set is left as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::super::replica::{Replica, State};
use crate::engine::Trouble;
use crate::engine::act::Failure;
use crate::inventory::Origin;
use crate::names::ReplicaId;

/// What the engine takes for "nothing was set".
const USUAL: u64 = 1_024;
/// The engine's own limits.
const LEAST: u64 = 2;
const MOST: u64 = 262_144;

/// What the replicas of one service were given.
#[derive(Debug, Default)]
pub(in crate::control) struct Weights {
    pub(in crate::control) told: BTreeMap<ReplicaId, u64>,
    /// By what replicas are made of: the values that are usher's. Any other is its maker's.
    pub(in crate::control) own: BTreeMap<String, BTreeSet<u64>>,
    /// Makes whose maker has set something.
    foreign: BTreeSet<String>,
    /// One is being told.
    under_way: bool,
}

/// What one replica is to have.
pub(in crate::control) struct Order {
    pub(in crate::control) replica: ReplicaId,
    pub(in crate::control) own: Vec<u64>,
}

/// Of each of so many replicas that share what a stack weighs.
fn shares(weight: u32, replicas: u64) -> u64 {
    let all = USUAL.saturating_mul(weight.into());
    (all / replicas.max(1)).clamp(LEAST, MOST)
}

impl Weights {
    pub(in crate::control) fn next(
        &mut self,
        replicas: &BTreeMap<ReplicaId, Replica>,
        weight: u32,
    ) -> Option<Order> {
        let makes: BTreeSet<&str> = replicas.values().map(|one| &*one.unit.make).collect();
        // Those that rest come back as they were.
        if !makes.is_empty() {
            self.own.retain(|make, _| makes.contains(&**make));
            self.foreign.retain(|make| makes.contains(&**make));
        }
        self.told.retain(|id, _| replicas.contains_key(id));
        if self.under_way {
            return None;
        }
        let counts = |replica: &&Replica| {
            let unit = &replica.unit;
            unit.phase.is_alive() && unit.task.is_none() && unit.origin != Origin::Fixed
        };
        let count = replicas.values().filter(counts).count();
        let shares = shares(weight, u64::try_from(count).unwrap_or(u64::MAX));
        let is_due = |(id, replica): &(&ReplicaId, &Replica)| {
            let make = &replica.unit.make;
            let leaves = matches!(replica.state(), State::Stopping { .. });
            // A sibling begins with what its pattern had; before usher has set anything that is nothing.
            let known = match self.told.get(*id) {
                None if !self.own.contains_key(make) => Some(USUAL),
                told => told.copied(),
            };
            counts(replica) && !leaves && !self.foreign.contains(make) && known != Some(shares)
        };
        let (id, replica) = replicas.iter().find(is_due)?;
        self.under_way = true;
        self.told.insert(id.clone(), shares);
        let own = self.own.entry(replica.unit.make.clone()).or_default();
        own.insert(shares);
        Some(Order {
            replica: id.clone(),
            own: own.iter().copied().collect(),
        })
    }

    /// The engine is done with one. What it refused is not asked again before it changes. Returns whether
    /// that is the first to say that its maker has set something.
    pub(in crate::control) fn weighed(
        &mut self,
        make: Option<&str>,
        result: Result<(), &Failure>,
    ) -> bool {
        self.under_way = false;
        let foreign = result.is_err_and(|failure| failure.trouble == Trouble::Stack);
        let Some(make) = make.filter(|_| foreign) else {
            return false;
        };
        self.own.remove(make);
        self.foreign.insert(make.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_share_what_their_stack_weighs_within_what_the_engine_takes() {
        let all = [
            (1, 1),
            (1, 4),
            (4, 1),
            (4, 3),
            (1, 9_999),
            (1_000, 1),
            (1, 0),
        ];
        let each = all.map(|(weight, replicas)| shares(weight, replicas));
        assert_eq!(each, [1_024, 256, 4_096, 1_365, 2, 262_144, 1_024]);
    }
}

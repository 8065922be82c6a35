//! Who gets how much of the processors while there is too little for all: the replicas of a service
//! share what its stack weighs, however many they are.
//!
//! What the maker of a container has set is left as it is.

use std::collections::{BTreeMap, BTreeSet};

use tracing::info;

use super::event::Now;
use super::replica::{Replica, State};
use super::step::Controller;
use super::tenant::Tenant;
use crate::config::model::ScaleMode;
use crate::engine::act::Failure;
use crate::engine::{Action, Trouble};
use crate::inventory::Origin;
use crate::names::ReplicaId;

/// What the engine takes for "nothing was set".
const USUAL: u64 = 1_024;
/// The engine's own limits.
const LEAST: u64 = 2;
const MOST: u64 = 262_144;
/// A second's worth: when an event begins, hundreds of stacks would else be told at once.
const AT_ONCE: usize = 4;

/// What the replicas of one service were given.
#[derive(Debug, Default)]
pub(super) struct Weights {
    told: BTreeMap<ReplicaId, u64>,
    /// By what replicas are made of: the values that are usher's. Any other is its maker's.
    pub(super) own: BTreeMap<String, BTreeSet<u64>>,
    /// Makes whose maker has set something.
    foreign: BTreeSet<String>,
    /// One is being told.
    under_way: bool,
}

/// What one replica is to have.
struct Order {
    replica: ReplicaId,
    own: Vec<u64>,
}

/// Of each of so many replicas that share what a stack weighs.
fn shares(weight: u32, replicas: u64) -> u64 {
    let all = USUAL.saturating_mul(weight.into());
    (all / replicas.max(1)).clamp(LEAST, MOST)
}

impl Weights {
    fn next(&mut self, replicas: &BTreeMap<ReplicaId, Replica>, weight: u32) -> Option<Order> {
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
    pub(super) fn weighed(&mut self, make: Option<&str>, result: Result<(), &Failure>) -> bool {
        self.under_way = false;
        let foreign = result.is_err_and(|failure| failure.trouble == Trouble::Stack);
        let Some(make) = make.filter(|_| foreign) else {
            return false;
        };
        self.own.remove(make);
        self.foreign.insert(make.to_owned())
    }
}

impl Controller {
    /// Gives the replicas of some stacks what they are to have of the processors.
    pub(super) fn weigh(&mut self, now: Now, actions: &mut Vec<Action>) {
        let recent = |at| now.at.duration_since(at) < super::TICK;
        if self.engine.kind != "docker" || self.weighed_at.is_some_and(recent) {
            return;
        }
        let shared = self.engine.shared;
        let may = |tenant: &&mut Tenant| {
            let acts = tenant.is_scaled() && tenant.instance.scale.mode == ScaleMode::Auto;
            acts && (!shared || tenant.is_held())
        };
        let tenants = self.tenants.values_mut().filter(may);
        let orders = tenants.flat_map(|tenant| tenant.weigh(now));
        let before = actions.len();
        actions.extend(orders.take(AT_ONCE));
        if actions.len() > before {
            self.weighed_at = Some(now.at);
        }
    }
}

impl Tenant {
    fn weigh(&mut self, now: Now) -> impl Iterator<Item = Action> {
        let weight = self.weight(now.wall);
        let quiet = self.is_quiet(now);
        let instance = &self.instance;
        let services = self.services.iter_mut();
        services
            .filter(move |(name, _)| {
                let service = instance.services.get(*name);
                !quiet && service.is_some_and(|service| service.bounds().is_some())
            })
            .filter_map(move |(name, state)| {
                let Order { replica, own } = state.weights.next(&state.replicas, weight)?;
                Some(Action::Weigh {
                    stack: instance.stack.clone(),
                    service: name.clone(),
                    shares: state.weights.told.get(&replica).copied()?,
                    replica,
                    own,
                })
            })
    }

    /// Tells that what the maker of a service has set is left as it is.
    pub(super) fn say_left_alone(&self, service: &str, why: &str) {
        info!(instance = %self.instance.name, service, reason = %why, "processor shares stay as they are");
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

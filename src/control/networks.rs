//! Networks usher joins to reach containers, and leaves when nobody is on them any more.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::event::Now;
use super::step::Controller;
use crate::engine::Action;
use crate::inventory::{Attached, Reach};
use crate::names::InstanceName;
use crate::plan::Door;

/// After a network could not be joined or left.
pub(super) const NETWORK_BACKOFF: Duration = Duration::from_secs(10);
/// A network that was joined shows in a listing by then; until it does, it is not joined again.
pub(super) const JOIN_SHOWS_WITHIN: Duration = Duration::from_secs(2);

impl Controller {
    /// The networks of stacks, and whose names may be asked for over each: those of the stacks that are
    /// on it.
    ///
    /// One that usher joined is never anybody else's. One that it was given belongs to a stack that is
    /// served and on it; without such a stack it is a way in like any other, of a load balancer or of
    /// whoever measures.
    pub(super) fn doors(&self) -> Vec<Door> {
        let Some(inventory) = self.listing.inventory.as_deref() else {
            return Vec::new();
        };
        let mut on: HashMap<&str, BTreeSet<InstanceName>> = HashMap::new();
        for (name, tenant) in &self.tenants {
            let stack = inventory.stacks.get(&tenant.instance.stack);
            let services = stack.iter().flat_map(|stack| stack.services.values());
            for network in services.flatten().flat_map(|unit| &unit.networks) {
                on.entry(network).or_default().insert(name.clone());
            }
        }
        let door = |attached: &Attached| {
            let network = attached.network.id.as_str();
            let instances = on.get(network).cloned().unwrap_or_default();
            let theirs = attached.joined || (attached.of_a_stack && !instances.is_empty());
            theirs.then(|| Door {
                network: network.into(),
                addresses: attached.addresses.clone(),
                subnets: attached.subnets.clone(),
                gateways: attached.gateways.clone(),
                instances,
            })
        };
        inventory.attached.iter().filter_map(door).collect()
    }

    pub(super) fn settle_networks(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(inventory) = self.listing.inventory.clone() else {
            return;
        };
        self.networks
            .retain(|_, again| again.is_none_or(|at| at > now.at));
        // Only for whom there is something to leave.
        let leaves = !inventory.joined.is_empty();
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for tenant in self.tenants.values() {
            for replica in tenant
                .services
                .values()
                .flat_map(|service| service.replicas.values())
            {
                if leaves {
                    used.extend(replica.unit.networks.iter().map(String::as_str));
                }
                let Reach::Unreachable { joinable, .. } = &replica.unit.reach else {
                    continue;
                };
                let Some(network) = joinable.first() else {
                    continue;
                };
                if !self.networks.contains_key(&network.id) {
                    self.networks.insert(network.id.clone(), None);
                    actions.push(Action::Join {
                        stack: tenant.instance.stack.clone(),
                        network: network.clone(),
                    });
                }
            }
        }
        for network in &inventory.joined {
            if !used.contains(network.id.as_str()) && !self.networks.contains_key(&network.id) {
                self.networks.insert(network.id.clone(), None);
                actions.push(Action::Leave {
                    network: network.clone(),
                });
            }
        }
    }
}

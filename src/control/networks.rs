//! Networks usher joins to reach containers, and leaves when nobody is on them any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::controller::Controller;
use super::event::Now;
use super::replica::Replica;
use super::tenant::Tenant;
use super::touched::Touched;
use crate::engine::Action;
use crate::inventory::{Attached, Reach};
use crate::names::{InstanceName, StackName};
use crate::plan::Door;

/// After a network could not be joined or left.
pub(super) const NETWORK_BACKOFF: Duration = Duration::from_secs(10);
/// A network that was joined shows in a listing by then; until it does, it is not joined again.
pub(super) const JOIN_SHOWS_WITHIN: Duration = Duration::from_secs(2);

impl Tenant {
    fn every_replica(&self) -> impl Iterator<Item = &Replica> {
        let services = self.services.values();
        services.flat_map(|service| service.replicas.values())
    }
}

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
        if inventory.attached.is_empty() {
            return Vec::new();
        }
        let all = inventory.attached.iter();
        let all: HashSet<&str> = all.map(|one| one.network.id.as_str()).collect();
        // Most stacks are on none of them.
        let stacks = inventory.stacks.iter().filter_map(|(name, stack)| {
            let units = stack.services.values().flatten();
            let networks = units.flat_map(|unit| &unit.networks).map(String::as_str);
            let on: BTreeSet<&str> = networks.filter(|network| all.contains(network)).collect();
            (!on.is_empty()).then_some((name, on))
        });
        let stacks: BTreeMap<&StackName, BTreeSet<&str>> = stacks.collect();
        let mut on: HashMap<&str, BTreeSet<InstanceName>> = HashMap::new();
        if !stacks.is_empty() {
            for (name, tenant) in &self.tenants {
                let networks = stacks.get(&tenant.instance.stack);
                for network in networks.into_iter().flatten() {
                    on.entry(network).or_default().insert(name.clone());
                }
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

    pub(super) fn settle_networks(
        &mut self,
        touched: &Touched,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(inventory) = self.listing.inventory.clone() else {
            return;
        };
        self.networks
            .retain(|_, again| again.is_none_or(|at| at > now.at));
        for (_, tenant) in touched.of(&self.tenants) {
            for replica in tenant.every_replica() {
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
        if inventory.joined.is_empty() {
            return;
        }
        let replicas = self.tenants.values().flat_map(Tenant::every_replica);
        let used = replicas.flat_map(|replica| &replica.unit.networks);
        let used: BTreeSet<&str> = used.map(String::as_str).collect();
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

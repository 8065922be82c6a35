//! Networks usher joins to reach containers, and leaves when nobody is on them any more.

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::Now;
use super::step::Controller;
use crate::engine::Action;
use crate::inventory::Reach;

/// After a network could not be joined or left.
pub(super) const NETWORK_BACKOFF: Duration = Duration::from_secs(10);
/// A network that was joined shows in a listing by then; until it does, it is not joined again.
pub(super) const JOIN_SHOWS_WITHIN: Duration = Duration::from_secs(2);

impl Controller {
    pub(super) fn settle_networks(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(inventory) = self.listing.inventory.clone() else {
            return;
        };
        self.networks
            .retain(|_, again| again.is_none_or(|at| at > now.at));
        let mut used = BTreeSet::new();
        for tenant in self.tenants.values() {
            for replica in tenant
                .services
                .values()
                .flat_map(|service| service.replicas.values())
            {
                used.extend(replica.unit.networks.iter().cloned());
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
            if !used.contains(&network.id) && !self.networks.contains_key(&network.id) {
                self.networks.insert(network.id.clone(), None);
                actions.push(Action::Leave {
                    network: network.clone(),
                });
            }
        }
    }
}

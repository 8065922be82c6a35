//! What may start at this moment, and in whose turn.

use std::time::SystemTime;

use super::super::controller::Controller;
use super::super::event::Now;
use super::super::replica::{Replica, State};
use super::super::service::ServiceState;
use super::super::touched::Touched;
use super::guard::Allowance;
use crate::names::InstanceName;

impl Controller {
    pub(in crate::control) fn allowance(&mut self, now: Now) -> Allowance {
        let services = self.tenants.values().flat_map(|one| one.services.values());
        let starting = services.map(|state| state.starting(now)).sum();
        self.guard.allow(&self.host, self.room, starting, now.at)
    }

    /// Remembers what was started of an allowance.
    pub(in crate::control) fn settle_allowance(&mut self, left: &Allowance, now: Now) {
        self.room = left.room;
        self.started = self.started.plus(left.spent);
        let new = left.new.iter().map(|reason| (now.at, *reason));
        self.guard.ordered.extend(new);
    }

    /// These, in the order in which they may start something: who holds the least for its
    /// weight comes first, and among equals whose last start is the longest ago.
    pub(in crate::control) fn by_turn(
        &self,
        touched: &Touched,
        wall: SystemTime,
    ) -> Vec<InstanceName> {
        let mut tenants: Vec<_> = touched.of(&self.tenants).collect();
        tenants.sort_by_cached_key(|(_, tenant)| {
            let started = tenant.services.values().filter_map(|state| state.last_up);
            (tenant.held_by_weight(wall), started.max())
        });
        tenants.into_iter().map(|(name, _)| name.clone()).collect()
    }
}

impl ServiceState {
    /// Those that start on the host at this moment. One that ends and is started again by the engine
    /// does not count a second time: a loop of such would let nobody start.
    fn starting(&self, now: Now) -> u32 {
        let starts = |replica: &&Replica| {
            replica.in_turn && replica.state() == State::Starting && replica.is_reachable()
        };
        let count = self.replicas.values().filter(starts).count();
        u32::try_from(count).unwrap_or(u32::MAX) + u32::from(self.starts.unseen(now))
    }
}

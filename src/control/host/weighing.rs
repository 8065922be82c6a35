//! Tells the engine how much of the processors replicas get.

use tracing::info;

use super::super::controller::Controller;
use super::super::event::Now;
use super::super::tenant::Tenant;
use super::weights::Order;
use crate::config::model::ScaleMode;
use crate::engine::Action;

/// A second's worth: when an event begins, hundreds of stacks would else be told at once.
const AT_ONCE: usize = 4;

impl Controller {
    /// Gives the replicas of some stacks what they are to have of the processors.
    pub(in crate::control) fn weigh(&mut self, now: Now, actions: &mut Vec<Action>) {
        let recent = |at| now.at.duration_since(at) < super::super::TICK;
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
    pub(in crate::control) fn say_left_alone(&self, service: &str, why: &str) {
        info!(instance = %self.instance.name, service, reason = %why, "processor shares stay as they are");
    }
}

//! From a decision to the next single step towards it.

use super::event::Now;
use super::reach::is_probed;
use super::replica::State;
use super::service::ServiceState;
use crate::autoscaler::{self, Decision, Direction};
use crate::config::Instance;
use crate::config::model::{Role, ScaleMode, Service};
use crate::engine::Action;
use crate::inventory::Origin;
use crate::names::{Generation, ReplicaId, ServiceName};

/// What a service may do to get nearer to its decision.
pub(super) struct Orders<'a> {
    pub(super) instance: &'a Instance,
    pub(super) name: &'a ServiceName,
    pub(super) service: &'a Service,
    pub(super) may_start: bool,
}

impl ServiceState {
    /// How many replicas there should be, as last decided; what there is, before the first.
    pub(super) fn desired(&self, now: Now) -> u32 {
        self.decision
            .as_ref()
            .map_or_else(|| self.crew(now).present, |decision| decision.desired)
    }

    pub(super) fn decide(
        &self,
        now: Now,
        instance: &Instance,
        service: &Service,
        leaders: Option<u32>,
    ) -> Option<Decision> {
        let crew = self.crew(now);
        let bounds = service.bounds()?;
        let mut decision = match &service.role {
            Role::Fixed => return None,
            Role::Sessions { .. } => autoscaler::sessions(
                &instance.scale,
                bounds,
                now.at,
                self.demand_now(),
                &self.demand,
                crew,
            ),
            Role::Ratio { of, ratio, .. } => {
                autoscaler::follow(*ratio, bounds, leaders?, of.as_str(), crew)
            }
        };
        if let Some(over) = self.over {
            decision.desired = over.replicas;
            decision.limited_by = None;
            decision.reason = format!("the operator set {}", over.replicas);
        } else if instance.scale.mode == ScaleMode::Hold {
            decision.desired = crew.present.max(bounds.min);
            decision.limited_by = None;
            decision.reason = format!("{}; mode hold keeps what there is", decision.reason);
        }
        Some(decision)
    }

    /// One step towards the decision: a drain taken back, a start, or a drain.
    pub(super) fn approach(
        &mut self,
        now: Now,
        next: Generation,
        decision: &Decision,
        orders: &Orders<'_>,
        actions: &mut Vec<Action>,
    ) {
        if orders.instance.scale.mode == ScaleMode::Recommend {
            return;
        }
        let present = self.crew(now).present;
        let (desired, reason) = (decision.desired, decision.reason.as_str());
        if desired > present {
            let reopened = self
                .reopenable()
                .and_then(|id| self.replicas.get_mut(&id))
                .map(|replica| {
                    let probed = is_probed(orders.service, &replica.unit);
                    replica.reopen(now, probed);
                });
            if reopened.is_some() {
                self.record(Direction::Up, present, desired, reason, now);
            } else if orders.may_start && self.starts.allowed(now) && !self.is_stuck() {
                self.record(Direction::Up, present, desired, reason, now);
                self.last_up = Some(now.at);
                self.starts.ordered();
                actions.push(Action::Start {
                    stack: orders.instance.stack.clone(),
                    service: orders.name.clone(),
                    command: orders.service.command.clone(),
                });
            }
        } else if let Some(id) = self.surplus(now, desired)
            && let Some(replica) = self.replicas.get_mut(&id)
        {
            replica.drain(now, next);
            self.last_drain = Some(now.at);
            self.record(Direction::Down, present, desired, reason, now);
        }
    }

    /// Whoever is to leave: one too many, or one of usher's own that never became ready.
    fn surplus(&self, now: Now, desired: u32) -> Option<ReplicaId> {
        if desired < self.crew(now).present {
            return self.victim();
        }
        self.replicas
            .iter()
            .find(|(_, replica)| {
                replica.state() == State::Failed
                    && matches!(replica.unit.origin, Origin::Added { .. })
            })
            .map(|(id, _)| id.clone())
    }

    /// Nobody is ready and somebody failed: more of the same would fail the same way.
    fn is_stuck(&self) -> bool {
        self.count(|state| state == State::Failed) > 0
            && self.count(|state| state == State::Ready) == 0
    }
}

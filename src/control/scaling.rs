//! From what is seen of a stack to its decisions, and from a decision to the next single step.

use std::sync::Arc;

use super::event::Now;
use super::facts::EngineFacts;
use super::host::guard::{Allowance, For};
use super::outgoing::reach::is_probed;
use super::replica::State;
use super::service::{Change, ServiceState};
use super::tenant::Tenant;
use crate::autoscaler::{self, Decision, Direction, Kind, Limit, Observation, Scarce};
use crate::config::Instance;
use crate::config::model::{ScaleMode, Service};
use crate::engine::Action;
use crate::inventory::Origin;
use crate::names::{Generation, ReplicaId, ServiceName};

/// What a service may do to get nearer to its decision.
pub(super) struct Orders<'a> {
    pub(super) instance: &'a Instance,
    pub(super) name: &'a ServiceName,
    pub(super) service: &'a Service,
    pub(super) may_start: bool,
    /// Why the host lets nothing start now.
    pub(super) refused: Option<(Limit, Scarce)>,
}

impl Tenant {
    /// Decides for the whole stack. `fresh`: the newest counts are of now.
    pub(super) fn decide(&mut self, now: Now, fresh: bool) {
        if !self.is_scaled() {
            return;
        }
        for state in self.services.values_mut() {
            state.watch_stillness(fresh, now);
        }
        let policy = &self.scaler.policy;
        let services = &mut self.services;
        let observation = Observation {
            fresh,
            visitors: self.visits.now,
            visits: std::mem::take(&mut self.visits.new),
            services: policy
                .services
                .iter()
                .map(|service| {
                    services
                        .get_mut(&*service.name)
                        .map(|state| state.seen(now))
                        .unwrap_or_default()
                })
                .collect(),
        };
        let decisions = autoscaler::decide(policy, &mut self.scaler.state, &observation, now);
        for (service, decision) in policy.services.iter().zip(decisions) {
            if let (true, Some(state)) = (
                service.kind != Kind::Fixed,
                services.get_mut(&*service.name),
            ) {
                state.decision = Some(decision);
            }
        }
    }

    /// Goes one step towards what was decided, within what may start on the host.
    pub(super) fn scale(
        &mut self,
        now: Now,
        next: Generation,
        engine: EngineFacts,
        allowance: &mut Allowance,
        actions: &mut Vec<Action>,
    ) {
        if !self.is_scaled() {
            return;
        }
        if engine.shared && !self.may_act(now, actions) {
            return;
        }
        self.obey_words(now, next, actions);
        let instance = Arc::clone(&self.instance);
        let quiet = self.is_quiet(now);
        let reason = if self.scaler.is_waking() {
            For::Waking
        } else {
            For::Working
        };
        for scaled in &self.scaler.policy.services {
            let (Some((name, service)), Some(state)) = (
                instance.services.get_key_value(&*scaled.name),
                self.services.get_mut(&*scaled.name),
            ) else {
                continue;
            };
            let Some(decision) = state.decision.clone() else {
                continue;
            };
            let has_something = state.can_start(engine.starts_from_nothing);
            let cost = state.cost(service);
            let orders = Orders {
                instance: &instance,
                name,
                service,
                may_start: !quiet && has_something,
                refused: allowance.refuses(decision.inputs.present, cost, reason),
            };
            if !state.starts.is_under_way()
                && instance.scale.mode != ScaleMode::Recommend
                && let Some(replica) = state.leftovers.next(now)
            {
                actions.push(Action::Remove {
                    stack: instance.stack.clone(),
                    service: name.clone(),
                    replica,
                });
            }
            let started = state.approach(now, next, &decision, &orders, actions);
            allowance.spend(started, cost, reason);
        }
    }
}

impl ServiceState {
    /// One step towards the decision: a drain taken back, a start, or a drain.
    ///
    /// Returns how many starts were ordered.
    pub(super) fn approach(
        &mut self,
        now: Now,
        next: Generation,
        decision: &Decision,
        orders: &Orders<'_>,
        actions: &mut Vec<Action>,
    ) -> u32 {
        let present = self.crew(now).present;
        if orders.instance.scale.mode == ScaleMode::Recommend {
            self.recommend(present, decision, orders, now);
            return 0;
        }
        self.recommended = None;
        let desired = decision.desired;
        self.wait_for_a_turn(desired > present, orders.refused, now);
        if desired > present {
            let reopened = self
                .reopenable()
                .and_then(|id| self.replicas.get_mut(&id))
                .map(|replica| {
                    let probed = is_probed(orders.service, &replica.unit);
                    replica.reopen(now, probed);
                });
            if reopened.is_some() {
                self.record(Direction::Up, present, decision, orders, now);
            } else if orders.may_start
                && self.starts.allowed(now)
                && !self.is_stuck()
                && !self.is_refused(orders)
            {
                self.record(Direction::Up, present, decision, orders, now);
                self.last_up = Some(now.at);
                self.starts.ordered(now);
                actions.push(Action::Start {
                    stack: orders.instance.stack.clone(),
                    service: orders.name.clone(),
                    command: orders.service.command.clone(),
                });
                self.keep_company(now, next, orders.service);
                return 1;
            }
        }
        if let Some(id) = self.outdated()
            && let Some(replica) = self.replicas.get_mut(&id)
        {
            tracing::info!(replica = %replica.unit.name, "of an earlier deployment; it drains");
            replica.drain(now, next);
        } else if desired <= present
            && let Some(id) = self.surplus(now, desired)
            && let Some(replica) = self.replicas.get_mut(&id)
        {
            replica.drain(now, next);
            self.last_drain = Some(now.at);
            self.record(Direction::Down, present, decision, orders, now);
        }
        self.keep_company(now, next, orders.service);
        0
    }

    /// Tells what would be done. A larger number is told at once, a smaller one no sooner than
    /// `down-after` after the last: with nothing done a number that is wavering would never rest.
    fn recommend(&mut self, present: u32, decision: &Decision, orders: &Orders<'_>, now: Now) {
        let to = decision.desired;
        let news = match self.recommended {
            None => to != present,
            Some((told, _)) if to > told => true,
            Some((told, at)) => {
                to < told && now.at.duration_since(at) >= orders.instance.scale.down_after
            }
        };
        if news {
            self.recommended = Some((to, now.at));
            let reason = format!("recommended and not done (mode = \"recommend\"): {decision}");
            self.tell("recommends", present, decision, reason, orders, now);
        }
    }

    /// A change of the number of replicas begins.
    fn record(
        &mut self,
        direction: Direction,
        from: u32,
        decision: &Decision,
        orders: &Orders<'_>,
        now: Now,
    ) {
        let reason = decision.to_string();
        let same = self
            .change
            .as_ref()
            .is_some_and(|change| change.to == decision.desired && change.reason == reason);
        if !same {
            *self.changes.entry(direction).or_default() += 1;
            self.tell("scales", from, decision, reason, orders, now);
        }
    }

    /// One line of the log, and the newest decision of the statistics.
    fn tell(
        &mut self,
        does: &'static str,
        from: u32,
        decision: &Decision,
        reason: String,
        orders: &Orders<'_>,
        now: Now,
    ) {
        let to = decision.desired;
        tracing::info!(
            instance = %orders.instance.name,
            service = %orders.name,
            from,
            to,
            %reason,
            inputs = ?decision.inputs,
            "{does}"
        );
        self.change = Some(Change {
            at: now.wall,
            from,
            to,
            reason,
        });
    }

    /// Notices since when too many others have been starting.
    fn wait_for_a_turn(&mut self, wants: bool, refused: Option<(Limit, Scarce)>, now: Now) {
        let waits = wants && matches!(refused, Some((Limit::AtOnce(_), _)));
        self.waits_since = match self.waits_since {
            since if waits => Some(since.unwrap_or(now.at)),
            _ => None,
        };
    }

    /// Whether the host lets nothing start now; the decision then says so.
    fn is_refused(&mut self, orders: &Orders<'_>) -> bool {
        if let (Some((limit, scarce)), Some(decision)) = (orders.refused, &mut self.decision) {
            decision.refused(limit, scarce);
        }
        orders.refused.is_some()
    }

    /// Whoever is to leave: one too many, or one of usher's own that never became ready.
    fn surplus(&self, now: Now, desired: u32) -> Option<ReplicaId> {
        if desired < self.crew(now).present {
            // Who would be left might be the worse one. Where nothing is to run, nothing is left.
            // Nor is anybody taken away while an operator is about to say by hand how many there
            // should be, unless usher itself was told since.
            let wait = self.by_hand.is_under_way(self.over.as_ref());
            if desired > 0 && (wait || self.nobody_answers()) {
                return None;
            }
            return self.victim().filter(|id| self.can_spare(id));
        }
        self.replicas
            .iter()
            .find(|(_, replica)| {
                replica.state() == State::Failed
                    && matches!(replica.unit.origin, Origin::Added { .. })
            })
            .map(|(id, _)| id.clone())
    }

    /// Nobody is ready, and requests go to whoever used to be.
    fn nobody_answers(&self) -> bool {
        self.count(|state| state == State::Ready) == 0
            && self.count(|state| state == State::Unhealthy) > 0
    }

    /// Nobody is ready and somebody failed: more of the same would fail the same way.
    fn is_stuck(&self) -> bool {
        self.count(|state| state == State::Failed) > 0
            && self.count(|state| state == State::Ready) == 0
    }
}

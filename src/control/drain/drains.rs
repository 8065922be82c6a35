//! How the drains of a stack end: the empty stop, the overdue are closed, and those who follow leave when
//! they have nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::super::event::Now;
use super::super::replica::{State, Who};
use super::super::service::ServiceState;
use super::super::tenant::Tenant;
use super::cutting::Elsewhere;
use crate::autoscaler::is_on;
use crate::config::model::{Role, ScaleMode, Service};
use crate::engine::{Action, LOOKED_AT_FOR, StopWhen};
use crate::inventory::Origin;
use crate::names::{Generation, ServiceName};
use crate::plan::Report;

/// Longer than anybody works on one thing, mostly: then those who follow have nothing to do.
const STILL_FOR: Duration = Duration::from_secs(10);
/// A worker that was seen idle may have taken something up since. What it works on is lost with it.
const FOLLOWER_ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Two workers of one stack are not stopped closer together than this.
const BETWEEN_FOLLOWERS: Duration = Duration::from_secs(2);

/// From the stop signal to the kill. `told`: what the configuration says.
pub(in crate::control) fn grace(service: &Service, told: Duration) -> Duration {
    match service.role {
        Role::Ratio { .. } => told.max(FOLLOWER_ENDS_WITHIN),
        Role::Fixed | Role::Sessions { .. } => told,
    }
}

impl ServiceState {
    /// The engine is done with a stop. One of those that follow that took all its time was killed, and
    /// what it worked on is lost.
    pub(in crate::control) fn stopped(&mut self, now: Now, stop: &Action, done: bool) {
        let Action::Stop {
            proof, when, grace, ..
        } = stop
        else {
            return;
        };
        let Some(told_at) = self.stops.remove(proof.replica()) else {
            return;
        };
        let look = match when {
            StopWhen::Idle | StopWhen::IdleOrUnseen => LOOKED_AT_FOR,
            StopWhen::Now => Duration::ZERO,
        };
        if done && now.at.duration_since(told_at) >= *grace + look {
            self.killed_busy += 1;
            warn!(
                action = %stop,
                grace_s = grace.as_secs(),
                "killed at its work: it had not ended when its time was over"
            );
        }
    }
}

impl Tenant {
    /// Lets drains end: the empty stop, the overdue are cut. `frozen`: nothing can be stopped now.
    pub(in crate::control) fn advance_drains(
        &mut self,
        now: Now,
        next: Generation,
        report: &Report,
        frozen: bool,
        actions: &mut Vec<Action>,
    ) {
        let instance = Arc::clone(&self.instance);
        let off = instance.scale.mode == ScaleMode::Off;
        let in_flight = self.followers_at_work();
        let still = self.followers_at_rest(now);
        let workers = self.workers();
        let mut may_stop_follower = self.may_stop_follower(now);
        let event = instance.events.iter().any(|event| is_on(event, now.wall));
        for (name, service) in &instance.services {
            let Some(state) = self.services.get_mut(name) else {
                continue;
            };
            let routed = !matches!(service.role, Role::Ratio { .. });
            // No more than it may hold, whatever it is to hold.
            let per_replica = self.scaler.policy.per_replica;
            let ready = workers.get(name).copied();
            let mut elsewhere = Elsewhere::of(state, per_replica, event, ready);
            let busy = in_flight.get(name).is_some_and(|busy| *busy);
            let still = still.contains(name);
            let turn = state.next_to_end(now, report, &instance.name);
            let may_be_cut = state.may_be_cut(now, report, &instance.name);
            state.replicas.retain(|id, replica| {
                let (State::Draining {
                    from,
                    by: Who::Usher,
                }
                | State::Cutting { from, .. }) = replica.state()
                else {
                    return true;
                };
                let fixed = replica.unit.origin == Origin::Fixed;
                if !fixed && (frozen || off) {
                    return true;
                }
                // What it does may take long; when its time is over, it is over.
                let at_work = busy && matches!(replica.state(), State::Draining { .. });
                let waits = !routed && (at_work || !may_stop_follower);
                let others = match (&replica.unit.task, &turn) {
                    (None, _) => Some(Vec::new()),
                    (Some(_), Some(turn)) if turn.replica == *id => Some(turn.others.clone()),
                    (Some(_), _) => None,
                };
                let proof = replica.drained(now, report, &instance.name);
                if let (Some(proof), Some(others), false) = (proof, others, waits) {
                    if fixed {
                        info!(replica = %replica.unit.name, "address left");
                        return false;
                    }
                    // Nobody is connected to a follower; what it does has to be over instead.
                    let when = match (routed, replica.state()) {
                        (false, State::Draining { .. }) if still => StopWhen::IdleOrUnseen,
                        (false, State::Draining { .. }) => StopWhen::Idle,
                        _ => StopWhen::Now,
                    };
                    if !routed {
                        may_stop_follower = false;
                        self.follower_stopped = Some(now.at);
                        state.stops.insert(id.clone(), now.at);
                    }
                    replica.stopping(now, from);
                    actions.push(Action::Stop {
                        stack: instance.stack.clone(),
                        service: name.clone(),
                        proof,
                        others,
                        when,
                        grace: grace(service, instance.drain.stop),
                    });
                    return true;
                }
                let drained_for = replica.drained_for(now);
                let due = drained_for >= instance.drain.natural && elsewhere.takes(replica);
                let overdue = drained_for >= instance.drain.at_most;
                if matches!(replica.state(), State::Cutting { .. }) {
                    replica.cut_on(now, &elsewhere, overdue);
                } else if (due || overdue) && may_be_cut.contains(id) && state.told.is_none() {
                    if !due {
                        warn!(
                            replica = %replica.unit.name,
                            sessions = replica.sessions(),
                            "has drained for too long; it is closed although the others are full or busy"
                        );
                    }
                    replica.cut(now, next, &mut elsewhere);
                }
                true
            });
        }
    }

    /// Whether the services that follow others have something to do, as far as the requests of
    /// those they follow tell: one for each of them is in flight.
    fn followers_at_work(&self) -> BTreeMap<ServiceName, bool> {
        let services = self.instance.services.iter();
        services
            .filter_map(|(name, service)| {
                let Role::Ratio { of, .. } = &service.role else {
                    return None;
                };
                let leader = self.services.get(of)?;
                let requests: u32 = leader
                    .replicas
                    .values()
                    .map(|replica| replica.load.requests())
                    .sum();
                let followers = self
                    .services
                    .get(name)?
                    .count(|state| state == State::Ready);
                Some((name.clone(), requests > 0 && requests >= followers))
            })
            .collect()
    }

    /// The services that follow one whom nobody has asked for anything for [`STILL_FOR`].
    fn followers_at_rest(&self, now: Now) -> BTreeSet<ServiceName> {
        let services = self.instance.services.iter();
        let still = services.filter(|(_, service)| {
            let Role::Ratio { of, .. } = &service.role else {
                return false;
            };
            let since = self.services.get(of).and_then(|leader| leader.still_since);
            since.is_some_and(|since| now.at.duration_since(since) >= STILL_FOR)
        });
        still.map(|(name, _)| name.clone()).collect()
    }

    /// How many are ready to answer for each service that others follow. Who is not rented sends
    /// nobody back to them.
    fn workers(&self) -> BTreeMap<ServiceName, u32> {
        let names = self.instance.services.keys().filter(|_| self.rented);
        names
            .filter_map(|name| Some((name.clone(), self.workers_of(name)?)))
            .collect()
    }

    /// Whether no follower is being stopped, nor was a moment ago.
    fn may_stop_follower(&mut self, now: Now) -> bool {
        let instance = &self.instance;
        let stopping = instance
            .services
            .iter()
            .filter(|(_, service)| matches!(service.role, Role::Ratio { .. }))
            .filter_map(|(name, _)| self.services.get(name))
            .any(|state| state.count(|state| matches!(state, State::Stopping { .. })) > 0);
        if stopping {
            self.follower_stopped = Some(now.at);
        }
        self.follower_stopped
            .is_none_or(|at| now.at >= at + BETWEEN_FOLLOWERS)
    }
}

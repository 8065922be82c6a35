//! What a listing changes of a service, and what somebody else must have done that it does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::event::Now;
use super::super::outgoing::reach::is_probed;
use super::super::replica::{Replica, State, Who};
use super::super::service::{SHORT_LIFE, ServiceState};
use crate::config::model::Service;
use crate::inventory::{Origin, Phase, Unit};
use crate::names::Generation;

/// What somebody else did to the replicas of a service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::control) struct Disturbance {
    /// One was told to stop.
    pub(in crate::control) stopped: bool,
    /// One was removed, or made of something new: mostly a deployment.
    pub(in crate::control) replaced: bool,
    /// There is one more of the same.
    pub(in crate::control) added: bool,
}

impl ServiceState {
    /// Takes the listed units in. Returns what somebody else did to them. What they do within
    /// `quiet` of each other is one change.
    ///
    /// `next` is the number of the plan that will carry the changes.
    pub(in crate::control) fn list(
        &mut self,
        units: &[Unit],
        service: &Service,
        now: Now,
        next: Generation,
        quiet: Duration,
    ) -> Disturbance {
        let alive: Vec<&Unit> = units.iter().filter(|unit| unit.phase.is_alive()).collect();
        self.ended = units
            .iter()
            .filter_map(|unit| match unit.phase {
                Phase::Exited { code } => Some((unit.name.clone(), code)),
                _ => None,
            })
            .collect();
        self.rests = units.iter().any(|unit| {
            let rests = matches!(unit.phase, Phase::Created | Phase::Exited { .. });
            rests && matches!(unit.origin, Origin::Declared { .. })
        });
        let mut disturbance = Disturbance::default();
        let mut left = false;
        let known = !self.replicas.is_empty();
        let before = self.counts();
        let ordered = self.starts.is_under_way() || self.starts.unseen(now);
        let mut awaited = self.starts.unseen(now);
        let makes = self.declared_makes();
        let mut short_lived = None;
        let mut died = None;
        self.leftovers.list(units);
        self.replicas.retain(|id, replica| {
            if alive.iter().any(|unit| unit.id == *id) {
                return true;
            }
            let ended = units
                .iter()
                .find(|unit| unit.id == *id || unit.id.unit() == id.unit());
            if let State::Draining { by: Who::Other, .. } = replica.state() {
                left = true;
                disturbance.replaced |= ended.is_none();
            } else if replica.is_draining() && replica.unit.phase == Phase::Leaving {
                // It was to leave, and somebody was quicker: a Swarm, that may choose.
            } else if !matches!(replica.state(), State::Stopping { .. }) {
                let lived = now
                    .wall
                    .duration_since(replica.unit.since)
                    .unwrap_or_default();
                match ended.map(|unit| unit.phase) {
                    // It was stopped and had ended before anybody saw it leave.
                    Some(_) if ended.is_some_and(|unit| unit.dismissed) => {
                        left = true;
                        disturbance.stopped = true;
                    }
                    Some(Phase::Exited { code }) if lived < SHORT_LIFE => {
                        short_lived = Some(format!(
                            "{} ended {} s after its start with exit code {code}",
                            replica.unit.name,
                            lived.as_secs()
                        ));
                    }
                    Some(_) => died = Some(format!("{} ended by itself", replica.unit.name)),
                    None => disturbance.replaced = true,
                }
            }
            false
        });
        if left {
            self.left_at = Some(now.at);
        }
        if let Some(why) = &short_lived
            && service.bounds().is_some()
        {
            self.starts.stillborn(now, why.clone());
        } else if let Some(why) = short_lived.or(died) {
            // Where usher starts nothing, nobody knows who ended it and why: often enough is a loop.
            self.starts.died(now, why);
        }
        for unit in alive {
            let probed = is_probed(service, unit);
            match self.replicas.get_mut(&unit.id) {
                Some(replica) => {
                    let leaving = |replica: &Replica| {
                        matches!(replica.state(), State::Draining { by: Who::Other, .. })
                    };
                    let left_before = leaving(replica);
                    replica.refresh(unit, now, probed, next);
                    disturbance.stopped |= leaving(replica) && !left_before;
                }
                None => {
                    let declared = matches!(unit.origin, Origin::Declared { .. });
                    let new = known && declared && !self.listed.contains(unit.id.unit());
                    disturbance.replaced |= known && declared && !makes.contains(&unit.make);
                    disturbance.added |= new && !ordered && makes.contains(&unit.make);
                    let mut replica = Replica::new(unit.clone(), now, probed);
                    // What Docker or a Swarm starts again by itself is nobody's order.
                    let first = service.bounds().is_some()
                        && unit.task.is_none()
                        && !self.listed.contains(unit.id.unit());
                    replica.in_turn = std::mem::take(&mut awaited) || first;
                    tracing::info!(
                        replica = %unit.name,
                        id = %unit.id,
                        state = replica.state().word(),
                        "replica found"
                    );
                    self.replicas.insert(unit.id.clone(), replica);
                    self.starts.listed();
                    // The stack has changed: what was hopeless may work now.
                    self.starts.has_changed();
                }
            }
        }
        self.mark_outdated(units);
        let listed = units.iter().map(|unit| unit.id.unit().to_owned());
        self.listed = listed.collect();
        // A Swarm says itself what number somebody set; a task that is gone was lost with its node.
        let tasks = units.iter().any(|unit| unit.task.is_some());
        if disturbance != Disturbance::default() && !tasks {
            self.by_hand.noticed(before, now.at, quiet);
        }
        disturbance
    }

    /// A sibling of something that was deployed away is of no deployment any more.
    fn mark_outdated(&mut self, units: &[Unit]) {
        let declared: BTreeSet<&str> = units
            .iter()
            .filter(|unit| matches!(unit.origin, Origin::Declared { .. }))
            .map(|unit| unit.make.as_str())
            .collect();
        for replica in self.replicas.values_mut() {
            replica.outdated = matches!(replica.unit.origin, Origin::Added { .. })
                && !declared.is_empty()
                && !declared.contains(replica.unit.make.as_str());
        }
    }
}

//! Who leaves where the engine chooses: a Swarm ends the tasks whose turn it is, and one of several
//! equals as it likes.
//!
//! So whoever is to leave is of those whose turn is next, and as long as one of equals leaves, the
//! others keep it company: they drain too, and come back when the choice is made. Nothing is ended
//! before all of them are empty.

use std::collections::BTreeSet;

use super::super::event::Now;
use super::super::outgoing::reach::is_probed;
use super::super::replica::{Replica, State, Who};
use super::super::service::ServiceState;
use crate::config::model::Service;
use crate::drain::DrainProof;
use crate::names::{Generation, InstanceName, ReplicaId};
use crate::plan::Report;

/// The next that can be ended.
pub(in crate::control) struct Next {
    pub(in crate::control) replica: ReplicaId,
    /// Of those that the engine may end in its place.
    pub(in crate::control) others: Vec<DrainProof>,
}

impl Replica {
    pub(in crate::control) fn turn(&self) -> Option<u32> {
        self.unit.task.as_ref()?.turn
    }

    /// Whether usher may choose it to leave. A task without a turn is not usher's to end.
    pub(in crate::control) fn may_leave(&self) -> bool {
        self.unit
            .task
            .as_ref()
            .is_none_or(|task| task.turn.is_some())
    }

    /// Leaves because there is one too many, and not for another one's sake.
    fn is_leaver(&self) -> bool {
        let leaves = matches!(
            self.state(),
            State::Draining { by: Who::Usher, .. } | State::Cutting { .. } | State::Stopping { .. }
        );
        leaves && !self.accompanies
    }

    fn stays(&self) -> bool {
        self.is_present() || self.state() == State::Failed
    }
}

impl ServiceState {
    /// Brings the drains in line with the turns, which other people's changes move.
    pub(in crate::control) fn keep_company(
        &mut self,
        now: Now,
        next: Generation,
        service: &Service,
    ) {
        // Whoever would be ended before them stays: these drain for nothing.
        let staying = self.replicas.values().filter(|replica| replica.stays());
        if let Some(first) = staying.filter_map(Replica::turn).min() {
            for replica in self.replicas.values_mut() {
                let drains = matches!(replica.state(), State::Draining { by: Who::Usher, .. });
                if drains && replica.turn().is_some_and(|turn| turn > first) {
                    let probed = is_probed(service, &replica.unit);
                    replica.reopen(now, probed);
                }
            }
        }
        // Somebody came in the last moment, and nobody else is there for the next.
        let leavers = self.replicas.values().filter(|replica| replica.is_leaver());
        let alone = leavers
            .filter_map(Replica::turn)
            .find(|turn| !self.serves_beside(*turn) && !self.is_empty(*turn));
        if let Some(turn) = alone {
            for replica in self.replicas.values_mut() {
                if replica.turn() == Some(turn) && replica.is_draining() {
                    let probed = is_probed(service, &replica.unit);
                    replica.reopen(now, probed);
                }
            }
        }
        let leavers = self.replicas.values().filter(|replica| replica.is_leaver());
        let leaving: BTreeSet<u32> = leavers.filter_map(Replica::turn).collect();
        for replica in self.replicas.values_mut() {
            let together = replica.turn().is_some_and(|turn| leaving.contains(&turn));
            if together && replica.stays() {
                replica.accompany(now, next);
            } else if !together && replica.accompanies && replica.is_draining() {
                let probed = is_probed(service, &replica.unit);
                replica.reopen(now, probed);
            }
        }
    }

    /// Whether somebody goes on serving while this one leaves. Where only its equals are left, all of
    /// them have to be empty already: then the choice is made in a moment, and who comes meanwhile
    /// is held.
    pub(in crate::control) fn can_spare(&self, leaver: &ReplicaId) -> bool {
        let Some(turn) = self.replicas.get(leaver).and_then(Replica::turn) else {
            return true;
        };
        self.serves_beside(turn) || self.is_empty(turn)
    }

    fn serves_beside(&self, turn: u32) -> bool {
        let mut others = self
            .replicas
            .values()
            .filter(|other| other.turn() != Some(turn));
        others.any(|other| other.state() == State::Ready)
    }

    fn is_empty(&self, turn: u32) -> bool {
        let mut equals = self
            .replicas
            .values()
            .filter(|one| one.turn() == Some(turn));
        equals.all(|one| one.load.inside == 0)
    }

    /// The next to be ended, once everybody whose turn is the same is drained. One at a time: who
    /// follows is known when it has gone.
    pub(in crate::control) fn next_to_end(
        &self,
        now: Now,
        report: &Report,
        instance: &InstanceName,
    ) -> Option<Next> {
        if self.count(|state| matches!(state, State::Stopping { .. })) > 0 {
            return None;
        }
        let first = self.replicas.values().filter_map(Replica::turn).min()?;
        let equals = || {
            self.replicas
                .iter()
                .filter(|(_, replica)| replica.turn() == Some(first))
        };
        let (leaver, _) = equals().find(|(_, replica)| replica.is_leaver())?;
        let others = equals()
            .filter(|(id, _)| *id != leaver)
            .map(|(_, replica)| replica.drained(now, report, instance))
            .collect::<Option<Vec<DrainProof>>>()?;
        Some(Next {
            replica: leaver.clone(),
            others,
        })
    }

    /// Those whose sessions may be ended when their time is over. To end those of one that is not
    /// ended itself would be for nothing; so its equals have to be empty.
    pub(in crate::control) fn may_be_cut(
        &self,
        now: Now,
        report: &Report,
        instance: &InstanceName,
    ) -> BTreeSet<ReplicaId> {
        let alone = |id: &ReplicaId, replica: &Replica| {
            let Some(turn) = replica.turn() else {
                return true;
            };
            let mut equals = self
                .replicas
                .iter()
                .filter(|(other, equal)| *other != id && equal.turn() == Some(turn));
            equals.all(|(_, equal)| equal.drained(now, report, instance).is_some())
        };
        self.replicas
            .iter()
            .filter(|(id, replica)| !replica.accompanies && alone(id, replica))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

//! Who leaves first, who is sent away, and who is called back.

use super::super::event::Now;
use super::super::outgoing::reach::is_probed;
use super::super::replica::{Replica, State, Who};
use super::super::service::ServiceState;
use crate::config::model::Service;
use crate::inventory::{Origin, Unit};
use crate::names::{Generation, ReplicaId};

/// Fewer letters of an id are a slip of the finger.
const SHORTEST_ID: usize = 6;

impl ServiceState {
    /// A sibling of an earlier deployment that can leave, because one of the new is ready.
    pub(in crate::control) fn outdated(&self) -> Option<ReplicaId> {
        let ready = |replica: &Replica| replica.state() == State::Ready && !replica.outdated;
        self.replicas.values().find(|replica| ready(replica))?;
        self.replicas
            .iter()
            .find(|(_, replica)| replica.outdated && replica.is_present())
            .map(|(id, _)| id.clone())
    }

    /// An address that is not declared any more leaves like any other replica; one that is
    /// declared again stays.
    pub(in crate::control) fn drain_withdrawn(
        &mut self,
        withdrawn: &[Unit],
        service: &Service,
        now: Now,
        next: Generation,
    ) {
        for replica in self.replicas.values_mut() {
            if replica.unit.origin != Origin::Fixed {
                continue;
            }
            let leaves = withdrawn.iter().any(|unit| unit.id == replica.unit.id);
            let stays = replica.is_present() || replica.state() == State::Failed;
            let drains = matches!(replica.state(), State::Draining { .. });
            if leaves && stays {
                replica.drain(now, next);
            } else if !leaves && drains {
                replica.reopen(now, is_probed(service, &replica.unit));
            }
        }
    }

    /// Has one replica leave because an operator says so. Its drain is not taken back.
    ///
    /// # Errors
    /// Why it stays.
    pub(in crate::control) fn dismiss(
        &mut self,
        now: Now,
        next: Generation,
        named: &str,
    ) -> Result<String, String> {
        let mut fits = self.replicas.values().filter(|replica| {
            let id = replica.unit.id.unit();
            replica.unit.name == named || (named.len() >= SHORTEST_ID && id.starts_with(named))
        });
        let (Some(found), None) = (fits.next(), fits.next()) else {
            let names = self.replicas.values().map(|replica| &*replica.unit.name);
            let known = names.collect::<Vec<_>>().join(", ");
            return Err(match known.as_str() {
                "" => "it has no replicas".to_owned(),
                known => format!("there is no one replica `{named}`; there is {known}"),
            });
        };
        let (id, name) = (found.unit.id.clone(), found.unit.name.clone());
        let others = self.replicas.iter().any(|(other, replica)| {
            *other != id && replica.state() == State::Ready && !replica.dismissed
        });
        let Some(replica) = self.replicas.get_mut(&id) else {
            unreachable!("it was found");
        };
        match replica.state() {
            State::Ready if !others => Err(format!(
                "{name} is the only one that is ready, and nobody would be left to serve; \
                 `usher scale` for one more first"
            )),
            State::Draining { by: Who::Usher, .. } => {
                replica.dismissed = true;
                Ok(format!("{name} is draining already"))
            }
            State::Draining { by: Who::Other, .. }
            | State::Cutting { .. }
            | State::Stopping { .. } => Ok(format!("{name} is leaving already")),
            State::Failed | State::Ready | State::Starting | State::Unhealthy => {
                replica.dismissed = true;
                replica.drain(now, next);
                self.last_drain = Some(now.at);
                let sessions = self.replicas.get(&id).map_or(0, Replica::sessions);
                Ok(match sessions {
                    0 => format!("{name} drains; nobody is inside"),
                    1 => format!("{name} drains; 1 session is open"),
                    many => format!("{name} drains; {many} sessions are open"),
                })
            }
        }
    }

    /// Who leaves first: where the engine has an order, whose turn it is; then what failed, then what does not answer, then what usher added, then who
    /// holds the fewest sessions, then the youngest.
    pub(in crate::control) fn victim(&self) -> Option<ReplicaId> {
        self.replicas
            .iter()
            .filter(|(_, replica)| {
                let stays = replica.is_present() || replica.state() == State::Failed;
                (stays || replica.accompanies) && replica.may_leave()
            })
            .min_by_key(|(_, replica)| {
                let declared = !matches!(replica.unit.origin, Origin::Added { .. });
                let rank = match replica.state() {
                    State::Failed => 0,
                    State::Unhealthy => 1,
                    State::Starting => 2,
                    _ => 3,
                };
                (
                    replica.turn(),
                    // Which is on its way out already.
                    !replica.accompanies,
                    rank,
                    !replica.outdated,
                    declared,
                    replica.sessions(),
                    std::cmp::Reverse(replica.entered_at()),
                    std::cmp::Reverse(replica.unit.origin),
                )
            })
            .map(|(id, _)| id.clone())
    }

    /// A replica whose drain can be taken back: the fullest, because it saves the most; where the
    /// engine has an order, the last in it.
    pub(in crate::control) fn reopenable(&self) -> Option<ReplicaId> {
        self.replicas
            .iter()
            .filter(|(_, replica)| {
                matches!(replica.state(), State::Draining { by: Who::Usher, .. })
                    && !replica.outdated
                    && !replica.accompanies
                    && !replica.dismissed
            })
            .max_by_key(|(_, replica)| (replica.turn(), replica.sessions()))
            .map(|(id, _)| id.clone())
    }
}

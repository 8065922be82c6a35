//! Services that usher does not scale, started and stopped at an operator's word and never by itself.

use tracing::warn;

use super::super::event::Now;
use super::super::outgoing::reach::is_probed;
use super::super::replica::{Replica, START_WITHIN, State, Who};
use super::super::service::ServiceState;
use super::super::tenant::Tenant;
use super::wished::Told;
use crate::config::model::Service;
use crate::engine::Action;
use crate::inventory::{Origin, Phase};
use crate::names::{Generation, ReplicaId, ServiceName};

impl ServiceState {
    /// Whether all of it has been told to stop and is still there.
    fn is_ending(&self) -> bool {
        let mut replicas = self.replicas.values();
        let ends = |replica: &Replica| matches!(replica.state(), State::Stopping { .. });
        !self.replicas.is_empty() && replicas.all(ends)
    }

    /// Whether the engine is at the stop of any of it.
    fn is_being_stopped(&self) -> bool {
        self.count(|state| matches!(state, State::Stopping { .. })) > 0
    }

    /// Whether all of it is there, and has been for so long that no stop is under way that the engine
    /// said nothing more of.
    fn stays(&self, now: Now) -> bool {
        let mut replicas = self.replicas.values();
        replicas.all(|replica| replica.been_so_for(now) >= START_WITHIN)
    }
}

impl Tenant {
    /// Has what rests of a service start.
    ///
    /// # Errors
    /// Why nothing would come of it, as a sentence.
    pub(in crate::control) fn start_fixed(
        &mut self,
        now: Now,
        service: &ServiceName,
        from_nothing: bool,
    ) -> Result<String, String> {
        let declared = self.is_fixed(service)?.clone();
        let at = format!("{}/{service}", self.instance.name);
        let Some(state) = self.services.get_mut(service) else {
            return Err(self.no_service(service));
        };
        if state.told == Some(Told::Stop) {
            state.told = None;
            let mut kept = 0;
            for replica in state.replicas.values_mut() {
                if matches!(replica.state(), State::Draining { by: Who::Usher, .. }) {
                    let probed = is_probed(&declared, &replica.unit);
                    replica.reopen(now, probed);
                    kept += 1;
                }
            }
            if kept > 0 {
                return Ok(format!("{at}: stays; it was draining"));
            }
        }
        if state.is_ending() {
            state.told = Some(Told::Start { ordered: false });
            return Ok(format!("{at}: starts again once it has stopped"));
        }
        let has_command = from_nothing && !declared.command.is_empty();
        if !state.replicas.is_empty() {
            return Ok(format!("{at}: runs already"));
        }
        if !state.rests && !has_command {
            return Err(match from_nothing {
                true => format!("{at} has no `command`, and nothing of it could be started"),
                false => format!(
                    "no container of {at} rests that could be started; bring it up with Compose, or a \
                     service of a Swarm with `docker service scale`"
                ),
            });
        }
        state.told = Some(Told::Start { ordered: false });
        Ok(format!("{at}: starts"))
    }

    /// Has a service leave: nothing new comes to it, and it is stopped when nobody is inside.
    ///
    /// # Errors
    /// Why it stays, as a sentence.
    pub(in crate::control) fn stop_fixed(
        &mut self,
        now: Now,
        next: Generation,
        service: &ServiceName,
    ) -> Result<String, String> {
        self.is_fixed(service)?;
        let at = format!("{}/{service}", self.instance.name);
        let Some(state) = self.services.get_mut(service) else {
            return Err(self.no_service(service));
        };
        let mut replicas = state.replicas.values();
        if replicas.any(|replica| replica.unit.task.is_some()) {
            return Err(format!(
                "{at} is a service of a Swarm, which would start it again: `docker service scale` it to 0"
            ));
        }
        if state.replicas.is_empty() {
            state.told = None;
            return Ok(format!("{at}: is stopped already"));
        }
        state.told = Some(Told::Stop);
        for replica in state.replicas.values_mut() {
            if replica.is_present() || replica.state() == State::Failed {
                replica.drain(now, next);
            }
        }
        let sessions: u32 = state.replicas.values().map(Replica::sessions).sum();
        let when = match sessions {
            0 => "stops; nobody is inside".to_owned(),
            open => format!(
                "takes nothing new and stops when nobody is inside, {open} open now; `usher start` takes \
                 that back"
            ),
        };
        Ok(format!("{at}: {when}"))
    }

    /// # Errors
    /// The service is not there, not usher's to start and stop, or scaled.
    fn is_fixed(&self, service: &ServiceName) -> Result<&Service, String> {
        let name = &self.instance.name;
        let Some(declared) = self.instance.services.get(service) else {
            return Err(self.no_service(service));
        };
        if !declared.addresses.is_empty() {
            return Err(format!(
                "{name}/{service} is served at addresses of the configuration, which usher neither starts \
                 nor stops"
            ));
        }
        if declared.bounds().is_some() {
            return Err(format!(
                "{name}/{service} is scaled; `usher scale {name}/{service} N` sets how many there are"
            ));
        }
        let why = self.does_nothing().or_else(|| self.is_anothers(service));
        why.map_or(Ok(declared), Err)
    }

    /// The engine has not stopped a replica. Where an operator wants it back meanwhile it stays: it
    /// would else be told to stop again, or drain for ever.
    pub(in crate::control) fn keep_what_was_not_stopped(
        &mut self,
        now: Now,
        service: &ServiceName,
        replica: &ReplicaId,
        why: &str,
    ) {
        let declared = self.instance.services.get(service);
        let (Some(declared), Some(state)) = (declared, self.services.get_mut(service)) else {
            return;
        };
        let wanted = matches!(state.told, Some(Told::Start { .. }));
        if let Some(replica) = state.replicas.get_mut(replica).filter(|_| wanted) {
            replica.reopen(now, is_probed(declared, &replica.unit));
            warn!(
                instance = %self.instance.name,
                %service,
                replica = %replica.unit.name,
                reason = why,
                "was not stopped, and stays: it was asked to start again"
            );
        }
    }

    /// Goes on with what operators want of services that are not scaled.
    pub(in crate::control) fn obey_words(
        &mut self,
        now: Now,
        next: Generation,
        actions: &mut Vec<Action>,
    ) {
        for (name, state) in &mut self.services {
            let Some(service) = self.instance.services.get(name) else {
                continue;
            };
            match state.told {
                // What is being stopped does not rest yet.
                Some(Told::Start { ordered: false }) if state.is_being_stopped() => {}
                // It was not stopped; but whoever did not hear of a stop may see it end all the same.
                Some(Told::Start { ordered: false })
                    if !state.replicas.is_empty() && !state.rests =>
                {
                    if state.stays(now) {
                        state.told = None;
                    }
                }
                Some(Told::Start { ordered: false }) => {
                    state.told = Some(Told::Start { ordered: true });
                    actions.push(Action::Wake {
                        stack: self.instance.stack.clone(),
                        service: name.clone(),
                        command: service.command.clone(),
                    });
                }
                Some(Told::Stop) if state.replicas.is_empty() => state.told = None,
                // What its engine started again meanwhile leaves too.
                Some(Told::Stop) => {
                    for replica in state.replicas.values_mut() {
                        let runs = replica.unit.phase == Phase::Running;
                        let declared = replica.unit.origin != Origin::Fixed;
                        if runs && declared && replica.is_present() {
                            replica.drain(now, next);
                        }
                    }
                }
                Some(Told::Start { ordered: true }) | None => {}
            }
        }
    }
}

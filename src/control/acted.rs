//! What came of what was ordered.

use super::controller::Controller;
use super::event::Now;
use super::networks::{JOIN_SHOWS_WITHIN, NETWORK_BACKOFF};
use super::service::ServiceState;
use super::touched::Stale;
use crate::engine::Action;
use crate::engine::act::{Acted, Failure};
use crate::names::{ReplicaId, ServiceName, StackName};

impl Controller {
    pub(super) fn acted(&mut self, now: Now, acted: Acted) {
        let Acted { action, result } = acted;
        match (&result, action.stack()) {
            (Ok(()), Some(stack)) => {
                for name in self.of_stacks.of(stack) {
                    self.stale.touch(name);
                }
            }
            // What the engine refuses one may be about others.
            _ => self.stale = Stale::everything(),
        }
        match &action {
            Action::Claim { stack } => self.answered_claim(now, stack, result),
            // Nothing comes of it here.
            Action::Release { .. } => {}
            Action::Join { network, .. } | Action::Leave { network } => {
                let pause = match (&action, &result) {
                    (_, Err(_)) => Some(NETWORK_BACKOFF),
                    (Action::Join { .. }, Ok(())) => Some(JOIN_SHOWS_WITHIN),
                    _ => None,
                };
                let again = pause.map(|pause| now.at + pause);
                match again {
                    Some(_) => self.networks.insert(network.id.clone(), again),
                    None => self.networks.remove(&network.id),
                };
            }
            Action::Start { stack, service, .. } => {
                let trouble = result.as_ref().err().map(|failure| failure.trouble);
                self.guard.started(stack, trouble, now.at);
                if let Some(service) = self.service_mut(stack, service) {
                    match result {
                        Ok(()) => service.starts.succeeded(now),
                        Err(failure) => service.starts.failed(now, failure.text, failure.trouble),
                    }
                }
            }
            Action::Wake { stack, service, .. } => {
                if let Some(service) = self.service_mut(stack, service) {
                    service.told = None;
                }
            }
            Action::Weigh {
                stack,
                service,
                replica,
                ..
            } => self.weighed(stack, service, replica, result.as_ref().err()),
            Action::Remove {
                stack,
                service,
                replica,
            } => {
                if let Some(service) = self.service_mut(stack, service) {
                    service.leftovers.removed(now, replica);
                }
            }
            Action::Stop {
                stack,
                service,
                proof,
                ..
            } => {
                if let Some(service) = self.service_mut(stack, service) {
                    service.stopped(now, &action, result.is_ok());
                    let replica = service.replicas.get_mut(proof.replica());
                    if let (Some(replica), Err(_)) = (replica, &result) {
                        replica.not_stopped(now);
                    }
                }
                if let (Some(tenant), Err(failure)) = (self.tenant_mut(stack), result) {
                    tenant.keep_what_was_not_stopped(now, service, proof.replica(), &failure.text);
                }
            }
        }
    }

    fn weighed(
        &mut self,
        stack: &StackName,
        service: &ServiceName,
        replica: &ReplicaId,
        failure: Option<&Failure>,
    ) {
        let Some(tenant) = self.tenant_mut(stack) else {
            return;
        };
        let Some(state) = tenant.services.get_mut(service) else {
            return;
        };
        let make = state.replicas.get(replica).map(|one| &*one.unit.make);
        let result = failure.map_or(Ok(()), Err);
        if let (true, Some(failure)) = (state.weights.weighed(make, result), failure) {
            tenant.say_left_alone(service.as_str(), &failure.text);
        }
    }

    fn service_mut(
        &mut self,
        stack: &StackName,
        service: &ServiceName,
    ) -> Option<&mut ServiceState> {
        self.tenant_mut(stack)?.services.get_mut(service)
    }
}

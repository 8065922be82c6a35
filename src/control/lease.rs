//! Which stacks are this usher's to change, where several command one engine.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::warn;

use super::claim::Claim;
use super::controller::Controller;
use super::event::Now;
use super::outgoing::reach::is_probed;
use super::replica::{State, Who};
use super::tenant::Tenant;
use crate::autoscaler::Kind;
use crate::config::model::ScaleMode;
use crate::engine::Action;
use crate::engine::act::Failure;
use crate::names::{ServiceName, StackName};

/// Whoever changes the stack now may be gone by then.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Tenant {
    /// Whose stack it is instead, as a sentence.
    pub(super) fn is_anothers(&self, service: &ServiceName) -> Option<String> {
        let why = self.claim.refusal()?;
        Some(format!(
            "{}/{service}: {why}; ask that one",
            self.instance.name
        ))
    }

    /// Whether anything of it is started and stopped, or would be by whoever only recommends.
    pub(super) fn is_changed_here(&self) -> bool {
        let mut services = self.scaler.policy.services.iter();
        let scales = services.any(|service| service.kind != Kind::Fixed);
        self.is_scaled() && (scales || self.was_told())
    }

    /// Whether usher changes anything of it. Who only recommends leaves the stack to another.
    fn wants_lease(&self) -> bool {
        self.instance.scale.mode != ScaleMode::Recommend && self.is_changed_here()
    }

    pub(super) fn is_held(&self) -> bool {
        self.claim == Claim::Held
    }

    /// Whether this usher is the one that changes the stack; asks to be while it is not.
    pub(super) fn may_act(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        if !self.wants_lease() {
            return self.instance.scale.mode == ScaleMode::Recommend;
        }
        let (ask, refused) = match &self.claim {
            Claim::Unasked => (self.stack_exists(), None),
            Claim::Refused { at, why } => (now.at >= *at + CLAIM_AGAIN_AFTER, Some(why.clone())),
            Claim::Asked { .. } | Claim::Held => (false, None),
        };
        if ask {
            self.claim = Claim::Asked { refused };
            actions.push(Action::Claim {
                stack: self.instance.stack.clone(),
            });
        }
        self.claim == Claim::Held
    }

    /// Another usher may hold it now, whose drains are others: nothing that leaves for this one does.
    fn lose_lease(&mut self, now: Now) {
        warn!(instance = %self.instance.name, stack = %self.instance.stack, "the lease is lost");
        self.claim = Claim::Unasked;
        for (name, state) in &mut self.services {
            let Some(service) = self.instance.services.get(name) else {
                continue;
            };
            for replica in state.replicas.values_mut() {
                if matches!(replica.state(), State::Draining { by: Who::Usher, .. }) {
                    let probed = is_probed(service, &replica.unit);
                    replica.dismissed = false;
                    replica.reopen(now, probed);
                }
            }
        }
    }
}

impl Controller {
    pub(super) fn answered_claim(
        &mut self,
        now: Now,
        stack: &StackName,
        result: Result<(), Failure>,
    ) {
        if result.is_ok() {
            self.leases.insert(stack.clone());
        }
        if let Some(tenant) = self.tenant_mut(stack) {
            tenant.claim = match result {
                Ok(()) => Claim::Held,
                Err(failure) => Claim::Refused {
                    at: now.at,
                    why: failure.text,
                },
            };
        }
    }

    /// Takes in what the engine says is held no more.
    pub(super) fn heed_lost_leases(&mut self, now: Now) {
        let Some(inventory) = self.listing.inventory.clone() else {
            return;
        };
        for stack in &inventory.lost {
            let held = self.tenant_mut(stack).filter(|tenant| tenant.is_held());
            if let Some(tenant) = held {
                tenant.lose_lease(now);
                let name = tenant.instance.name.clone();
                self.stale.touch(&name);
            }
        }
    }

    /// Gives back what nobody here changes any more, so that another usher may.
    pub(super) fn give_leases_back(&mut self, actions: &mut Vec<Action>) {
        if self.leases.is_empty() {
            return;
        }
        let mut wanted = BTreeSet::new();
        for tenant in self.tenants.values_mut() {
            if tenant.wants_lease() {
                wanted.insert(&tenant.instance.stack);
            } else {
                tenant.claim = Claim::Unasked;
            }
        }
        let unwanted = self.leases.extract_if(.., |stack| !wanted.contains(stack));
        actions.extend(unwanted.map(|stack| Action::Release { stack }));
    }
}

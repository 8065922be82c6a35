//! A full host is shared by weight.

use std::time::SystemTime;

use super::super::controller::Controller;
use super::super::tenant::Tenant;
use crate::autoscaler::{self, Guest, Override, Place, Resources, Scarce};
use crate::config::model::ScaleMode;

/// What a stack weighs more while one of its events is on.
const EVENT_WEIGHT: u32 = 4;

impl Controller {
    fn wanted_more(&self) -> Resources {
        let wanted = self.scaled().map(|(_, service, state)| {
            let more = state.decision.as_ref().map_or(0, |decision| {
                decision.desired.saturating_sub(decision.inputs.present)
            });
            state.cost(service).times(more)
        });
        wanted.fold(Resources::default(), Resources::plus)
    }

    /// What there is not enough of for what stacks want more, if so.
    fn scarce(&self) -> Option<Scarce> {
        self.room?.scarce_for(self.wanted_more())
    }

    /// Whether stacks want more than the host has left.
    pub(in crate::control) fn is_full(&self) -> bool {
        self.scarce().is_some()
    }

    /// Limits what stacks want to what they may have of a host that is full.
    pub(in crate::control) fn share_host(&mut self, wall: SystemTime) {
        // The usual case costs no more than a sum.
        let (Some(room), Some(scarce)) = (self.room, self.scarce()) else {
            return;
        };
        let scaled = || self.tenants.values().filter(|tenant| tenant.is_scaled());
        let mut guests: Vec<Guest> = scaled().map(|tenant| tenant.guest(wall)).collect();
        autoscaler::squeeze(room.left, scarce, &mut guests);
        let tenants = self
            .tenants
            .values_mut()
            .filter(|tenant| tenant.is_scaled());
        for (tenant, guest) in tenants.zip(guests) {
            tenant.take_decisions(guest);
        }
    }
}

impl Tenant {
    fn decisions(&self) -> impl Iterator<Item = Option<&autoscaler::Decision>> {
        self.scaler
            .policy
            .services
            .iter()
            .map(|service| self.services.get(&*service.name)?.decision.as_ref())
    }

    /// Everything of the scaled services that takes memory, draining replicas included.
    pub(in crate::control) fn replicas_running(&self) -> u32 {
        self.decisions()
            .flatten()
            .map(|decision| decision.inputs.present + decision.inputs.draining)
            .sum()
    }

    /// What counts of it when a host is shared: more while one of its events is on.
    pub(in crate::control) fn weight(&self, wall: SystemTime) -> u32 {
        let mut events = self.scaler.policy.events.iter();
        let event = events.any(|event| autoscaler::is_on(event, wall));
        self.instance.scale.weight * if event { EVENT_WEIGHT } else { 1 }
    }

    /// What it holds for its weight, as a whole number that orders the same.
    pub(in crate::control) fn held_by_weight(&self, wall: SystemTime) -> u64 {
        u64::from(self.replicas_running()) * 1_000_000 / u64::from(self.weight(wall).max(1))
    }

    /// What it wants of the host, and what of that is not to be taken.
    fn guest(&self, wall: SystemTime) -> Guest {
        let policy = &self.scaler.policy;
        let grows = policy.mode == ScaleMode::Auto;
        let places = policy.services.iter().map(|service| {
            let state = self.services.get(&*service.name);
            let decision = state.and_then(|state| state.decision.clone());
            let decision = decision.unwrap_or_default();
            let over = state.and_then(|state| state.over);
            // Whoever sets a number has looked at the host.
            let told = over.map(|over| over.wish) == Some(Override::Exact(decision.desired));
            let least = if told {
                decision.desired
            } else if grows {
                service.bounds.min.min(decision.desired)
            } else {
                decision.inputs.present
            };
            Place {
                kind: service.kind,
                least,
                cost: self.cost_of(&service.name),
                settled: told || !grows,
                decision,
            }
        });
        Guest {
            weight: self.weight(wall),
            soft: policy.per_replica,
            hard: policy.hard,
            places: places.collect(),
        }
    }

    fn take_decisions(&mut self, guest: Guest) {
        for (service, place) in self.scaler.policy.services.iter().zip(guest.places) {
            let state = self.services.get_mut(&*service.name);
            if let Some(decision) = state.and_then(|state| state.decision.as_mut()) {
                *decision = place.decision;
            }
        }
    }
}

//! Room on the host: who may start how much, and whether what is announced will fit.

use std::fmt;
use std::time::SystemTime;

use super::step::Controller;
use super::tenant::Tenant;
use crate::autoscaler::{self, Guest, Kind, Override, Place};
use crate::config::model::{Event, ScaleMode};
use crate::host::Memory;

/// What one replica takes, as far as nobody has measured it. A daphne and a worker of a real stack
/// take 58 MiB each when they are idle.
const REPLICA: u64 = 150 << 20;
/// What a stack weighs more while one of its events is on.
const EVENT_WEIGHT: u32 = 4;

/// Memory that replicas may still take: what is available, less a reserve for everybody else.
pub(super) fn spare(memory: Memory) -> u64 {
    let reserve = (memory.total / 20).max(512 << 20);
    memory.available.saturating_sub(reserve)
}

/// Whether one more replica fits.
pub(super) fn fits_one(room: Option<u64>) -> bool {
    room.is_none_or(|room| room >= REPLICA)
}

/// The room that is left after so many starts.
pub(super) fn after(room: Option<u64>, starts: u32) -> Option<u64> {
    room.map(|room| room.saturating_sub(REPLICA * u64::from(starts)))
}

/// What the host has not enough memory for, in replicas of all instances together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shortage {
    /// All that there are to be at least.
    Min { room: u64, min: u64 },
    /// All that there may ever be.
    Max { room: u64, max: u64 },
}

/// A sentence with the numbers, and what happens instead.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = REPLICA >> 20;
        match self {
            Self::Min { room, min } => write!(
                f,
                "the host has memory for {room} replicas of {size} MiB, and `min` of all instances comes \
                 to {min}: no more than fit are started, in turns by `weight`, and who visits an \
                 instance that has none waits and then gets a 503; lower `min`, or give the host {} \
                 MiB more",
                (min - room) * size
            ),
            Self::Max { room, max } => write!(
                f,
                "the host has memory for {room} replicas of {size} MiB, and `max` of all instances comes \
                 to {max}: they cannot all be at their largest at a time; a full host is shared by \
                 `weight`"
            ),
        }
    }
}

impl Controller {
    /// Whether stacks want more than the host has left.
    pub(super) fn is_full(&self) -> bool {
        let wanted = || self.replicas_more() * REPLICA;
        self.room.is_some_and(|room| wanted() > room)
    }

    /// Whether all that is to run and all that may run finds room on the host beside everything else;
    /// `None` where it does, or nobody knows.
    pub fn shortage(&self) -> Option<Shortage> {
        let (mut running, mut min, mut max) = (0, 0, 0);
        for tenant in self
            .tenants
            .values()
            .filter(|one| one.is_scaled() && one.rented)
        {
            let services = &tenant.scaler.policy.services;
            for service in services
                .iter()
                .filter(|service| service.kind != Kind::Fixed)
            {
                let state = tenant.services.get(&*service.name);
                running += state.map_or(0, |state| u64::from(state.count(|_| true)));
                min += u64::from(service.bounds.min);
                max += u64::from(service.bounds.max);
            }
        }
        let room = self.room? / REPLICA + running;
        if min > room {
            Some(Shortage::Min { room, min })
        } else {
            (max > room).then_some(Shortage::Max { room, max })
        }
    }

    /// Limits what stacks want to what they may have of a host that is full.
    pub(super) fn share_host(&mut self, wall: SystemTime) {
        // The usual case costs no more than a sum.
        let Some(room) = self.room.filter(|_| self.is_full()) else {
            return;
        };
        let scaled = || self.tenants.values().filter(|tenant| tenant.is_scaled());
        let mut guests: Vec<Guest> = scaled().map(|tenant| tenant.guest(wall)).collect();
        autoscaler::squeeze(room, &mut guests);
        let tenants = self
            .tenants
            .values_mut()
            .filter(|tenant| tenant.is_scaled());
        for (tenant, guest) in tenants.zip(guests) {
            tenant.take_decisions(guest);
        }
    }

    fn replicas_more(&self) -> u64 {
        let scaled = self.tenants.values().filter(|tenant| tenant.is_scaled());
        scaled.map(Tenant::replicas_more).map(u64::from).sum()
    }

    /// Whether the replicas for an event will be there: within the rental, within the maximum of its own services, and
    /// beside everything that runs and everything that is announced for the same time.
    ///
    /// # Errors
    /// A sentence with the numbers.
    pub(super) fn event_fits(&self, tenant: &Tenant, event: &Event) -> Result<(), String> {
        if let Some(rental) = tenant.instance.rental
            && !(rental.includes(event.start) && rental.includes(event.end))
        {
            return Err(format!(
                "{} does not lie within the rental ({rental}), and nothing runs outside it",
                event.name
            ));
        }
        tenant.allows(event)?;
        let Some(room) = self.room else {
            return Ok(());
        };
        let more: u64 = self
            .tenants
            .values()
            .map(|other| {
                let present = other.replicas_present();
                let events = other.scaler.policy.events.iter();
                let meanwhile = events.filter(|other| {
                    // An end that lies before the other's prewarming meets it nowhere.
                    let begins = |one: &Event| one.start.checked_sub(one.prewarm);
                    begins(other) <= Some(event.end) && begins(event) <= Some(other.end)
                });
                let needed = meanwhile.map(|event| other.replicas_for(event)).max();
                u64::from(needed.unwrap_or_default().saturating_sub(present))
            })
            .sum();
        if more * REPLICA <= room {
            return Ok(());
        }
        Err(format!(
            "{} will not fit: it and all else announced for the time need {more} replicas more, \
             and the host has memory for {}; fewer will be started",
            event.name,
            room / REPLICA
        ))
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

    fn replicas_present(&self) -> u32 {
        self.decisions()
            .flatten()
            .map(|decision| decision.inputs.present)
            .sum()
    }

    /// Everything of the scaled services that takes memory, draining replicas included.
    pub(super) fn replicas_running(&self) -> u32 {
        self.decisions()
            .flatten()
            .map(|decision| decision.inputs.present + decision.inputs.draining)
            .sum()
    }

    fn replicas_more(&self) -> u32 {
        self.decisions()
            .flatten()
            .map(|decision| decision.desired.saturating_sub(decision.inputs.present))
            .sum()
    }

    /// What counts of it when a host is shared: more while one of its events is on.
    fn weight(&self, wall: SystemTime) -> u32 {
        let mut events = self.scaler.policy.events.iter();
        let event = events.any(|event| autoscaler::is_on(event, wall));
        self.instance.scale.weight * if event { EVENT_WEIGHT } else { 1 }
    }

    /// What it holds for its weight, as a whole number that orders the same.
    pub(super) fn held_by_weight(&self, wall: SystemTime) -> u64 {
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
                cost: REPLICA,
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

    /// Whether the maximum of each service is enough for an event.
    fn allows(&self, event: &Event) -> Result<(), String> {
        let policy = &self.scaler.policy;
        let count = autoscaler::replicas_for(event.sessions, policy.per_replica);
        for service in &policy.services {
            let (needs, max) = (needed(service.kind, count), service.bounds.max);
            if needs > max {
                return Err(format!(
                    "{} needs {needs} replicas of {}, and `max` allows {max}; no more will be started",
                    event.name, service.name
                ));
            }
        }
        Ok(())
    }

    /// Replicas of all services that an event needs.
    fn replicas_for(&self, event: &Event) -> u32 {
        let policy = &self.scaler.policy;
        let count = autoscaler::replicas_for(event.sessions, policy.per_replica);
        policy
            .services
            .iter()
            .map(|service| match service.kind {
                Kind::Fixed => 0,
                kind => needed(kind, count).max(service.bounds.min),
            })
            .fold(0, u32::saturating_add)
    }
}

fn needed(kind: Kind, leaders: u32) -> u32 {
    match kind {
        Kind::Fixed => 0,
        Kind::Sessions => leaders,
        Kind::Ratio { ratio, .. } => autoscaler::whole(ratio * f64::from(leaders)),
    }
}

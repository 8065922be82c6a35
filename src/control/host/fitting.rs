//! Whether what is declared and what is announced will fit on the host.

use std::fmt;

use super::super::controller::Controller;
use super::super::tenant::Tenant;
use crate::autoscaler::{self, Kind, Resources, Scarce};
use crate::config::model::Event;

/// What the host has not enough memory for, in replicas of all instances together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shortage {
    /// All that there are to be at least. `size`: of one, in bytes.
    Min { room: u64, min: u64, size: u64 },
    /// All that there may ever be.
    Max { room: u64, max: u64, size: u64 },
}

/// A sentence with the numbers, and what happens instead.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min { room, min, size } => write!(
                f,
                "the host has memory for {room} replicas of {} MiB, and `min` of all instances comes \
                 to {min}: no more than fit are started, in turns by `weight`, and who visits an \
                 instance that has none waits and then gets a 503; lower `min`, or give the host {} \
                 MiB more",
                size >> 20,
                (min - room) * (size >> 20)
            ),
            Self::Max { room, max, size } => write!(
                f,
                "the host has memory for {room} replicas of {} MiB, and `max` of all instances comes \
                 to {max}: they cannot all be at their largest at a time; a full host is shared by \
                 `weight`",
                size >> 20
            ),
        }
    }
}

impl Controller {
    /// Whether all that is to run and all that may run finds room in the host's memory beside everything
    /// else; `None` where it does, or nobody knows.
    pub fn shortage(&self) -> Option<Shortage> {
        let (mut running, mut least, mut most) = (0_u64, 0_u64, 0_u64);
        let (mut min, mut max) = (0_u64, 0_u64);
        for (tenant, service, state) in self.scaled() {
            let Some(bounds) = service.bounds().filter(|_| tenant.rented) else {
                continue;
            };
            let size = state.cost(service).memory;
            running += size * u64::from(state.count(|_| true));
            least += size * u64::from(bounds.min);
            most += size * u64::from(bounds.max);
            min += u64::from(bounds.min);
            max += u64::from(bounds.max);
        }
        let room = self.room?.left.memory.saturating_add(running);
        if least > room {
            let size = least / min.max(1);
            let room = room / size.max(1);
            Some(Shortage::Min { room, min, size })
        } else if most > room {
            let size = most / max.max(1);
            let room = room / size.max(1);
            Some(Shortage::Max { room, max, size })
        } else {
            None
        }
    }

    /// Whether the replicas for an event will be there: within the rental, within the maximum of its own services, and
    /// beside everything that runs and everything that is announced for the same time.
    ///
    /// # Errors
    /// A sentence with the numbers.
    pub(in crate::control) fn event_fits(
        &self,
        tenant: &Tenant,
        event: &Event,
    ) -> Result<(), String> {
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
        let mut more = (Resources::default(), 0);
        for other in self.tenants.values() {
            let events = other.scaler.policy.events.iter();
            let meanwhile = events.filter(|other| {
                // An end that lies before the other's prewarming meets it nowhere.
                let begins = |one: &Event| one.start.checked_sub(one.prewarm);
                begins(other) <= Some(event.end) && begins(event) <= Some(other.end)
            });
            let needed = meanwhile.map(|event| other.more_for(event));
            let (cost, count) = needed
                .max_by_key(|(cost, _)| (cost.memory, cost.processor))
                .unwrap_or_default();
            more = (more.0.plus(cost), more.1 + count);
        }
        let (cost, count) = more;
        let Some(scarce) = room.scarce_for(cost) else {
            return Ok(());
        };
        Err(format!(
            "{} will not fit: it and all else announced for the time need {count} replicas more, \
             and the host has {} for {}; fewer will be started",
            event.name,
            match scarce {
                Scarce::Budget | Scarce::Memory => "memory",
                Scarce::Processors => "processor time",
            },
            room.holds_of(cost, count)
        ))
    }
}

impl Tenant {
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

    /// What an event needs of all services beyond what is there, and how many replicas that are.
    fn more_for(&self, event: &Event) -> (Resources, u64) {
        let policy = &self.scaler.policy;
        let leaders = autoscaler::replicas_for(event.sessions, policy.per_replica);
        let mut more = (Resources::default(), 0_u64);
        for service in policy.services.iter().filter(|one| one.kind != Kind::Fixed) {
            let state = self.services.get(&*service.name);
            let present = state.and_then(|state| Some(state.decision.as_ref()?.inputs.present));
            let needed = needed(service.kind, leaders).max(service.bounds.min);
            let count = needed.saturating_sub(present.unwrap_or(0));
            let cost = self.cost_of(&service.name).times(count);
            more = (more.0.plus(cost), more.1 + u64::from(count));
        }
        more
    }
}

fn needed(kind: Kind, leaders: u32) -> u32 {
    match kind {
        Kind::Fixed => 0,
        Kind::Sessions => leaders,
        Kind::Ratio { ratio, .. } => autoscaler::whole(ratio * f64::from(leaders)),
    }
}

//! Room on the host: who may start how much, and whether what is announced will fit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use super::event::Now;
use super::service::ServiceState;
use super::step::Controller;
use super::tenant::Tenant;
use crate::autoscaler::{self, Guest, Kind, Override, Place, Resources, Scarce};
use crate::config::model::{Event, ScaleMode, Service};
use crate::engine::meter::{Metered, Taken};
use crate::host::{Host, Memory};

/// What one replica is taken to need at least, whatever was seen: a daphne and a worker of a real stack
/// take 58 MiB each when they are idle, and grow with their audience.
const REPLICA: Resources = Resources {
    memory: 150 << 20,
    processor: 100,
};
/// The kernel and everybody else does not yet say what one takes that has just started.
const YOUNG_FOR: Duration = Duration::from_secs(120);
/// Nothing to do and nothing to wait for is no reason for a processor to idle: so many times as much
/// may be set aside as there is.
const OF_EACH_PROCESSOR: u64 = 2_000;
/// What a stack weighs more while one of its events is on.
const EVENT_WEIGHT: u32 = 4;

/// What is known of the host, beside itself.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Memory of everything that runs and is not scaled by usher, by unit.
    others: BTreeMap<String, u64>,
    /// Whether anything has been looked at.
    looked: bool,
}

/// What may still be started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Room {
    pub(super) left: Resources,
    /// What kind of memory it is.
    memory: Scarce,
}

impl Room {
    /// What there is not enough of for this.
    pub(super) fn scarce_for(&self, wanted: Resources) -> Option<Scarce> {
        if self.left.memory < wanted.memory {
            Some(self.memory)
        } else {
            (self.left.processor < wanted.processor).then_some(Scarce::Processors)
        }
    }

    pub(super) fn minus(self, taken: Resources) -> Self {
        Self {
            left: self.left.minus(taken),
            ..self
        }
    }

    /// Bytes and thousandths of a processor, as far as anybody knows.
    pub(super) fn known(self) -> (Option<u64>, Option<u64>) {
        let known = |left: u64| (left != u64::MAX).then_some(left);
        (known(self.left.memory), known(self.left.processor))
    }

    /// How many of these fit, on the average.
    fn holds_of(&self, all: Resources, count: u64) -> u64 {
        let of = |left: u64, all: u64| match all {
            0 => u128::from(u64::MAX),
            all => u128::from(left) * u128::from(count) / u128::from(all),
        };
        let fit = of(self.left.memory, all.memory).min(of(self.left.processor, all.processor));
        u64::try_from(fit).unwrap_or(u64::MAX)
    }
}

/// Memory that replicas may still take by what is available now, less a reserve for everybody else.
fn spare(memory: Memory) -> u64 {
    let reserve = (memory.total / 20).max(512 << 20);
    memory.available.saturating_sub(reserve)
}

/// Memory that may be set aside for containers: all but what the machine itself needs.
fn budget(memory: Memory) -> u64 {
    let reserve = (memory.total * 15 / 100).max(1 << 30);
    memory.total.saturating_sub(reserve)
}

impl Census {
    fn others(&self) -> u64 {
        self.others.values().copied().fold(0, u64::saturating_add)
    }
}

impl ServiceState {
    /// What one replica more is taken to need.
    pub(super) fn cost(&self, service: &Service) -> Resources {
        let seen = self.seen_to_take(service);
        Resources {
            memory: seen.memory.max(REPLICA.memory),
            processor: seen.processor.max(REPLICA.processor),
        }
    }

    /// What each takes by what was said and seen of them; nothing where nobody knows.
    fn seen_to_take(&self, service: &Service) -> Resources {
        let said = service.reserved;
        let memory = self.takes.memory().unwrap_or(0);
        Resources {
            memory: (memory / 5 * 6)
                .max(self.takes.reserved)
                .max(said.memory.unwrap_or(0)),
            processor: self
                .takes
                .processor()
                .unwrap_or(0)
                .max(said.processor.unwrap_or(0)),
        }
    }

    /// What is set aside for those that run on this machine. The least that a start needs is for what
    /// nobody has seen yet: hundreds that idle do not keep a host from those that have visitors. After a
    /// reboot all of them are young, and what they take shows in what is available: only what has come
    /// since usher `began`, and is not what its engine has started again by itself, has to grow yet.
    fn set_aside(&self, service: &Service, now: Now, host: &Host, began: SystemTime) -> Resources {
        let seen = self.seen_to_take(service);
        let cost = self.cost(service);
        let here = self.replicas.values().filter(|replica| {
            let task = replica.unit.task.as_ref();
            task.is_none_or(|task| task.node == host.name)
        });
        let each = here.map(|replica| {
            let age = now.wall.duration_since(replica.unit.since);
            let new = replica.in_turn && replica.unit.since >= began;
            let young = new && age.unwrap_or_default() < YOUNG_FOR;
            Resources {
                memory: match (seen.memory, young) {
                    (0, true) => cost.memory,
                    (memory, _) => memory,
                },
                processor: match (self.takes.processor(), young) {
                    (None, true) => cost.processor,
                    _ => seen.processor,
                },
            }
        });
        let unseen = cost.times(u32::from(self.starts.unseen(now)));
        each.fold(unseen, Resources::plus)
    }
}

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
    /// Takes in what was seen of what runs.
    pub(super) fn meter(&mut self, now: Now, metered: Metered) {
        match metered {
            Metered::Running(there) => self.forget_all_but(&there),
            Metered::Taken(taken) => self.note_taken(now, taken),
        }
    }

    fn forget_all_but(&mut self, there: &BTreeSet<String>) {
        self.census.others.retain(|unit, _| there.contains(unit));
    }

    fn note_taken(&mut self, now: Now, taken: Taken) {
        self.census.looked |= taken.memory.is_some();
        let scaled = self.tenants.values_mut().filter(|one| one.is_scaled());
        let mut services = scaled.flat_map(|tenant| {
            let instance = &tenant.instance;
            let services = tenant.services.iter_mut();
            services.filter(|(name, _)| {
                let service = instance.services.get(*name);
                service.is_some_and(|service| service.bounds().is_some())
            })
        });
        let its = services.find(|(_, state)| {
            let mut replicas = state.replicas.keys();
            replicas.any(|id| id.unit() == taken.unit)
        });
        match (its, taken.memory) {
            (Some((_, state)), _) => {
                state.takes.take(&taken, now.at);
                self.census.others.remove(&taken.unit);
            }
            (None, Some(memory)) => {
                self.census.others.insert(taken.unit, memory);
            }
            (None, None) => {}
        }
    }

    /// What may still be started; `None`: nobody knows.
    pub(super) fn room_now(&self, now: Now) -> Option<Room> {
        let host = &self.host;
        if host.memory.is_none() && host.cores.is_none() {
            return None;
        }
        let aside = self
            .scaled()
            .map(|(_, service, state)| state.set_aside(service, now, host, self.began));
        let aside = aside.fold(Resources::default(), Resources::plus);
        let mut room = Room {
            left: Resources::BOUNDLESS,
            memory: Scarce::Memory,
        };
        if let Some(memory) = host.memory {
            room.left.memory = spare(memory).saturating_sub(self.started.memory);
            let taken = self.census.others().saturating_add(aside.memory);
            let free = budget(memory).saturating_sub(taken);
            // Before anybody has looked, what is available is all that is known.
            if self.census.looked && free < room.left.memory {
                room.left.memory = free;
                room.memory = Scarce::Budget;
            }
        }
        if let Some(cores) = host.cores {
            let all = OF_EACH_PROCESSOR * u64::from(cores);
            room.left.processor = all.saturating_sub(aside.processor);
        }
        Some(room)
    }

    /// Every service that is scaled, with its tenant.
    fn scaled(&self) -> impl Iterator<Item = (&Tenant, &Service, &ServiceState)> {
        let tenants = self.tenants.values().filter(|tenant| tenant.is_scaled());
        tenants.flat_map(|tenant| {
            let services = tenant.scaled_services();
            services.map(move |(service, state)| (tenant, service, state))
        })
    }

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
    pub(super) fn is_full(&self) -> bool {
        self.scarce().is_some()
    }

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

    /// Limits what stacks want to what they may have of a host that is full.
    pub(super) fn share_host(&mut self, wall: SystemTime) {
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
    fn decisions(&self) -> impl Iterator<Item = Option<&autoscaler::Decision>> {
        self.scaler
            .policy
            .services
            .iter()
            .map(|service| self.services.get(&*service.name)?.decision.as_ref())
    }

    /// What it scales.
    fn scaled_services(&self) -> impl Iterator<Item = (&Service, &ServiceState)> {
        let policies = self.scaler.policy.services.iter();
        policies
            .filter(|policy| policy.kind != Kind::Fixed)
            .filter_map(|policy| {
                let service = self.instance.services.get(&*policy.name)?;
                Some((service, self.services.get(&*policy.name)?))
            })
    }

    /// What one replica more of a service is taken to need.
    fn cost_of(&self, service: &str) -> Resources {
        let state = self.services.get(service);
        let declared = self.instance.services.get(service);
        let known = state.zip(declared);
        known.map_or(REPLICA, |(state, declared)| state.cost(declared))
    }

    /// Everything of the scaled services that takes memory, draining replicas included.
    pub(super) fn replicas_running(&self) -> u32 {
        self.decisions()
            .flatten()
            .map(|decision| decision.inputs.present + decision.inputs.draining)
            .sum()
    }

    /// What counts of it when a host is shared: more while one of its events is on.
    pub(super) fn weight(&self, wall: SystemTime) -> u32 {
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

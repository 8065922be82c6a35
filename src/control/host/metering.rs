//! What was seen of what runs, and what that leaves of the host.

use std::collections::BTreeSet;

use super::super::controller::Controller;
use super::super::event::Now;
use super::room::Room;
use crate::autoscaler::{Resources, Scarce};
use crate::engine::meter::{Metered, Taken};
use crate::host::Memory;

/// Nothing to do and nothing to wait for is no reason for a processor to idle: so many times as much
/// may be set aside as there is.
const OF_EACH_PROCESSOR: u64 = 2_000;

impl Controller {
    /// Takes in what was seen of what runs.
    pub(in crate::control) fn meter(&mut self, now: Now, metered: Metered) {
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
    pub(in crate::control) fn room_now(&self, now: Now) -> Option<Room> {
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

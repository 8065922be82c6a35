//! What replicas are taken to need of the host.

use std::time::{Duration, SystemTime};

use super::super::event::Now;
use super::super::service::ServiceState;
use super::super::tenant::Tenant;
use crate::autoscaler::Resources;
use crate::config::model::Service;
use crate::host::Host;

/// What one replica is taken to need at least, whatever was seen: a daphne and a worker of a real stack
/// take 58 MiB each when they are idle, and grow with their audience.
const REPLICA: Resources = Resources {
    memory: 150 << 20,
    processor: 100,
};

/// The kernel and everybody else does not yet say what one takes that has just started.
const YOUNG_FOR: Duration = Duration::from_secs(120);

impl ServiceState {
    /// What one replica more is taken to need.
    pub(in crate::control) fn cost(&self, service: &Service) -> Resources {
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
    pub(in crate::control) fn set_aside(
        &self,
        service: &Service,
        now: Now,
        host: &Host,
        began: SystemTime,
    ) -> Resources {
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

impl Tenant {
    /// What one replica more of a service is taken to need.
    pub(in crate::control) fn cost_of(&self, service: &str) -> Resources {
        let state = self.services.get(service);
        let declared = self.instance.services.get(service);
        let known = state.zip(declared);
        known.map_or(REPLICA, |(state, declared)| state.cost(declared))
    }
}

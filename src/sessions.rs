//! The registry of long sessions: which there are, what became of the last, and a way to end each
//! from outside.
//!
//! Nothing here keeps a session alive, and nothing but a farewell ends one: a session is tied to
//! its replica, never to a table, a plan or a configuration.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use rand::Rng;
use tokio::sync::oneshot;

use crate::names::{InstanceName, ReplicaId};
use crate::plan::{Ending, SessionFacts, SessionList, Signal};
use crate::routing::{Farewell, SessionCount, SessionCounter, SessionKind};

/// Sessions of an instance that was removed end within this time.
const GONE_OVER: Duration = Duration::from_secs(5);
/// So many of an instance that have ended are remembered.
const REMEMBERED: usize = 100;

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    next: AtomicU64,
    entries: DashMap<u64, Entry>,
    ended: DashMap<InstanceName, VecDeque<SessionFacts>>,
}

#[derive(Debug)]
struct Entry {
    at: Arc<SessionCounter>,
    kind: SessionKind,
    client: Option<IpAddr>,
    opened: SystemTime,
    meter: Arc<Meter>,
    /// `None` once it has been told.
    tell: Option<oneshot::Sender<Order>>,
}

/// What a session has carried so far.
#[derive(Debug, Default)]
pub struct Meter {
    from_client: AtomicU64,
    to_client: AtomicU64,
}

impl Meter {
    /// Sets both counts.
    pub fn reads(&self, from_client: u64, to_client: u64) {
        self.from_client.store(from_client, Ordering::Relaxed);
        self.to_client.store(to_client, Ordering::Relaxed);
    }
}

/// The order to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Order {
    pub why: Ending,
    /// Each session waits its own part of the time, so that clients come back one by one.
    pub after: Duration,
}

/// An open session. Dropping it takes it off the registry and every count.
#[must_use]
#[derive(Debug)]
pub struct Session {
    id: u64,
    registry: Arc<Sessions>,
    count: SessionCount,
    meter: Arc<Meter>,
}

impl Sessions {
    /// Registers a session and gives the ear for an order to end. `client` is what the list may
    /// show of its address.
    pub fn open(
        self: &Arc<Self>,
        count: SessionCount,
        client: Option<IpAddr>,
    ) -> (Session, oneshot::Receiver<Order>) {
        let (tell, told) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let meter = Arc::<Meter>::default();
        let entry = Entry {
            at: Arc::clone(count.at()),
            kind: count.kind(),
            client,
            opened: now(),
            meter: Arc::clone(&meter),
            tell: Some(tell),
        };
        self.entries.insert(id, entry);
        let session = Session {
            id,
            registry: Arc::clone(self),
            count,
            meter,
        };
        (session, told)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Tells every session to end, spread over this time.
    pub fn stop(&self, over: Duration) {
        self.tell(|_| true, Ending::Stop, over, usize::MAX);
    }

    /// Tells at most so many of those who were not told yet.
    fn tell(
        &self,
        whom: impl Fn(&SessionCounter) -> bool,
        why: Ending,
        over: Duration,
        most: usize,
    ) {
        let mut random = rand::rng();
        let untold = self.entries.iter_mut();
        let untold = untold.filter(|entry| entry.tell.is_some() && whom(&entry.at));
        for mut entry in untold.take(most) {
            if let Some(tell) = entry.tell.take() {
                let after = over.mul_f64(random.random_range(0.0..1.0));
                // A session that is ending at this moment does not listen any more.
                let _ = tell.send(Order { why, after });
            }
        }
    }

    fn remember(&self, entry: &Entry, why: Ending) {
        let mut ended = self.ended.entry(entry.at.instance.clone()).or_default();
        ended.truncate(REMEMBERED - 1);
        ended.push_front(entry.facts(Some((now(), why))));
    }
}

impl Entry {
    fn facts(&self, ended: Option<(SystemTime, Ending)>) -> SessionFacts {
        SessionFacts {
            service: self.at.service.clone(),
            replica: Arc::clone(&self.at.replica_name),
            kind: self.kind.word(),
            client: self.client,
            opened: self.opened,
            bytes_in: self.meter.from_client.load(Ordering::Relaxed),
            bytes_out: self.meter.to_client.load(Ordering::Relaxed),
            ended,
        }
    }
}

impl SessionList for Sessions {
    fn of(&self, instance: &str) -> Vec<SessionFacts> {
        let mut all: Vec<SessionFacts> = self
            .entries
            .iter()
            .filter(|entry| entry.at.instance.as_str() == instance)
            .map(|entry| entry.facts(None))
            .collect();
        all.sort_by_key(|session| session.opened);
        if let Some(ended) = self.ended.get(instance) {
            all.extend(ended.iter().cloned());
        }
        all
    }
}

impl Farewell for Sessions {
    fn cut(&self, replica: &ReplicaId, keep: u32, over: Duration) {
        let whom = |at: &SessionCounter| at.replica == *replica;
        let entries = self.entries.iter();
        let untold = entries.filter(|entry| entry.tell.is_some() && whom(&entry.at));
        let most = untold.count().saturating_sub(keep as usize);
        self.tell(whom, Ending::Drain, over, most);
    }

    fn gone(&self, instance: &InstanceName) {
        self.tell(
            |at| at.instance == *instance,
            Ending::Drain,
            GONE_OVER,
            usize::MAX,
        );
        self.ended.remove(instance);
    }
}

impl Session {
    /// Says how it ends.
    pub fn ends(&mut self, why: Ending) {
        self.count.ends(why);
    }

    /// Its replica has ended it with a word of back-pressure.
    pub fn pushed_back(&self, signal: Signal) {
        self.count.at().pushed_back(signal);
    }

    /// Where to say what it has carried.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some((_, entry)) = self.registry.entries.remove(&self.id) {
            self.registry.remember(&entry, self.count.ending());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "when sessions began and ended")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use super::*;
    use crate::names::{Generation, ServiceName};
    use crate::plan::{Condition, EndpointPlan, InstancePlan, Plan, ServicePlan, Usage};
    use crate::routing::Routes;
    use crate::shared::Map;

    fn plan(generation: u64, usage: Usage) -> Plan {
        let endpoint = EndpointPlan {
            id: ReplicaId::new("web_1", 1),
            name: "web_1".into(),
            address: SocketAddr::from(([10, 0, 0, 1], 80)),
            usage,
            turn: None,
        };
        let service = ServicePlan {
            endpoints: vec![endpoint],
            ..ServicePlan::default()
        };
        let name: InstanceName = "congress".parse().expect("name");
        let instance = InstancePlan {
            name: name.clone(),
            site: Arc::default(),
            condition: Condition::Serving,
            routes: Vec::new(),
            leaving: Vec::new(),
            services: BTreeMap::from([("web".parse().expect("name"), service)]),
        };
        Plan {
            generation: Generation(generation),
            edge: Arc::default(),
            instances: Map::from([(name, Arc::new(instance))]),
        }
    }

    #[test]
    fn so_many_are_told_to_end_that_as_many_are_left_as_are_kept() {
        let (routes, sessions) = (Routes::default(), Arc::<Sessions>::default());
        routes.apply(&plan(1, Usage::Serve), &*sessions);
        let web: ServiceName = "web".parse().expect("name");
        let table = routes.load();
        let congress = "congress".parse().expect("name");
        let instance = table.instance(&congress).expect("served");
        let pool = instance.pool(&web).expect("pool");
        let pick = pool.pick([127, 0, 0, 1].into(), &[], true).expect("open");
        let counter = Arc::new(SessionCounter::new(instance, pool, &pick.endpoint));
        let (mut open, mut ears) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let count = Arc::clone(&counter).open(SessionKind::Websocket);
            let (session, told) = sessions.open(count, None);
            open.push(session);
            ears.push(told);
        }
        let mut told = 0;
        let over = Duration::from_secs(1);
        for (generation, keep, expected) in [(2, 4, 2), (3, 4, 2), (4, 1, 5), (5, 0, 6)] {
            routes.apply(&plan(generation, Usage::Cut { keep, over }), &*sessions);
            for order in ears.iter_mut().filter_map(|ear| ear.try_recv().ok()) {
                assert!(
                    order.why == Ending::Drain && order.after < over,
                    "{order:?}"
                );
                told += 1;
            }
            assert_eq!(told, expected, "of six, with {keep} kept");
        }
    }
}

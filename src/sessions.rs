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
        self.tell(|_| true, Ending::Stop, over);
    }

    fn tell(&self, whom: impl Fn(&SessionCounter) -> bool, why: Ending, over: Duration) {
        let mut random = rand::rng();
        for mut entry in self.entries.iter_mut().filter(|entry| whom(&entry.at)) {
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
    fn cut(&self, replica: &ReplicaId, over: Duration) {
        self.tell(|at| at.replica == *replica, Ending::Drain, over);
    }

    fn gone(&self, instance: &InstanceName) {
        self.tell(|at| at.instance == *instance, Ending::Drain, GONE_OVER);
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

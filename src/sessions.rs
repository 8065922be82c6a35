//! The registry of long sessions: which there are, and a way to end each from outside.
//!
//! Nothing here keeps a session alive, and nothing but a farewell ends one: a session is tied to
//! its replica, never to a table, a plan or a configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use rand::Rng;
use tokio::sync::oneshot;

use crate::names::{InstanceName, ReplicaId};
use crate::plan::Ending;
use crate::routing::{Farewell, SessionCount};

/// Sessions of an instance that was removed end within this time.
const GONE_OVER: Duration = Duration::from_secs(5);

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    next: AtomicU64,
    entries: DashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    instance: InstanceName,
    replica: ReplicaId,
    /// `None` once it has been told.
    tell: Option<oneshot::Sender<Order>>,
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
}

impl Sessions {
    /// Registers a session and gives the ear for an order to end.
    pub fn open(self: &Arc<Self>, count: SessionCount) -> (Session, oneshot::Receiver<Order>) {
        let (tell, told) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let at = count.at();
        self.entries.insert(
            id,
            Entry {
                instance: at.instance.clone(),
                replica: at.replica.clone(),
                tell: Some(tell),
            },
        );
        let session = Session {
            id,
            registry: Arc::clone(self),
            count,
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

    fn tell(&self, whom: impl Fn(&Entry) -> bool, why: Ending, over: Duration) {
        let mut random = rand::rng();
        for mut entry in self.entries.iter_mut().filter(|entry| whom(entry)) {
            if let Some(tell) = entry.tell.take() {
                let after = over.mul_f64(random.random_range(0.0..1.0));
                // A session that is ending at this moment does not listen any more.
                let _ = tell.send(Order { why, after });
            }
        }
    }
}

impl Farewell for Sessions {
    fn cut(&self, replica: &ReplicaId, over: Duration) {
        self.tell(|entry| entry.replica == *replica, Ending::Drain, over);
    }

    fn gone(&self, instance: &InstanceName) {
        self.tell(
            |entry| entry.instance == *instance,
            Ending::Drain,
            GONE_OVER,
        );
    }
}

impl Session {
    /// Says how it ends.
    pub fn ends(&mut self, why: Ending) {
        self.count.ends(why);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.registry.entries.remove(&self.id);
    }
}

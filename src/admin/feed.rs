//! The watchers of `/events`: everything first, then what changes, made once for all of them.
//!
//! A record is serialised when the first watcher of a view needs it and handed to the others as it
//! is. Whoever does not read is left behind: his queue is short, and when it is full he is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::history::Sample;
use super::rates::Rates;
use super::scope::Scope;
use super::snapshot::Snapshot;
use super::views::{Sources, Topic, Views};
use crate::control::Status;
use crate::control::status::{Decision, InstanceStatus};
use crate::plan::{FailureList, SessionList};
use crate::shutdown::Shutdown;

const EVERY: Duration = Duration::from_secs(1);
pub(super) const MOST_WATCHERS: usize = 128;
/// Records that wait for one watcher.
const QUEUE: usize = 16;

/// The second that is shown now, and who watches.
#[derive(Debug)]
pub struct Feed {
    pub(super) sources: Sources,
    now: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    views: Arc<Views>,
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    topic: Topic,
    queue: mpsc::Sender<Bytes>,
}

impl Feed {
    pub fn new(
        status: &watch::Receiver<Arc<Status>>,
        sessions: Arc<dyn SessionList>,
        failures: Arc<dyn FailureList>,
    ) -> Arc<Self> {
        let status = Arc::clone(&status.borrow());
        let snapshot = Snapshot {
            at: clock(),
            status,
            rates: BTreeMap::new(),
        };
        Arc::new(Self {
            sources: Sources {
                history: Mutex::default(),
                sessions,
                failures,
            },
            now: Mutex::new(Shown {
                views: Arc::new(Views::new(snapshot)),
                watchers: Vec::new(),
            }),
        })
    }

    /// Observes every second and tells the watchers, until shutdown.
    pub async fn run(
        self: Arc<Self>,
        mut status: watch::Receiver<Arc<Status>>,
        mut shutdown: Shutdown,
    ) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rates = Rates::default();
        let mut told = status.borrow().decided;
        loop {
            let passed = tokio::select! {
                biased;
                () = shutdown.begun() => return,
                _ = tick.tick() => true,
                Ok(()) = status.changed() => false,
            };
            let newest = Arc::clone(&status.borrow_and_update());
            if newest.decided > told {
                self.tell_decisions(&newest, told);
                told = newest.decided;
            }
            if passed {
                let snapshot = self.observe(clock(), newest, &mut rates);
                self.publish(snapshot);
            }
        }
    }

    /// The second that is shown now.
    pub(super) fn views(&self) -> Arc<Views> {
        Arc::clone(&self.lock().views)
    }

    /// Everything now, and then what changes. `None`: too many watch already.
    pub(super) fn watch(&self, topic: &Topic) -> Option<mpsc::Receiver<Bytes>> {
        let mut shown = self.lock();
        shown.watchers.retain(|watcher| !watcher.queue.is_closed());
        if shown.watchers.len() >= MOST_WATCHERS {
            return None;
        }
        let (queue, records) = mpsc::channel(QUEUE);
        // Under the lock, so that the first change that is told is one of this very second.
        let first = shown
            .views
            .first(topic, &self.sources, |all| record("full", None, all));
        queue.try_send(first).ok()?;
        shown.watchers.push(Watcher {
            topic: topic.clone(),
            queue,
        });
        Some(records)
    }

    fn observe(&self, now: SystemTime, status: Arc<Status>, rates: &mut Rates) -> Snapshot {
        let names: std::collections::HashSet<&str> = status
            .instances
            .iter()
            .map(|known| known.name.as_str())
            .collect();
        let there = |name: &str| names.contains(name);
        let mut measured = BTreeMap::new();
        let mut history = lock(&self.sources.history);
        for instance in &status.instances {
            let rate = rates.observe(now, &instance.name, instance.requests_total);
            history.observe(now, &instance.name, sample(instance, rate));
            measured.insert(instance.name.clone(), rate);
        }
        history.prune(now, there);
        drop(history);
        rates.prune(there);
        self.sources.failures.keep_only(&there);
        drop(names);
        Snapshot {
            at: now,
            status,
            rates: measured,
        }
    }

    fn publish(&self, snapshot: Snapshot) {
        let mut shown = self.lock();
        let views = Arc::new(Views::new(snapshot));
        let before = std::mem::replace(&mut shown.views, Arc::clone(&views));
        let mut made: HashMap<Topic, Bytes> = HashMap::new();
        shown.watchers.retain(|watcher| {
            if watcher.queue.is_closed() {
                return false;
            }
            let bytes = match made.get(&watcher.topic) {
                Some(bytes) => bytes.clone(),
                None => {
                    let old = before.view(&watcher.topic, &self.sources);
                    let new = views.view(&watcher.topic, &self.sources);
                    let bytes = record("change", None, &new.changes(&old));
                    made.insert(watcher.topic.clone(), bytes.clone());
                    bytes
                }
            };
            watcher.queue.try_send(bytes).is_ok()
        });
    }

    /// Tells whoever follows the statistics of the decisions after the `told`th.
    fn tell_decisions(&self, status: &Status, told: u64) {
        let mut shown = self.lock();
        for decision in decisions(status).filter(|decision| decision.number > told) {
            let text = serde_json::to_vec(&**decision).unwrap_or_default();
            let bytes = record("decision", Some(decision.number), &text);
            shown.watchers.retain(|watcher| match &watcher.topic {
                Topic::Stats(scope) if scope.includes(&decision.instance) => {
                    watcher.queue.try_send(bytes.clone()).is_ok()
                }
                _ => true,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        lock(&self.now)
    }
}

/// All that are remembered, in the order they were taken.
pub(super) fn decisions(status: &Status) -> impl Iterator<Item = &Arc<Decision>> {
    let mut all: Vec<_> = status
        .instances
        .iter()
        .flat_map(|instance| instance.decisions.iter())
        .collect();
    all.sort_by_key(|decision| decision.number);
    all.into_iter()
}

/// What the history keeps of an instance.
fn sample(instance: &InstanceStatus, rate: f32) -> Sample {
    let services = || {
        let services = instance.services.iter();
        services.filter(|service| service.role == "sessions")
    };
    let few = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
    Sample {
        sessions: instance.websockets + instance.streams,
        requests_per_second: rate,
        ready: few(services().map(|service| service.ready).sum()),
        desired: few(services()
            .map(|service| service.desired.unwrap_or(service.ready))
            .sum()),
    }
}

/// One server-sent event (HTML §9.2.5). JSON has no line breaks, so its data is one line.
pub(super) fn record(event: &str, id: Option<u64>, data: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(data.len() + 48);
    if let Some(id) = id {
        text.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(event.as_bytes());
    text.extend_from_slice(b"\ndata: ");
    text.extend_from_slice(data);
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// What is locked here is good after every operation, whoever panicked in between.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A scope's decisions for a list.
pub(super) fn decisions_in<'s>(status: &'s Status, scope: &Scope) -> Vec<&'s Arc<Decision>> {
    decisions(status)
        .filter(|decision| scope.includes(&decision.instance))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "the clock of the history")]
fn clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests;

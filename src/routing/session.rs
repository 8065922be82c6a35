//! Counting sessions: once each, at every place that counts, on every way out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::balance::Pool;
use super::counters::{Counters, ServiceCounters};
use super::endpoint::Endpoint;
use super::load::{Load, SessionKind};
use super::table::InstanceTable;
use crate::names::{InstanceName, ReplicaId, ServiceName};
use crate::plan::{Ending, Signal};

/// The places that count a session of one replica.
#[derive(Clone, Debug)]
pub struct SessionCounter {
    pub instance: InstanceName,
    pub service: ServiceName,
    pub replica: ReplicaId,
    pub replica_name: Arc<str>,
    counters: Arc<Counters>,
    totals: Arc<ServiceCounters>,
    load: Arc<Load>,
}

impl SessionCounter {
    pub fn new(instance: &InstanceTable, pool: &Pool, endpoint: &Endpoint) -> Self {
        Self {
            instance: instance.name().clone(),
            service: pool.service().clone(),
            replica: endpoint.id.clone(),
            replica_name: Arc::clone(&endpoint.name),
            counters: Arc::clone(instance.counters()),
            totals: Arc::clone(&pool.counters),
            load: Arc::clone(endpoint.load()),
        }
    }

    /// The replica has said that it is too much.
    pub fn pushed_back(&self, signal: Signal) {
        self.totals.pushed_back(signal);
    }

    /// The replica has begun to answer a request, so long after it had all of it.
    pub fn answered_request(&self, took: Duration) {
        self.totals.answered_request(took);
    }

    /// Counts one more, until the value is dropped.
    pub fn open(self: Arc<Self>, kind: SessionKind) -> SessionCount {
        self.counters.count(kind).fetch_add(1, Ordering::AcqRel);
        self.load.count(kind).fetch_add(1, Ordering::AcqRel);
        self.totals.opened();
        SessionCount {
            at: self,
            kind,
            // Whatever goes away without a word was interrupted.
            ending: Ending::Error,
        }
    }
}

/// One open session.
#[must_use]
#[derive(Debug)]
pub struct SessionCount {
    at: Arc<SessionCounter>,
    kind: SessionKind,
    ending: Ending,
}

impl SessionCount {
    /// Says how it ends. It is counted until it is dropped.
    pub fn ends(&mut self, ending: Ending) {
        self.ending = ending;
    }

    pub fn ending(&self) -> Ending {
        self.ending
    }

    pub fn kind(&self) -> SessionKind {
        self.kind
    }

    pub fn at(&self) -> &Arc<SessionCounter> {
        &self.at
    }
}

impl Drop for SessionCount {
    fn drop(&mut self) {
        let at = &self.at;
        at.load.count(self.kind).fetch_sub(1, Ordering::AcqRel);
        at.counters.count(self.kind).fetch_sub(1, Ordering::AcqRel);
        at.totals.closed(self.ending);
        at.totals.admission.seats.tell(1);
    }
}

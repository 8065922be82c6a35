//! What is counted of connections, whoever they are for.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::{EdgeReport, Handshake, Level};

/// What of the edge does not belong to any instance.
#[derive(Debug, Default)]
pub struct EdgeCounters {
    connections: AtomicU64,
    accepted: AtomicU64,
    handshakes: Mutex<BTreeMap<Handshake, u64>>,
    handshakes_waiting: AtomicU64,
    proxy_headers_refused: AtomicU64,
    unrouted: AtomicU64,
}

impl EdgeCounters {
    /// Client connections that are open.
    pub fn open(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// A request that no instance answers for.
    pub fn unrouted(&self) {
        self.unrouted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handshake(&self, kind: Handshake) {
        let mut counts = self
            .handshakes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *counts.entry(kind).or_default() += 1;
    }

    /// Somebody waits for a place until the guard is dropped.
    pub(super) fn waits_for_handshake(&self) -> Waiting<'_> {
        self.handshakes_waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// A trusted proxy did not say whose connection it passes on. Gives how many that makes.
    pub(super) fn proxy_header_refused(&self) -> u64 {
        self.proxy_headers_refused.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn report(&self, level: Level, log_lines_dropped: u64) -> EdgeReport {
        EdgeReport {
            connections: self.connections.load(Ordering::Relaxed),
            accepted_total: self.accepted.load(Ordering::Relaxed),
            handshakes: self
                .handshakes
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone(),
            handshakes_waiting: self.handshakes_waiting.load(Ordering::Relaxed),
            proxy_headers_refused_total: self.proxy_headers_refused.load(Ordering::Relaxed),
            unrouted_total: self.unrouted.load(Ordering::Relaxed),
            level,
            log_lines_dropped,
        }
    }
}

/// Counts an open connection on every way out.
pub(super) struct OpenConnection<'a>(&'a EdgeCounters);

impl<'a> OpenConnection<'a> {
    pub(super) fn count(counters: &'a EdgeCounters) -> Self {
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        counters.connections.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody whose handshake has to wait, counted on every way out.
pub(super) struct Waiting<'a>(&'a EdgeCounters);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.handshakes_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

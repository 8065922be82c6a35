//! Live counts and totals of one instance. Carried from table to table by the instance's name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::admission::Admission;
use super::held::Holding;
use super::line::Line;
use super::load::SessionKind;
use crate::names::ServiceName;
use crate::plan::{DURATION_BUCKETS, Ending, InstanceReport, RequestTotals, SessionTotals, Signal};

#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU32,
    accepted_connections: AtomicU64,
    in_flight: AtomicU32,
    visitors: AtomicU32,
    visits: AtomicU64,
    /// Those who wait for no service in particular.
    holding: Arc<Holding>,
    /// Requests that wait for others to end.
    over_limit: Arc<Line>,
    /// Requests that wait for a pause to end.
    paused: Arc<Line>,
    websockets: AtomicU32,
    streams: AtomicU32,
    by_class: [AtomicU64; 5],
    durations: [AtomicU64; DURATION_BUCKETS.len() + 1],
    duration_micros: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// Totals of one service, and who waits for it. Carried like [`Counters`].
#[derive(Debug, Default)]
pub(super) struct ServiceCounters {
    /// Everybody who waits for it.
    pub(super) holding: Arc<Holding>,
    /// Who waits for any replica at all.
    pub(super) gate: Arc<Line>,
    /// Who is under way, and who waits for one that has room.
    pub(super) admission: Arc<Admission>,
    refused: AtomicU64,
    looped: AtomicU64,
    overloaded: AtomicU64,
    pushed_back: [AtomicU64; Signal::ALL.len()],
    handshakes: [AtomicU64; DURATION_BUCKETS.len() + 1],
    first_bytes: [AtomicU64; DURATION_BUCKETS.len() + 1],
    opened: AtomicU64,
    closed: [AtomicU64; Ending::ALL.len()],
}

impl Counters {
    /// Those of a new instance.
    pub(super) fn of(holding: Holding) -> Self {
        Self {
            holding: Arc::new(holding),
            ..Self::default()
        }
    }

    /// Where those are counted who wait for no service in particular.
    pub fn holding(&self) -> &Arc<Holding> {
        &self.holding
    }

    /// Counts a client connection, unless `most` are open.
    pub fn connect(self: &Arc<Self>, most: u32) -> Option<Counted> {
        let counted = Counted::below(self, |counters| &counters.connections, most)?;
        self.accepted_connections.fetch_add(1, Ordering::Relaxed);
        Some(counted)
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Open connections.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a request in flight, unless `most` are.
    pub fn request(self: &Arc<Self>, most: u32) -> Option<Counted> {
        Counted::below(self, |counters| &counters.in_flight, most)
    }

    /// Counts a request that says that somebody is there.
    pub fn visit(self: &Arc<Self>) -> Option<Counted> {
        let counted = Counted::below(self, |counters| &counters.visitors, u32::MAX)?;
        self.visits.fetch_add(1, Ordering::Relaxed);
        Some(counted)
    }

    /// Where requests wait while the instance is paused.
    pub fn paused(&self) -> &Arc<Line> {
        &self.paused
    }

    /// Where requests wait that found too many in flight.
    pub fn over_limit(&self) -> &Arc<Line> {
        &self.over_limit
    }

    pub fn sessions(&self) -> u32 {
        self.websockets.load(Ordering::Relaxed) + self.streams.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, kind: SessionKind) -> &AtomicU32 {
        match kind {
            SessionKind::Stream => &self.streams,
            SessionKind::Websocket => &self.websockets,
        }
    }

    /// An answer has been given. `took` is left out for sessions, whose length says nothing about
    /// speed.
    pub fn answered(&self, status: StatusCode, took: Option<Duration>) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.by_class.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let Some(took) = took else {
            return;
        };
        count_duration(&self.durations, took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.duration_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn bytes(&self, from_client: u64, to_client: u64) {
        self.bytes_in.fetch_add(from_client, Ordering::Relaxed);
        self.bytes_out.fetch_add(to_client, Ordering::Relaxed);
    }

    /// The counts as they are now, without those of services and endpoints.
    pub fn snapshot(&self) -> InstanceReport {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        InstanceReport {
            connections: self.connections.load(Ordering::Relaxed),
            accepted_connections: load(&self.accepted_connections),
            websockets: self.websockets.load(Ordering::Relaxed),
            streams: self.streams.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            held: self.holding.count(),
            visitors: self.visitors.load(Ordering::Relaxed),
            visits: load(&self.visits),
            requests: RequestTotals {
                by_class: self.by_class.each_ref().map(load),
                durations: self.durations.each_ref().map(load),
                duration_sum: Duration::from_micros(load(&self.duration_micros)),
            },
            bytes_in: load(&self.bytes_in),
            bytes_out: load(&self.bytes_out),
            services: BTreeMap::<ServiceName, SessionTotals>::new(),
            endpoints: BTreeMap::new(),
            drained: BTreeMap::new(),
        }
    }
}

fn count_duration(buckets: &[AtomicU64; DURATION_BUCKETS.len() + 1], took: Duration) {
    let seconds = took.as_secs_f64();
    let bucket = DURATION_BUCKETS
        .iter()
        .position(|bound| seconds <= *bound)
        .unwrap_or(DURATION_BUCKETS.len());
    if let Some(count) = buckets.get(bucket) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl ServiceCounters {
    /// Those of a new service of this instance.
    pub(super) fn of(counters: &Counters) -> Self {
        Self {
            holding: Arc::new(counters.holding.beside()),
            ..Self::default()
        }
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn looped(&self) {
        self.looped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn overloaded(&self) {
        self.overloaded.fetch_add(1, Ordering::Relaxed);
    }

    /// One of the words by which a stack says that it is too much.
    pub(super) fn pushed_back(&self, signal: Signal) {
        if matches!(signal, Signal::HandshakeUnanswered | Signal::TryAgainLater) {
            // The others have been counted by their status.
            self.overloaded();
        }
        self.admission.pushed_back();
        let index = Signal::ALL.iter().position(|known| *known == signal);
        if let Some(count) = index.and_then(|index| self.pushed_back.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn answered_handshake(&self, took: Duration) {
        self.admission.answered_handshake(took);
        count_duration(&self.handshakes, took);
    }

    pub(super) fn answered_request(&self, took: Duration) {
        count_duration(&self.first_bytes, took);
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, ending: Ending) {
        let index = Ending::ALL.iter().position(|known| *known == ending);
        if let Some(count) = index.and_then(|index| self.closed.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts as they are now. `hands`: so many answer.
    pub(super) fn report(&self, hands: u32, now: Instant) -> SessionTotals {
        let admission = &self.admission;
        SessionTotals {
            held: self.holding.count(),
            longest_wait: self.gate.longest(now).max(admission.longest_wait(now)),
            window: admission.most(hands),
            pushed_back: self
                .pushed_back
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            refused: self.refused.load(Ordering::Relaxed),
            looped: self.looped.load(Ordering::Relaxed),
            overloaded: self.overloaded.load(Ordering::Relaxed),
            handshakes: self
                .handshakes
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            first_bytes: self
                .first_bytes
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            opened: self.opened.load(Ordering::Relaxed),
            closed: self
                .closed
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
        }
    }
}

/// One more of something, until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Counted {
    counters: Arc<Counters>,
    which: fn(&Counters) -> &AtomicU32,
}

impl Counted {
    fn below(
        counters: &Arc<Counters>,
        which: fn(&Counters) -> &AtomicU32,
        most: u32,
    ) -> Option<Self> {
        let count = which(counters);
        if count.fetch_add(1, Ordering::Relaxed) >= most {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self {
            counters: Arc::clone(counters),
            which,
        })
    }

    /// Whose it is.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.which)(&self.counters).fetch_sub(1, Ordering::Relaxed);
        // Whatever it was, a request may be waiting for it to end.
        self.counters.over_limit.tell(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_exact_and_given_back() {
        let counters = Arc::new(Counters::default());
        let first = counters.connect(2).expect("room");
        let second = counters.connect(2).expect("room");
        assert!(counters.connect(2).is_none());
        assert_eq!(counters.snapshot().connections, 2);
        drop((first, second));
        assert_eq!(counters.snapshot().connections, 0);
    }

    #[test]
    fn answers_fall_into_their_class_and_bucket() {
        let counters = Counters::default();
        counters.answered(StatusCode::OK, Some(Duration::from_millis(7)));
        counters.answered(StatusCode::BAD_GATEWAY, Some(Duration::from_secs(60)));
        counters.answered(StatusCode::SWITCHING_PROTOCOLS, None);
        let requests = counters.snapshot().requests;
        assert_eq!(requests.by_class, [1, 1, 0, 0, 1]);
        assert_eq!(requests.durations.iter().sum::<u64>(), 2);
        assert_eq!((requests.durations[1], requests.durations[11]), (1, 1));
    }
}

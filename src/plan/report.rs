//! What the data plane answers: counts, and what is being served.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::drain::DrainProof;
use crate::names::{Domain, Generation, InstanceName, ReplicaId, ServiceName};
use crate::shared::Map;

/// What is being served.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The newest plan in force: what it drains takes nothing new any more.
    pub applied: Generation,
    pub edge: EdgeReport,
    /// The same value as in the report before: not counted anew.
    pub instances: Map<InstanceName, InstanceReport>,
}

/// Counts that belong to no instance.
#[derive(Clone, Debug, Default)]
pub struct EdgeReport {
    /// Open client connections.
    pub connections: u64,
    pub accepted_total: u64,
    pub handshakes: BTreeMap<Handshake, u64>,
    /// Handshakes that wait until a processor has time for them.
    pub handshakes_waiting: u64,
    /// Connections of trusted proxies that did not begin with a PROXY header as they must.
    pub proxy_headers_refused_total: u64,
    /// Requests for names nobody declared, and what could not be parsed.
    pub unrouted_total: u64,
    pub level: Level,
    /// Lines of the access log that were dropped because the disk was too slow.
    pub log_lines_dropped: u64,
}

/// How near usher is to what it can hold, and what it gives up.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    #[default]
    Calm,
    /// Connections are not kept for another request.
    Tight,
    /// Instances with more than their share get no more requests.
    Shedding,
    /// Nobody is accepted.
    Full,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Handshake {
    /// An authority asked, and was answered.
    Challenge,
    Failed,
    Full,
    Resumed,
    /// A name nobody declared or that has no certificate.
    UnknownName,
}

/// Live counts and totals of one instance.
#[derive(Clone, Debug, Default)]
pub struct InstanceReport {
    pub connections: u32,
    /// Connections counted since the start.
    pub accepted_connections: u64,
    pub websockets: u32,
    pub streams: u32,
    pub in_flight: u32,
    /// Requests that wait for a place.
    pub held: u32,
    /// Requests in flight that say that somebody is there: none of a robot or a health check.
    pub visitors: u32,
    /// Such requests since the start.
    pub visits: u64,
    pub requests: RequestTotals,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub services: BTreeMap<ServiceName, SessionTotals>,
    pub endpoints: BTreeMap<ReplicaId, EndpointReport>,
    /// Replicas that may be stopped, as long as the plan in force keeps them closed.
    pub drained: BTreeMap<ReplicaId, DrainProof>,
}

/// Requests answered since the start.
#[derive(Clone, Debug, Default)]
pub struct RequestTotals {
    /// By the first digit of the status code, 1xx to 5xx.
    pub by_class: [u64; 5],
    /// Durations: how many took at most `DURATION_BUCKETS[i]` seconds and longer than the bucket
    /// before; the last counts the rest. Sessions are left out.
    pub durations: [u64; DURATION_BUCKETS.len() + 1],
    pub duration_sum: Duration,
}

impl RequestTotals {
    /// All requests answered.
    pub fn total(&self) -> u64 {
        self.by_class.iter().sum()
    }
}

/// Upper bounds in seconds of the request duration histogram.
pub const DURATION_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Sessions of one service since the start.
#[derive(Clone, Debug, Default)]
pub struct SessionTotals {
    /// Requests and handshakes that wait for a replica now.
    pub held: u32,
    /// How long the one has waited who has waited longest.
    pub longest_wait: Duration,
    /// Handshakes that may be under way at a time.
    pub window: u32,
    /// Connections that replicas refused or reset.
    pub refused: u64,
    /// Requests that came back to usher, so that what listens there is usher.
    pub looped: u64,
    /// Answers of replicas that say it is too much: 502, 503, or none in time.
    pub overloaded: u64,
    /// Those of them that are words of back-pressure, in the order of [`Signal::ALL`].
    pub pushed_back: [u64; Signal::ALL.len()],
    /// How long replicas took to answer handshakes, in the buckets of [`DURATION_BUCKETS`].
    pub handshakes: [u64; DURATION_BUCKETS.len() + 1],
    /// How long they took from the end of a request to the first byte of its answer, likewise.
    pub first_bytes: [u64; DURATION_BUCKETS.len() + 1],
    pub opened: u64,
    pub closed: [u64; Ending::ALL.len()],
}

/// The words by which daphne 1.x says that its workers are too few, and nothing else.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Signal {
    /// A handshake was refused with 503: nobody takes another connection off the queue.
    HandshakeRefused,
    /// A handshake was rejected after all the time a worker had to accept it.
    HandshakeUnanswered,
    /// 503, `Request queue full.`
    QueueFull,
    /// A websocket was closed with 1013: its messages are not taken off the queue.
    TryAgainLater,
    /// 503, `Worker server failed to respond within time limit.`
    WorkerSilent,
}

impl Signal {
    pub const ALL: [Self; 5] = [
        Self::HandshakeRefused,
        Self::HandshakeUnanswered,
        Self::QueueFull,
        Self::TryAgainLater,
        Self::WorkerSilent,
    ];

    /// The word of the metrics, the access log and the failures.
    pub fn word(self) -> &'static str {
        match self {
            Self::HandshakeRefused => "handshake-refused",
            Self::HandshakeUnanswered => "handshake-unanswered",
            Self::QueueFull => "request-queue-full",
            Self::TryAgainLater => "try-again-later",
            Self::WorkerSilent => "worker-silent",
        }
    }
}

/// Who or what ended a session.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ending {
    Client,
    Drain,
    Error,
    Idle,
    Limit,
    Stop,
    Upstream,
}

impl Ending {
    pub const ALL: [Self; 7] = [
        Self::Client,
        Self::Drain,
        Self::Error,
        Self::Idle,
        Self::Limit,
        Self::Stop,
        Self::Upstream,
    ];

    /// The word of the metrics and the access log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Drain => "drain",
            Self::Error => "error",
            Self::Idle => "idle",
            Self::Limit => "limit",
            Self::Stop => "stop",
            Self::Upstream => "upstream",
        }
    }
}

/// One endpoint as the data plane sees it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EndpointReport {
    /// It takes nothing new: what is counted here can only become less.
    pub closed: bool,
    /// Everything inside: requests, streams, websockets and handshakes not yet answered.
    pub inside: u32,
    pub websockets: u32,
    pub streams: u32,
    /// Handshakes it has not answered yet.
    pub pending: u32,
}

impl EndpointReport {
    /// Requests that are no sessions.
    pub fn requests(self) -> u32 {
        self.inside.saturating_sub(self.websockets + self.streams)
    }
}

/// What the certificate room says about those of each instance; the very same value as before while
/// nothing of them has changed.
pub type Certificates = Map<InstanceName, [CertificateReport]>;

/// What the certificate room says about one wanted certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateReport {
    pub instance: InstanceName,
    pub names: Vec<Domain>,
    pub state: CertificateState,
    pub source: CertificateSource,
    /// With `not_after` the whole lifetime, of the pair that ends first.
    pub not_before: Option<SystemTime>,
    pub not_after: Option<SystemTime>,
    /// When an authority will be asked next, for a renewal or once more after a failure.
    pub next_attempt: Option<SystemTime>,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Why the last attempt failed, or why there is none.
    pub last_error: Option<String>,
    /// What speaks against the next attempt and does not forbid it.
    pub warning: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateState {
    /// What there is has ended; there is nothing better.
    Expired,
    /// None yet, and none is coming.
    Missing,
    /// None yet; an order is due or under way.
    Pending,
    Valid,
}

impl CertificateState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Missing => "missing",
            Self::Pending => "pending",
            Self::Valid => "valid",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateSource {
    Acme,
    /// Put there by somebody else; never replaced by an order while it is valid.
    File,
    /// Of this machine's own authority, which only those trust who were told to.
    Local,
}

impl CertificateSource {
    pub fn word(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::File => "file",
            Self::Local => "local",
        }
    }
}

/// Sessions one by one, for whoever asks; a [`Report`] is made every second and only counts them.
pub trait SessionList: std::fmt::Debug + Send + Sync {
    /// Those that are open, the oldest first, and the last that have ended, the newest first.
    fn of(&self, instance: &str) -> Vec<SessionFacts>;
}

/// One session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionFacts {
    pub service: ServiceName,
    /// The replica as people call it.
    pub replica: Arc<str>,
    /// `websocket` or `stream`.
    pub kind: &'static str,
    /// As far as the log may show it.
    pub client: Option<IpAddr>,
    pub opened: SystemTime,
    /// Bytes from the client, and to it.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// When and why it ended; `None` while it is open.
    pub ended: Option<(SystemTime, Ending)>,
}

/// What failed lately, one by one, for whoever asks.
pub trait FailureList: std::fmt::Debug + Send + Sync {
    fn of(&self, instance: &str) -> Failures;

    /// Forgets instances that are not there any more.
    fn keep_only(&self, there: &dyn Fn(&str) -> bool);
}

/// The last failures of one instance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Failures {
    /// The newest first.
    pub kept: Vec<FailureFacts>,
    /// Failures that were counted and not kept, because too many came at once.
    pub left_out: u64,
}

/// One failure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FailureFacts {
    pub at: SystemTime,
    pub method: Box<str>,
    /// Without the query.
    pub path: Box<str>,
    /// The replica as people call it; `None` where none had a part in it.
    pub replica: Option<Box<str>>,
    pub status: u16,
    /// The word of the access log.
    pub cause: &'static str,
}

//! What the status says, in the form in which everybody is shown it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::decisions::Decisions;
use super::finding::Level;
use crate::autoscaler::Direction;
use crate::moment::Moment;
use crate::plan::InstanceReport;
use crate::shared::List;

#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub version: &'static str,
    /// This usher among others.
    pub edge: String,
    pub started: Moment,
    pub generation: u64,
    pub status: Level,
    pub reasons: Vec<Reason>,
    pub totals: Totals,
    pub engine: EngineStatus,
    /// This machine first, then the others of its Swarm.
    pub nodes: Vec<NodeStatus>,
    /// By name. Each is the same value as before while nothing has happened to it.
    pub instances: List<InstanceStatus>,
    /// Whether the files, as they are now, are in force. Part of the metrics.
    #[serde(skip)]
    pub last_reload_succeeded: bool,
    /// Whether a listing has been applied, so that routes are what they should be.
    #[serde(skip)]
    pub synced: bool,
    /// What replicas may still take of the host: bytes, and thousandths of a processor. Part of the
    /// metrics.
    #[serde(skip)]
    pub room: (Option<u64>, Option<u64>),
    /// How many decisions have been taken since the start: the number of the newest.
    #[serde(skip)]
    pub decided: u64,
}

impl Totals {
    pub(in super::super) fn add(&mut self, report: &InstanceReport) {
        self.websockets += u64::from(report.websockets);
        self.streams += u64::from(report.streams);
        self.requests_in_flight += u64::from(report.in_flight);
        self.held += u64::from(report.held);
        self.requests_total += report.requests.total();
    }

    /// What [`Self::add`] added.
    pub(in super::super) fn subtract(&mut self, report: &InstanceReport) {
        self.websockets -= u64::from(report.websockets);
        self.streams -= u64::from(report.streams);
        self.requests_in_flight -= u64::from(report.in_flight);
        self.held -= u64::from(report.held);
        self.requests_total -= report.requests.total();
    }
}

impl Status {
    /// How everything is, in one line for a person.
    pub fn line(&self) -> String {
        let count = self.instances.len();
        match self.reasons.first() {
            Some(reason) => format!("{count} instances, {}: {}", self.status.word(), reason.text),
            None => format!("{count} instances, {}", self.status.word()),
        }
    }
}

/// Why something is not healthy.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Reason {
    pub part: String,
    pub status: Level,
    pub text: String,
    pub since: Moment,
    /// What follows from it.
    pub also: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    pub connections: u64,
    pub websockets: u64,
    pub streams: u64,
    pub requests_in_flight: u64,
    pub held: u64,
    pub requests_total: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct EngineStatus {
    pub kind: &'static str,
    pub connected: bool,
    pub last_sync: Option<Moment>,
    /// How often a Swarm ended another task than the one that was drained. Part of the metrics.
    #[serde(skip)]
    pub wrong_tasks: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    pub name: String,
    pub load_15m_per_core: Option<f64>,
    pub memory_available: Option<f64>,
    pub disk_available: Option<f64>,
    pub status: Level,
    /// What its Swarm says of it, where it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<MemberStatus>,
}

/// A machine of a Swarm, in Docker's words.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MemberStatus {
    /// `manager` or `worker`.
    pub role: &'static str,
    /// Whether it is the manager that decides.
    pub leader: bool,
    /// `ready`, `down`, `disconnected`, `unknown`; of a manager that the others do not reach
    /// `unreachable`.
    pub state: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct InstanceStatus {
    pub name: String,
    pub stack: String,
    pub domains: Vec<String>,
    pub standby: bool,
    pub paused: bool,
    /// Nobody has come for `idle-to-zero`, and nothing runs until somebody does.
    pub asleep: bool,
    /// Outside its rental.
    pub rented_out: bool,
    pub status: Level,
    pub reasons: Vec<Reason>,
    pub parts: Vec<Part>,
    pub connections: u32,
    pub websockets: u32,
    pub streams: u32,
    pub requests_in_flight: u32,
    pub held: u32,
    pub requests_total: u64,
    pub limits: LimitsStatus,
    pub services: Vec<ServiceStatus>,
    pub certificates: Vec<CertificateStatus>,
    pub next_event: Option<EventStatus>,
    /// `null` where nothing is scaled.
    pub savings: Option<Savings>,
    /// The last decisions, the oldest first; in the event stream and on the page.
    #[serde(skip)]
    pub decisions: Decisions,
}

impl InstanceStatus {
    /// Why it is not expected to serve, in a word; such an instance does not count in the whole.
    pub fn rests(&self) -> Option<&'static str> {
        if self.paused {
            Some("paused")
        } else if self.standby {
            Some("standby")
        } else if self.rented_out {
            Some("rented-out")
        } else if self.asleep {
            Some("scaled to zero")
        } else {
            None
        }
    }
}

/// The event that runs, or the next that will.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct EventStatus {
    pub name: String,
    pub start: Moment,
    pub attendees: u32,
    /// Whether its replicas find room, beside everything else announced for the time.
    pub fits: bool,
}

/// Replica-hours of this month, since usher has watched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Savings {
    pub month: String,
    pub replica_hours: f64,
    /// Of the most replicas there were at once, all the time.
    pub always_on_hours: f64,
}

/// One thing an instance consists of.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Part {
    pub name: String,
    pub status: Level,
    pub since: Moment,
    pub depends_on: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LimitsStatus {
    pub sessions: u32,
    pub connections: u32,
    pub requests_in_flight: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    pub name: String,
    pub role: &'static str,
    /// What demand asks for; `null` where usher does not scale.
    pub wanted: Option<u32>,
    pub desired: Option<u32>,
    pub limited_by: Option<String>,
    pub ready: u32,
    pub min: Option<u32>,
    pub max: Option<u32>,
    pub mode: &'static str,
    pub override_until: Option<Moment>,
    pub last_decision: Option<DecisionStatus>,
    pub replicas: Vec<ReplicaStatus>,
    /// Decisions that changed something, by direction. Part of the metrics.
    #[serde(skip)]
    pub changes: BTreeMap<Direction, u64>,
    /// What one more is taken to need of the host, where it is scaled: bytes, and thousandths of a
    /// processor. Part of the metrics.
    #[serde(skip)]
    pub cost: Option<(u64, u64)>,
    /// Replicas that were killed at their work; `None` of a service that follows nobody. Part of the
    /// metrics.
    #[serde(skip)]
    pub killed_busy: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DecisionStatus {
    pub at: Moment,
    pub from: u32,
    pub to: u32,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct ReplicaStatus {
    pub id: String,
    pub name: String,
    pub node: String,
    pub image: String,
    pub address: Option<String>,
    pub state: &'static str,
    pub websockets: u32,
    pub streams: u32,
    pub requests_in_flight: u32,
    pub since: Moment,
    pub drain_deadline: Option<Moment>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CertificateStatus {
    pub names: Vec<String>,
    pub state: &'static str,
    pub source: &'static str,
    pub not_after: Option<Moment>,
    pub next_renewal: Option<Moment>,
    pub last_error: Option<String>,
    /// Attempts in a row that failed. Part of the metrics.
    #[serde(skip)]
    pub failures: u32,
}

//! The read model: how everything is, with the reason and since when.
//!
//! One value, built once a second and after every event, that the statistics, the status page, the
//! command line and the health endpoints all show.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

mod certificates;
mod decisions;
mod judge;
mod memory;
mod shown;
mod swarm;
mod together;
mod whole;

pub use self::decisions::{Decision, Decisions};
pub(super) use self::memory::Memory;
pub(super) use self::shown::Shown;

use super::event::Now;
use super::replica::{Replica, State};
use super::service::ServiceState;
use super::step::Controller;
use super::tenant::Tenant;
use crate::autoscaler::{self, Direction, next_event};
use crate::config::model::{Role, Service};
use crate::moment::Moment;
use crate::names::ServiceName;
use crate::plan::{CertificateReport, InstanceReport};
use crate::shared::List;

/// How good something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Healthy,
    /// Works, wants a look.
    Warning,
    /// Does not work, wants a hand.
    Critical,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

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
    pub(super) fn add(&mut self, report: &InstanceReport) {
        self.websockets += u64::from(report.websockets);
        self.streams += u64::from(report.streams);
        self.requests_in_flight += u64::from(report.in_flight);
        self.held += u64::from(report.held);
        self.requests_total += report.requests.total();
    }

    /// What [`Self::add`] added.
    pub(super) fn subtract(&mut self, report: &InstanceReport) {
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

impl Controller {
    /// How everything is at this moment.
    pub fn status(&mut self, now: Now) -> Status {
        let mut memory = std::mem::replace(&mut self.memory, Memory::new(now));
        let touched = self.stale.status.take();
        let mut shown = std::mem::take(&mut self.shown);
        for name in touched.gone(shown.all(), &self.tenants) {
            shown.remove(&name);
        }
        for (name, tenant) in touched.of(&self.tenants) {
            let status = self.instance_status(tenant, &mut memory, now);
            shown.insert(name, Arc::new(status));
        }
        let node = self.node_status();
        let (status, reasons) = self.judge_whole(&shown, &touched, &node, &mut memory, now);
        let totals = Totals {
            connections: self.report.edge.connections,
            requests_total: self.totals.requests_total + self.report.edge.unrouted_total,
            ..self.totals.clone()
        };
        let started = Moment(memory.started);
        if touched.is_everybody() {
            let there = |name: &str| self.tenants.contains_key(name);
            memory.decisions.keep_only(there);
            memory.forget_unseen(now);
        }
        let instances = shown.listed().clone();
        self.shown = shown;
        let decided = memory.decisions.taken();
        self.memory = memory;
        Status {
            version: env!("CARGO_PKG_VERSION"),
            edge: self.host.name.clone(),
            started,
            generation: self.plan.generation.0,
            status,
            reasons,
            totals,
            engine: EngineStatus {
                kind: self.engine.kind,
                connected: self.listing.error.is_none() && self.listing.inventory.is_some(),
                last_sync: self.listing.last_sync.map(Moment),
                wrong_tasks: self.wrong_tasks(),
            },
            nodes: self.nodes(node),
            instances,
            last_reload_succeeded: self.current.last_reload.is_ok(),
            synced: self.listing.inventory.is_some(),
            room: self.room.map_or((None, None), |room| room.known()),
            decided,
        }
    }

    fn instance_status(&self, tenant: &Tenant, memory: &mut Memory, now: Now) -> InstanceStatus {
        let instance = &tenant.instance;
        let report = self.report.instances.get(&instance.name);
        let report = report.cloned().unwrap_or_default();
        let certificates = self.certificates.get(&instance.name);
        let certificates = certificates.map_or(&[][..], |all| all);
        let judged = self.judge_instance(tenant, certificates, memory, now);
        for (service, state) in &tenant.services {
            if let Some(change) = &state.change {
                let service = service.as_str();
                memory
                    .decisions
                    .note(instance.name.as_str(), service, change);
            }
        }
        InstanceStatus {
            name: instance.name.to_string(),
            stack: instance.stack.to_string(),
            domains: instance
                .site
                .domains
                .iter()
                .map(ToString::to_string)
                .chain(instance.site.patterns.iter().map(ToString::to_string))
                .collect(),
            standby: instance.standby,
            paused: tenant.paused,
            asleep: tenant.is_asleep(),
            rented_out: !tenant.rented,
            status: judged.level,
            reasons: judged.reasons,
            parts: judged.parts,
            connections: report.connections,
            websockets: report.websockets,
            streams: report.streams,
            requests_in_flight: report.in_flight,
            held: report.held,
            requests_total: report.requests.total(),
            limits: LimitsStatus {
                sessions: instance.site.limits.sessions,
                connections: instance.site.limits.connections,
                requests_in_flight: instance.site.limits.requests_in_flight,
            },
            services: instance
                .services
                .iter()
                .filter_map(|(name, service)| {
                    let state = tenant.services.get(name)?;
                    Some(self.service_status(tenant, name, service, state))
                })
                .collect(),
            certificates: certificates.iter().map(certificate_status).collect(),
            next_event: next_event(&instance.events, now.wall).map(|event| EventStatus {
                name: event.name.to_string(),
                start: Moment(event.start),
                attendees: event.attendees,
                fits: self.event_fits(tenant, event).is_ok(),
            }),
            savings: (!tenant.ledger.month().is_empty()).then(|| Savings {
                month: tenant.ledger.month().to_owned(),
                replica_hours: hundredths(tenant.ledger.used()),
                always_on_hours: hundredths(tenant.ledger.always_on()),
            }),
            decisions: memory.decisions.of(instance.name.as_str()),
        }
    }

    fn service_status(
        &self,
        tenant: &Tenant,
        name: &ServiceName,
        service: &Service,
        state: &ServiceState,
    ) -> ServiceStatus {
        let bounds = service.bounds();
        let decision = state.decision.as_ref();
        ServiceStatus {
            name: name.to_string(),
            role: service.role.word(),
            wanted: decision.map(|decision| decision.wanted),
            desired: decision.map(|decision| decision.desired),
            limited_by: decision.and_then(autoscaler::Decision::limit),
            ready: state.count(|state| state == State::Ready),
            min: bounds.map(|bounds| bounds.min),
            max: bounds.map(|bounds| bounds.max),
            mode: bounds.map_or("off", |_| tenant.instance.scale.mode.word()),
            override_until: state
                .over
                .and_then(|over| over.until)
                .map(|until| Moment(until.wall)),
            last_decision: state.change.as_ref().map(|change| DecisionStatus {
                at: Moment(change.at),
                from: change.from,
                to: change.to,
                reason: change.reason.clone(),
            }),
            replicas: state
                .replicas
                .values()
                .map(|replica| self.replica_status(tenant, service, replica))
                .collect(),
            changes: state.changes.clone(),
            cost: bounds.map(|_| {
                let cost = state.cost(service);
                (cost.memory, cost.processor)
            }),
            killed_busy: matches!(service.role, Role::Ratio { .. }).then_some(state.killed_busy),
        }
    }

    fn replica_status(
        &self,
        tenant: &Tenant,
        service: &Service,
        replica: &Replica,
    ) -> ReplicaStatus {
        let deadline = match replica.state() {
            State::Draining { .. } => replica.since().checked_add(tenant.instance.drain.at_most),
            State::Cutting { closing, .. } => Some(closing.ends),
            _ => None,
        };
        ReplicaStatus {
            id: replica.unit.id.short().to_owned(),
            name: replica.unit.name.clone(),
            node: match &replica.unit.task {
                Some(task) => task.node.clone(),
                None => self.host.name.clone(),
            },
            image: replica.unit.image.clone(),
            address: super::reach::address(service, &replica.unit)
                .map(|address| address.to_string()),
            state: replica.state().word(),
            websockets: replica.load.websockets,
            streams: replica.load.streams,
            requests_in_flight: replica.load.requests(),
            since: Moment(replica.since()),
            drain_deadline: deadline.map(Moment),
        }
    }

    fn node_status(&self) -> NodeStatus {
        let thresholds = &self.current.config.thresholds;
        let levels = [
            judge::above(self.host.load_15m_per_core, thresholds.load_per_core),
            judge::below(self.host.memory_available, thresholds.memory_available),
            judge::below(self.host.disk_available, thresholds.disk_available),
        ];
        NodeStatus {
            name: self.host.name.clone(),
            load_15m_per_core: self.host.load_15m_per_core.map(hundredths),
            memory_available: self.host.memory_available.map(hundredths),
            disk_available: self.host.disk_available.map(hundredths),
            status: levels.into_iter().max().unwrap_or(Level::Healthy),
            swarm: None,
        }
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn certificate_status(report: &CertificateReport) -> CertificateStatus {
    CertificateStatus {
        names: report.names.iter().map(ToString::to_string).collect(),
        state: report.state.word(),
        source: report.source.word(),
        not_after: report.not_after.map(Moment),
        next_renewal: report.next_attempt.map(Moment),
        last_error: report.last_error.clone(),
        failures: report.failures,
    }
}

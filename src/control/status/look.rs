//! One look at everything.

use std::sync::Arc;

use super::super::controller::Controller;
use super::super::event::Now;
use super::super::outgoing::reach::address;
use super::super::replica::{Replica, State};
use super::super::service::ServiceState;
use super::super::tenant::Tenant;
use super::finding::{Level, above, below};
use super::memory::Memory;
use super::model::{
    CertificateStatus, DecisionStatus, EngineStatus, EventStatus, InstanceStatus, LimitsStatus,
    NodeStatus, ReplicaStatus, Savings, ServiceStatus, Status, Totals,
};
use crate::autoscaler::{self, next_event};
use crate::config::model::{Role, Service};
use crate::moment::Moment;
use crate::names::ServiceName;
use crate::plan::CertificateReport;

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
            address: address(service, &replica.unit).map(|address| address.to_string()),
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
            above(self.host.load_15m_per_core, thresholds.load_per_core),
            below(self.host.memory_available, thresholds.memory_available),
            below(self.host.disk_available, thresholds.disk_available),
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

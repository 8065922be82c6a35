//! A read model for tests: as many instances as they like.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::control::Status;
use crate::control::status::{
    CertificateStatus, EngineStatus, InstanceStatus, Level, LimitsStatus, Part, ReplicaStatus,
    ServiceStatus, Totals,
};
use crate::moment::Moment;
use crate::plan::{FailureList, Failures, SessionFacts, SessionList};

/// Friday, 20 November 2026.
pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_132_800)
}

pub(super) fn status(instances: Vec<InstanceStatus>) -> Arc<Status> {
    Arc::new(Status {
        version: "0.1.0",
        edge: "edge-1".to_owned(),
        started: Moment(now() - Duration::from_secs(3_600)),
        generation: 12,
        status: instances
            .iter()
            .map(|own| own.status)
            .max()
            .unwrap_or(Level::Healthy),
        reasons: Vec::new(),
        totals: Totals::default(),
        engine: EngineStatus {
            kind: "docker",
            connected: true,
            last_sync: None,
            wrong_tasks: 0,
        },
        nodes: Vec::new(),
        instances: instances.into_iter().map(Arc::new).collect(),
        last_reload_succeeded: true,
        synced: true,
        room: (None, None),
        decided: 0,
    })
}

/// With two web replicas and two workers.
pub(super) fn instance(name: &str) -> InstanceStatus {
    let part = |name: &str| Part {
        name: name.to_owned(),
        status: Level::Healthy,
        since: Moment(now()),
        depends_on: Vec::new(),
    };
    InstanceStatus {
        name: name.to_owned(),
        stack: name.to_owned(),
        domains: vec![format!("{name}.example.org")],
        standby: false,
        paused: false,
        asleep: false,
        rented_out: false,
        status: Level::Healthy,
        reasons: Vec::new(),
        parts: vec![part("service:web"), part("service:worker")],
        connections: 12,
        websockets: 10,
        streams: 1,
        requests_in_flight: 1,
        held: 0,
        requests_total: 120_331,
        limits: LimitsStatus {
            sessions: 16_384,
            connections: 16_384,
            requests_in_flight: 2_000,
        },
        services: vec![
            service(name, "web", "sessions"),
            service(name, "worker", "ratio"),
        ],
        certificates: vec![CertificateStatus {
            names: vec![format!("{name}.example.org")],
            state: "valid",
            source: "acme",
            not_after: Some(Moment(now() + Duration::from_secs(89 * 86_400))),
            next_renewal: None,
            failures: 0,
            last_error: None,
        }],
        next_event: None,
        savings: None,
        decisions: Arc::default(),
    }
}

fn service(instance: &str, name: &str, role: &'static str) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        role,
        wanted: Some(2),
        desired: Some(2),
        limited_by: None,
        ready: 2,
        min: Some(1),
        max: Some(16),
        mode: "auto",
        override_until: None,
        last_decision: None,
        replicas: (1..=2)
            .map(|index| replica(&format!("{instance}_{name}_{index}")))
            .collect(),
        changes: BTreeMap::new(),
        cost: None,
        killed_busy: (role == "ratio").then_some(0),
    }
}

pub(super) fn replica(name: &str) -> ReplicaStatus {
    ReplicaStatus {
        id: "3f2c9a".to_owned(),
        name: name.to_owned(),
        node: "edge-1".to_owned(),
        image: "openslides:2.3".to_owned(),
        address: Some("172.18.0.5:8000".to_owned()),
        state: "ready",
        websockets: 5,
        streams: 0,
        requests_in_flight: 1,
        since: Moment(now()),
        drain_deadline: None,
    }
}

/// Neither sessions nor failures.
#[derive(Debug)]
pub(super) struct Nothing;

impl SessionList for Nothing {
    fn of(&self, _instance: &str) -> Vec<SessionFacts> {
        Vec::new()
    }
}

impl FailureList for Nothing {
    fn of(&self, _instance: &str) -> Failures {
        Failures::default()
    }

    fn keep_only(&self, _there: &dyn Fn(&str) -> bool) {}
}

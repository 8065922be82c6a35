//! How much somebody may see: everything, or one instance as if there were no other.

use std::sync::Arc;

use crate::control::Status;
use crate::control::status::{InstanceStatus, Totals};
use crate::plan::{EdgeReport, Report};

/// How much may be seen.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Scope {
    All,
    Instance(Arc<str>),
}

impl Scope {
    pub(super) fn includes(&self, instance: &str) -> bool {
        match self {
            Self::All => true,
            Self::Instance(name) => **name == *instance,
        }
    }

    /// The status as it may be seen: of the others not even their number.
    pub(super) fn status(&self, status: &Arc<Status>) -> Arc<Status> {
        let Self::Instance(name) = self else {
            return Arc::clone(status);
        };
        let own = status.instances.iter().find(|known| known.name == **name);
        let part = format!("instance:{name}");
        let whole = Status {
            version: status.version,
            edge: status.edge.clone(),
            started: status.started,
            generation: status.generation,
            status: own.map_or(crate::control::status::Level::Healthy, |own| own.status),
            reasons: status
                .reasons
                .iter()
                .filter(|reason| reason.part == part)
                .cloned()
                .collect(),
            totals: own.map(|own| totals(own)).unwrap_or_default(),
            engine: status.engine.clone(),
            nodes: Vec::new(),
            instances: own.cloned().into_iter().collect(),
            last_reload_succeeded: status.last_reload_succeeded,
            synced: status.synced,
            room: (None, None),
            decided: status.decided,
        };
        Arc::new(whole)
    }

    /// The counts as they may be seen.
    pub(super) fn report(&self, report: &Arc<Report>) -> Arc<Report> {
        let Self::Instance(name) = self else {
            return Arc::clone(report);
        };
        let own = report.instances.get_key_value(&**name);
        let edge = own.map_or_else(EdgeReport::default, |(_, own)| EdgeReport {
            connections: own.connections.into(),
            accepted_total: own.accepted_connections,
            ..EdgeReport::default()
        });
        Arc::new(Report {
            applied: report.applied,
            edge,
            instances: own
                .map(|(name, own)| (name.clone(), Arc::clone(own)))
                .into_iter()
                .collect(),
        })
    }
}

fn totals(own: &InstanceStatus) -> Totals {
    Totals {
        connections: own.connections.into(),
        websockets: own.websockets.into(),
        streams: own.streams.into(),
        requests_in_flight: own.requests_in_flight.into(),
        held: own.held.into(),
        requests_total: own.requests_total,
    }
}

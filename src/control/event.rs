//! Everything that can wake the control plane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use crate::moment::Now;

use crate::config::watch::Current;
use crate::engine::Listing;
use crate::engine::act::Acted;
use crate::engine::meter::Metered;
use crate::host::Host;
use crate::names::{InstanceName, ServiceName};
use crate::plan::{Certificates, Report};
use crate::prober::Outcome;

#[derive(Debug)]
pub enum Event {
    Acted(Acted),
    /// Receivers of alerts that cannot be told, and why.
    Alerts(Arc<BTreeMap<String, String>>),
    Certificates(Arc<Certificates>),
    Command(Command),
    Config(Current),
    /// Certificates that could not be exported, and why.
    Exports(Arc<BTreeMap<InstanceName, String>>),
    /// By the names of instances: why some of their files cannot be served.
    Files(Arc<BTreeMap<String, String>>),
    Host(Host),
    Listing(Listing),
    /// What was seen of what runs on the host.
    Metered(Metered),
    Probe(Outcome),
    Report(Arc<Report>),
    /// Why the state cannot be kept on disk, while it cannot.
    State(Option<String>),
    /// A second has passed.
    Tick,
}

/// What an operator asks for, with the place for the answer.
#[derive(Debug)]
pub struct Command {
    pub wish: Wish,
    /// A sentence: what was done, or why not.
    pub reply: oneshot::Sender<Result<String, String>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wish {
    /// Overrides end, the autoscaler decides again.
    Auto {
        instance: InstanceName,
    },
    /// One replica leaves, for good.
    Drain {
        instance: InstanceName,
        service: ServiceName,
        /// Its name or the beginning of its id.
        replica: String,
    },
    /// Nothing new is let through, until `Resume`.
    Pause {
        instance: InstanceName,
    },
    Resume {
        instance: InstanceName,
    },
    /// What rests of a service that is not scaled.
    Start {
        instance: InstanceName,
        service: ServiceName,
    },
    /// A service that is not scaled, once nobody is inside.
    Stop {
        instance: InstanceName,
        service: ServiceName,
    },
    /// So many replicas, for so long or until `Auto`.
    Scale {
        instance: InstanceName,
        service: ServiceName,
        replicas: u32,
        span: Option<Duration>,
    },
}

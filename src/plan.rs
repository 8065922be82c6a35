//! The two values that cross between the planes.
//!
//! The control plane says with a [`Plan`] what should be served; the data plane answers with a
//! [`Report`] what is being served. Both are whole, plain values: losing one costs an interval,
//! never correctness, and a process boundary could run between the planes tomorrow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

mod edge;
mod report;
mod route;
mod site;
mod wanted;

pub use self::edge::{Door, EdgePolicy, ProxyProtocol};
pub use self::report::{
    CertificateReport, CertificateSource, CertificateState, Certificates, DURATION_BUCKETS,
    EdgeReport, Ending, EndpointReport, FailureFacts, FailureList, Failures, Handshake,
    InstanceReport, Level, Report, RequestTotals, SessionFacts, SessionList, SessionTotals, Signal,
};
pub use self::route::{
    BasicAuth, FileRoot, Listing, Route, Target, Upstream, UpstreamTls, Verified,
};
pub use self::site::{
    ClientAuthorities, ClientVerify, ExternalPorts, Https, Limits, NoRoute, NonGetRedirect, Site,
};
pub use self::wanted::{Declared, Export, KeyType, Wanted, WantedCertificate};

use crate::names::{Generation, InstanceName, ReplicaId, ServiceName};
use crate::shared::Map;

/// What should be served. Numbered and immutable; an unchanged instance keeps its `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub generation: Generation,
    pub edge: Arc<EdgePolicy>,
    pub instances: Map<InstanceName, InstancePlan>,
}

/// One tenant, as it is to be served now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstancePlan {
    pub name: InstanceName,
    /// As declared; shared between plans until the declaration changes.
    pub site: Arc<Site>,
    pub condition: Condition,
    /// In no order; the router sorts.
    pub routes: Vec<Route>,
    /// The services that a route may name.
    pub services: BTreeMap<ServiceName, ServicePlan>,
    /// Replicas that are to be stopped and are no endpoint: no route leads to them, or no address
    /// does any more. They are here so that the report can say when nobody is inside.
    pub leaving: Vec<LeavingPlan>,
}

/// One replica that leaves and that nobody can be sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeavingPlan {
    pub service: ServiceName,
    pub id: ReplicaId,
    pub usage: Usage,
}

/// Whether an instance is to be served at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    Serving,
    /// What is open goes on; what is new waits a little, and gets the page of a maintenance.
    Paused,
    /// Declared and known, starts nothing, answers with its own page.
    Standby,
    /// Outside its rental: as on standby, with a page that says so.
    Unrented,
}

/// The replicas of one service that the data plane may use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServicePlan {
    pub endpoints: Vec<EndpointPlan>,
    /// Replicas run, but on no network that usher reaches.
    pub stranded: bool,
    /// A replica is starting or has been ordered: it is worth waiting for.
    pub coming: bool,
    /// Nobody was there for long, and nothing runs until somebody comes.
    pub asleep: bool,
    /// Starts of it fail, and the next is some time away.
    pub failing: bool,
    pub placement: Placement,
    /// Replicas that are ready of the services that follow this one: they answer what comes in by
    /// it. `None` where nobody follows.
    pub workers: Option<u32>,
    /// Requests that may be with all of those at a time.
    pub requests: u32,
    /// Sessions that a replica may have more than others, where the engine ends it after them.
    pub ahead: u32,
}

/// Which replica takes a request or a session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Placement {
    /// The same for one address, as long as it is there and has room.
    Client,
    /// The one with the fewest.
    #[default]
    Least,
}

/// One replica as the data plane uses it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointPlan {
    pub id: ReplicaId,
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub usage: Usage,
    /// Where the engine chooses who leaves: those of the lowest number first.
    pub turn: Option<u32>,
}

/// How one endpoint is to be used. A level, not a command: repeating it changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Usage {
    /// Takes new requests.
    Serve,
    /// Nothing new; what is inside may end by itself.
    Drain,
    /// End the sessions inside but for so many, spread over this time.
    Cut { keep: u32, over: Duration },
}

//! The read model: how everything is, with the reason and since when.
//!
//! One value, built once a second and after every event, that the statistics, the status page, the
//! command line and the health endpoints all show.

mod certificates;
mod decisions;
mod finding;
mod judge;
mod look;
mod memory;
mod model;
mod shown;
mod swarm;
mod together;
mod whole;

pub use self::decisions::{Decision, Decisions};
pub use self::finding::Level;
pub(super) use self::memory::Memory;
pub use self::model::{
    CertificateStatus, DecisionStatus, EngineStatus, EventStatus, InstanceStatus, LimitsStatus,
    MemberStatus, NodeStatus, Part, Reason, ReplicaStatus, Savings, ServiceStatus, Status, Totals,
};
pub(super) use self::shown::Shown;

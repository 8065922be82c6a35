//! Who runs the replicas: Docker with Compose projects, child processes, or nobody.
//!
//! An engine lists what there is, hints that something may have changed, and carries out single
//! actions. It decides nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::inventory::{Inventory, Network};
use crate::names::{ReplicaId, ServiceName, StackName};

pub mod act;
mod clone;
mod compose;
mod containers;
mod docker;
mod here;
mod processes;
pub mod watch;

pub use self::compose::{Compose, NetworkPolicy};
pub use self::processes::Processes;

/// What the control plane asks of an engine. Every method is cancel safe: what was not finished
/// shows in the next listing.
#[async_trait]
pub trait Engine: fmt::Debug + Send + Sync {
    /// The word of the statistics: `docker`, `processes`, `none`.
    fn kind(&self) -> &'static str;

    /// Hints that something may have changed, from now on. Subscribe first, then list: what
    /// happens in between is in the listing or in the hints. The stream ends with the connection.
    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError>;

    /// Everything there is.
    async fn list(&self) -> Result<Inventory, EngineError>;

    /// Carries out one action and returns when the engine says it is done.
    async fn act(&self, action: &Action) -> Result<(), EngineError>;

    /// usher ends. What cannot outlive it is ended too; containers keep running.
    async fn close(&self) {}
}

/// One thing to do. At most one at a time for each service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Attach usher to a network so that its containers can be reached.
    Join {
        stack: StackName,
        network: Network,
    },
    Leave {
        network: Network,
    },
    /// One more replica.
    Start {
        stack: StackName,
        service: ServiceName,
        /// For the process engine; `{port}` stands for the replica's port.
        command: Vec<String>,
    },
    /// One replica less. It has been drained before.
    Stop {
        stack: StackName,
        service: ServiceName,
        replica: ReplicaId,
        /// From the stop signal to the kill.
        grace: Duration,
    },
}

/// As an operator would say it: `stop congress/web 0123456789ab`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join { stack, network } => {
                write!(f, "join the network {} for {stack}", network.name)
            }
            Self::Leave { network } => write!(f, "leave the network {}", network.name),
            Self::Start { stack, service, .. } => write!(f, "start {stack}/{service}"),
            Self::Stop {
                stack,
                service,
                replica,
                ..
            } => write!(f, "stop {stack}/{service} {replica}"),
        }
    }
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot reach the engine at {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the engine refused to {what}: {why}")]
    Refused { what: String, why: String },
    /// No number of attempts will help until the stack itself changes.
    #[error("cannot add a replica of {service}: {why}")]
    Unclonable { service: ServiceName, why: String },
    #[error("cannot start `{program}`")]
    Spawn {
        program: String,
        #[source]
        source: std::io::Error,
    },
}

impl EngineError {
    /// Whether the same action may succeed later, with nothing changed.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Unclonable { .. })
    }
}

/// The newest listing, and whether the engine still answers.
#[derive(Clone, Debug)]
pub struct Listing {
    /// `None` until the first one.
    pub inventory: Option<Arc<Inventory>>,
    pub last_sync: Option<SystemTime>,
    /// Why the engine does not answer now.
    pub error: Option<Arc<str>>,
}

/// Runs nothing: every service has fixed addresses.
#[derive(Debug)]
pub struct Nobody;

#[async_trait]
impl Engine for Nobody {
    fn kind(&self) -> &'static str {
        "none"
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        Ok(Box::pin(futures_util::stream::pending()))
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        Ok(Inventory {
            stacks: BTreeMap::new(),
            joined: Vec::new(),
        })
    }

    async fn act(&self, action: &Action) -> Result<(), EngineError> {
        Err(EngineError::Refused {
            what: format!("{action:?}"),
            why: "no engine is configured".to_owned(),
        })
    }
}

//! Who runs the replicas: Docker with Compose projects and Swarm stacks, child processes, or nobody.
//!
//! An engine lists what there is, hints that something may have changed, and carries out single
//! actions. It decides nothing.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::drain::DrainProof;
use crate::inventory::{Inventory, Network};
use crate::names::{ReplicaId, ServiceName, StackName};

pub mod act;
mod assembly;
mod attached;
#[cfg(test)]
mod chatty;
mod claims;
mod clone;
mod compose;
mod containers;
mod dial;
mod docker;
mod heard;
mod here;
mod kinship;
mod labels;
mod lease;
mod listed_volumes;
mod memory;
pub mod meter;
mod output;
mod pools;
mod processes;
mod session;
pub mod setup;
mod siblings;
mod superseded;
mod swarm;
mod usage;
mod volumes;
pub mod watch;
mod weigh;

#[cfg(test)]
pub(crate) use self::chatty::Chatty;
pub use self::compose::{Compose, NetworkPolicy};
pub use self::dial::DockerHost;
pub use self::output::{Line, Printer, Span, Stream};
pub use self::processes::Processes;

/// A replica that uses less of a core than this, for as long as [`LOOKED_AT_FOR`], is idle.
const IDLE_BELOW: f64 = 0.02;
pub(crate) const LOOKED_AT_FOR: Duration = Duration::from_secs(2);

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

    /// Those of a stack whose output can be had, in the order of their names.
    async fn printers(&self, stack: &StackName) -> Result<Vec<Printer>, EngineError>;

    /// What one of them printed, in the order of time.
    async fn output(
        &self,
        printer: &str,
        span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError>;

    /// What runs on its machine, of whatever stack or none, as far as it can be looked at.
    async fn running(&self) -> Result<Vec<Runner>, EngineError> {
        Ok(Vec::new())
    }

    /// What one of those has taken of the machine; `None`: it has gone. `handle`: of its [`Runner`].
    async fn usage(&self, handle: &str) -> Result<Option<meter::Usage>, EngineError> {
        let _ = handle;
        Ok(None)
    }

    /// usher ends. What cannot outlive it is ended too; containers keep running.
    async fn close(&self) {}
}

/// A container or process that can be looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Runner {
    /// As [`ReplicaId::unit`] calls it.
    pub unit: String,
    /// What its engine is asked for.
    pub handle: String,
}

/// One thing to do. At most one at a time for each service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Be the one that changes this stack, of all usher that know it.
    Claim {
        stack: StackName,
    },
    /// Attach usher to a network so that its containers can be reached.
    Join {
        stack: StackName,
        network: Network,
    },
    Leave {
        network: Network,
    },
    /// The end of a claim.
    Release {
        stack: StackName,
    },
    /// Clears away one of usher's own that never ran or does not run any more. One that runs after
    /// all is left alone.
    Remove {
        stack: StackName,
        service: ServiceName,
        replica: ReplicaId,
    },
    /// Starts what rests of a service and makes nothing new; where nothing can rest, one.
    Wake {
        stack: StackName,
        service: ServiceName,
        /// As of [`Action::Start`].
        command: Vec<String>,
    },
    /// One more replica.
    Start {
        stack: StackName,
        service: ServiceName,
        /// For the process engine; `{port}` stands for the replica's port.
        command: Vec<String>,
    },
    /// One replica less.
    Stop {
        stack: StackName,
        service: ServiceName,
        /// Names the replica, too.
        proof: DrainProof,
        /// Of those that the engine may end in its place.
        others: Vec<DrainProof>,
        when: StopWhen,
        /// From the stop signal to the kill.
        grace: Duration,
    },
    /// What one replica gets of the processors while there is too little for all, beside the others'.
    Weigh {
        stack: StackName,
        service: ServiceName,
        replica: ReplicaId,
        /// As the engine counts them: 1024 where nobody has said anything.
        shares: u64,
        /// Values that are usher's. One that has another is its maker's, and is left alone.
        own: Vec<u64>,
    },
}

impl Action {
    /// The stack it is about, unless it is about a network.
    pub fn stack(&self) -> Option<&StackName> {
        match self {
            Self::Claim { stack }
            | Self::Release { stack }
            | Self::Remove { stack, .. }
            | Self::Wake { stack, .. }
            | Self::Start { stack, .. }
            | Self::Stop { stack, .. }
            | Self::Weigh { stack, .. } => Some(stack),
            Self::Join { .. } | Self::Leave { .. } => None,
        }
    }
}

/// Whether a stop waits for a better moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopWhen {
    /// Only while it has nothing to do, which the engine finds out; else [`EngineError::Busy`].
    Idle,
    /// The same; where the engine cannot look, now: nobody has asked for anything for a while that it
    /// could work on.
    IdleOrUnseen,
    Now,
}

/// As an operator would say it: `stop congress/web 0123456789ab`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { stack } => write!(f, "claim {stack}"),
            Self::Join { stack, network } => {
                write!(f, "join the network {} for {stack}", network.name)
            }
            Self::Leave { network } => write!(f, "leave the network {}", network.name),
            Self::Release { stack } => write!(f, "release {stack}"),
            Self::Remove {
                stack,
                service,
                replica,
            } => write!(f, "remove {stack}/{service} {replica}"),
            Self::Wake { stack, service, .. } => write!(f, "start what rests of {stack}/{service}"),
            Self::Start { stack, service, .. } => write!(f, "start {stack}/{service}"),
            Self::Stop {
                stack,
                service,
                proof,
                ..
            } => write!(f, "stop {stack}/{service} {}", proof.replica()),
            Self::Weigh {
                stack,
                service,
                replica,
                shares,
                ..
            } => write!(f, "weigh {stack}/{service} {replica} as {shares}"),
        }
    }
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It was to be stopped when it has nothing to do.
    #[error("{replica} is at work: {percent} % of a core")]
    Busy { replica: ReplicaId, percent: u32 },
    #[error("cannot reach the engine at {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the engine refused to {what}: {why}")]
    Refused {
        what: String,
        why: String,
        /// Of its answer, where it gave one.
        status: Option<u16>,
    },
    #[error(
        "another usher manages the stack {stack}{whose}; this one only routes to it, and neither starts \
         nor stops anything of it"
    )]
    Claimed {
        stack: StackName,
        /// Where it runs, as far as that can be seen; nothing, or ` (…)`.
        whose: String,
    },
    /// No number of attempts will help until the stack itself changes.
    #[error("cannot add a replica of {service}: {why}")]
    Unclonable { service: ServiceName, why: String },
    /// It chose itself, among those that may end.
    #[error("Swarm ended {ended}")]
    Instead { ended: String },
    /// The next one that the engine would end is in use.
    #[error("Swarm would end {next}, which is not drained")]
    NotItsTurn { next: String },
    #[error("whoever made it has given it {shares} shares of the processors (`cpu_shares`)")]
    Shared { shares: u64 },
    #[error("cannot start `{program}`")]
    Spawn {
        program: String,
        #[source]
        source: std::io::Error,
    },
}

/// What a failure says about trying the same again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The host has no room: storage, memory, addresses. Later, and for everybody.
    Capacity,
    /// It may work the next time.
    Passing,
    /// The stack is the reason: nothing helps until it changes.
    Stack,
}

/// How engines say that the host has no room.
const NO_ROOM: [&str; 6] = [
    "no space left on device",
    "non-overlapping ipv4 address pool",
    "no available ipv4 addresses",
    "cannot allocate memory",
    "resource temporarily unavailable",
    "too many open files",
];

impl EngineError {
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Refused { why, status, .. } => {
                let why = why.to_lowercase();
                if NO_ROOM.iter().any(|words| why.contains(words)) {
                    Trouble::Capacity
                } else if matches!(status, Some(400 | 404)) {
                    // A body that is not understood, an image or network that is not there.
                    Trouble::Stack
                } else {
                    Trouble::Passing
                }
            }
            Self::Busy { .. }
            | Self::Instead { .. }
            | Self::NotItsTurn { .. }
            | Self::Claimed { .. }
            | Self::Spawn { .. }
            | Self::Unreachable { .. } => Trouble::Passing,
            Self::Shared { .. } | Self::Unclonable { .. } => Trouble::Stack,
        }
    }
}

/// # Errors
/// It used more than [`IDLE_BELOW`] of a core.
fn idle(replica: &ReplicaId, share: f64) -> Result<(), EngineError> {
    if share < IDLE_BELOW {
        return Ok(());
    }
    Err(EngineError::Busy {
        replica: replica.clone(),
        // Some thousand at most.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "see above"
        )]
        percent: (share * 100.0).round() as u32,
    })
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
        Ok(Inventory::default())
    }

    async fn act(&self, action: &Action) -> Result<(), EngineError> {
        Err(nobody(&action.to_string()))
    }

    async fn printers(&self, _stack: &StackName) -> Result<Vec<Printer>, EngineError> {
        Err(nobody("show what replicas print"))
    }

    async fn output(
        &self,
        _printer: &str,
        _span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        Err(nobody("show what replicas print"))
    }
}

fn nobody(what: &str) -> EngineError {
    EngineError::Refused {
        what: what.to_owned(),
        why: "no engine is configured (`[engine] kind` is \"none\")".to_owned(),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_whether_trying_again_helps() {
        for (why, status, trouble) in [
            (
                "mkdir /var/lib/docker/x: no space left on device",
                Some(500),
                Trouble::Capacity,
            ),
            (
                "could not find an available, non-overlapping IPv4 address pool",
                Some(404),
                Trouble::Capacity,
            ),
            ("invalid reference format", Some(400), Trouble::Stack),
            ("No such image: app:2", Some(404), Trouble::Stack),
            ("context deadline exceeded", Some(500), Trouble::Passing),
            ("no answer within 60 s", None, Trouble::Passing),
        ] {
            let refused = EngineError::Refused {
                what: "start a container".to_owned(),
                why: why.to_owned(),
                status,
            };
            assert_eq!(refused.trouble(), trouble, "{why}");
        }
    }
}

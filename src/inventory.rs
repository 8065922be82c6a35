//! What the engine shows: stacks, their services, and every container or process of them.
//!
//! A listing is whole and true at the moment it was made. Nothing here is a wish, and nothing in
//! here was decided by usher.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;

use crate::folder::Folder;
use crate::names::{ReplicaId, ServiceName, StackName};
use crate::shared::Map;

/// One complete listing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Inventory {
    /// Shared from listing to listing while nothing of one has changed.
    pub stacks: Map<StackName, Stack>,
    /// Networks that usher joined for the sake of a stack, and may leave again.
    pub joined: Vec<Network>,
    /// Networks that usher is on; on the host, those of the engine.
    pub attached: Vec<Attached>,
    /// Ports of the host that the engine has published for usher's own container.
    pub published: Vec<u16>,
    /// Where the engine is a manager of one.
    pub swarm: Option<Swarm>,
    /// By their names.
    pub superseded: Vec<Superseded>,
    /// Stacks that were this usher's to change, until the engine took that back.
    pub lost: BTreeSet<StackName>,
}

/// A proxy or its companion that runs, in whose place usher is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Superseded {
    pub name: String,
    pub image: String,
    /// Where it is of a stack.
    pub place: Option<(StackName, ServiceName)>,
    /// Folders it may write to, by the paths usher sees them under.
    pub writes: Vec<PathBuf>,
    /// Whether it orders certificates.
    pub orders: bool,
}

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, image, .. } = self;
        match &self.place {
            Some((stack, service)) => write!(f, "stack {stack}: its service {service} ({image})"),
            None => write!(f, "container {name} ({image})"),
        }
    }
}

/// One Compose project, one Swarm stack, one set of child processes, or one container of no project
/// that claims names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stack {
    pub services: BTreeMap<ServiceName, Vec<Unit>>,
    /// By the name the stack itself uses: where the volume is, seen from usher.
    pub volumes: BTreeMap<String, Volume>,
    /// The last time somebody else set how many replicas a service has.
    pub counts: BTreeMap<ServiceName, Count>,
    /// Labels for usher that its containers have and that mean nothing. Hostile input, cut short.
    pub unknown_labels: BTreeSet<String>,
    /// Containers that say they are of it and are not: a sentence each, in order.
    pub left_out: Vec<String>,
}

/// How many replicas somebody else made of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Count {
    pub from: u64,
    pub to: u64,
    pub at: SystemTime,
    /// Grows with every change.
    pub version: u64,
}

/// A Swarm, as one of its managers sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Swarm {
    /// By name.
    pub nodes: Vec<Node>,
    /// Why it cannot be asked or changed now. What is listed of it is what was last known.
    pub lost: Option<String>,
    /// What is not served, and why.
    pub left_out: Vec<String>,
    /// How often it ended another task than the one that was drained for it.
    pub wrong_tasks: u64,
}

/// A machine of a Swarm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    pub name: String,
    pub role: NodeRole,
    /// `ready`, `down`, `disconnected` or `unknown`.
    pub state: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NodeRole {
    /// `reachable`: by the other managers.
    Manager {
        reachable: bool,
        leader: bool,
    },
    Worker,
}

/// One container, task or process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unit {
    pub id: ReplicaId,
    /// As the engine calls it: `congress_web_1`.
    pub name: String,
    pub image: String,
    /// What it was made from. Two of one service that differ in it are of different deployments.
    pub make: String,
    pub phase: Phase,
    /// Whether somebody told this life to end: however soon it does, that says nothing about it.
    pub dismissed: bool,
    /// When this life began.
    pub since: SystemTime,
    pub reach: Reach,
    /// Ids of the networks it is attached to.
    pub networks: Vec<String>,
    /// Folders of this machine that are mounted into it, by the paths usher sees them under.
    pub mounts: Vec<PathBuf>,
    /// Ports the image declares, TCP only, sorted.
    pub ports: Vec<u16>,
    /// What the engine's own health check says, where there is one.
    pub health: Option<bool>,
    pub origin: Origin,
    /// Where it is a task of a Swarm.
    pub task: Option<Task>,
    pub claims: Arc<Claims>,
}

/// What is said of a task of a Swarm and of no container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Task {
    /// The machine it is on.
    pub node: String,
    /// When Swarm ends it if the service gets smaller: those of 0 first, and one among equals as
    /// it likes. `None`: its service cannot get smaller, or it is leaving already.
    pub turn: Option<u32>,
}

/// What a container says about itself in the words of nginx-proxy and its companion. Hostile input:
/// nothing here has been looked at, it is only known to be short.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    /// Variables by their names, labels by their whole names. What the image says is not here.
    pub values: BTreeMap<String, String>,
    /// What was said and is not in `values`, as the rest of "container x: …".
    pub left_out: Vec<String>,
}

impl Claims {
    /// Whether it says anything at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.left_out.is_empty()
    }
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    Created,
    Exited {
        code: i64,
    },
    /// Told to stop by somebody; still running.
    Leaving,
    /// Stopped from within the engine: paused, restarting, dead.
    Other,
    Running,
}

impl Phase {
    /// Whether its process exists.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Leaving | Self::Running)
    }
}

/// How usher gets to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reach {
    At(IpAddr),
    /// On the host's own network, at this address of the host: whatever port is not its own is
    /// somebody else's.
    Host(IpAddr),
    /// On loopback at a port of its own.
    Loopback(u16),
    /// On none of usher's networks. `joinable` are those usher could join.
    Unreachable {
        why: String,
        joinable: Vec<Network>,
    },
}

/// A network of the engine.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Network {
    pub id: String,
    pub name: String,
}

/// A network that usher is on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    pub network: Network,
    /// Where usher is reached on it.
    pub addresses: Vec<IpAddr>,
    pub subnets: Vec<IpNet>,
    /// The host's own addresses on it.
    pub gateways: Vec<IpAddr>,
    /// Whether usher joined it for the sake of a stack.
    pub joined: bool,
    /// Whether it was made for a stack, whichever.
    pub of_a_stack: bool,
}

/// Who made it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// Nobody here: an address in the configuration, never started and never stopped.
    Fixed,
    /// The operator; the number is Compose's, or Swarm's slot.
    Declared { number: u32 },
    /// usher. Sorts last, and leaves first.
    Added { number: u32 },
}

/// Where a volume's files are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Volume {
    At(Folder),
    Invisible { why: String },
}

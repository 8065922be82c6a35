//! A service of an instance, and what its replicas need.

use std::net::SocketAddr;

use crate::names::ServiceName;
use crate::plan::{Placement, UpstreamTls};

/// A named part of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub role: Role,
    /// `None`: the only port the image exposes, else 80.
    pub port: Option<u16>,
    /// `None`: its replicas speak plain HTTP.
    pub tls: Option<UpstreamTls>,
    /// Whether a connection to a replica serves one request after the other.
    pub keep_alive: bool,
    /// `None`: running is ready.
    pub probe: Option<Probe>,
    /// Which replica takes whom.
    pub placement: Placement,
    /// Replicas that no engine manages.
    pub addresses: Vec<SocketAddr>,
    /// How the process engine starts a replica; `{port}` stands for its port.
    pub command: Vec<String>,
    pub reserved: Reserved,
    /// Named in the instance's own entry, so that its absence is worth a word.
    pub expected: bool,
}

/// What one replica is to have of the host at least; `None`: what was seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reserved {
    /// In bytes.
    pub memory: Option<u64>,
    /// In thousandths of a processor.
    pub processor: Option<u64>,
}

impl Service {
    /// How few and how many replicas there may be; `None` where usher does not scale.
    pub fn bounds(&self) -> Option<Bounds> {
        self.role.bounds().filter(|_| self.addresses.is_empty())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// Shown, probed, routed to if a route says so, never scaled.
    Fixed,
    /// Never routed to; follows another service.
    Ratio {
        of: ServiceName,
        ratio: f64,
        /// Requests that may be with each of them at a time.
        requests_each: u32,
        bounds: Bounds,
    },
    /// Carries traffic, scaled by its sessions.
    Sessions { bounds: Bounds },
}

impl Role {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Ratio { .. } => "ratio",
            Self::Sessions { .. } => "sessions",
        }
    }

    fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Fixed => None,
            Self::Ratio { bounds, .. } | Self::Sessions { bounds } => Some(*bounds),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    pub min: u32,
    pub max: u32,
}

/// What proves that a replica is ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// Any answer below 500 to a GET of this path.
    Http { path: String },
    /// An accepted connection, on the service's port or this one.
    Tcp { port: Option<u16> },
}

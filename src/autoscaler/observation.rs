//! What is seen of a stack in one second.

use std::time::Duration;

use tokio::time::Instant;

/// A whole stack, its services in the order of the policy.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Whether the counts are of now. Old ones say nothing about demand.
    pub fresh: bool,
    /// Requests in flight that say that somebody is there: none of a robot or a health check.
    pub visitors: u32,
    /// Such requests since the last look, those that are over included.
    pub visits: u32,
    pub services: Vec<Seen>,
}

/// One service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub crew: Crew,
    /// Nothing for a service that is never routed to.
    pub load: Load,
    /// An operator's number.
    pub over: Option<Override>,
    /// What is waiting inside the stack, where somebody can look.
    pub backlog: Option<Backlog>,
}

/// The replicas of one service, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crew {
    /// Everything that serves or soon will: ready, unhealthy, starting, ordered. Not draining.
    pub present: u32,
    pub ready: u32,
    pub draining: u32,
    pub last_up: Option<Instant>,
    pub last_drain: Option<Instant>,
    /// How long a replica takes from its start to its first good answer, as a rule.
    pub lead: Option<Duration>,
}

/// What the edge counts. Never the processor: in a stack that waits for its database it is idle
/// while people wait too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Websockets and streams, those on draining replicas included.
    pub sessions: u32,
    /// The most that one replica which takes more holds.
    pub fullest: u32,
    /// Handshakes sent to a replica and not answered.
    pub pending: u32,
    /// Requests and handshakes that wait for a place.
    pub held: u32,
    /// How long the one of them has waited who has waited longest.
    pub longest_wait: Duration,
    /// Requests that a replica works on.
    pub in_flight: u32,
    /// Connections that replicas refused or reset since the last look.
    pub refused: u32,
    /// Answers since the last look that say it is too much: 502, 503, none in time, and the words of
    /// back-pressure that are no answer.
    pub overloaded: u32,
    /// What 95 of 100 handshakes were answered within, lately.
    pub answered_within: Option<Duration>,
    /// What 95 of 100 requests got the first byte of their answer within, lately.
    pub first_byte_within: Option<Duration>,
}

impl Load {
    /// Who is connected or wants to be, each of them once.
    pub fn crowd(&self) -> u32 {
        self.sessions
            .saturating_add(self.pending)
            .saturating_add(self.held)
    }
}

/// Messages in the channel layer, for whoever can read it. Nobody does yet.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    pub messages: u32,
    pub oldest: Duration,
    pub idle_workers: u32,
}

/// What an operator asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Override {
    /// At most.
    Cap(u32),
    Exact(u32),
    /// At least.
    Floor(u32),
}

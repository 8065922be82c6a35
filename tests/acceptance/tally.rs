//! What happened to the audience, counted by the attendees themselves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::wait::{Outcome, ensure};

/// What happened to everybody.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// When each handshake ended well, in that order.
    pub opened: Vec<Instant>,
    pub handshakes: Vec<Duration>,
    pub retries: usize,
    /// Round trips through daphne, redis and a worker.
    pub answers: Vec<Duration>,
    pub unanswered: usize,
    /// Answers that came after they were given up.
    pub late: usize,
    /// How many heard each broadcast.
    pub heard: Vec<usize>,
    pub left: usize,
    /// Endings that the attendee did not begin.
    pub cut: Vec<String>,
    /// Anything else that must not happen.
    pub wrong: Vec<String>,
    /// The fewest answers that anybody who left had got.
    pub fewest: Option<usize>,
}

impl Tally {
    pub fn open(&self) -> usize {
        self.opened.len() - self.left - self.cut.len()
    }

    /// Nobody was cut, and nothing else went wrong.
    pub fn all_well(&self) -> Outcome<()> {
        let Self { cut, wrong, .. } = self;
        ensure(cut.is_empty(), || {
            format!("{} websockets ended early, first: {}", cut.len(), cut[0])
        })?;
        ensure(wrong.is_empty(), || {
            format!("{} times: {}", wrong.len(), wrong[0])
        })
    }
}

/// Reads or changes what everybody shares.
pub fn with<S, T>(shared: &Mutex<S>, change: impl FnOnce(&mut S) -> T) -> T {
    change(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

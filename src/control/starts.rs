//! How starting replicas of a service goes, and when the next may be tried.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::event::Now;
use crate::engine::Trouble;

/// The first pause after a start that failed; it doubles up to [`LAST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
const LAST_BACKOFF: Duration = Duration::from_secs(300);
/// So many failures in a row are no accident.
const IN_A_ROW: usize = 3;
/// So close together, the deaths of replicas are a loop.
const LOOP_WITHIN: Duration = Duration::from_secs(300);
/// A replica that was ordered shows in the listing by then, or it never will.
const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// How starting goes.
#[derive(Debug, Default)]
pub(super) struct Starts {
    phase: StartPhase,
    failures: u32,
    pub(super) failed_at: Option<SystemTime>,
    /// Of the failures in a row, those of replicas that the engine had started.
    stillborn: usize,
    /// When replicas that had lived ended by themselves, lately.
    deaths: Vec<Instant>,
    not_before: Option<Instant>,
    /// Why the last one failed, until one succeeds.
    pub(super) trouble: Option<String>,
    /// The stack is the reason, and trying again soon would be in vain unless something changed.
    hopeless: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum StartPhase {
    #[default]
    Idle,
    /// The engine works on it. A listing may show the replica before the engine says it is done.
    Ordered { listed: bool },
    /// The engine is done; no listing shows it yet.
    Awaited { since: Instant },
}

impl Starts {
    pub(super) fn ordered(&mut self, now: Now) {
        self.phase = StartPhase::Ordered { listed: false };
        if self.stillborn >= IN_A_ROW {
            // This one shows whether it is worth starting others.
            self.not_before = Some(now.at + LAST_BACKOFF);
        }
    }

    pub(super) fn succeeded(&mut self, now: Now) {
        self.phase = match self.phase {
            StartPhase::Ordered { listed: true } => StartPhase::Idle,
            _ => StartPhase::Awaited { since: now.at },
        };
    }

    pub(super) fn failed(&mut self, now: Now, why: String, trouble: Trouble) {
        self.phase = StartPhase::Idle;
        self.failures += 1;
        self.failed_at = Some(now.wall);
        let doublings = (self.failures - 1).min(6);
        let pause = match trouble {
            // For everybody on this host: asking again soon would only be one of many. Of a stack
            // that was changed where no listing shows it, an image that is there now, nobody hears.
            Trouble::Capacity | Trouble::Stack => LAST_BACKOFF,
            Trouble::Passing => FIRST_BACKOFF * (1 << doublings),
        };
        self.not_before = Some(now.at + pause.min(LAST_BACKOFF));
        self.trouble = Some(why);
        self.hopeless = trouble == Trouble::Stack;
    }

    /// One was started and did not come to life, or did not keep it: three in a row, and one more
    /// is tried every five minutes only.
    pub(super) fn stillborn(&mut self, now: Now, why: String) {
        self.failed(now, why, Trouble::Passing);
        self.stillborn += 1;
        if self.stillborn >= IN_A_ROW {
            self.not_before = Some(now.at + LAST_BACKOFF);
        }
    }

    /// One that had lived ended by itself.
    pub(super) fn died(&mut self, now: Now, why: String) {
        self.deaths
            .retain(|at| now.at.duration_since(*at) < LOOP_WITHIN);
        self.deaths.push(now.at);
        if self.deaths.len() >= IN_A_ROW {
            self.stillborn = self.deaths.len();
            self.stillborn(now, why);
        }
    }

    /// Something has changed that may have been the reason: what was hopeless is tried at once.
    pub(super) fn has_changed(&mut self) {
        if std::mem::take(&mut self.hopeless) {
            self.not_before = None;
        }
    }

    /// Whether the engine works on one.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.phase, StartPhase::Ordered { .. })
    }

    /// A replica lives: the past is forgiven.
    pub(super) fn proven(&mut self) {
        self.failures = 0;
        self.stillborn = 0;
        self.failed_at = None;
        self.not_before = None;
        self.trouble = None;
        self.hopeless = false;
    }

    pub(super) fn listed(&mut self) {
        self.phase = match self.phase {
            StartPhase::Ordered { .. } => StartPhase::Ordered { listed: true },
            StartPhase::Idle | StartPhase::Awaited { .. } => StartPhase::Idle,
        };
    }

    /// One that was ordered and is not seen yet.
    pub(super) fn unseen(&self, now: Now) -> bool {
        match self.phase {
            StartPhase::Idle => false,
            StartPhase::Ordered { listed } => !listed,
            StartPhase::Awaited { since } => now.at.duration_since(since) < LISTED_WITHIN,
        }
    }

    pub(super) fn allowed(&self, now: Now) -> bool {
        let busy = matches!(self.phase, StartPhase::Ordered { .. }) || self.unseen(now);
        !busy && self.not_before.is_none_or(|at| at <= now.at)
    }
}

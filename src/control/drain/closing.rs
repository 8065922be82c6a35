//! How far the closing of a replica's sessions is.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::super::event::Now;
use crate::plan::Usage;

/// Whoever was told to end cannot be told otherwise: no more are told than end within this.
const SLICE: u32 = 5;

/// How far it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::control) struct Closing {
    /// So many sessions stay for now.
    pub(in crate::control) keep: u32,
    /// The others end spread over this time.
    over: Duration,
    /// When the next may be told.
    pub(in crate::control) next_at: Instant,
    /// When the last will have ended, if nothing comes between.
    pub(in crate::control) ends: SystemTime,
}

impl Closing {
    /// The next few of so many.
    pub(in crate::control) fn slice(now: Now, sessions: u32, pace: u32) -> Self {
        let keep = sessions.saturating_sub(pace * SLICE);
        let seconds = |sessions: u32| Duration::from_secs(sessions.div_ceil(pace).into());
        let over = seconds(sessions - keep);
        Self {
            keep,
            over,
            next_at: now.at + over,
            ends: now.wall + over + seconds(keep),
        }
    }

    pub(in crate::control) fn usage(self) -> Usage {
        Usage::Cut {
            keep: self.keep,
            over: self.over,
        }
    }
}

//! When an instance is rented, and when its audience comes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::civil::Date;

/// Whole days of this machine, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rental {
    pub(in crate::config) from: Date,
    pub(in crate::config) until: Date,
    /// The first moment of the first day.
    pub(in crate::config) begins: SystemTime,
    /// The first moment after the last.
    pub(in crate::config) ends: SystemTime,
}

impl Rental {
    #[cfg(test)]
    pub(crate) fn between(begins: SystemTime, ends: SystemTime) -> Self {
        let day = Date::constant(2026, 12, 1);
        Self {
            from: day,
            until: day,
            begins,
            ends,
        }
    }

    pub fn includes(&self, moment: SystemTime) -> bool {
        self.begins <= moment && moment < self.ends
    }
}

/// As an operator would say it: `2026-12-01 to 2026-12-31`.
impl fmt::Display for Rental {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.until)
    }
}

/// A dated audience.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    pub name: Arc<str>,
    pub start: SystemTime,
    pub end: SystemTime,
    /// `None`: all day and all night.
    pub hours: Option<Hours>,
    /// People.
    pub attendees: u32,
    /// The sessions they will open.
    pub sessions: u32,
    /// How long before each opening everything is there.
    pub prewarm: Duration,
}

/// Hours of each day of an event, in seconds of the day. Nights hold nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hours {
    pub from: u32,
    pub until: u32,
    /// From UTC, in seconds.
    pub offset: i64,
}

//! Moments as people and programs read them.

use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tokio::time::Instant;

/// The moment of a step on both clocks: one for intervals, one for people.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub at: Instant,
    pub wall: SystemTime,
}

/// A moment, written as RFC 3339 in UTC with whole seconds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub SystemTime);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(&text(self.0))
    }
}

/// RFC 3339 in UTC with whole seconds.
pub fn text(moment: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(moment).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_moment_is_utc_with_whole_seconds() {
        let moment = UNIX_EPOCH + Duration::from_millis(1_795_737_600_999);
        assert_eq!(text(moment), "2026-11-27T00:00:00Z");
    }
}

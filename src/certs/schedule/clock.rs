//! Time that only goes forward: pauses and limits are measured on it.
//!
//! The wall clock may be set a hundred days ahead and back again. A pause reckoned on it would end
//! too early or last for years, and either would burn an authority's limits or miss a renewal. The
//! kernel's clock since boot does not jump, and its boot has an id: within one boot even a restart
//! of the process knows how much time has passed.

use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Seconds on a clock of our own, whose zero means nothing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub(in crate::certs) struct Steady(u64);

impl Steady {
    /// How long ago it was; zero for what is yet to come.
    pub(in crate::certs) fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The same moment on the wall, as the wall stands now.
    pub(in crate::certs) fn on_the_wall(self, now: Now) -> SystemTime {
        now.wall + self.since(now.steady)
    }
}

impl Add<Duration> for Steady {
    type Output = Self;

    /// Rounded up: a pause never ends before its time.
    fn add(self, pause: Duration) -> Self {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        Self(self.0.saturating_add(seconds))
    }
}

/// One moment on both clocks. Certificates live on the wall, pauses on the steady one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::certs) struct Now {
    pub(in crate::certs) steady: Steady,
    pub(in crate::certs) wall: SystemTime,
}

/// What is kept over a restart, to go on from.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Mark {
    boot: String,
    since_boot: u64,
    wall: u64,
    steady: Steady,
}

/// What the machine says about the time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reading {
    /// Different after every boot.
    pub(super) boot: String,
    pub(super) since_boot: Duration,
    pub(super) wall: SystemTime,
}

/// The steady clock of one process.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    boot: String,
    started: Duration,
    at_start: Steady,
}

impl Clock {
    /// Goes on where the mark was made. After a boot only the wall can say how long the machine
    /// was off, and a wall that went back says that no time has passed.
    pub(super) fn resume(mark: &Mark, reading: &Reading) -> Self {
        // Without an id every start counts as a boot.
        let passed = if mark.boot == reading.boot && !mark.boot.is_empty() {
            reading.since_boot.as_secs().saturating_sub(mark.since_boot)
        } else {
            seconds(reading.wall).saturating_sub(mark.wall)
        };
        Self {
            boot: reading.boot.clone(),
            started: reading.since_boot,
            at_start: mark.steady + Duration::from_secs(passed),
        }
    }

    pub(super) fn steady(&self, since_boot: Duration) -> Steady {
        self.at_start + Duration::from_secs(since_boot.saturating_sub(self.started).as_secs())
    }

    pub(super) fn mark(&self, reading: &Reading) -> Mark {
        Mark {
            boot: self.boot.clone(),
            since_boot: reading.since_boot.as_secs(),
            wall: seconds(reading.wall),
            steady: self.steady(reading.since_boot),
        }
    }
}

fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn reading(boot: &str, since_boot: u64, wall: u64) -> Reading {
        Reading {
            boot: boot.to_owned(),
            since_boot: Duration::from_secs(since_boot),
            wall: UNIX_EPOCH + Duration::from_secs(wall),
        }
    }

    /// A moment on both clocks, for tests of what takes one.
    pub(in crate::certs::schedule) fn at(steady: u64, wall: u64) -> Now {
        Now {
            steady: Steady(steady),
            wall: UNIX_EPOCH + Duration::from_secs(wall),
        }
    }

    #[test]
    fn a_wall_that_jumps_moves_nothing() {
        let clock = Clock::resume(&Mark::default(), &reading("one", 50, 1_000 * DAY));
        let start = clock.steady(Duration::from_secs(50));
        for jump in [0, 1, 900, 1_100, 2_000] {
            // Another process of the same boot, an hour later by every clock but the wall.
            let mark = clock.mark(&reading("one", 50, 1_000 * DAY));
            let later = reading("one", 50 + 3_600, jump * DAY);
            let resumed = Clock::resume(&mark, &later);
            assert_eq!(
                resumed.steady(later.since_boot).since(start),
                Duration::from_secs(3_600),
                "day {jump}"
            );
        }
    }

    #[test]
    fn after_a_boot_the_wall_counts_forward_alone() {
        let clock = Clock::resume(&Mark::default(), &reading("one", 9_000, 100 * DAY));
        let mark = clock.mark(&reading("one", 9_000, 100 * DAY));
        for (wall, passed) in [(102, 2 * DAY), (100, 0), (0, 0)] {
            let booted = reading("two", 10, wall * DAY);
            let resumed = Clock::resume(&mark, &booted);
            assert_eq!(
                resumed.steady(booted.since_boot).since(mark.steady),
                Duration::from_secs(passed),
                "day {wall}"
            );
        }
    }
}

//! How slowly a client may send before it counts as one that only holds on.
//!
//! Pure: time is what the caller has waited for the client, and for nobody else.

use std::time::Duration;

/// Bytes in a second. Below that somebody holds a connection and does not use it.
pub(super) const LEAST_RATE: u64 = 1024;
/// How far behind that rate a client may fall: a train's tunnel, and no more.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How far a client is behind the least rate.
#[derive(Debug, Default)]
pub(super) struct Pace {
    behind: Duration,
}

impl Pace {
    /// Counts a time spent waiting for the client, and the bytes that came through meanwhile. Says
    /// whether the client is too slow.
    ///
    /// Speed is not saved up: who was quick first is granted the same patience later.
    pub(super) fn is_too_slow(&mut self, waited: Duration, bytes: u64) -> bool {
        let earned = Duration::from_millis(bytes.saturating_mul(1000) / LEAST_RATE);
        self.behind = (self.behind + waited).saturating_sub(earned);
        self.behind > PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(500);

    /// After how long a client at this rate is too slow, within an hour.
    fn too_slow_after(pace: &mut Pace, bytes_per_second: u64) -> Option<Duration> {
        (1..7200)
            .find(|_| pace.is_too_slow(STEP, bytes_per_second / 2))
            .map(|steps| STEP * steps)
    }

    #[test]
    fn silence_and_dribbling_end_after_the_patience() {
        for rate in [0, 10, 64] {
            let after = too_slow_after(&mut Pace::default(), rate).expect("an end");
            let latest = PATIENCE + Duration::from_secs(3);
            assert!(after > PATIENCE && after < latest, "{rate} B/s: {after:?}");
        }
    }

    #[test]
    fn whoever_keeps_the_least_rate_is_never_too_slow() {
        for rate in [LEAST_RATE, 2 * LEAST_RATE, 1 << 30] {
            assert_eq!(too_slow_after(&mut Pace::default(), rate), None, "{rate}");
        }
    }

    #[test]
    fn speed_is_not_saved_up() {
        let mut pace = Pace::default();
        assert!(!pace.is_too_slow(STEP, u64::MAX));
        let after = too_slow_after(&mut pace, 0).expect("an end");
        assert!(after < PATIENCE + Duration::from_secs(1), "{after:?}");
    }

    #[test]
    fn a_pause_is_made_up_for() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            assert!(!pace.is_too_slow(Duration::from_secs(25), 0));
            assert!(!pace.is_too_slow(STEP, 64 * LEAST_RATE));
        }
    }
}

//! How many frames an HTTP/2 connection may send beyond what its streams justify.
//!
//! Settings, pings, priorities, window updates, resets, empty parts of bodies: each is cheap to send
//! and costs a little work here, and none brings anybody an answer. The framework bounds some of
//! them; this bounds their sum (RFC 9113 §10.5). Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Frames that a fresh connection may spend.
const ALLOWANCE: u32 = 1000;
/// What comes back with time, up to the allowance: an idle connection may go on pinging for ever.
const EARNED_EVERY: Duration = Duration::from_millis(50);
/// A request that was answered may have been prioritised, updated and cancelled.
const PER_ANSWER: u32 = 16;
/// Each part of an answer may be acknowledged on its stream and on the connection.
const PER_PART: u32 = 4;
/// What was earned is not saved for ever. With the largest frames and four updates for each, this is
/// more than a gigabyte of answers on their way.
const MOST: u32 = 256 * 1024;

#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Until when time has been counted.
    at: Instant,
}

/// The connection has spent more than there was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Exhausted;

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: ALLOWANCE,
            at: now,
        }
    }

    /// A head of an answer has been sent.
    pub(super) fn answered(&mut self) {
        self.earn(PER_ANSWER);
    }

    /// A part of an answer has been sent.
    pub(super) fn sent_part(&mut self) {
        self.earn(PER_PART);
    }

    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(MOST);
    }

    /// Pays for this many frames.
    ///
    /// # Errors
    /// When they cannot be paid for; it stays so.
    pub(super) fn spend(&mut self, frames: u32, now: Instant) -> Result<(), Exhausted> {
        if self.left < ALLOWANCE {
            let spans =
                now.saturating_duration_since(self.at).as_millis() / EARNED_EVERY.as_millis();
            let spans = u32::try_from(spans).unwrap_or(u32::MAX).min(ALLOWANCE);
            self.left = self.left.saturating_add(spans).min(ALLOWANCE);
            // What is left of a span counts the next time.
            self.at += EARNED_EVERY * spans;
            if spans == ALLOWANCE {
                self.at = now;
            }
        } else {
            self.at = now;
        }
        self.left = self.left.checked_sub(frames).ok_or(Exhausted)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spends one frame after the other, so far apart, until there is nothing left.
    fn spent(budget: &mut Budget, mut now: Instant, apart: Duration, most: u32) -> u32 {
        for count in 0..most {
            now += apart;
            if budget.spend(1, now).is_err() {
                return count;
            }
        }
        most
    }

    #[test]
    fn a_burst_may_spend_the_allowance_and_no_more() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert_eq!(spent(&mut budget, now, Duration::ZERO, 5000), ALLOWANCE);
    }

    #[test]
    fn what_comes_slowly_may_come_for_ever() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        let slowly = EARNED_EVERY + Duration::from_millis(1);
        assert_eq!(spent(&mut budget, now, slowly, 100_000), 100_000);
        let quickly = EARNED_EVERY / 4;
        let mut budget = Budget::new(now);
        let count = spent(&mut budget, now, quickly, 100_000);
        assert!((ALLOWANCE..ALLOWANCE * 2).contains(&count), "{count}");
    }

    #[test]
    fn a_quiet_day_saves_no_more_than_the_allowance() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        spent(&mut budget, now, Duration::ZERO, ALLOWANCE);
        let tomorrow = now + Duration::from_secs(24 * 3600);
        assert_eq!(
            spent(&mut budget, tomorrow, Duration::ZERO, 5000),
            ALLOWANCE
        );
    }

    #[test]
    fn a_download_pays_for_its_window_updates_however_late_they_come() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        budget.answered();
        for _ in 0..20_000 {
            budget.sent_part();
        }
        assert_eq!(spent(&mut budget, now, Duration::ZERO, 40_000), 40_000);
    }

    #[test]
    fn cancelled_requests_are_paid_for_by_those_that_were_answered() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        for _ in 0..10_000 {
            // A head and its reset, one in four of them after the answer.
            assert_eq!(budget.spend(8, now), Ok(()));
            budget.answered();
        }
        let mut budget = Budget::new(now);
        let pairs = (0..10_000).take_while(|_| budget.spend(2, now).is_ok());
        assert_eq!(pairs.count(), 500);
    }
}

//! What scaling has saved: replica-hours, beside those of a stack that is always as large as it ever
//! had to be.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::Now;
use super::kept::Savings;

/// So many months that are over are kept.
const MONTHS: usize = 12;

/// The replica-hours of one instance in the current month (UTC), since usher has watched it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Those before, the newest first.
    past: VecDeque<Savings>,
    /// `2026-12`.
    month: String,
    /// In seconds.
    used: f64,
    watched: f64,
    most: u32,
    last: Option<Now>,
}

/// Further apart than this, nobody knows what ran in between.
const LONGEST: f64 = 60.0;

impl Ledger {
    /// So many replicas of scaled services run at this moment, of this month.
    pub(super) fn count(&mut self, replicas: u32, month: &str, now: Now) {
        if self.month != month {
            let mut past = std::mem::take(&mut self.past);
            if self.watched > 0.0 {
                past.push_front(self.this_month());
                past.truncate(MONTHS);
            }
            *self = Self {
                past,
                month: month.to_owned(),
                last: self.last,
                ..Self::default()
            };
        }
        let passed = self
            .last
            .replace(now)
            .map_or(0.0, |last| now.at.duration_since(last.at).as_secs_f64());
        if passed <= LONGEST {
            self.used += f64::from(replicas) * passed;
            self.watched += passed;
        }
        self.most = self.most.max(replicas);
    }

    /// What a restart should find again: this month, and the last ones.
    pub(super) fn kept(&self) -> (Savings, Vec<Savings>) {
        (self.this_month(), self.past.iter().cloned().collect())
    }

    fn this_month(&self) -> Savings {
        Savings {
            month: self.month.clone(),
            used: whole(self.used),
            watched: whole(self.watched),
            most: self.most,
        }
    }

    /// Goes on from what an earlier process counted.
    pub(super) fn remember(&mut self, savings: Savings, past: Vec<Savings>) {
        self.past.extend(past);
        self.past.truncate(MONTHS);
        let seconds = |seconds| Duration::from_secs(seconds).as_secs_f64();
        self.month = savings.month;
        self.used += seconds(savings.used);
        self.watched += seconds(savings.watched);
        self.most = self.most.max(savings.most);
    }

    pub(super) fn month(&self) -> &str {
        &self.month
    }

    /// Replica-hours that were spent.
    pub(super) fn used(&self) -> f64 {
        self.used / 3_600.0
    }

    /// Replica-hours of the most there ever were this month, all the time.
    pub(super) fn always_on(&self) -> f64 {
        f64::from(self.most) * self.watched / 3_600.0
    }
}

fn whole(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn hours_are_counted_beside_those_of_the_most_and_a_month_begins_anew() {
        let start = Instant::now();
        let at = |second| Now {
            at: start + Duration::from_secs(second),
            wall: SystemTime::UNIX_EPOCH,
        };
        let mut ledger = Ledger::default();
        for minute in 0..=120 {
            let replicas = if minute <= 60 { 2 } else { 10 };
            ledger.count(replicas, "2026-12", at(minute * 60));
        }
        assert!((ledger.used() - 12.0).abs() < 0.2, "{ledger:?}");
        assert!((ledger.always_on() - 20.0).abs() < 1e-6, "{ledger:?}");
        // An hour that nobody watched is nobody's.
        ledger.count(10, "2026-12", at(3 * 3_600));
        assert!((ledger.always_on() - 20.0).abs() < 1e-6, "{ledger:?}");
        ledger.count(1, "2027-01", at(3 * 3_600 + 60));
        assert_eq!(ledger.month(), "2027-01");
        assert!(ledger.always_on() < 0.1, "{ledger:?}");
    }

    #[test]
    fn the_last_twelve_months_outlive_a_restart() {
        let start = Instant::now();
        let at = |minute: u32| Now {
            at: start + Duration::from_secs(60) * minute,
            wall: SystemTime::UNIX_EPOCH,
        };
        let month = |number: u32| format!("{}-{:02}", 2026 + number / 12, 1 + number % 12);
        let mut ledger = Ledger::default();
        for minute in 0..45 {
            ledger.count(2, &month(minute / 3), at(minute));
        }
        let (this, past) = ledger.kept();
        let mut later = Ledger::default();
        later.remember(this, past);
        // A month begins while usher is away.
        later.count(2, &month(15), at(100));
        let (this, past) = later.kept();
        let months: Vec<&str> = past.iter().map(|one| one.month.as_str()).collect();
        let expected: Vec<String> = (3..15).rev().map(month).collect();
        assert_eq!(
            (this.month.as_str(), months),
            ("2027-04", expected.iter().map(String::as_str).collect())
        );
        assert!(
            past.iter().all(|one| one.used > 0 && one.most == 2),
            "{past:?}"
        );
    }
}

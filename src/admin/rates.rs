//! Requests per second, from totals that only grow.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// The rate is the mean of so many observations' distance.
const OVER: usize = 5;

/// The newest totals of everything that has one.
#[derive(Debug, Default)]
pub(super) struct Rates {
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    /// A ring: `next` is the oldest once it is full.
    totals: [(SystemTime, u64); OVER],
    count: usize,
    next: usize,
}

impl Rates {
    /// Takes a total in, and gives the rate since the oldest that is remembered.
    pub(super) fn observe(&mut self, now: SystemTime, of: &str, total: u64) -> f32 {
        let Some(seen) = self.seen.get_mut(of) else {
            let seen = Seen {
                totals: [(now, total); OVER],
                count: 1,
                next: 1,
            };
            self.seen.insert(of.to_owned(), seen);
            return 0.0;
        };
        let oldest = match seen.count < OVER {
            true => seen.totals.first(),
            false => seen.totals.get(seen.next),
        };
        let rate = oldest.map_or(0.0, |(at, before)| {
            let took = now.duration_since(*at).unwrap_or(Duration::ZERO);
            #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
            let more = total.saturating_sub(*before) as f32;
            if took < Duration::from_millis(500) {
                0.0
            } else {
                more / took.as_secs_f32()
            }
        });
        if let Some(place) = seen.totals.get_mut(seen.next) {
            *place = (now, total);
        }
        seen.next = (seen.next + 1) % OVER;
        seen.count = (seen.count + 1).min(OVER);
        rate
    }

    pub(super) fn prune(&mut self, there: impl Fn(&str) -> bool) {
        self.seen.retain(|name, _| there(name));
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_rate_follows_within_five_observations() {
        let mut rates = Rates::default();
        let mut observe = |second: u64, total| {
            rates.observe(UNIX_EPOCH + Duration::from_secs(second), "congress", total)
        };
        let first: Vec<f32> = (0..6).map(|second| observe(second, second * 10)).collect();
        assert_eq!(first, [0.0, 10.0, 10.0, 10.0, 10.0, 10.0]);
        let after: Vec<f32> = (6..12).map(|second| observe(second, 50)).collect();
        assert_eq!(after, [8.0, 6.0, 4.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn a_total_that_began_anew_is_no_rate() {
        let mut rates = Rates::default();
        rates.observe(UNIX_EPOCH, "congress", 500);
        let later = UNIX_EPOCH + Duration::from_secs(1);
        assert_eq!(rates.observe(later, "congress", 3), 0.0);
        rates.prune(|_| false);
        assert_eq!(rates.observe(later, "congress", 900), 0.0);
    }
}

//! When to order: pure, on the wall clock, because certificates live on it.

use std::time::{Duration, SystemTime};

/// Failures of one set of names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Attempts {
    pub(super) failures: u32,
    pub(super) not_before: SystemTime,
    pub(super) error: String,
}

/// What there is for a set of names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// Every name is covered; the first of the pairs asks to be renewed then.
    All { renew_at: SystemTime },
    /// Some name has nothing to be served with.
    NotAll,
}

/// The next moment something should happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    At(SystemTime),
    Now,
}

impl Attempts {
    /// One more failure after those so far. The pauses keep well below what authorities allow.
    pub(super) fn after(earlier: Option<&Self>, now: SystemTime, error: String) -> Self {
        const MINUTE: u64 = 60;
        let failures = earlier.map_or(0, |attempts| attempts.failures) + 1;
        let pause = match failures {
            1 => MINUTE,
            2 => 10 * MINUTE,
            3 => 100 * MINUTE,
            _ => 1_440 * MINUTE,
        };
        Self {
            failures,
            not_before: now + Duration::from_secs(pause),
            error,
        }
    }
}

/// When to order for a set of names.
pub(super) fn due(now: SystemTime, held: Held, attempts: Option<&Attempts>) -> Due {
    let wanted = match held {
        Held::All { renew_at } => renew_at,
        Held::NotAll => now,
    };
    let allowed = attempts.map_or(wanted, |attempts| attempts.not_before.max(wanted));
    if allowed <= now {
        Due::Now
    } else {
        Due::At(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_without_a_certificate_is_ordered_at_once() {
        assert_eq!(due(at(100), Held::NotAll, None), Due::Now);
    }

    #[test]
    fn a_certificate_is_renewed_when_it_asks_for_it() {
        let held = Held::All { renew_at: at(200) };
        assert_eq!(due(at(100), held, None), Due::At(at(200)));
        assert_eq!(due(at(200), held, None), Due::Now);
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_day() {
        let mut attempts: Option<Attempts> = None;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let next = Attempts::after(attempts.as_ref(), at(0), "refused".into());
            pauses.push(
                next.not_before
                    .duration_since(at(0))
                    .expect("later")
                    .as_secs()
                    / 60,
            );
            assert_eq!(
                due(at(0), Held::NotAll, Some(&next)),
                Due::At(next.not_before)
            );
            attempts = Some(next);
        }
        assert_eq!(pauses, [1, 10, 100, 1_440, 1_440]);
    }
}

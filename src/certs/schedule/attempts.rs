//! How often one set of names may be tried: pure.
//!
//! A try is counted when it begins and not when it ends, so that a process that dies on the way
//! has spent it all the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Steady;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The longest pause that an authority may ask for. Let's Encrypt's slowest limit lets the next
/// one in within two days; a header that says more is a mistake.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// What was tried for one set of names.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::certs) struct Attempts {
    /// Tries since the last whole day without a failure.
    tries: u32,
    /// How many of the last ones failed.
    pub(in crate::certs) failures: u32,
    begun: Steady,
    /// False while an order is under way, and after the process died over it.
    ended: bool,
    not_before: Steady,
    /// Why the last one failed.
    pub(in crate::certs) error: Option<String>,
}

/// How the pauses follow each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::certs) enum Spacing {
    Usual,
    /// Something speaks against success: one step longer.
    Wide,
}

impl Attempts {
    /// One more try after those so far.
    pub(super) fn begin(earlier: Option<&Self>, now: Steady, spacing: Spacing) -> Self {
        let tries = earlier
            .filter(|earlier| !earlier.is_over(now))
            .map_or(0, |earlier| earlier.tries)
            .saturating_add(1);
        Self {
            tries,
            failures: earlier.map_or(0, |earlier| earlier.failures),
            begun: now,
            ended: false,
            not_before: now + pause(tries, spacing),
            error: earlier.and_then(|earlier| earlier.error.clone()),
        }
    }

    /// The pause counts from the failure, which may have taken its time; the authority may ask for
    /// a longer one and never for a shorter.
    pub(super) fn fail(
        &mut self,
        now: Steady,
        spacing: Spacing,
        retry_after: Option<Duration>,
        error: String,
    ) {
        let asked = retry_after.unwrap_or_default().min(LONGEST);
        self.ended = true;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause(self.tries, spacing).max(asked);
        self.error = Some(error);
    }

    /// The first that ends well makes no pause, so that an authority that wants the certificate
    /// back the same day gets it back. After that the next one waits all the same: an order is an
    /// order, and a loop of them ends at the authority's limit.
    pub(super) fn succeed(&mut self) {
        if self.tries == 1 {
            self.not_before = self.begun;
        }
        self.ended = true;
        self.failures = 0;
        self.error = None;
    }

    /// Whether the last order came to an end, good or bad.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether something was tried within a day.
    pub(super) fn is_recent(&self, now: Steady) -> bool {
        now.since(self.begun) < DAY
    }

    /// The first moment of the next try.
    pub(in crate::certs) fn next(&self, now: Steady) -> Steady {
        self.not_before.min(now + LONGEST)
    }

    /// Whether nothing of it matters any more.
    pub(super) fn is_over(&self, now: Steady) -> bool {
        self.failures == 0 && now.since(self.begun) >= DAY && self.not_before <= now
    }
}

/// From a try to the next. The pauses keep well below what authorities allow.
fn pause(tries: u32, spacing: Spacing) -> Duration {
    let step = match spacing {
        Spacing::Usual => tries,
        Spacing::Wide => tries.saturating_add(1),
    };
    match step {
        0 | 1 => MINUTE,
        2 => 10 * MINUTE,
        3 => 100 * MINUTE,
        _ => DAY,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Steady {
        Steady::default() + Duration::from_secs(seconds)
    }

    fn minutes(pause: Duration) -> u64 {
        pause.as_secs() / 60
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_day() {
        for (spacing, expected) in [
            (Spacing::Usual, [1, 10, 100, 1_440, 1_440]),
            (Spacing::Wide, [10, 100, 1_440, 1_440, 1_440]),
        ] {
            let mut now = at(1_000);
            let mut known: Option<Attempts> = None;
            let mut pauses = Vec::new();
            for _ in 0..5 {
                let mut attempts = Attempts::begin(known.as_ref(), now, spacing);
                attempts.fail(now, spacing, None, "refused".into());
                pauses.push(minutes(attempts.next(now).since(now)));
                now = attempts.next(now);
                known = Some(attempts);
            }
            assert_eq!(pauses, expected, "{spacing:?}");
        }
    }

    #[test]
    fn what_the_authority_asks_for_lengthens_a_pause_and_never_shortens_it() {
        for (asked, waits) in [(0, 1), (30, 1), (3_600, 60), (400 * 86_400, 7 * 1_440)] {
            let mut attempts = Attempts::begin(None, at(0), Spacing::Usual);
            let asked = Duration::from_secs(asked);
            attempts.fail(at(0), Spacing::Usual, Some(asked), "later".into());
            assert_eq!(
                minutes(attempts.next(at(0)).since(at(0))),
                waits,
                "{asked:?}"
            );
        }
    }

    #[test]
    fn a_try_that_never_ended_is_a_try() {
        let mut known = None;
        for pause in [1, 10, 100, 1_440, 1_440] {
            let attempts = Attempts::begin(known.as_ref(), at(5), Spacing::Usual);
            assert_eq!(minutes(attempts.next(at(5)).since(at(5))), pause);
            known = Some(attempts);
        }
    }

    #[test]
    fn success_is_forgotten_after_a_day_and_failure_is_not() {
        let mut good = Attempts::begin(None, at(0), Spacing::Usual);
        good.succeed();
        assert!(!good.is_over(at(86_399)));
        assert!(good.is_over(at(86_400)));
        let mut bad = Attempts::begin(None, at(0), Spacing::Usual);
        bad.fail(at(0), Spacing::Usual, None, "refused".into());
        assert!(!bad.is_over(at(100 * 86_400)));
    }

    proptest! {
        /// T-A7, C6: whatever came of them, four tries at first and then one a day.
        #[test]
        fn no_more_than_one_a_day_after_the_first(outcomes in prop::collection::vec(any::<bool>(), 1..40)) {
            let (mut now, mut known, mut begun) = (at(0), None::<Attempts>, Vec::new());
            for good in outcomes {
                // As eager as it may be: at the first allowed second.
                now = known.as_ref().map_or(now, |attempts| attempts.next(now));
                let mut attempts = Attempts::begin(known.as_ref(), now, Spacing::Usual);
                begun.push(now);
                if good {
                    attempts.succeed();
                } else {
                    attempts.fail(now, Spacing::Usual, None, "refused".into());
                }
                known = Some(attempts);
            }
            for (index, first) in begun.iter().enumerate() {
                let within = begun[index..].iter().filter(|later| later.since(*first) < DAY).count();
                prop_assert!(within <= 4, "{within} within a day of {first:?}");
            }
        }
    }
}

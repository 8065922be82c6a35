//! When a certificate is renewed: pure, on the wall clock, because certificates live on it.
//!
//! The authority says when (ARI, RFC 9773); where it is silent, a third of the life is left, or
//! half of a short one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Below this life is short: half of it has to be left.
const SHORT: Duration = Duration::from_secs(10 * 86_400);

/// How far the moments of certificates that end together lie apart, as a part of their life: three
/// days of ninety, five hours of six days.
const SPREAD: u32 = 30;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::certs) struct Life {
    pub(in crate::certs) not_before: SystemTime,
    pub(in crate::certs) not_after: SystemTime,
}

impl Life {
    fn length(self) -> Duration {
        self.not_after
            .duration_since(self.not_before)
            .unwrap_or_default()
    }

    /// What is left when it is renewed without a word from the authority.
    fn reserve(self) -> Duration {
        let length = self.length();
        if length < SHORT {
            length / 2
        } else {
            length / 3
        }
    }

    fn before_end(self, left: Duration) -> SystemTime {
        self.not_after.checked_sub(left).unwrap_or(self.not_before)
    }

    /// When half of the reserve is gone. No window that an authority offers postpones a renewal
    /// beyond it, and from then on a renewal waits for no other.
    pub(in crate::certs) fn urgent_from(self) -> SystemTime {
        self.before_end(self.reserve() / 2)
    }

    /// When to renew. `spread` tells certificates that end together apart.
    pub(in crate::certs) fn renew_at(
        self,
        window: Option<&Window>,
        spread: &impl Hash,
    ) -> SystemTime {
        match window {
            Some(window) => window.moment.min(self.urgent_from()),
            None => self.before_end(self.reserve() + part(self.length() / SPREAD, spread)),
        }
    }
}

/// The same part of a length for the same value, in every process of one build.
fn part(of: Duration, value: &impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 1_000).unwrap_or_default();
    of / 1_000 * share
}

/// When the authority wants a certificate renewed, and the moment drawn in it.
///
/// The moment is drawn once and kept: drawn anew at every restart, the earliest of many draws
/// would count, and all would crowd at the beginning of their windows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::certs) struct Window {
    /// Which certificate it is about (RFC 9773 §4.1).
    pub(in crate::certs) certificate: String,
    start: SystemTime,
    end: SystemTime,
    moment: SystemTime,
}

impl Window {
    /// Takes what the authority offers. `random` is in `0.0..1.0`; it counts only where the window
    /// is not the one that is known. `None`: a window that ends before it begins, which counts as
    /// none.
    pub(in crate::certs) fn taken(
        known: Option<&Self>,
        certificate: &str,
        start: SystemTime,
        end: SystemTime,
        random: f64,
    ) -> Option<Self> {
        if let Some(known) = known
            && (known.certificate.as_str(), known.start, known.end) == (certificate, start, end)
        {
            return Some(known.clone());
        }
        // Dates before there were computers are a mistake, and the file could not hold them.
        start.duration_since(UNIX_EPOCH).ok()?;
        let length = end.duration_since(start).ok()?;
        Some(Self {
            certificate: certificate.to_owned(),
            start,
            end,
            moment: start + length.mul_f64(random.clamp(0.0, 1.0)),
        })
    }
}

/// From one question about a window to the next: what the authority asks for, within a minute and
/// half a day, so that a changed window is seen twice a day; six hours where it says nothing.
pub(in crate::certs) fn ask_again(asked: Option<Duration>) -> Duration {
    asked
        .unwrap_or(6 * HOUR)
        .clamp(Duration::from_secs(60), DAY / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: f64) -> SystemTime {
        UNIX_EPOCH + DAY.mul_f64(20_000.0 + days)
    }

    fn life(days: f64) -> Life {
        Life {
            not_before: day(0.0),
            not_after: day(days),
        }
    }

    fn days_left(life: Life, moment: SystemTime) -> f64 {
        life.not_after
            .duration_since(moment)
            .expect("before the end")
            .as_secs_f64()
            / 86_400.0
    }

    #[test]
    fn without_a_word_a_third_is_left_or_half_of_a_short_life() {
        for (days, left, urgent) in [
            (90.0, 30.0, 15.0),
            (64.0, 64.0 / 3.0, 64.0 / 6.0),
            (45.0, 15.0, 7.5),
            (6.0, 3.0, 1.5),
        ] {
            let life = life(days);
            let found = days_left(life, life.renew_at(None, &"a.example.org"));
            assert!(
                (left..=left + days / f64::from(SPREAD)).contains(&found),
                "{days}: {found}"
            );
            assert!(
                (days_left(life, life.urgent_from()) - urgent).abs() < 0.01,
                "{days}"
            );
        }
    }

    #[test]
    fn five_hundred_that_end_together_are_not_renewed_together() {
        for days in [90.0, 64.0, 45.0, 6.0] {
            let mut moments: Vec<SystemTime> = (0..500)
                .map(|number| life(days).renew_at(None, &format!("hall-{number}.example.org")))
                .collect();
            moments.sort();
            let spread = moments[499].duration_since(moments[0]).expect("sorted");
            assert!(spread > 4 * HOUR, "{days}: {spread:?}");
            // In no hour much more than its share.
            for from in &moments {
                let within = moments
                    .iter()
                    .filter(|other| **other >= *from && **other < *from + HOUR)
                    .count();
                assert!(within < 170, "{days}: {within} within an hour");
            }
        }
    }

    #[test]
    fn a_window_is_drawn_in_once_and_a_new_one_anew() {
        let first = Window::taken(None, "id", day(10.0), day(12.0), 0.25).expect("a window");
        assert_eq!(life(90.0).renew_at(Some(&first), &""), day(10.5));
        let again = Window::taken(Some(&first), "id", day(10.0), day(12.0), 0.9);
        assert_eq!(again.as_ref(), Some(&first), "restarts do not draw again");
        let moved = Window::taken(Some(&first), "id", day(1.0), day(2.0), 0.5).expect("a window");
        assert_eq!(life(90.0).renew_at(Some(&moved), &""), day(1.5));
        assert_eq!(Window::taken(None, "id", day(2.0), day(1.0), 0.5), None);
    }

    #[test]
    fn a_window_in_the_past_is_due_and_one_beyond_reason_does_not_cost_the_certificate() {
        let past = Window::taken(None, "id", day(-9.0), day(-8.0), 0.5).expect("a window");
        assert!(life(90.0).renew_at(Some(&past), &"") < day(0.0));
        let far = Window::taken(None, "id", day(9_000.0), day(9_001.0), 0.5).expect("a window");
        for days in [90.0, 64.0, 45.0, 6.0] {
            let life = life(days);
            assert_eq!(life.renew_at(Some(&far), &""), life.urgent_from());
        }
    }

    #[test]
    fn windows_are_asked_for_at_least_twice_a_day_and_never_in_a_loop() {
        for (asked, seconds) in [
            (None, 21_600),
            (Some(0), 60),
            (Some(3_600), 3_600),
            (Some(9_999_999), 43_200),
        ] {
            assert_eq!(
                ask_again(asked.map(Duration::from_secs)).as_secs(),
                seconds,
                "{asked:?}"
            );
        }
    }
}

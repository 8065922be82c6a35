//! The no-gain brake: when more workers do not make answers faster, they are not what is slow.

use std::time::Duration;

use tokio::time::Instant;

use super::observation::Load;
use super::policy::Spans;

/// An improvement is one when answers take at most this share of what they took.
const IMPROVED: f64 = 0.8;

/// What is remembered of increases beyond the ratio.
#[derive(Clone, Debug, Default)]
pub(super) struct Brake {
    trial: Option<Trial>,
    in_vain: u32,
    /// So many have been a help.
    proven: u32,
    suspended_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    before: Slowness,
    /// When as many as were asked for were ready.
    complete: Option<Instant>,
    count: u32,
}

/// What was to become quicker, and what 95 of 100 took before.
#[derive(Clone, Copy, Debug)]
enum Slowness {
    FirstByte(Duration),
    Handshake(Duration),
}

impl Slowness {
    /// The slower of the two: the other may have been quick enough, and wavers.
    fn of(load: &Load) -> Option<Self> {
        match (load.answered_within, load.first_byte_within) {
            (Some(handshake), Some(byte)) if byte > handshake => Some(Self::FirstByte(byte)),
            (Some(handshake), _) => Some(Self::Handshake(handshake)),
            (None, byte) => byte.map(Self::FirstByte),
        }
    }

    fn is_less_in(self, load: &Load) -> bool {
        let (before, after) = match self {
            Self::FirstByte(before) => (before, load.first_byte_within),
            Self::Handshake(before) => (before, load.answered_within),
        };
        // Nobody who asks is nobody who waits.
        after.is_none_or(|after| after <= before.mul_f64(IMPROVED))
    }
}

impl Brake {
    /// Whether workers beyond the ratio have been no help, lately.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.suspended_until.is_some_and(|until| now < until)
    }

    /// Nothing beyond the ratio is asked for any more.
    pub(super) fn released(&mut self) {
        self.trial = None;
        self.in_vain = 0;
        self.proven = 0;
    }

    /// So many workers, more than the ratio, are asked for. Told again while they are: what was in
    /// vain once is judged a second time.
    pub(super) fn raised(&mut self, count: u32, load: &Load) {
        if count <= self.proven {
            return;
        }
        let Some(before) = Slowness::of(load) else {
            // Nothing to compare with.
            return;
        };
        match &mut self.trial {
            Some(trial) => trial.count = trial.count.max(count),
            None => {
                self.trial = Some(Trial {
                    before,
                    complete: None,
                    count,
                });
            }
        }
    }

    /// Looks whether the last increase has helped.
    pub(super) fn watch(&mut self, ready: u32, load: &Load, spans: &Spans, now: Instant) {
        let Some(trial) = &mut self.trial else {
            return;
        };
        if ready < trial.count {
            return;
        }
        let complete = *trial.complete.get_or_insert(now);
        if now.duration_since(complete) < spans.trial {
            return;
        }
        let better = trial.before.is_less_in(load);
        if better {
            self.proven = self.proven.max(trial.count);
        }
        self.trial = None;
        self.in_vain = if better { 0 } else { self.in_vain + 1 };
        if self.in_vain >= 2 {
            self.in_vain = 0;
            self.suspended_until = Some(now + spans.resigned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN_AFTER: Duration = Duration::from_secs(600);
    const TRIAL: Duration = Duration::from_secs(60);

    fn load(handshake: Option<u64>, first_byte: Option<u64>) -> Load {
        Load {
            answered_within: handshake.map(Duration::from_millis),
            first_byte_within: first_byte.map(Duration::from_millis),
            ..Load::default()
        }
    }

    /// Two increases, each judged; whether they were the last for now, and when that is.
    fn two(before: Load, after: Load) -> (Brake, Instant) {
        let mut now = Instant::now();
        let (mut brake, spans) = (Brake::default(), Spans::of(DOWN_AFTER));
        for count in [6, 8] {
            brake.raised(count, &before);
            brake.watch(count, &before, &spans, now);
            assert!(!brake.holds(now));
            now += TRIAL;
            brake.watch(count, &after, &spans, now);
        }
        (brake, now)
    }

    #[test]
    fn two_increases_that_do_not_help_are_the_last_for_a_while() {
        let slow = load(Some(4_000), None);
        let (brake, now) = two(slow, slow);
        assert!(brake.holds(now));
        assert!(!brake.holds(now + DOWN_AFTER));
    }

    #[test]
    fn an_increase_that_helps_is_no_reason_to_brake() {
        let start = Instant::now();
        let (mut brake, spans) = (Brake::default(), Spans::of(DOWN_AFTER));
        for (round, after) in [(0, 4_000), (1, 1_000), (2, 4_000)] {
            let now = start + TRIAL * 2 * round;
            brake.raised(6, &load(Some(4_000), None));
            brake.watch(6, &load(None, None), &spans, now);
            brake.watch(6, &load(Some(after), None), &spans, now + TRIAL);
        }
        assert!(!brake.holds(start + TRIAL * 6));
    }

    #[test]
    fn it_is_judged_by_what_was_slow_and_not_by_what_was_quick() {
        for (before, after, in_vain) in [
            // Nobody shakes hands, and requests are as slow as before.
            ((None, Some(3_000)), (None, Some(2_900)), true),
            ((None, Some(3_000)), (None, Some(2_000)), false),
            // The first byte was quick all the time.
            ((Some(4_000), Some(50)), (Some(4_000), Some(10)), true),
            ((Some(4_000), Some(50)), (Some(1_000), Some(90)), false),
            ((Some(200), Some(3_000)), (Some(100), Some(3_000)), true),
            ((Some(200), Some(3_000)), (Some(900), Some(1_000)), false),
            // The storm is over.
            ((Some(4_000), Some(50)), (None, Some(50)), false),
        ] {
            let (brake, now) = two(load(before.0, before.1), load(after.0, after.1));
            assert_eq!(brake.holds(now), in_vain, "{before:?}, {after:?}");
        }
    }
}

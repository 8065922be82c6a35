//! The no-gain brake: when more workers do not make answers faster, they are not what is slow.

use std::time::Duration;

use tokio::time::Instant;

/// An increase is judged so long after its replicas are ready.
const JUDGED_AFTER: Duration = Duration::from_secs(60);
/// After two in vain, no more for so long.
const SUSPENDED_FOR: Duration = Duration::from_secs(600);
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
    /// What 95 of 100 were answered within before.
    before: Duration,
    /// When as many as were asked for were ready.
    complete: Option<Instant>,
    count: u32,
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
    pub(super) fn raised(&mut self, count: u32, answered_within: Option<Duration>) {
        if count <= self.proven {
            return;
        }
        let Some(before) = answered_within else {
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
    pub(super) fn watch(&mut self, ready: u32, answered_within: Option<Duration>, now: Instant) {
        let Some(trial) = &mut self.trial else {
            return;
        };
        if ready < trial.count {
            return;
        }
        let complete = *trial.complete.get_or_insert(now);
        if now.duration_since(complete) < JUDGED_AFTER {
            return;
        }
        // Nobody who asks is nobody who waits.
        let better = answered_within
            .is_none_or(|after| after.as_secs_f64() <= trial.before.as_secs_f64() * IMPROVED);
        if better {
            self.proven = self.proven.max(trial.count);
        }
        self.trial = None;
        self.in_vain = if better { 0 } else { self.in_vain + 1 };
        if self.in_vain >= 2 {
            self.in_vain = 0;
            self.suspended_until = Some(now + SUSPENDED_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_increases_that_do_not_help_are_the_last_for_a_while() {
        let slow = Some(Duration::from_secs(4));
        let start = Instant::now();
        let mut brake = Brake::default();
        let mut now = start;
        for count in [6, 8] {
            brake.raised(count, slow);
            brake.watch(count, slow, now);
            assert!(!brake.holds(now));
            now += JUDGED_AFTER;
            brake.watch(count, slow, now);
        }
        assert!(brake.holds(now));
        assert!(!brake.holds(now + SUSPENDED_FOR));
    }

    #[test]
    fn an_increase_that_helps_is_no_reason_to_brake() {
        let start = Instant::now();
        let mut brake = Brake::default();
        for (round, after) in [(0, 4_000), (1, 1_000), (2, 4_000)] {
            let now = start + JUDGED_AFTER * 2 * round;
            brake.raised(6, Some(Duration::from_secs(4)));
            brake.watch(6, None, now);
            brake.watch(6, Some(Duration::from_millis(after)), now + JUDGED_AFTER);
        }
        assert!(!brake.holds(start + JUDGED_AFTER * 6));
    }
}

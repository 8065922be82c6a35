//! What keeps replicas although nobody is there: who was lost is expected back.

use tokio::time::Instant;

use super::demand::Reading;
use super::policy::Spans;

/// So many replicas at least, until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) count: u32,
    pub(super) until: Instant,
}

/// The holds of one service.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    /// What ran when usher started: every session died with the old process, and comes back.
    boot: Option<Hold>,
    ghost: Option<Hold>,
    /// The sessions there were before they were lost.
    missing: u32,
}

impl Holds {
    /// Called once, with what is there when it is first seen.
    pub(super) fn boot(&mut self, present: u32, spans: &Spans, now: Instant) {
        self.boot = Some(Hold {
            count: present,
            until: now + spans.boot,
        });
    }

    /// Notices a loss. `event`: whether one is on.
    pub(super) fn watch(
        &mut self,
        reading: &Reading,
        present: u32,
        event: bool,
        spans: &Spans,
        now: Instant,
    ) {
        let held = self.ghost(now);
        if reading.lost {
            self.missing = self.missing.max(reading.before);
            self.ghost = Some(Hold {
                count: present.max(held.unwrap_or_default()),
                until: now + spans.ghost,
            });
        } else if let Some(count) = held {
            let back = u64::from(reading.sessions) * 10 >= u64::from(self.missing) * 8;
            if event && !back {
                self.ghost = Some(Hold {
                    count,
                    until: now + spans.ghost,
                });
            }
        } else {
            self.missing = 0;
        }
    }

    /// Whether those who are there are the ones who were lost, or fewer; one in ten more is as good.
    pub(super) fn is_return_of(&self, crowd: u32, now: Instant) -> bool {
        self.ghost(now).is_some() && u64::from(crowd) * 10 <= u64::from(self.missing) * 11
    }

    pub(super) fn boot_now(&self, now: Instant) -> Option<u32> {
        running(self.boot, now)
    }

    pub(super) fn ghost(&self, now: Instant) -> Option<u32> {
        running(self.ghost, now)
    }
}

fn running(hold: Option<Hold>, now: Instant) -> Option<u32> {
    hold.filter(|hold| now < hold.until).map(|hold| hold.count)
}

//! Figures of merit.

use serde::Serialize;

/// A change of direction sooner than this after the last is a flap, in seconds.
const FLAP: usize = 600;

/// What a rule was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Merit {
    /// Seconds that people wanted to be connected and were not.
    pub unserved: f64,
    /// Replica-seconds, beside those of somebody who knows every second what it needs.
    pub cost: f64,
    /// Sessions that ended because their replica was removed under them.
    pub dropped: f64,
    /// Sessions that were asked to come back after their replica had drained.
    pub migrated: f64,
    /// Changes of direction within ten minutes.
    pub flaps: u32,
    /// The longest that an ordinary request had to wait for a worker, in seconds.
    pub http_wait_max: f64,
    /// Handshakes that failed.
    #[serde(skip)]
    pub failed: f64,
    /// Replicas beyond what is needed, in hours.
    #[serde(skip)]
    pub surplus_hours: f64,
    /// Replicas, in hours.
    #[serde(skip)]
    pub hours: f64,
}

impl Merit {
    /// The same without what went unserved anyway.
    pub fn beyond(self, plenty: &Self) -> Self {
        Self {
            unserved: (self.unserved - plenty.unserved).max(0.0),
            ..self
        }
    }
}

/// Gathers a run's figures, second by second.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) merit: Merit,
    spent: f64,
    ideal: f64,
    last: Option<u32>,
    direction: Option<(bool, usize)>,
}

impl Ledger {
    /// Replicas of one second, and what somebody who knows everything would have had.
    pub(super) fn spend(&mut self, webs: f64, workers: f64, ideal_webs: f64, ideal_workers: f64) {
        self.spent += webs + workers;
        self.ideal += ideal_webs + ideal_workers;
        let surplus = (webs - ideal_webs).max(0.0) + (workers - ideal_workers).max(0.0);
        self.merit.surplus_hours += surplus / 3_600.0;
    }

    /// What the rule wants now.
    pub(super) fn wants(&mut self, second: usize, webs: u32) {
        let Some(last) = self.last.replace(webs).filter(|last| *last != webs) else {
            return;
        };
        let up = webs > last;
        if let Some((was_up, at)) = self.direction
            && was_up != up
            && second - at <= FLAP
        {
            self.merit.flaps += 1;
        }
        self.direction = Some((up, second));
    }

    pub(super) fn waits(&mut self, seconds: f64) {
        self.merit.http_wait_max = self.merit.http_wait_max.max(seconds);
    }

    pub(super) fn close(self) -> Merit {
        Merit {
            cost: self.spent / self.ideal.max(1.0),
            hours: self.spent / 3_600.0,
            ..self.merit
        }
    }
}

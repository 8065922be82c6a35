//! How one stack is scaled, and what is remembered for it.

use super::event::Now;
use crate::autoscaler::{self, Policy};
use crate::config::Instance;

/// How one stack is scaled, and what is remembered for it.
#[derive(Debug)]
pub(super) struct Scaler {
    pub(super) policy: Policy,
    pub(super) state: autoscaler::State,
}

impl Scaler {
    pub(super) fn new(instance: &Instance) -> Self {
        Self {
            policy: Policy::of(instance),
            state: autoscaler::State::default(),
        }
    }

    /// The most sessions of each of the last days, by service, this day first.
    pub(super) fn peaks(&self) -> impl Iterator<Item = (&str, Vec<u32>)> {
        let peaks = self.state.peaks();
        peaks.map(|(service, peaks)| (service, peaks.to_vec()))
    }

    /// Takes in what an earlier process saw so many days ago.
    pub(super) fn remember(&mut self, service: &str, peaks: &[u32], days_ago: usize, now: Now) {
        self.state
            .remember(&self.policy, service, peaks, days_ago, now.at);
    }

    /// Whether the first replicas are on their way up for whoever has come.
    pub(super) fn is_waking(&self) -> bool {
        self.state.is_waking()
    }

    /// Takes a new configuration; what is known of the past stays.
    pub(super) fn configure(&mut self, instance: &Instance) {
        self.policy = Policy::of(instance);
    }
}

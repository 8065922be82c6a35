//! How long a replica takes to become ready.

use std::collections::VecDeque;
use std::time::Duration;

/// So many of the last starts count.
const KEPT: usize = 20;

/// The last starts of one service.
#[derive(Clone, Debug, Default)]
pub struct Lead(VecDeque<Duration>);

impl Lead {
    /// A replica has become ready, so long after its start.
    pub fn record(&mut self, took: Duration) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(took);
    }

    /// Nine of ten starts take at most this long; `None` before the first.
    pub fn usual(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let index = (sorted.len() * 9).div_ceil(10).checked_sub(1)?;
        sorted.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_tenth_does_not_count() {
        let mut lead = Lead::default();
        assert_eq!(lead.usual(), None);
        for second in 1..=100 {
            lead.record(Duration::from_secs(second));
        }
        assert_eq!(lead.usual(), Some(Duration::from_secs(98)));
    }
}

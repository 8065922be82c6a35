//! What replicas of a service take of the host, by what was seen of them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::meter::Taken;

/// What was seen longer ago says nothing about now,
const MEMORY_FOR: Duration = Duration::from_secs(3_600);
const PROCESSOR_FOR: Duration = Duration::from_secs(600);
/// nor does more than the newest of so many.
const MOST: usize = 120;

/// The newest looks at replicas of one service.
#[derive(Debug, Default)]
pub(in crate::control) struct Takes {
    memory: Seen,
    processor: Seen,
    /// What their maker has set aside for each, in bytes.
    pub(in crate::control) reserved: u64,
}

/// Values and when they were seen, the oldest first.
#[derive(Debug, Default)]
struct Seen {
    values: VecDeque<(Instant, u64)>,
    /// What 95 of 100 do not exceed.
    usual: Option<u64>,
}

impl Takes {
    pub(in crate::control) fn take(&mut self, taken: &Taken, now: Instant) {
        if let Some(memory) = taken.memory {
            self.memory.take(memory, now, MEMORY_FOR);
        }
        if let Some(processor) = taken.processor {
            self.processor.take(processor, now, PROCESSOR_FOR);
        }
        if let Some(reserved) = taken.reserved {
            self.reserved = reserved;
        }
    }

    /// What nineteen of twenty looks did not exceed, in bytes.
    pub(in crate::control) fn memory(&self) -> Option<u64> {
        self.memory.usual
    }

    /// The same in thousandths of a processor.
    pub(in crate::control) fn processor(&self) -> Option<u64> {
        self.processor.usual
    }
}

impl Seen {
    /// The newest stays, however old it gets: where nobody has anything to do, looks are rare.
    fn take(&mut self, value: u64, now: Instant, good_for: Duration) {
        let old = |(at, _): &(Instant, u64)| now.duration_since(*at) > good_for;
        while self.values.front().is_some_and(old) || self.values.len() >= MOST {
            self.values.pop_front();
        }
        self.values.push_back((now, value));
        let mut sorted: Vec<u64> = self.values.iter().map(|(_, value)| *value).collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100);
        self.usual = sorted.get(rank.saturating_sub(1)).copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(memory: u64, processor: u64) -> Taken {
        Taken {
            unit: "a".to_owned(),
            memory: Some(memory),
            processor: Some(processor),
            reserved: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_odd_look_in_twenty_says_nothing_and_old_ones_are_forgotten() {
        let (mut takes, start) = (Takes::default(), Instant::now());
        assert_eq!((takes.memory(), takes.processor()), (None, None));
        takes.take(&taken(900, 900), start);
        assert_eq!(takes.memory(), Some(900));
        for second in 1..20 {
            takes.take(&taken(60, 10), start + Duration::from_secs(second));
        }
        assert_eq!((takes.memory(), takes.processor()), (Some(60), Some(10)));
        takes.take(&taken(70, 400), start + Duration::from_secs(630));
        assert_eq!(takes.processor(), Some(400), "of the last ten minutes");
        assert_eq!(takes.memory(), Some(70), "of the last hour");
    }
}

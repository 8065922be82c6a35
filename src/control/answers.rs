//! How quickly replicas answer, lately.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::plan::DURATION_BUCKETS;

type Histogram = [u64; DURATION_BUCKETS.len() + 1];

/// Lately is so long.
const LATELY: Duration = Duration::from_secs(10);
/// More looks than seconds come only when plans do; the newest count.
const MOST: usize = 32;

/// Totals of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<(Instant, Histogram)>);

impl Answers {
    /// Takes the totals of this moment in.
    pub(super) fn take(&mut self, now: Instant, totals: Histogram) {
        self.0.push_back((now, totals));
        // One older than the span is where it begins.
        while self.0.len() > MOST
            || self
                .0
                .get(1)
                .is_some_and(|(at, _)| now.duration_since(*at) > LATELY)
        {
            self.0.pop_front();
        }
    }

    /// What 95 of 100 were answered within, or `None` if there was no answer.
    pub(super) fn within(&self) -> Option<Duration> {
        let ((_, old), (_, new)) = (self.0.front()?, self.0.back()?);
        let counts: Vec<u64> = new
            .iter()
            .zip(old)
            .map(|(new, old)| new.saturating_sub(*old))
            .collect();
        let all: u64 = counts.iter().sum();
        let rank = (all * 95).div_ceil(100);
        let mut seen = 0;
        let mut below = 0.0;
        for (index, count) in counts.iter().enumerate() {
            // What is in the last bucket took longer than any bound says.
            let above = DURATION_BUCKETS.get(index).copied().unwrap_or(below * 2.0);
            if rank > 0 && seen + count >= rank {
                #[expect(clippy::cast_precision_loss, reason = "a share of a bucket")]
                let share = (rank - seen) as f64 / *count as f64;
                return Some(Duration::from_secs_f64(below + (above - below) * share));
            }
            seen += count;
            below = above;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answers_of_the_last_seconds_count() {
        let start = Instant::now();
        let mut answers = Answers::default();
        let mut totals = Histogram::default();
        answers.take(start, totals);
        assert_eq!(answers.within(), None);
        totals[9] = 100; // 2.5 s to 5 s
        answers.take(start + Duration::from_secs(1), totals);
        let slow = answers.within().expect("answers");
        assert!(
            slow > Duration::from_secs(4) && slow <= Duration::from_secs(5),
            "{slow:?}"
        );
        for second in 2..=13 {
            totals[0] += 1;
            answers.take(start + Duration::from_secs(second), totals);
        }
        let quick = answers.within().expect("answers");
        assert!(quick <= Duration::from_millis(5), "{quick:?}");
    }
}

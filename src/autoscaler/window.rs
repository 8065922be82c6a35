//! The highest of recent samples.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Samples of one number over a span of time, kept so that the maximum is at the front.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Falling values at rising times: a sample that a later, higher one outlived is gone.
    peaks: VecDeque<(Instant, u32)>,
    /// When samples began to come without a gap.
    unbroken_since: Option<Instant>,
    last: Option<Instant>,
}

/// Two samples further apart than this have an unknown time between them.
const GAP: Duration = Duration::from_secs(5);

impl Window {
    /// Takes a sample in and forgets what is older than `span`.
    pub fn push(&mut self, now: Instant, value: u32, span: Duration) {
        let gap = self.last.is_some_and(|last| now.duration_since(last) > GAP);
        if gap || self.unbroken_since.is_none() {
            self.unbroken_since = Some(now);
        }
        self.last = Some(now);
        while self.peaks.back().is_some_and(|(_, peak)| *peak <= value) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, value));
        while self
            .peaks
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > span)
        {
            self.peaks.pop_front();
        }
    }

    /// The highest sample, or `None` while the last `span` is not known without a gap.
    pub fn peak(&self, now: Instant, span: Duration) -> Option<u32> {
        let fresh = self
            .last
            .is_some_and(|last| now.duration_since(last) <= GAP);
        let whole = self
            .unbroken_since
            .is_some_and(|since| now.duration_since(since) >= span);
        if fresh && whole {
            self.peaks.front().map(|(_, peak)| *peak)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn filled(start: Instant, values: &[u32]) -> Window {
        let mut window = Window::default();
        for (second, value) in (0..).zip(values) {
            window.push(at(start, second), *value, SPAN);
        }
        window
    }

    #[tokio::test]
    async fn a_young_window_knows_no_peak() {
        let start = Instant::now();
        let window = filled(start, &[5; 10]);
        assert_eq!(window.peak(at(start, 9), SPAN), None);
    }

    #[tokio::test]
    async fn the_peak_is_forgotten_after_the_span() {
        let start = Instant::now();
        let mut window = filled(start, &[1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(window.peak(at(start, 11), SPAN), Some(9));
        window.push(at(start, 12), 2, SPAN);
        assert_eq!(window.peak(at(start, 12), SPAN), Some(2));
    }

    #[tokio::test]
    async fn a_gap_makes_the_past_unknown() {
        let start = Instant::now();
        let mut window = filled(start, &[3; 20]);
        window.push(at(start, 40), 0, SPAN);
        assert_eq!(window.peak(at(start, 40), SPAN), None);
        assert_eq!(window.peak(at(start, 60), SPAN), None, "stale");
    }
}

//! The highest of the samples of a span of time.

use std::time::Duration;

use tokio::time::Instant;

use super::recent::GAP;

/// Parts that a span is divided into. The oldest is forgotten as a whole, so a peak lasts up to a
/// sixtieth longer than the span, never shorter.
const PARTS: u32 = 60;
/// One more than parts overlap a span, and a power of two.
const PLACES: usize = 64;

/// Samples of one number over a span of time, bounded in memory whatever the span.
#[derive(Clone, Debug)]
pub(super) struct Window {
    span: Duration,
    began: Instant,
    peaks: [u32; PLACES],
    /// The number of the newest part.
    newest: u64,
    /// When samples began to come without a gap.
    unbroken_since: Option<Instant>,
    last: Option<Instant>,
}

impl Window {
    pub(super) fn new(span: Duration, began: Instant) -> Self {
        Self {
            span,
            began,
            peaks: [0; PLACES],
            newest: 0,
            unbroken_since: None,
            last: None,
        }
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }

    /// Takes a sample in and forgets what is older than the span.
    pub(super) fn push(&mut self, now: Instant, value: u32) {
        let gap = |last| now.duration_since(last) > Duration::from_secs(GAP);
        if self.unbroken_since.is_none() || self.last.is_some_and(gap) {
            self.unbroken_since = Some(now);
            self.peaks = [0; PLACES];
        }
        self.last = Some(now);
        let part = self.part(now.duration_since(self.began));
        let passed = part.saturating_sub(self.newest).min(PLACES as u64);
        for skipped in 0..passed {
            *self.place(part - skipped) = 0;
        }
        self.newest = self.newest.max(part);
        let peak = self.place(part);
        *peak = (*peak).max(value);
    }

    fn part(&self, since: Duration) -> u64 {
        let width = (self.span / PARTS).as_millis().max(1);
        u64::try_from(since.as_millis() / width).unwrap_or(u64::MAX)
    }

    fn place(&mut self, part: u64) -> &mut u32 {
        let index = usize::try_from(part % PLACES as u64).unwrap_or_default();
        // The remainder is below the length.
        self.peaks
            .get_mut(index)
            .expect("an index below the length")
    }

    /// The highest sample there is of the span, however little of it is known.
    pub(super) fn known_peak(&self, now: Instant) -> u32 {
        let newest = self.part(now.duration_since(self.began));
        let past = now.duration_since(self.began).saturating_sub(self.span);
        let oldest = self
            .part(past)
            .max(newest.saturating_sub(PLACES as u64 - 1));
        if oldest > self.newest {
            return 0;
        }
        (oldest..=self.newest)
            .filter_map(|part| {
                let index = usize::try_from(part % PLACES as u64).ok()?;
                self.peaks.get(index).copied()
            })
            .max()
            .unwrap_or_default()
    }

    /// The highest sample, or `None` while the span is not known as a whole and without a gap.
    pub(super) fn peak(&self, now: Instant) -> Option<u32> {
        let fresh = |last| now.duration_since(last) <= Duration::from_secs(GAP);
        let whole = |since| now.duration_since(since) >= self.span;
        let known = self.last.is_some_and(fresh) && self.unbroken_since.is_some_and(whole);
        known.then(|| self.known_peak(now))
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
        let mut window = Window::new(SPAN, start);
        for (second, value) in (0..).zip(values) {
            window.push(at(start, second), *value);
        }
        window
    }

    #[test]
    fn a_young_window_knows_no_peak() {
        let start = Instant::now();
        let window = filled(start, &[5; 10]);
        assert_eq!(window.peak(at(start, 9)), None);
        assert_eq!(window.known_peak(at(start, 9)), 5);
    }

    #[test]
    fn the_peak_is_forgotten_after_the_span() {
        let start = Instant::now();
        let mut window = filled(start, &[1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(window.peak(at(start, 11)), Some(9));
        window.push(at(start, 12), 2);
        assert_eq!(window.peak(at(start, 12)), Some(2));
    }

    #[test]
    fn a_gap_makes_the_past_unknown() {
        let start = Instant::now();
        let mut window = filled(start, &[3; 20]);
        window.push(at(start, 40), 0);
        assert_eq!(window.peak(at(start, 40)), None);
        assert_eq!(window.peak(at(start, 60)), None, "stale");
    }

    #[test]
    fn a_span_of_an_hour_forgets_within_a_minute_more() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(3_600), start);
        window.push(start, 7);
        for second in 1..=3_700 {
            window.push(at(start, second), 1);
        }
        assert_eq!(window.peak(at(start, 3_700)), Some(1));
    }
}

//! One number a second, for the last seconds.

/// Two samples further apart than this have an unknown time between them, in seconds.
pub(super) const GAP: u64 = 5;

/// The last `N` seconds of a number. Seconds are counted from wherever the caller began.
#[derive(Clone, Debug)]
pub(super) struct Recent<const N: usize> {
    values: [u32; N],
    last: u64,
    /// How many of the last seconds are known, at most `N`.
    known: usize,
}

impl<const N: usize> Default for Recent<N> {
    fn default() -> Self {
        Self {
            values: [0; N],
            last: 0,
            known: 0,
        }
    }
}

impl<const N: usize> Recent<N> {
    /// Takes a sample in. A second that was skipped has the value of the next; after more than
    /// [`GAP`] of them the past is forgotten.
    pub(super) fn push(&mut self, second: u64, value: u32) {
        let passed = second.saturating_sub(self.last);
        if self.known == 0 || passed > GAP {
            self.known = 1;
            self.last = second;
            self.set(second, value);
            return;
        }
        for skipped in 0..passed {
            self.set(second - skipped, value);
        }
        self.set(second.max(self.last), value);
        self.last = second.max(self.last);
        let passed = usize::try_from(passed).unwrap_or(N);
        self.known = self.known.saturating_add(passed).min(N);
    }

    fn set(&mut self, second: u64, value: u32) {
        let length = u64::try_from(N).unwrap_or(1);
        let index = usize::try_from(second % length).unwrap_or_default();
        if let Some(place) = self.values.get_mut(index) {
            *place = value;
        }
    }

    /// The value so many seconds before the last sample, if it is known.
    pub(super) fn ago(&self, seconds: u64) -> Option<u32> {
        let within = usize::try_from(seconds).is_ok_and(|seconds| seconds < self.known);
        if !within {
            return None;
        }
        let length = u64::try_from(N).ok()?;
        let index = usize::try_from((self.last - seconds) % length).ok()?;
        self.values.get(index).copied()
    }

    /// The highest of what is known.
    pub(super) fn highest(&self) -> u32 {
        self.newest(N).max().unwrap_or_default()
    }

    /// The mean of the last seconds, as many of them as are known.
    pub(super) fn mean(&self, seconds: usize) -> f64 {
        let count = seconds.min(self.known);
        let sum: u64 = self.newest(seconds).map(u64::from).sum();
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        // At most N × u32::MAX, far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "the sum is small")]
        let sum = sum as f64;
        sum / f64::from(count)
    }

    /// The newest values, the newest first.
    fn newest(&self, most: usize) -> impl Iterator<Item = u32> {
        let length = u64::try_from(N).unwrap_or(1);
        let start = usize::try_from(self.last % length).unwrap_or_default();
        let (older, newer) = self.values.split_at((start + 1).min(N));
        older
            .iter()
            .rev()
            .chain(newer.iter().rev())
            .take(most.min(self.known))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_last_seconds_and_no_more() {
        let mut recent = Recent::<8>::default();
        for second in 0..20 {
            recent.push(second, u32::try_from(second).expect("small"));
        }
        assert_eq!(
            (recent.ago(0), recent.ago(7), recent.ago(8)),
            (Some(19), Some(12), None)
        );
        assert_eq!(recent.highest(), 19);
        assert!((recent.mean(2) - 18.5).abs() < 1e-9);
    }

    #[test]
    fn a_second_is_overwritten_and_a_skipped_one_filled() {
        let mut recent = Recent::<8>::default();
        recent.push(0, 1);
        recent.push(0, 2);
        recent.push(3, 5);
        assert_eq!(
            (recent.ago(3), recent.ago(2), recent.ago(0)),
            (Some(2), Some(5), Some(5))
        );
    }

    #[test]
    fn after_a_gap_the_past_is_unknown() {
        let mut recent = Recent::<8>::default();
        recent.push(0, 9);
        recent.push(6, 1);
        assert_eq!(
            (recent.ago(0), recent.ago(1), recent.highest()),
            (Some(1), None, 1)
        );
    }
}

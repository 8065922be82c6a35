//! Requests that come back to usher from where they were sent.

use std::time::Duration;

use tokio::time::Instant;

/// What has not happened for so long is mended, or nobody asks any more.
const TOLD_FOR: Duration = Duration::from_secs(300);

/// Of one service.
#[derive(Debug, Default)]
pub(super) struct Loops {
    known: Option<u64>,
    last: Option<Instant>,
}

impl Loops {
    /// Takes the total of this moment in. Returns whether that is news.
    pub(super) fn take(&mut self, total: u64, now: Instant) -> bool {
        // A total that was not known before is of an unknown time.
        let more = self.known.replace(total).is_some_and(|known| total > known);
        let news = more && !self.are_told(now);
        if more {
            self.last = Some(now);
        }
        news
    }

    /// Whether it happened lately.
    pub(super) fn are_told(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < TOLD_FOR)
    }
}

/// What the log and the status say about it.
pub(super) const CAUSE: &str = "what it is sent comes back to usher and is answered 508; a port it \
    publishes, its address, or a proxy it runs leads here";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_news_once_and_told_until_it_has_been_gone_for_five_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut loops = Loops::default();
        assert!(!loops.take(7, at(0)), "of an unknown time");
        assert!(!loops.are_told(at(0)));
        assert!(loops.take(8, at(1)));
        assert!(!loops.take(9, at(200)), "known already");
        assert!(loops.are_told(at(499)));
        assert!(!loops.are_told(at(500)));
        assert!(loops.take(10, at(600)), "again");
    }
}

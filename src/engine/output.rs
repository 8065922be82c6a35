//! What replicas print: lines, each with its moment and the stream it came from.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::SystemTime;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::names::ServiceName;

/// One of a stack that printed something, whether or not it still runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Printer {
    pub service: ServiceName,
    /// As the engine calls it: `congress_web_1`.
    pub name: String,
    /// The engine's own id.
    pub id: String,
}

/// One line, without its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    pub at: SystemTime,
    pub stream: Stream,
    /// Whatever the replica wrote; what is not UTF-8 is replaced.
    pub text: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    Stderr,
    Stdout,
    /// Of a terminal, where the two are one.
    Terminal,
}

impl Stream {
    pub fn word(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Stdout => "stdout",
            Self::Terminal => "terminal",
        }
    }
}

/// Which lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// Not before this moment.
    pub since: Option<SystemTime>,
    /// Until the replica ends, instead of until now.
    pub follow: bool,
    /// Of what there is already, at most so many of the youngest lines.
    pub last: Option<usize>,
}

/// Bytes of text that are kept of one child process; the oldest lines go first.
const KEPT: usize = 1 << 20;
/// What a line costs beside its text.
const PER_LINE: usize = size_of::<Line>();

/// The last of what one child process printed.
///
/// In memory, and not in files: whoever wants more has it in usher's own log, which somebody
/// rotates already, and nothing of it is worth more than the process itself.
#[derive(Debug)]
pub(super) struct Ring {
    lines: Mutex<Lines>,
    /// How many lines there have ever been; closed when no more will come.
    count: watch::Sender<Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    ever: u64,
    ended: bool,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Line>,
    bytes: usize,
    /// The number of the first that is kept.
    first: u64,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self {
            lines: Mutex::default(),
            count: watch::Sender::new(Count::default()),
        }
    }

    pub(super) fn push(&self, line: Line) {
        let mut lines = self.lock();
        lines.bytes += line.text.len() + PER_LINE;
        lines.kept.push_back(line);
        while lines.bytes > KEPT {
            let Some(gone) = lines.kept.pop_front() else {
                break;
            };
            lines.bytes -= gone.text.len() + PER_LINE;
            lines.first += 1;
        }
        drop(lines);
        self.count.send_modify(|count| count.ever += 1);
    }

    /// No more will come.
    pub(super) fn end(&self) {
        self.count.send_modify(|count| count.ended = true);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.count.borrow().ended
    }

    /// The lines of a span. Who reads too slowly misses the oldest.
    pub(super) fn read(self: std::sync::Arc<Self>, span: Span) -> BoxStream<'static, Line> {
        let count = self.count.subscribe();
        let next = span.last.map_or(0, |last| self.number_of_last(last));
        let begin = (self, count, next);
        stream::unfold(begin, move |(ring, mut count, mut next)| async move {
            loop {
                let until = *count.borrow_and_update();
                if let Some((line, number)) = ring.at(next) {
                    next = number + 1;
                    if span.since.is_none_or(|since| line.at >= since) {
                        return Some((line, (ring, count, next)));
                    }
                    continue;
                }
                if !span.follow || until.ended || count.changed().await.is_err() {
                    return None;
                }
            }
        })
        .boxed()
    }

    /// The line with this number or the next one that is kept.
    fn at(&self, number: u64) -> Option<(Line, u64)> {
        let lines = self.lock();
        let number = number.max(lines.first);
        let index = usize::try_from(number - lines.first).ok()?;
        Some((lines.kept.get(index)?.clone(), number))
    }

    /// The number of the first of the youngest `count` lines.
    fn number_of_last(&self, count: usize) -> u64 {
        let lines = self.lock();
        let older = lines.kept.len().saturating_sub(count);
        lines.first + u64::try_from(older).unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        // Counts that are off by a line cost a line.
        self.lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn line(seconds: u64, text: &str) -> Line {
        Line {
            at: NOW + Duration::from_secs(seconds),
            stream: Stream::Stdout,
            text: text.to_owned(),
        }
    }

    async fn texts(lines: BoxStream<'static, Line>) -> Vec<String> {
        lines.map(|line| line.text).collect().await
    }

    #[tokio::test]
    async fn a_chatty_process_costs_no_more_than_its_ring() {
        let ring = Arc::new(Ring::new());
        for number in 0..5_000 {
            ring.push(line(number, &"x".repeat(1_000)));
        }
        assert!(ring.lock().bytes <= KEPT);
        let span = Span {
            since: None,
            follow: false,
            last: None,
        };
        let kept = texts(ring.read(span)).await.len();
        assert!((900..1_100).contains(&kept), "{kept}");
    }

    #[tokio::test]
    async fn the_last_lines_are_the_youngest_and_what_follows_them_comes_too() {
        let ring = Arc::new(Ring::new());
        for number in 0..9 {
            ring.push(line(number, &number.to_string()));
        }
        let last = |last, follow| Span {
            since: None,
            follow,
            last: Some(last),
        };
        let kept = |span| texts(Arc::clone(&ring).read(span));
        assert_eq!(kept(last(2, false)).await, ["7", "8"]);
        assert_eq!(kept(last(99, false)).await.len(), 9);
        let following = Arc::clone(&ring).read(last(1, true));
        ring.push(line(9, "9"));
        ring.end();
        assert_eq!(texts(following).await, ["8", "9"]);
    }

    #[tokio::test]
    async fn who_follows_has_the_old_lines_then_the_new_ones_and_the_end() {
        let ring = Arc::new(Ring::new());
        ring.push(line(1, "too old"));
        ring.push(line(5, "old"));
        let span = Span {
            since: Some(NOW + Duration::from_secs(2)),
            follow: true,
            last: None,
        };
        let mut lines = Arc::clone(&ring).read(span);
        assert_eq!(lines.next().await, Some(line(5, "old")));
        ring.push(line(6, "new"));
        assert_eq!(lines.next().await, Some(line(6, "new")));
        ring.end();
        assert_eq!(lines.next().await, None);
    }
}

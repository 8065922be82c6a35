//! What is inside one endpoint, and whether more may enter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::counters::ServiceCounters;
use crate::plan::EndpointReport;

/// The top bit of the word says closed, the rest counts.
const CLOSED: u32 = 1 << 31;

/// Counts of one endpoint. They live as long as anything is inside, whatever tables come and go.
///
/// `enter` and `close` contend on a single word: whatever enters is either counted before the
/// close, and a drain waits for it, or refused, and picks again from the newest table.
#[derive(Debug, Default)]
pub(super) struct Load {
    word: AtomicU32,
    websockets: AtomicU32,
    streams: AtomicU32,
    /// Handshakes of websockets that the replica has not answered yet.
    pending: AtomicU32,
}

impl Load {
    /// Claims a place, or `None` while the endpoint is closed.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Inside> {
        if self.word.fetch_add(1, Ordering::AcqRel) & CLOSED != 0 {
            self.word.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Inside(Arc::clone(self)))
    }

    /// Refuses what is new; what is inside continues.
    pub(super) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Accepts again: demand returned before the drain was done.
    pub(super) fn reopen(&self) {
        self.word.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Everything inside. An upper bound: a refused `enter` shows for an instant.
    pub(super) fn inside(&self) -> u32 {
        self.word.load(Ordering::Acquire) & !CLOSED
    }

    /// Websockets and streams.
    pub(super) fn sessions(&self) -> u32 {
        self.websockets.load(Ordering::Relaxed) + self.streams.load(Ordering::Relaxed)
    }

    /// Sessions, and those about to be.
    pub(super) fn sessions_soon(&self) -> u32 {
        self.sessions() + self.pending()
    }

    /// Handshakes that are under way.
    pub(super) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Counts a handshake as a session to be, until the value is dropped.
    pub(super) fn handshake(self: &Arc<Self>, service: &Arc<ServiceCounters>) -> Pending {
        self.pending.fetch_add(1, Ordering::AcqRel);
        Pending {
            load: Arc::clone(self),
            service: Arc::clone(service),
        }
    }

    /// The counts as they are now.
    pub(super) fn report(&self) -> EndpointReport {
        // Sessions are read before the word: one that ends in between makes the report show one
        // request too many, never one session that is not inside.
        let websockets = self.websockets.load(Ordering::Acquire);
        let streams = self.streams.load(Ordering::Acquire);
        let word = self.word.load(Ordering::Acquire);
        EndpointReport {
            closed: word & CLOSED != 0,
            inside: word & !CLOSED,
            websockets,
            streams,
        }
    }

    pub(super) fn count(&self, kind: SessionKind) -> &AtomicU32 {
        match kind {
            SessionKind::Stream => &self.streams,
            SessionKind::Websocket => &self.websockets,
        }
    }
}

/// The two kinds of sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionKind {
    Stream,
    Websocket,
}

impl SessionKind {
    /// The word of the log and the status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Websocket => "websocket",
        }
    }
}

/// One request or session inside an endpoint. Dropping it is the only way to count down.
#[must_use]
#[derive(Debug)]
pub struct Inside(Arc<Load>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.word.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One handshake that has not been answered.
#[must_use]
#[derive(Debug)]
pub struct Pending {
    load: Arc<Load>,
    service: Arc<ServiceCounters>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.load.pending.fetch_sub(1, Ordering::AcqRel);
        self.service.seats.tell(1);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_closed_endpoint_takes_nothing_and_keeps_what_is_inside() {
        let load = Arc::new(Load::default());
        let inside = load.enter().expect("open");
        load.close();
        assert!(load.enter().is_none());
        assert_eq!(load.inside(), 1);
        drop(inside);
        assert_eq!(
            load.report(),
            EndpointReport {
                closed: true,
                ..EndpointReport::default()
            }
        );
        load.reopen();
        assert!(load.enter().is_some());
    }

    #[test]
    fn once_closed_and_seen_empty_it_stays_empty() {
        for _ in 0..200 {
            let load = Arc::new(Load::default());
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            drop(load.enter());
                        }
                    });
                }
                load.close();
                while load.inside() > 0 {
                    thread::yield_now();
                }
                assert!(load.enter().is_none());
            });
            assert_eq!(load.inside(), 0);
        }
    }
}

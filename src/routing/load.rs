//! What is inside one endpoint, and whether more may enter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::admission::Shaking;
use crate::drain::{DrainProof, Gate};
use crate::names::ReplicaId;
use crate::plan::EndpointReport;

/// Counts of one endpoint. They live as long as anything is inside, whatever tables come and go.
#[derive(Debug)]
pub(super) struct Load {
    gate: Gate,
    websockets: AtomicU32,
    streams: AtomicU32,
    /// Handshakes of websockets that the replica has not answered yet.
    pending: AtomicU32,
}

impl Load {
    pub(super) fn new(replica: ReplicaId) -> Self {
        Self {
            gate: Gate::new(replica),
            websockets: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            pending: AtomicU32::new(0),
        }
    }

    /// Claims a place, or `None` while the endpoint is closed.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Inside> {
        self.gate.enter().then(|| Inside(Arc::clone(self)))
    }

    /// Refuses what is new; what is inside continues.
    pub(super) fn close(&self) {
        self.gate.close();
    }

    /// Begins the time in which everything inside has to end, unless somebody is kept.
    pub(super) fn cut(&self, now: Instant, keep: u32, over: Duration) {
        if keep == 0 {
            self.gate.cut(now, over);
        } else {
            self.gate.close();
        }
    }

    /// Accepts again: demand returned before the drain was done.
    pub(super) fn reopen(&self) {
        self.gate.reopen();
    }

    /// Everything inside. An upper bound: a refused `enter` shows for an instant.
    pub(super) fn inside(&self) -> u32 {
        self.gate.look().1
    }

    /// That the replica may be stopped, once that is so.
    pub(super) fn proof(&self, now: Instant) -> Option<DrainProof> {
        self.gate.proof(now)
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

    /// Counts a handshake as a session to be, until the value is dropped, unless `most` are.
    pub(super) fn handshake(self: &Arc<Self>, shaking: Shaking, most: u32) -> Option<Pending> {
        let more = |now| (now < most).then_some(now + 1);
        let counted = self
            .pending
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        counted.ok().map(|_| Pending {
            load: Arc::clone(self),
            _shaking: shaking,
        })
    }

    /// The counts as they are now.
    pub(super) fn report(&self) -> EndpointReport {
        // Sessions are read before the gate: one that ends in between makes the report show one
        // request too many, never one session that is not inside.
        let websockets = self.websockets.load(Ordering::Acquire);
        let streams = self.streams.load(Ordering::Acquire);
        let (closed, inside) = self.gate.look();
        EndpointReport {
            closed,
            inside,
            websockets,
            streams,
            pending: self.pending(),
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
        self.0.gate.leave();
    }
}

/// One handshake that has not been answered.
#[must_use]
#[derive(Debug)]
pub struct Pending {
    load: Arc<Load>,
    /// Last: whoever it tells finds the place in the replica free as well.
    _shaking: Shaking,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.load.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_endpoint_takes_nothing_and_keeps_what_is_inside() {
        let load = Arc::new(Load::new(ReplicaId::new("web_1", 1)));
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
}

//! Requests that are with a replica, watched from outside.
//!
//! pingora waits for a silent replica as long as it takes, and for a client that dribbles as well;
//! nothing can wake it. A sweep once in a while ends what is overdue, and makes a session of what
//! streams for long.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::dial::Hangup;
use super::failure::Failure;
use super::pace::Pace;
use crate::plan::Ending;
use crate::routing::{SessionCounter, SessionKind};
use crate::sessions::{Order, Session, Sessions};
use crate::shutdown::Shutdown;

const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// An answer that streams for longer is a session.
const STREAM_AFTER: Duration = Duration::from_secs(30);

/// All exchanges.
#[derive(Debug)]
pub(super) struct Exchanges {
    next: AtomicU64,
    open: DashMap<u64, Arc<Exchange>>,
    sessions: Arc<Sessions>,
}

/// One request that is with a replica.
#[derive(Debug)]
pub(super) struct Exchange {
    began: Instant,
    limits: Deadlines,
    counter: SessionCounter,
    /// What the list of sessions may show of the client's address.
    client: Option<IpAddr>,
    hangup: OnceLock<Arc<Hangup>>,
    /// Milliseconds from `began`: when the replica was last owed an answer, and when it last gave
    /// a part of one. Zero is never.
    sent: AtomicU64,
    received: AtomicU64,
    /// Whether the client has sent all of its request.
    asked: AtomicBool,
    /// Bytes of the request's body.
    body: AtomicU64,
    /// Why usher hung up on the replica.
    overdue: OnceLock<Failure>,
    asking: Mutex<Asking>,
    /// Bytes of the answer so far.
    to_client: AtomicU64,
    /// Whether it has become a session.
    is_session: AtomicBool,
    stream: Mutex<Option<Stream>>,
}

/// What the last look at an exchange has seen of its request.
#[derive(Debug)]
struct Asking {
    at: Instant,
    body: u64,
    pace: Pace,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// From the last byte of the request to the first of the answer.
    pub(super) first_byte: Duration,
    /// Nothing from a replica that streams.
    pub(super) idle: Duration,
}

/// The session that a long answer has become.
#[derive(Debug)]
struct Stream {
    session: Session,
    told: oneshot::Receiver<Order>,
    /// When to end it, and why.
    end: Option<(Instant, Ending)>,
}

/// Keeps an exchange registered.
#[must_use]
#[derive(Debug)]
pub(super) struct Watched {
    id: u64,
    all: Arc<Exchanges>,
    exchange: Arc<Exchange>,
}

impl Exchanges {
    pub(super) fn new(sessions: Arc<Sessions>) -> Arc<Self> {
        Arc::new(Self {
            next: AtomicU64::new(0),
            open: DashMap::new(),
            sessions,
        })
    }

    pub(super) fn open(
        self: &Arc<Self>,
        began: Instant,
        limits: Deadlines,
        counter: SessionCounter,
        client: Option<IpAddr>,
    ) -> Watched {
        let exchange = Arc::new(Exchange {
            began,
            limits,
            counter,
            client,
            hangup: OnceLock::new(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            body: AtomicU64::new(0),
            overdue: OnceLock::new(),
            asking: Mutex::new(Asking {
                at: began,
                body: 0,
                pace: Pace::default(),
            }),
            to_client: AtomicU64::new(0),
            is_session: AtomicBool::new(false),
            stream: Mutex::new(None),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.insert(id, Arc::clone(&exchange));
        Watched {
            id,
            all: Arc::clone(self),
            exchange,
        }
    }

    /// Sweeps until shutdown.
    pub(super) async fn sweep(self: Arc<Self>, mut shutdown: Shutdown) {
        let mut tick = interval(SWEEP_EVERY);
        // A sweep that comes late must not count the same silence twice.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                now = tick.tick() => {
                    for exchange in &self.open {
                        exchange.look(now, &self.sessions);
                    }
                }
            }
        }
    }
}

impl Exchange {
    fn look(&self, now: Instant, sessions: &Arc<Sessions>) {
        let age = now.saturating_duration_since(self.began);
        let sent = Duration::from_millis(self.sent.load(Ordering::Relaxed));
        let received = Duration::from_millis(self.received.load(Ordering::Relaxed));
        let owed = received.is_zero() && !sent.is_zero();
        if owed && age.saturating_sub(sent) > self.limits.first_byte {
            self.give_up(Failure::UpstreamTimedOut);
        }
        if self.asks_too_slowly(now) {
            self.give_up(Failure::BodyTooSlow);
        }
        if received.is_zero() {
            return;
        }
        let mut stream = self
            .stream
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if stream.is_none() && age > STREAM_AFTER {
            let count = Arc::new(self.counter.clone()).open(SessionKind::Stream);
            self.is_session.store(true, Ordering::Relaxed);
            let (session, told) = sessions.open(count, self.client);
            *stream = Some(Stream {
                session,
                told,
                end: None,
            });
        }
        if let Some(stream) = stream.as_mut() {
            stream.session.meter().reads(
                self.body.load(Ordering::Relaxed),
                self.to_client.load(Ordering::Relaxed),
            );
            if let Ok(order) = stream.told.try_recv() {
                stream.end = Some((now + order.after, order.why));
            }
            if age.saturating_sub(received) > self.limits.idle {
                stream.end = Some((now, Ending::Idle));
            }
            if let Some((_, why)) = stream.end.filter(|(due, _)| *due <= now) {
                stream.session.ends(why);
                self.hang_up();
            }
        }
    }

    /// Whether usher and the replica wait for a request that hardly comes.
    fn asks_too_slowly(&self, now: Instant) -> bool {
        if self.asked.load(Ordering::Relaxed) {
            return false;
        }
        let Some(hangup) = self.hangup.get() else {
            return false;
        };
        let body = self.body.load(Ordering::Relaxed);
        let mut asking = self
            .asking
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // A machine that stood still is nobody's silence.
        let since = now
            .saturating_duration_since(asking.at)
            .min(2 * SWEEP_EVERY);
        let came = body.saturating_sub(asking.body);
        (asking.at, asking.body) = (now, body);
        // A replica that takes no more is the slow one.
        let waited = if hangup.takes_more() {
            since
        } else {
            Duration::ZERO
        };
        asking.pace.is_too_slow(waited, came)
    }

    fn give_up(&self, why: Failure) {
        let _ = self.overdue.set(why);
        self.hang_up();
    }

    fn hang_up(&self) {
        if let Some(hangup) = self.hangup.get() {
            hangup.hang_up();
        }
    }
}

impl Watched {
    /// The connection it runs over.
    pub(super) fn over(&self, hangup: Arc<Hangup>) {
        // Set once per exchange; a retry opens another.
        let _ = self.exchange.hangup.set(hangup);
    }

    fn stamp(&self, slot: &AtomicU64, now: Instant) {
        let age = now
            .saturating_duration_since(self.exchange.began)
            .as_millis();
        // Never zero, which means never.
        slot.store(
            u64::try_from(age).unwrap_or(u64::MAX).max(1),
            Ordering::Relaxed,
        );
    }

    /// A part of the request goes to the replica: so much of its body until now, and whether that
    /// is all.
    pub(super) fn sent(&self, now: Instant, body: u64, all: bool) {
        self.stamp(&self.exchange.sent, now);
        self.exchange.body.store(body, Ordering::Relaxed);
        if all {
            self.exchange.asked.store(true, Ordering::Relaxed);
        }
    }

    /// The head of the answer has come. How long that took says how busy the stack is, unless it is an
    /// answer to half a request.
    pub(super) fn answered(&self, now: Instant) {
        if self.exchange.asked.load(Ordering::Relaxed) {
            let age = now.saturating_duration_since(self.exchange.began);
            let sent = Duration::from_millis(self.exchange.sent.load(Ordering::Relaxed));
            self.exchange
                .counter
                .answered_request(age.saturating_sub(sent));
        }
        self.received(now, 0);
    }

    /// So many bytes of the answer have come.
    pub(super) fn received(&self, now: Instant, bytes: u64) {
        self.exchange.to_client.fetch_add(bytes, Ordering::Relaxed);
        self.stamp(&self.exchange.received, now);
    }

    /// Why usher hung up on the replica, if it did.
    pub(super) fn overdue(&self) -> Option<Failure> {
        self.exchange.overdue.get().copied()
    }

    /// Whether it has become a session.
    pub(super) fn is_session(&self) -> bool {
        self.exchange.is_session.load(Ordering::Relaxed)
    }

    /// Where it has become a session, says how that ends unless that is known, and what it is.
    pub(super) fn closes(&self, ending: Ending) -> Option<Ending> {
        let mut stream = self
            .exchange
            .stream
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let stream = stream.as_mut()?;
        let ending = stream.end.map_or(ending, |(_, why)| why);
        stream.session.ends(ending);
        Some(ending)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.all.open.remove(&self.id);
    }
}

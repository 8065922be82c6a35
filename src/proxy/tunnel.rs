//! The relay of one websocket: bytes both ways, and no buffer while nothing moves.
//!
//! What is read goes into a scratch buffer of the thread and from there straight to the other side;
//! only what the other side does not take at once is kept. Frames are walked over to know where a
//! close frame of ours may go, never to look inside.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::frames::{Frames, close, masked_close};
use super::now;
use crate::listener::Io;
use crate::plan::Ending;
use crate::sealed::Wire;
use crate::sessions::{Meter, Order, Session};

/// One record of TLS.
const SCRATCH: usize = 16 * 1024;
/// From our close frame to the client's (RFC 6455 §7.1.1), and for the frame before ours to end.
const CLOSING: Duration = Duration::from_secs(5);
/// Ending a connection must not wait for its peer.
const FAREWELL: Duration = Duration::from_secs(1);
/// What the replica is told when it is usher that ends the session: the client goes away.
const GOING_AWAY: u16 = 1001;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// A websocket between a client and a replica.
pub(super) struct Relay {
    client: Io,
    upstream: Wire,
    /// From the replica to the client.
    down: Half,
    /// From the client to the replica.
    up: Half,
    close_code: u16,
    idle: Duration,
    /// Where others read what it has carried.
    meter: Arc<Meter>,
    /// When something last moved.
    moved: Instant,
    timer: Pin<Box<Sleep>>,
    /// `None` once it has been heard.
    told: Option<oneshot::Receiver<Order>>,
    stage: Stage,
    /// Who said goodbye first.
    first_close: Option<Ending>,
}

/// What a relay has carried, and how it ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed {
    pub(super) ending: Ending,
    pub(super) from_client: u64,
    pub(super) to_client: u64,
    /// What the replica closed it with.
    pub(super) code: Option<u16>,
}

impl Relayed {
    pub(super) fn nothing(ending: Ending) -> Self {
        Self {
            ending,
            from_client: 0,
            to_client: 0,
            code: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Bytes go both ways until somebody ends it.
    Open,
    /// An order to end has come and is due at the timer.
    Ordered(Ending),
    /// Ours is due as soon as the frame under way has ended.
    Ending(Ending),
    /// Our close frame is on its way; the client's answer is awaited.
    Closing(Ending),
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    frames: Frames,
    /// Read, and not yet taken by the other side.
    pending: Bytes,
    /// The other side has taken bytes that it has not sent.
    unflushed: bool,
    ended: bool,
    carried: u64,
}

impl Relay {
    pub(super) fn new(
        client: Io,
        upstream: Wire,
        close_code: u16,
        idle: Duration,
        told: oneshot::Receiver<Order>,
        session: &Session,
    ) -> Self {
        let moved = now();
        Self {
            client,
            upstream,
            down: Half::default(),
            up: Half::default(),
            close_code,
            idle,
            meter: Arc::clone(session.meter()),
            moved,
            timer: Box::pin(sleep_until(moved + idle)),
            told: Some(told),
            stage: Stage::Open,
            first_close: None,
        }
    }

    /// Relays until one side ends, nothing moves for too long, or an order comes. The first
    /// arguments are what was read behind the two heads.
    pub(super) async fn run(
        mut self: Box<Self>,
        from_client: Bytes,
        from_upstream: Bytes,
    ) -> Relayed {
        self.up.hold(from_client);
        self.down.hold(from_upstream);
        let ending = std::future::poll_fn(|cx| self.poll_relay(cx)).await;
        self.part().await;
        Relayed {
            ending,
            from_client: self.up.carried,
            to_client: self.down.carried,
            code: self.down.frames.code(),
        }
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.hear(cx);
        loop {
            let before = self.up.carried + self.down.carried;
            // Each direction goes on until it would wait; the runtime's budget keeps it fair.
            let up = self.up.poll(&mut self.client, &mut self.upstream, cx);
            let down = match self.stage {
                Stage::Open | Stage::Ordered(_) => {
                    self.down.poll(&mut self.upstream, &mut self.client, cx)
                }
                Stage::Ending(_) => {
                    self.down
                        .poll_to_boundary(&mut self.upstream, &mut self.client, cx)
                }
                // Nothing may follow a close frame: what the replica still says is dropped.
                Stage::Closing(_) => self.down.poll_deliver(&mut self.client, cx),
            };
            if self.up.carried + self.down.carried != before {
                self.moved = now();
                self.meter.reads(self.up.carried, self.down.carried);
            }
            if let Some(ending) = self.judge(up, down) {
                return Poll::Ready(ending);
            }
            if let (Stage::Ending(why), true) = (self.stage, self.down.is_at_rest()) {
                self.down.pending = Bytes::copy_from_slice(&close(self.close_code));
                self.stage = Stage::Closing(why);
                self.timer.as_mut().reset(now() + CLOSING);
                continue;
            }
            ready!(self.timer.as_mut().poll(cx));
            if let Some(ending) = self.on_timer() {
                return Poll::Ready(ending);
            }
        }
    }

    /// Listens for an order, as long as none has come.
    fn hear(&mut self, cx: &mut Context<'_>) {
        let Some(told) = &mut self.told else {
            return;
        };
        if let Poll::Ready(order) = Pin::new(told).poll(cx) {
            self.told = None;
            if let (Ok(order), Stage::Open) = (order, self.stage) {
                self.stage = Stage::Ordered(order.why);
                self.timer.as_mut().reset(now() + order.after);
            }
        }
    }

    fn on_timer(&mut self) -> Option<Ending> {
        match self.stage {
            Stage::Open => {
                let quiet_until = self.moved + self.idle;
                if quiet_until <= now() {
                    self.stage = Stage::Ending(Ending::Idle);
                    self.timer.as_mut().reset(now() + CLOSING);
                } else {
                    self.timer.as_mut().reset(quiet_until);
                }
                None
            }
            Stage::Ordered(why) => {
                self.stage = Stage::Ending(why);
                self.timer.as_mut().reset(now() + CLOSING);
                None
            }
            // The frame under way, or the client's answer, did not come in time.
            Stage::Ending(why) | Stage::Closing(why) => Some(why),
        }
    }

    /// Whether it is over, by what the two directions say.
    fn judge(&mut self, up: Poll<io::Result<()>>, down: Poll<io::Result<()>>) -> Option<Ending> {
        if self.first_close.is_none() {
            self.first_close = if self.up.frames.has_closed() {
                Some(Ending::Client)
            } else {
                self.down.frames.has_closed().then_some(Ending::Upstream)
            };
        }
        let theirs = match (&up, &down) {
            (Poll::Pending, Poll::Pending) => {
                // Goodbye was said both ways and everything is through: nobody waits for TCP.
                let ours = matches!(self.stage, Stage::Closing(_));
                let said = self.up.frames.has_closed() && (ours || self.down.frames.has_closed());
                let through = self.up.pending.is_empty() && self.down.pending.is_empty();
                self.first_close.filter(|_| said && through)?
            }
            // A reset is how many clients leave: what counts is which side a direction died on.
            (Poll::Ready(_), _) if self.up.ended => Ending::Client,
            (Poll::Ready(_), _) => Ending::Upstream,
            (_, Poll::Ready(_)) if self.down.ended => Ending::Upstream,
            (_, Poll::Ready(_)) => Ending::Client,
        };
        Some(match self.stage {
            Stage::Open | Stage::Ordered(_) => self.first_close.unwrap_or(theirs),
            Stage::Ending(why) | Stage::Closing(why) => why,
        })
    }

    /// Ends both connections: the replica hears of it, the client gets the end of its TLS.
    async fn part(&mut self) {
        let ours = matches!(self.stage, Stage::Ending(_) | Stage::Closing(_));
        if ours && self.up.frames.at_boundary() && !self.up.frames.has_closed() {
            let goodbye = masked_close(GOING_AWAY);
            let _ = timeout(FAREWELL, self.upstream.write_all(&goodbye)).await;
        }
        // Errors mean that the peer was quicker.
        let _ = timeout(FAREWELL, self.client.shutdown()).await;
        let _ = timeout(FAREWELL, self.upstream.shutdown()).await;
    }
}

impl Half {
    /// Keeps bytes that were read before the relay began.
    fn hold(&mut self, bytes: Bytes) {
        self.frames.walk(&bytes);
        // Nothing is held by none: even an empty slice keeps what it was cut from.
        if !bytes.is_empty() {
            self.pending = bytes;
        }
    }

    /// Whether a frame of ours may come next.
    fn is_at_rest(&self) -> bool {
        self.pending.is_empty() && self.frames.at_boundary()
    }

    /// Carries until one side would wait. Ready means that the reading side has ended and
    /// everything of it is delivered, or that one side failed.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush_pending(to, cx))?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_carry(from, to, cx))?;
        }
    }

    /// As [`Self::poll`], but reads no more than the frame under way needs to end.
    fn poll_to_boundary(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush_pending(to, cx))?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.frames.at_boundary() {
                return Poll::Pending;
            }
            ready!(self.poll_carry(from, to, cx))?;
        }
    }

    /// Delivers what is pending and reads nothing; ready only when that failed.
    fn poll_deliver(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush_pending(to, cx))?;
        Poll::Pending
    }

    /// Delivers what is pending.
    fn poll_flush_pending(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let _ = self.pending.split_to(written);
            self.carried += written as u64;
            self.unflushed = true;
        }
        self.pending = Bytes::new();
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes what was read as far as the other side takes it.
    fn poll_carry(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            if let Err(error) = ready!(Pin::new(from).poll_read(cx, &mut buf)) {
                self.ended = true;
                return Poll::Ready(Err(error));
            }
            let mut bytes = buf.filled();
            if bytes.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            self.frames.walk(bytes);
            while !bytes.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(written)) => {
                        self.carried += written as u64;
                        self.unflushed = true;
                        bytes = bytes.get(written..).unwrap_or_default();
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.pending = Bytes::copy_from_slice(bytes);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
    }
}

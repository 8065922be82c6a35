//! The stream that pingora reads: ours underneath, with the guard in between.
//!
//! Reads give out whole messages only as the guard allows; a websocket handshake ends the stream for
//! pingora, and the connection is taken back. Writes are gathered until a flush, or head and body of
//! an answer would leave as two records and two system calls.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::io::poll_read_buf;

use super::connection::Connection;
use super::frames::Frames;
use super::guard::{Guard, Step};
use super::head::Refusal;
use super::socket::Io;

/// Between two requests of one connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// A record of TLS holds no more; gathering more would only copy.
const GATHER: usize = 16 * 1024;
/// One record of TLS.
const READ_AT_ONCE: usize = 16 * 1024;
/// Telling a peer that nothing more comes must not wait for that peer.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection that asks to become a websocket.
#[derive(Debug)]
pub struct Handshake {
    pub io: Io,
    /// The head, complete and checked.
    pub head: Bytes,
    /// What the client sent behind it.
    pub rest: Bytes,
    pub connection: Arc<Connection>,
}

/// Where a connection goes that pingora must not have.
pub(super) type HandBack = Arc<Mutex<Option<Handshake>>>;

/// A client connection as pingora sees it.
pub(super) struct Downstream {
    /// `None` once it has been taken back.
    io: Option<Io>,
    reading: Reading,
    /// Read and not yet passed on.
    inbox: BytesMut,
    /// How much of the inbox the guard has released.
    released: usize,
    /// Written and not yet flushed.
    outbox: Vec<u8>,
    /// How much of the outbox is gone.
    sent: usize,
    deadline: Option<Deadline>,
    header_timeout: Duration,
    connection: Arc<Connection>,
    digest: Arc<ProxyDigest>,
    hand_back: HandBack,
}

/// A moment by which something has to have come.
#[derive(Debug)]
struct Deadline {
    what: Due,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Due {
    /// The whole of a head that has begun, or the first head of all.
    Head,
    /// The first byte of the next request.
    NextRequest,
}

/// How what comes in is looked at.
#[derive(Debug)]
enum Reading {
    Http1(Guard),
    Http2(Frames),
    /// A handshake of this length is at the front of the inbox.
    Handshake(usize),
    /// The answer to what was refused, as far as it is not written.
    Refused(&'static [u8]),
    Ended,
}

impl fmt::Debug for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was read is the client's, and may hold its secrets.
        f.debug_struct("Downstream")
            .field("io", &self.io)
            .field("reading", &self.reading)
            .field("inbox", &self.inbox.len())
            .finish_non_exhaustive()
    }
}

impl Downstream {
    pub(super) fn new(
        io: Io,
        connection: Arc<Connection>,
        header_timeout: Duration,
        hand_back: HandBack,
    ) -> io::Result<Self> {
        let http2 = match &io {
            Io::Plain(_) => false,
            Io::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        };
        // The digest is the only thing of ours that reaches pingora's callbacks.
        let answer = ResponseHeader::build(200, None).map_err(|_| io::ErrorKind::Other)?;
        let digest = ProxyDigest::new(Box::new(answer), Some(Box::new(Arc::clone(&connection))));
        Ok(Self {
            io: Some(io),
            reading: if http2 {
                Reading::Http2(Frames::new())
            } else {
                Reading::Http1(Guard::new())
            },
            inbox: BytesMut::new(),
            released: 0,
            outbox: Vec::new(),
            sent: 0,
            // The first head is due from the start: a connection is for asking.
            deadline: Some(Deadline::new(Due::Head, header_timeout)),
            header_timeout,
            connection,
            digest: Arc::new(digest),
            hand_back,
        })
    }

    /// Waits for the first head of an HTTP/1 connection, and says whether it is a handshake: then
    /// the connection need not be shown to pingora at all.
    ///
    /// Cancel safe: what was read stays here.
    pub(super) async fn first_is_handshake(&mut self) -> io::Result<bool> {
        if matches!(self.reading, Reading::Http2(_)) {
            return Ok(false);
        }
        std::future::poll_fn(|cx| self.poll_release(cx)).await?;
        Ok(matches!(self.reading, Reading::Handshake(_)))
    }

    /// Takes the connection apart at a handshake.
    fn take_handshake(&mut self) -> Option<Handshake> {
        let Reading::Handshake(length) = self.reading else {
            return None;
        };
        self.reading = Reading::Ended;
        let head = self.inbox.split_to(length).freeze();
        Some(Handshake {
            io: self.io.take()?,
            head,
            rest: std::mem::take(&mut self.inbox).freeze(),
            connection: Arc::clone(&self.connection),
        })
    }

    /// Works until something is released or nothing ever will be.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.released > 0 {
                return Poll::Ready(Ok(()));
            }
            let step = match &mut self.reading {
                Reading::Http1(guard) => guard.step(&self.inbox),
                Reading::Refused(_) => return self.poll_refuse(cx),
                Reading::Http2(_) | Reading::Handshake(_) | Reading::Ended => {
                    return Poll::Ready(Ok(()));
                }
            };
            match step {
                Step::Pass(length) => {
                    self.released = length;
                    self.deadline = None;
                }
                Step::Skip(length) => self.inbox.advance(length),
                Step::Handshake(length) => {
                    self.reading = Reading::Handshake(length);
                    self.deadline = None;
                }
                Step::Refuse(refusal) => self.refuse(refusal),
                Step::More => {
                    if ready!(self.poll_fill(cx))? == 0 {
                        self.reading = Reading::Ended;
                    }
                }
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        tracing::debug!(peer = %self.connection.peer, reason = ?refusal, "request refused");
        self.reading = Reading::Refused(refusal.answer());
        self.deadline = None;
    }

    /// Writes the answer to what was refused; then the stream has ended.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let (Reading::Refused(answer), Some(io)) = (&mut self.reading, &mut self.io) {
            if answer.is_empty() {
                ready!(Pin::new(io).poll_flush(cx))?;
                self.reading = Reading::Ended;
                break;
            }
            let written = ready!(Pin::new(io).poll_write(cx, answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *answer = answer.get(written..).unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more into the inbox, within the deadline of a head. Zero is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let in_head = matches!(&self.reading, Reading::Http1(guard) if guard.in_head());
        let fresh = self.inbox.is_empty();
        if let Poll::Ready(read) = self.poll_read_more(cx) {
            let waited_for_next = self
                .deadline
                .as_ref()
                .is_none_or(|deadline| deadline.what == Due::NextRequest);
            if in_head && fresh && waited_for_next {
                self.deadline = Some(Deadline::new(Due::Head, self.header_timeout));
            }
            return Poll::Ready(read);
        }
        if !in_head {
            return Poll::Pending;
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Deadline::new(Due::NextRequest, KEEP_ALIVE));
        ready!(deadline.timer.as_mut().poll(cx));
        if !fresh {
            self.refuse(Refusal::TooSlow);
            ready!(self.poll_refuse(cx))?;
        }
        // Without a byte of a request nobody is waiting for an answer.
        Poll::Ready(Ok(0))
    }

    fn poll_read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Ok(0));
        };
        self.inbox.reserve(READ_AT_ONCE);
        poll_read_buf(Pin::new(io), cx, &mut self.inbox)
    }

    /// Gives out what is released.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.released.min(buf.remaining());
        buf.put_slice(self.inbox.get(..length).unwrap_or_default());
        self.inbox.advance(length);
        self.released -= length;
        if self.inbox.is_empty() {
            // An idle connection holds no buffer.
            self.inbox = BytesMut::new();
        }
    }

    /// pingora asks for one byte while it waits for an answer, to learn whether the client has gone.
    /// A pipelined request must not look like that, so it waits in the inbox.
    fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.inbox.len() >= READ_AT_ONCE {
            return Poll::Pending;
        }
        match ready!(self.poll_read_more(cx))? {
            0 => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn poll_read_http2(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (Some(io), Reading::Http2(frames)) = (&mut self.io, &mut self.reading) else {
            return Poll::Ready(Ok(()));
        };
        let before = buf.filled().len();
        let read = Pin::new(io).poll_read(cx, buf);
        if read.is_ready() {
            frames.walk(buf.filled().get(before..).unwrap_or_default());
            if !frames.owes() {
                self.deadline = None;
            } else if self.deadline.is_none() {
                self.deadline = Some(Deadline::new(Due::Head, self.header_timeout));
            }
            return read;
        }
        if let Some(deadline) = &mut self.deadline {
            ready!(deadline.timer.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Writes the outbox down to nothing.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.outbox.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let Some(io) = &mut self.io else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let written = ready!(Pin::new(io).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        self.sent = 0;
        self.outbox = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl Deadline {
    fn new(what: Due, wait: Duration) -> Self {
        Self {
            what,
            timer: Box::pin(sleep(wait)),
        }
    }
}

impl AsyncRead for Downstream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.reading {
            Reading::Http2(_) => return this.poll_read_http2(cx, buf),
            Reading::Http1(guard)
                if this.released == 0 && guard.is_between() && buf.remaining() == 1 =>
            {
                return this.poll_probe(cx);
            }
            _ => {}
        }
        ready!(this.poll_release(cx))?;
        this.give(buf);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(io) = &mut this.io else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        // HTTP/2 gathers its frames itself.
        let gathers = matches!(this.reading, Reading::Http1(_));
        if !gathers || (this.outbox.is_empty() && buf.len() >= GATHER) {
            return Pin::new(io).poll_write(cx, buf);
        }
        if this.outbox.len() >= GATHER {
            ready!(this.poll_send(cx))?;
        }
        let length = buf.len().min(GATHER - this.outbox.len());
        this.outbox
            .extend_from_slice(buf.get(..length).unwrap_or_default());
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        match &mut this.io {
            Some(io) => Pin::new(io).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A handshake's connection goes on living; it only ends for pingora.
        if matches!(this.reading, Reading::Handshake(_)) {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_send(cx))?;
        match &mut this.io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Downstream {
    fn drop(&mut self) {
        if let Some(handshake) = self.take_handshake() {
            // Nobody else writes here, so a poisoned lock holds nothing half done.
            let mut slot = self
                .hand_back
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            *slot = Some(handshake);
        }
    }
}

#[async_trait]
impl Shutdown for Downstream {
    async fn shutdown(&mut self) {
        // An error means that the peer has gone already.
        let _ = timeout(FAREWELL, AsyncWriteExt::shutdown(self)).await;
    }
}

impl UniqueID for Downstream {
    fn id(&self) -> UniqueIDType {
        self.io.as_ref().map_or(-1, |io| io.tcp().as_raw_fd())
    }
}

impl Ssl for Downstream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.reading {
            Reading::Http2(_) => Some(ALPN::H2),
            _ => Some(ALPN::H1),
        }
    }
}

impl GetTimingDigest for Downstream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Downstream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for Downstream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Peek for Downstream {}

#[cfg(test)]
mod tests;

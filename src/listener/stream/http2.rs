//! An HTTP/2 connection as pingora sees it: passed on as it is, watched frame by frame.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Deadline, Downstream, Due, Reading};

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7). Nothing is said about which streams were
/// served: whoever is sent this is not to try again.
const CALM: [u8; 17] = [
    0, 0, 8, 0x7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb,
];

impl Downstream {
    pub(super) fn poll_read_http2(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (Some(io), Reading::Http2(frames)) = (&mut self.io, &mut self.reading) else {
            return Poll::Ready(Ok(()));
        };
        let before = buf.filled().len();
        let read = Pin::new(&mut *io).poll_read(cx, buf);
        if read.is_ready() {
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if frames.received(fresh, now()).is_err() {
                tracing::debug!(peer = %self.connection.peer, "too many HTTP/2 frames for nothing");
                if frames.may_interject() {
                    // As far as it goes without waiting: the connection ends either way.
                    let _ = Pin::new(&mut *io).poll_write(cx, &CALM);
                    let _ = Pin::new(io).poll_flush(cx);
                }
                self.reading = Reading::Ended;
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
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

    /// HTTP/2 gathers its frames itself.
    pub(super) fn poll_write_http2(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (Some(io), Reading::Http2(frames)) = (&mut self.io, &mut self.reading) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let written = ready!(Pin::new(io).poll_write(cx, buf))?;
        frames.sent(buf.get(..written).unwrap_or_default(), now());
        Poll::Ready(Ok(written))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the budget of frames"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

//! Connections to replicas, and a handle to hang up on one from outside.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, OrErr, Result};
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::protocols::raw_connect::ProxyDigest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::listener::prepare;
use crate::plan::{Upstream, UpstreamTls};
use crate::sealed::{Sealer, Wire};

/// A replica is near; one that does not accept by then is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Opens a connection with the options every connection has.
///
/// # Errors
/// A refusal, a missing route, or no answer in time.
pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = timeout(CONNECT_WITHIN, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    prepare(&tcp)?;
    Ok(tcp)
}

/// Ends a connection that pingora reads from, which nothing else can.
#[derive(Debug)]
pub(super) struct Hangup(OwnedFd);

impl Hangup {
    pub(super) fn hang_up(&self) {
        // An error means that the peer was quicker.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }

    /// Whether the replica would take more of a request: then it is not the one that is slow.
    pub(super) fn takes_more(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::OUT)];
        // Asked, and not waited for.
        let answer = poll(&mut polled, Some(&Timespec::default()));
        answer.is_ok()
            && polled
                .iter()
                .any(|one| one.revents().contains(PollFlags::OUT))
    }
}

/// Opens a connection as a route says.
///
/// # Errors
/// As [`dial`], and whatever keeps it from being sealed.
pub(super) async fn dial_as(
    sealer: &Sealer,
    upstream: &Upstream,
    address: SocketAddr,
) -> io::Result<Wire> {
    let tcp = dial(address).await?;
    sealer.wire(tcp, upstream.tls.as_ref(), address).await
}

/// How pingora opens connections: each carries the handle to hang up on it.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) sealer: Arc<Sealer>,
    pub(super) tls: Option<UpstreamTls>,
}

/// A sealed connection as pingora takes it. It has no number of a socket, by which pingora knows those
/// of its pool again: it serves one request.
#[derive(Debug)]
struct Sealed(Box<TlsStream<TcpStream>>);

impl VirtualSocket for Sealed {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        // It has the options of every connection since before it was sealed.
        Ok(())
    }
}

impl AsyncRead for Sealed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Sealed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, address: &PeerAddr) -> Result<Stream> {
        let PeerAddr::Inet(address) = address else {
            return Error::e_explain(ErrorType::ConnectError, "replicas have IP addresses");
        };
        let tcp = dial(*address).await.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    ErrorType::ConnectNoRoute
                }
                _ => ErrorType::ConnectError,
            };
            Error::because(kind, "connecting to a replica", error)
        })?;
        let handle = rustix::io::dup(&tcp).or_err(ErrorType::ConnectError, "a second handle")?;
        let mut stream = match &self.tls {
            None => Stream::from(tcp),
            Some(tls) => {
                let sealed = self.sealer.seal(tcp, tls, *address).await;
                let sealed = sealed.or_err(ErrorType::TLSHandshakeFailure, "TLS with a replica")?;
                Stream::from(VirtualSocketStream::new(Box::new(Sealed(sealed))))
            }
        };
        // The only place of a connection where something of ours survives the pool.
        let answer = ResponseHeader::build(200, None)?;
        let hangup = Arc::new(Hangup(handle));
        stream.set_proxy_digest(ProxyDigest::new(Box::new(answer), Some(Box::new(hangup))));
        Ok(stream)
    }
}

/// The handle of a connection that [`Dial`] opened.
pub(super) fn hangup_of(digest: Option<&pingora::protocols::Digest>) -> Option<Arc<Hangup>> {
    let data = digest?.proxy_digest.as_ref()?.user_data.as_ref()?;
    data.downcast_ref::<Arc<Hangup>>().cloned()
}

//! Connections to replicas, and a handle to hang up on one from outside.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, OrErr, Result};
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::listener::prepare;

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

/// How pingora opens connections: each carries the handle to hang up on it.
#[derive(Debug)]
pub(super) struct Dial;

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
        let mut stream = Stream::from(tcp);
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

//! Connections of whoever looks: few, short-lived or patient, and none that can hold usher up.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::answer::Answer;
use super::patient::{Duplex, Patient};
use super::socket::ControlSocket;
use super::tls::Tls;
use crate::shutdown::Shutdown;

/// Requests to the admin listener are short, and so are its handshakes.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Of both doors each; a stream of events holds one.
const MOST_CONNECTIONS: usize = 256;
/// Of an answer that is not read, what the kernel keeps: answers are small, and a watcher that
/// does not read should show soon.
const SEND_BUFFER: usize = 256 * 1024;

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Visitor {
    /// The owner of the control socket.
    Owner,
    Remote {
        peer: SocketAddr,
        local: SocketAddr,
        /// Whether it showed a client certificate that was accepted.
        certified: bool,
    },
}

/// Both ends of a connection.
pub(super) type Ends = Option<(SocketAddr, SocketAddr)>;

/// Where connections come from.
pub(super) trait Accept {
    /// The next connection, and its ends where they have addresses. Cancel safe.
    fn accept(&self) -> impl Future<Output = io::Result<(Box<dyn Duplex>, Ends)>> + Send;
}

/// Whether nobody may look who came in so, by the addresses of usher and of whoever came.
pub type Walls = Arc<dyn Fn(IpAddr, IpAddr) -> bool + Send + Sync>;

/// A listener that some come to in vain.
pub(super) struct Walled {
    pub(super) listener: TcpListener,
    pub(super) walls: Walls,
}

impl Accept for Walled {
    async fn accept(&self) -> io::Result<(Box<dyn Duplex>, Ends)> {
        loop {
            let (stream, ends) = Accept::accept(&self.listener).await?;
            let kept_out = ends.is_some_and(|(peer, local)| (self.walls)(local.ip(), peer.ip()));
            if !kept_out {
                return Ok((stream, ends));
            }
        }
    }
}

impl Accept for TcpListener {
    async fn accept(&self) -> io::Result<(Box<dyn Duplex>, Ends)> {
        let (tcp, peer) = Self::accept(self).await?;
        let local = tcp.local_addr()?;
        rustix::net::sockopt::set_socket_send_buffer_size(&tcp, SEND_BUFFER)?;
        Ok((Box::new(tcp), Some((peer, local))))
    }
}

impl Accept for ControlSocket {
    async fn accept(&self) -> io::Result<(Box<dyn Duplex>, Ends)> {
        let (unix, _) = self.listener.accept().await?;
        Ok((Box::new(unix), None))
    }
}

/// Serves a door until shutdown.
pub(super) async fn run<A, F>(
    door: A,
    tls: Option<Arc<Tls>>,
    handle: impl Fn(Request<Incoming>, Visitor) -> F + Clone + Send + 'static,
    mut shutdown: Shutdown,
) where
    A: Accept,
    F: Future<Output = Answer> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let (stream, ends) = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            Some(_) = open.join_next() => continue,
            accepted = door.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "admin connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let (handle, tls) = (handle.clone(), tls.clone());
        open.spawn(async move {
            let stream = Patient::new(stream);
            if let Some((stream, visitor)) = greet(stream, ends, tls).await {
                serve(stream, visitor, handle).await;
            }
            drop(permit);
        });
    }
}

/// The handshake, where there is one. `None`: the peer is slow, gone, or speaks something else.
async fn greet(
    stream: Patient,
    ends: Ends,
    tls: Option<Arc<Tls>>,
) -> Option<(Box<dyn Duplex>, Visitor)> {
    let visitor = |certified| match ends {
        None => Visitor::Owner,
        Some((peer, local)) => Visitor::Remote {
            peer,
            local,
            certified,
        },
    };
    match tls {
        None => Some((Box::new(stream), visitor(false))),
        Some(tls) => {
            let (stream, certified) = timeout(REQUEST_WITHIN, tls.accept(stream)).await.ok()??;
            Some((Box::new(stream), visitor(certified)))
        }
    }
}

async fn serve<F>(
    stream: Box<dyn Duplex>,
    visitor: Visitor,
    handle: impl Fn(Request<Incoming>, Visitor) -> F,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handle(request, visitor);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // An error means that whoever asked has gone, or spoke nonsense.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

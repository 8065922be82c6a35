//! Client connections: accepted, counted, greeted, guarded, and handed on.
//!
//! The only room that spawns a task per connection. Whatever happens to one of them, a panic
//! included, costs that one.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

mod arrival;
mod budget;
mod challenge;
mod clients;
mod connection;
mod counters;
mod frames;
#[cfg(fuzzing)]
pub mod fuzz;
mod guard;
mod head;
mod hello;
mod pressure;
mod proxy_protocol;
mod settings;
mod settings_error;
mod socket;
mod stream;
mod tickets;
mod turnstile;

pub use self::clients::{Unvouched, Vouching};
pub use self::connection::Connection;
pub use self::counters::EdgeCounters;
pub use self::guard::Chunks;
pub use self::head::{is_framing_alias, is_token};
pub use self::hello::{Secured, Tls, TlsError};
pub use self::pressure::{Measured, Pressure};
pub use self::settings::Offered;
pub use self::socket::Io;
pub use self::stream::Handshake as WebsocketRequest;

use self::arrival::Ends;
use self::counters::OpenConnection;
use self::hello::Visitor;
use self::stream::{Downstream, HandBack};
use crate::names::Hostname;
use crate::plan::ClientAuthorities;
use crate::shutdown::Shutdown;

/// As many connections wait for their accept as the kernel allows.
const BACKLOG: u32 = 4096;
/// After an accept failed for want of file handles: others have to close first.
const OUT_OF_HANDLES: Duration = Duration::from_millis(50);
/// A dead peer is noticed by unanswered probes after about 60 s, by unacknowledged data as well.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(30);
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection needs to know of its future instance before the first request.
pub trait Admission: Send + Sync + 'static {
    /// Deadline for request heads on connections to this host; `None` while no host is known.
    fn header_timeout(&self, host: Option<&Hostname>) -> Duration;

    /// Who has to vouch for the clients of this host; `None`: they show no certificate.
    fn client_ca(&self, host: &Hostname) -> Option<Arc<ClientAuthorities>>;

    /// The network of a stack that a connection came over, by its own ends; `None`: from anywhere.
    fn door(&self, local: IpAddr, peer: IpAddr) -> Option<Arc<str>>;

    /// Whether a connection that came over this network may be for this host.
    fn leads_to(&self, network: &str, host: &Hostname) -> bool;

    /// The host that stands for those nobody has.
    fn default_host(&self) -> Option<Hostname>;
    /// Whether clients of this host may speak HTTP/2.
    fn http2(&self, host: &Hostname) -> bool;

    /// Whether a connection from this address must begin with a PROXY header, and is believed.
    fn expects_proxy_header(&self, peer: IpAddr) -> bool;

    /// Takes over a connection that asks to become a websocket. Runs until it has ended.
    fn websocket(self: &Arc<Self>, request: WebsocketRequest) -> impl Future<Output = ()> + Send;
}

/// Why usher does not listen where it should.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "cannot listen on {address}: it is in use; `ss -ltnp 'sport = :{}'` shows by whom",
        address.port()
    )]
    InUse { address: SocketAddr },
    #[error(
        "cannot listen on {address}: not permitted; run as root, give the binary CAP_NET_BIND_SERVICE, or use a port from 1024"
    )]
    NotPermitted { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Other {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Sockets that are bound already: systemd holds them for this process, or it did so itself.
#[derive(Debug, Default)]
pub struct Inherited(Vec<std::net::TcpListener>);

impl Inherited {
    /// Sockets that this process has bound before.
    pub fn of(sockets: Vec<std::net::TcpListener>) -> Self {
        Self(sockets)
    }

    /// Takes them from the environment (`LISTEN_FDS`), once.
    pub fn from_env() -> Self {
        let mut passed = ListenFd::from_env();
        let taken = (0..passed.len())
            .filter_map(|index| passed.take_tcp_listener(index).ok().flatten())
            .collect();
        Self(taken)
    }

    fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|listener| {
            listener.local_addr().is_ok_and(|local| {
                local.port() == address.port() && local.is_ipv6() == address.is_ipv6()
            })
        })?;
        let listener = self.0.remove(index);
        listener.set_nonblocking(true).ok()?;
        TcpListener::from_std(listener).ok()
    }
}

/// Binds every address, or takes the socket that systemd holds for it.
///
/// A host without IPv6 is a warning as long as another address is bound.
///
/// # Errors
/// The first address that is taken or forbidden.
pub fn bind(
    addresses: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<Vec<TcpListener>, BindError> {
    let mut bound = Vec::new();
    for address in addresses.iter().copied() {
        if let Some(listener) = inherited.take(address) {
            bound.push(listener);
            continue;
        }
        match bind_one(address) {
            Ok(listener) => bound.push(listener),
            Err(error) if address.is_ipv6() && addresses.len() > 1 && lacks_ipv6(&error) => {
                warn!(%address, %error, "not listening on IPv6: this host has none");
            }
            Err(source) => {
                return Err(match source.kind() {
                    io::ErrorKind::AddrInUse => BindError::InUse { address },
                    io::ErrorKind::PermissionDenied => BindError::NotPermitted { address },
                    _ => BindError::Other { address, source },
                });
            }
        }
    }
    Ok(bound)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        let socket = TcpSocket::new_v6()?;
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
        socket
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Everything that connections share.
#[derive(Debug)]
pub struct Acceptors<App, Gate> {
    app: Arc<App>,
    gate: Arc<Gate>,
    tls: Tls,
    counters: Arc<EdgeCounters>,
    pressure: Arc<Pressure>,
    permits: Arc<Semaphore>,
}

impl<App, Gate> Acceptors<App, Gate>
where
    App: ServerApp + Send + Sync + 'static,
    Gate: Admission,
{
    pub fn new(
        app: Arc<App>,
        gate: Arc<Gate>,
        tls: Tls,
        counters: Arc<EdgeCounters>,
        pressure: Arc<Pressure>,
        max_connections: u32,
    ) -> Arc<Self> {
        let most = usize::try_from(max_connections).unwrap_or(usize::MAX);
        Arc::new(Self {
            app,
            gate,
            tls,
            counters,
            pressure,
            permits: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
        })
    }

    /// Lets go of what must not grow old, until shutdown.
    pub async fn maintain(self: Arc<Self>, shutdown: Shutdown) {
        self.tls.rotate(shutdown).await;
    }

    /// Accepts on one socket until `stop`, and then serves what is open until `cut`.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: bool,
        mut stop: Shutdown,
        mut cut: Shutdown,
    ) {
        let mut open = JoinSet::new();
        // Accepted, and waiting for room; nobody else is accepted meanwhile.
        let mut next: Option<(TcpStream, SocketAddr)> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.begun() => break,
                Some(ended) = open.join_next() => note(ended),
                permit = self.room(), if next.is_some() => {
                    let Some((tcp, peer)) = next.take() else { continue };
                    let connection = Arc::clone(&self).serve_one(tcp, peer, tls, stop.clone());
                    open.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                accepted = self.accept(&listener), if next.is_none() => next = Some(accepted),
            }
        }
        drop((listener, next));
        loop {
            tokio::select! {
                biased;
                () = cut.begun() => return,
                ended = open.join_next() => match ended {
                    Some(ended) => note(ended),
                    None => return,
                }
            }
        }
    }

    /// The next connection, as soon as one may be accepted. Cancel safe.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        self.pressure.accepts().await;
        accept(listener).await
    }

    /// Room for one connection more. Cancel safe.
    async fn room(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => permit,
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
    }

    async fn serve_one(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        tls: bool,
        stop: Shutdown,
    ) {
        let _open = OpenConnection::count(&self.counters);
        // On the heap by itself: what the TLS handshake and HTTP need is gone while a websocket
        // idles, and most of a day is that.
        let before = Box::pin(self.until_websocket(tcp, peer, tls, stop));
        if let Some(request) = before.await {
            self.gate.websocket(request).await;
        }
    }

    /// Greets and serves requests until the connection ends, or until one asks to become a
    /// websocket.
    async fn until_websocket(
        &self,
        mut tcp: TcpStream,
        peer: SocketAddr,
        tls: bool,
        stop: Shutdown,
    ) -> Option<WebsocketRequest> {
        let mut ends = Ends::of(&tcp, peer)?;
        if let Err(error) = prepare(&tcp) {
            debug!(%peer, %error, "socket options");
        }
        // Of the socket: what a header says of itself opens no door.
        let door = self.gate.door(ends.local.ip(), ends.peer.ip());
        if self.gate.expects_proxy_header(ends.peer.ip()) {
            let within = self.gate.header_timeout(None);
            ends = match arrival::announced(&mut tcp, ends, within).await {
                Ok(ends) => ends,
                Err(error) => {
                    // Anybody whom the proxy lets through may cause this: said ever more rarely.
                    let count = self.counters.proxy_header_refused();
                    if count.is_power_of_two() {
                        debug!(%peer, %error, count, "no PROXY header from a trusted proxy");
                    }
                    return None;
                }
            };
        }
        let (io, secured) = if tls {
            let visitor = Visitor {
                ends: &ends,
                counters: &self.counters,
                client_ca: &|host: &Hostname| self.gate.client_ca(host),
                may_ask: &|host: &Hostname| {
                    let leads = |door: &Arc<str>| self.gate.leads_to(door, host);
                    door.as_ref().is_none_or(leads)
                },
                default_host: self.gate.default_host(),
                http2: &|host: &Hostname| self.gate.http2(host),
            };
            match self.tls.greet(tcp, visitor).await {
                Ok(greeted) => {
                    self.counters.handshake(greeted.kind);
                    (Io::Tls(greeted.stream), Some(greeted.secured))
                }
                Err(kind) => {
                    self.counters.handshake(kind);
                    return None;
                }
            }
        } else {
            (Io::Plain(tcp), None)
        };
        let connection = Connection::new(ends.peer, ends.local, secured).over(door.clone());
        let connection = Arc::new(connection);
        let header_timeout = self.gate.header_timeout(connection.server_name.as_ref());
        self.http(io, connection, header_timeout, stop).await
    }

    /// Serves requests until the connection ends, or until one asks to become a websocket.
    async fn http(
        &self,
        io: Io,
        connection: Arc<Connection>,
        header_timeout: Duration,
        stop: Shutdown,
    ) -> Option<WebsocketRequest> {
        let hand_back = HandBack::default();
        let back = Arc::clone(&hand_back);
        let downstream = Downstream::new(io, connection, header_timeout, back);
        let mut downstream = downstream.ok()?;
        // The head has its own deadline inside; this one is for the whole of a first request.
        let first = downstream.first_is_handshake().await.ok()?;
        if !first {
            let watch: ShutdownWatch = stop.watch();
            let stream: Stream = Box::new(downstream);
            self.app.process_new(stream, &watch).await;
        } else {
            drop(downstream);
        }
        hand_back
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }
}

/// The next connection. Cancel safe.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "no connection accepted; raise the limit of open files");
                sleep(OUT_OF_HANDLES).await;
            }
        }
    }
}

/// Errors that concern the connection that was about to be accepted, and nobody else.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Sets what makes small messages quick and dead peers known.
pub fn prepare(tcp: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    tcp.set_nodelay(true)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(tcp, 3)?;
    // Keep-alive does not fire while data lies unacknowledged; this does.
    let millis = u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(tcp, millis)?;
    Ok(())
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        // The panic hook has told and counted it; the connection is gone, nothing else.
        debug!("a connection ended in a panic");
    }
}

//! Looking in, over loopback; and commands, over a unix socket that only its owner can open.

use std::fs;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::warn;

mod command;
mod metrics;
mod sessions;

pub use self::command::{Done, Levers, Order};

use self::command::command;

use crate::certs::OrderCounters;
use crate::control::Status;
use crate::plan::{Report, SessionList};
use crate::shutdown::Shutdown;

/// Requests to the admin listener are short and few.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
const MOST_CONNECTIONS: usize = 64;

/// What can be seen.
#[derive(Clone, Debug)]
pub struct View {
    pub status: watch::Receiver<Arc<Status>>,
    pub reports: watch::Receiver<Arc<Report>>,
    pub orders: Arc<OrderCounters>,
    pub sessions: Arc<dyn SessionList>,
    /// Panics of the whole process.
    pub panics: &'static AtomicU64,
    pub shutdown: Shutdown,
}

type Answer = Response<Full<Bytes>>;

/// Serves the read-only listener until shutdown.
pub async fn serve(listener: TcpListener, allow: Vec<IpNet>, view: View, shutdown: Shutdown) {
    let port = listener.local_addr().map_or(0, |local| local.port());
    let handle = move |request: Request<Incoming>, peer: Option<SocketAddr>| {
        let view = view.clone();
        let admitted = peer.is_some_and(|peer| admits(&allow, peer.ip()));
        async move {
            if !admitted || !is_for_us(&request, port) {
                return text(StatusCode::FORBIDDEN, "not allowed\n");
            }
            look(&request, &view)
        }
    };
    run(listener, handle, shutdown).await;
}

/// Serves the control socket until shutdown.
pub async fn serve_control(socket: ControlSocket, view: View, levers: Levers, shutdown: Shutdown) {
    let handle = move |request: Request<Incoming>, _peer: Option<SocketAddr>| {
        let (view, levers) = (view.clone(), levers.clone());
        async move {
            if *request.method() == Method::POST && request.uri().path() == "/command" {
                command(request, &levers).await
            } else {
                look(&request, &view)
            }
        }
    };
    run(socket, handle, shutdown).await;
}

/// A unix socket that is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds it with mode 0600. What a killed usher left at that place is replaced; a living one's
    /// is not.
    ///
    /// # Errors
    /// Another usher answers there, or the folder does not allow it.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if path.exists() {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another usher answers there; give this one its own `[admin] socket`",
                ));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A leftover is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where connections come from.
trait Accept {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and who it is from where that has a name. Cancel safe.
    fn accept(&self)
    -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (tcp, peer) = Self::accept(self).await?;
        Ok((tcp, Some(peer)))
    }
}

impl Accept for ControlSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        let (unix, _) = self.listener.accept().await?;
        Ok((unix, None))
    }
}

async fn run<A, F>(
    door: A,
    handle: impl Fn(Request<Incoming>, Option<SocketAddr>) -> F + Clone + Send + 'static,
    mut shutdown: Shutdown,
) where
    A: Accept,
    F: Future<Output = Answer> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            Some(_) = open.join_next() => continue,
            accepted = door.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "admin connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let handle = handle.clone();
        open.spawn(async move {
            let service = service_fn(move |request| {
                let answer = handle(request, peer);
                async move { Ok::<_, std::convert::Infallible>(answer.await) }
            });
            // An error means that whoever asked has gone, or spoke nonsense.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_WITHIN)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

fn admits(allow: &[IpNet], peer: IpAddr) -> bool {
    allow.is_empty() || allow.iter().any(|net| net.contains(&peer))
}

/// A page of another site can make a browser ask here; then `Host` names that site, or `Origin`
/// does.
fn is_for_us(request: &Request<Incoming>, port: u16) -> bool {
    let field = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let ours = |authority: &str| {
        let (name, asked) = match authority.rsplit_once(':') {
            Some((name, asked)) if !authority.ends_with(']') => (name, asked.parse().ok()),
            _ => (authority, None),
        };
        let loopback = name == "localhost"
            || name
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        loopback && asked.is_none_or(|asked: u16| asked == port)
    };
    let origin = field("origin").and_then(|origin| Some(origin.split_once("://")?.1));
    field("host").is_some_and(ours) && origin.is_none_or(ours)
}

fn look(request: &Request<Incoming>, view: &View) -> Answer {
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    let status = || Arc::clone(&view.status.borrow());
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "alive\n"),
        "/readyz" => match readiness(&view.status, &view.reports, &view.shutdown) {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/stats" => json(&*status()),
        "/metrics" => {
            let report = Arc::clone(&view.reports.borrow());
            let panics = view.panics.load(std::sync::atomic::Ordering::Relaxed);
            let body = metrics::text(&status(), &report, view.orders.counts(), panics);
            answer(StatusCode::OK, "text/plain; version=0.0.4", body)
        }
        "/nginx_status" => text(StatusCode::OK, metrics::stub_status(&view.reports.borrow())),
        path => match path.strip_prefix("/stats/") {
            Some(name) if name.ends_with("/sessions") => {
                let name = name.trim_end_matches("/sessions");
                match status().instances.iter().any(|known| known.name == name) {
                    true => json(&sessions::Listing::new(view.sessions.of(name))),
                    false => text(StatusCode::NOT_FOUND, "no such instance\n"),
                }
            }
            Some(name) => match status().instances.iter().find(|known| known.name == name) {
                Some(instance) => json(instance),
                None => text(StatusCode::NOT_FOUND, "no such instance\n"),
            },
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        },
    }
}

/// Whether usher is ready: the one condition, whoever asks for it.
///
/// Listeners are bound and certificates loaded before anybody can ask; what remains is the first
/// listing, applied.
///
/// # Errors
/// What is missing, as a line.
pub fn readiness(
    status: &watch::Receiver<Arc<Status>>,
    reports: &watch::Receiver<Arc<Report>>,
    shutdown: &Shutdown,
) -> Result<(), &'static str> {
    if shutdown.has_begun() {
        return Err("stopping\n");
    }
    if !status.borrow().synced {
        return Err("the engine has not been listed yet\n");
    }
    if reports.borrow().applied.0 == 0 {
        return Err("no routes are in force yet\n");
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => answer(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert("content-type", http::HeaderValue::from_static(kind));
    fields.insert("cache-control", http::HeaderValue::from_static("no-store"));
    fields.insert(
        "x-content-type-options",
        http::HeaderValue::from_static("nosniff"),
    );
    answer
}

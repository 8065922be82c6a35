//! Looking in, for whoever may; and commands, over a unix socket that only its owner can open.
//!
//! Nothing that is asked here over TCP changes anything, and whoever asks, however often or slowly,
//! is no trouble to those who serve.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::{Method, Request};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;

mod access;
mod answer;
mod command;
mod errors;
mod feed;
#[cfg(test)]
mod fixture;
mod history;
mod look;
mod metrics;
mod output;
mod page;
mod rates;
mod scope;
mod server;
mod sessions;
mod snapshot;
mod socket;
mod tail;
mod tls;
mod tokens;

pub use self::access::Access;
pub use self::command::{Done, Levers, Order};
pub use self::feed::Feed;
pub use self::output::{OutputLine, OutputRequest};
pub use self::socket::ControlSocket;
pub use self::tail::Tails;

use self::command::command;
use self::look::look;
use self::output::output;
use self::scope::Scope;
use self::server::{Visitor, Walled};
use crate::certs::OrderCounters;
use crate::control::Status;
use crate::logs::Logs;
use crate::plan::Report;
use crate::shutdown::Shutdown;

/// What can be seen.
#[derive(Clone, Debug)]
pub struct View {
    pub status: watch::Receiver<Arc<Status>>,
    pub reports: watch::Receiver<Arc<Report>>,
    pub feed: Arc<Feed>,
    pub orders: Arc<OrderCounters>,
    pub tails: Tails,
    /// Panics of the whole process.
    pub panics: &'static AtomicU64,
    pub shutdown: Shutdown,
}

/// Whether nobody may look who came in so, by the addresses of usher and of whoever came.
pub type Walls = Arc<dyn Fn(IpAddr, IpAddr) -> bool + Send + Sync>;

/// Serves the read-only listener until shutdown. A connection that `walls` keep out is closed before a
/// byte of it is read.
pub async fn serve(
    listener: TcpListener,
    walls: Walls,
    access: Arc<Access>,
    view: View,
    shutdown: Shutdown,
) {
    let listener = Walled { listener, walls };
    let tls = access.tls.clone();
    let handle = move |request: Request<Incoming>, visitor: Visitor| {
        let (view, access) = (view.clone(), Arc::clone(&access));
        async move {
            match access.admit(request.headers(), visitor) {
                Ok(scope) => look(&request, &view, &scope).await,
                Err(refusal) => refusal.answer(),
            }
        }
    };
    server::run(listener, tls, handle, shutdown).await;
}

/// Serves the control socket until shutdown.
pub async fn serve_control(
    socket: ControlSocket,
    view: View,
    levers: Levers,
    logs: Logs,
    shutdown: Shutdown,
) {
    let handle = move |request: Request<Incoming>, _owner: Visitor| {
        let (view, levers, logs) = (view.clone(), levers.clone(), logs.clone());
        async move {
            match (request.method(), request.uri().path()) {
                (&Method::POST, "/command") => command(request, &levers).await,
                (&Method::POST, "/logs") => output(request, &view, &logs).await,
                _ => look(&request, &view, &Scope::All).await,
            }
        }
    };
    server::run(socket, None, handle, shutdown).await;
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

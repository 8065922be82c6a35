//! Looking in, for whoever may; and commands, over a unix socket that only its owner can open.
//!
//! Nothing that is asked here over TCP changes anything, and whoever asks, however often or slowly,
//! is no trouble to those who serve.

use std::sync::Arc;

use http::{Method, Request};
use hyper::body::Incoming;
use tokio::net::TcpListener;

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
mod patient;
mod rates;
mod scope;
mod server;
mod sessions;
mod snapshot;
mod socket;
mod tail;
mod tls;
mod tokens;
mod view;
mod views;

pub use self::access::Access;
pub use self::answer::Done;
pub use self::command::{Levers, Order};
pub use self::feed::Feed;
pub use self::output::{OutputLine, OutputRequest};
pub use self::server::Walls;
pub use self::socket::ControlSocket;
pub use self::tail::Tails;
pub use self::view::{View, readiness};

use self::command::command;
use self::look::look;
use self::output::output;
use self::scope::Scope;
use self::server::{Visitor, Walled};
use crate::logs::Logs;
use crate::shutdown::Shutdown;

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

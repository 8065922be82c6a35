//! usher while it runs, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use pingora::proxy::HttpProxy;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::StateDir;
use crate::admin;
use crate::config::watch::{Current, Outcome, Reload};
use crate::control::Status;
use crate::engine::Engine;
use crate::plan::Report;
use crate::proxy::Door;
use crate::routing::Routes;
use crate::sessions::Sessions;
use crate::shutdown::{Tasks, Trigger};
use crate::systemd::Supervisor;

/// Of the time to stop, what is kept for cutting the rest and ending the tasks.
const LAST_MOMENTS: Duration = Duration::from_millis(700);

/// A running usher.
pub struct Running {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub status: watch::Receiver<Arc<Status>>,
    pub reports: watch::Receiver<Arc<Report>>,
    /// The table in force.
    pub routes: Routes,
    pub(super) reloads: mpsc::Sender<Reload>,
    pub(super) config: watch::Receiver<Current>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) proxy: Arc<HttpProxy<Door>>,
    /// Accept loops, which end when the last connection has.
    pub(super) serving: Tasks,
    pub(super) tasks: Tasks,
    pub(super) stop_accepting: Trigger,
    pub(super) cut: Trigger,
    pub(super) stop_tasks: Trigger,
    pub(super) _state: StateDir,
}

impl Running {
    /// Reads the configuration now.
    pub async fn reload(&self, force: bool) -> Option<Outcome> {
        let (reply, outcome) = tokio::sync::oneshot::channel();
        self.reloads.send(Reload { force, reply }).await.ok()?;
        outcome.await.ok()
    }

    /// Tells systemd how usher is, from now on until it has stopped.
    pub fn supervised(&mut self, supervisor: Supervisor) {
        let (status, reports) = (self.status.clone(), self.reports.clone());
        let stopping = self.stop_accepting.token();
        let ready = move || admin::readiness(&status, &reports, &stopping);
        let line = |status: &Arc<Status>| status.line();
        let follow = supervisor.follow(ready, line, self.status.clone(), self.stop_tasks.token());
        self.tasks.spawn("systemd", follow);
    }

    /// Waits until a task ends that should not, and names it.
    pub async fn fault(&mut self) -> &'static str {
        tokio::select! {
            name = self.tasks.ended() => name,
            name = self.serving.ended() => name,
        }
    }

    /// Stops: no new connections, requests end, sessions are closed one after the other, and what
    /// is left when the time is over is cut. Leaves the moment everything has ended.
    ///
    /// Replicas that are containers keep running.
    pub async fn stop(self) {
        let within = self.config.borrow().config.stop_within;
        let gently = within.saturating_sub(LAST_MOMENTS);
        let open = self.sessions.count();
        info!(sessions = open, within_ms = within.as_millis(), "stopping");
        self.stop_accepting.begin();
        self.proxy.cleanup().await;
        // The last ones need time for their close handshake.
        self.sessions.stop(gently.mul_f64(0.6));
        let serving = self.serving.finished();
        tokio::pin!(serving);
        if timeout(gently, &mut serving).await.is_err() {
            warn!(sessions = self.sessions.count(), "cutting what is left");
            self.cut.begin();
            // An accept loop that is cut ends at once.
            let _ = timeout(LAST_MOMENTS / 2, &mut serving).await;
        }
        self.engine.close().await;
        self.stop_tasks.begin();
        let _ = timeout(LAST_MOMENTS, self.tasks.finished()).await;
        info!("stopped");
    }

    /// Stops without waiting for anybody.
    pub async fn stop_now(self) {
        self.stop_accepting.begin();
        self.cut.begin();
        let _ = timeout(LAST_MOMENTS, self.serving.finished()).await;
        self.engine.close().await;
        self.stop_tasks.begin();
        let _ = timeout(LAST_MOMENTS, self.tasks.finished()).await;
    }
}

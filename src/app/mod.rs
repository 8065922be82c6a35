//! The composition root: where every room is built and connected, and nowhere else.
//!
//! ```text
//! config ─▶ control ◀─ engine::watch     plan ─▶ routing ─▶ gateway ◀─ listener ◀─ clients
//!              │  ▲ ▲                      │        │
//!              │  │ └── prober, certs      ▼        ▼
//!              └──┴──────────────────── Plan ─── Report
//! ```

use std::backtrace::Backtrace;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use crate::admin::{self, ControlSocket, Levers, Tails, View};
use crate::alerts;
use crate::certs;
use crate::config::watch::Current;
use crate::config::{self, Loaded};
use crate::control::{self, Command, Controller, Doors, EngineFacts, Now, Status};
use crate::engine::{self, Engine, Listing};
use crate::failures::Failures;
use crate::files::{self, Editions, Library};
use crate::host;
use crate::listener::{
    self, Acceptors, BindError, EdgeCounters, Inherited, Offered, Pressure, Tls, TlsError,
};
use crate::logs::Logs;
use crate::plan::{Plan, Report};
use crate::prober;
use crate::proxy::{AccessLog, Door, Gateway, Parts};
use crate::routing::{self, Routes};
use crate::sessions::Sessions;
use crate::shutdown::{self, Tasks};

mod engines;
mod kept;
mod resources;
mod running;
mod sets;
mod state_dir;

pub use self::engines::{docker_for, engine_for};
use self::resources::{allowed_connections, look};
pub use self::running::Running;
use self::sets::{served, sets};
pub use self::state_dir::StateDir;

/// Queues between rooms are short: each is emptied at once, or something is wrong.
const QUEUE: usize = 1024;
/// Until the first plan is in force, nobody is let in.
const FIRST_PLAN_WITHIN: Duration = Duration::from_secs(5);

/// An HTTP/2 connection without a request is closed after this, as one of HTTP/1 is.
pub const HTTP2_IDLE: Duration = Duration::from_secs(60);

/// The doors to the outside world. Tests give other ones; the wiring is the same.
pub struct Ports {
    pub engine: Arc<dyn Engine>,
    pub engine_facts: EngineFacts,
    /// Sockets that somebody else has bound.
    pub inherited: Inherited,
    /// Where the access log goes.
    pub access_log: Box<dyn Write + Send>,
    /// Counts the panics of the whole process.
    pub panics: &'static AtomicU64,
    /// How long an HTTP/2 connection without a request is kept; see [`HTTP2_IDLE`].
    pub http2_idle: Duration,
}

/// Why usher does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot use {} as the state folder", path.display())]
    State {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another usher uses the state folder {}; give each its own `[state] dir`", path.display())]
    StateInUse { path: PathBuf },
    #[error("cannot listen on the control socket {}", path.display())]
    Control {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
}

impl StartError {
    /// Whether it is about an address that cannot be bound.
    pub fn is_bind(&self) -> bool {
        matches!(self, Self::Bind(_) | Self::Control { .. })
    }
}

/// Starts everything and returns when the first plan is in force and all sockets are bound.
///
/// # Errors
/// What keeps it from starting. Nothing is left running then.
pub async fn start(
    path: PathBuf,
    loaded: Loaded,
    state: StateDir,
    ports: Ports,
) -> Result<Running, StartError> {
    let Loaded {
        config,
        issues,
        kept: _,
        seen,
    } = loaded;
    let Some(config) = config else {
        unreachable!("a configuration that cannot be applied is not started");
    };
    let config = Arc::new(config);
    let first = Current {
        config: Arc::clone(&config),
        issues: issues.into(),
        last_reload: Ok(()),
    };
    let (stop_accepting, accepting) = shutdown::channel();
    let (cut, uncut) = shutdown::channel();
    let (stop_tasks, going) = shutdown::channel();

    // What exists is served first: certificates before sockets.
    let mut manager = certs::Manager::new(&config.certs, config.state_dir.clone());
    let wanted = Controller::new(first.clone(), ports.engine_facts, now()).certificates();
    manager.repair(now().wall);
    manager.load(Arc::clone(&wanted), now().wall);
    let store = Arc::clone(manager.store());
    let orders = Arc::clone(manager.counters());
    let challenges = manager.challenges().clone();
    let wishes = manager.wishes();

    let mut inherited = ports.inherited;
    let http = listener::bind(&config.listen.http, &mut inherited)?;
    let https = listener::bind(&config.listen.https, &mut inherited)?;
    let admin = listener::bind(&[config.admin.listen], &mut inherited)?;
    let socket = config.admin.socket.clone();
    let socket = ControlSocket::bind(&socket).map_err(|source| StartError::Control {
        path: socket,
        source,
    })?;

    let routes = Routes::default();
    let sessions: Arc<Sessions> = Arc::default();
    let failures: Arc<Failures> = Arc::default();
    let counters: Arc<EdgeCounters> = Arc::default();
    let pressure: Arc<Pressure> = Arc::default();
    let log = Arc::new(AccessLog::new(&config.log, ports.access_log));
    let https_port = https.first().and_then(|socket| socket.local_addr().ok());
    let (library, workshop) = Library::new();
    let editions = Editions::new(config.state_dir.join("editions"));
    let gateway = Arc::new(Gateway::new(Parts {
        routes: routes.clone(),
        sessions: Arc::clone(&sessions),
        store: Arc::clone(&store),
        challenges: challenges.clone(),
        counters: Arc::clone(&counters),
        pressure: Arc::clone(&pressure),
        log: Arc::clone(&log),
        failures: Arc::clone(&failures),
        https_port: https_port.map_or(443, |address| address.port()),
        files: library,
        editions: Arc::clone(&editions),
    }));
    let proxy = Arc::new(pingora_app(&gateway, ports.http2_idle));
    let offered = Offered {
        least: config.certs.min_version,
        http2: config.listen.http2,
    };
    let most_connections = allowed_connections(config.listen.max_connections);
    let acceptors = Acceptors::new(
        Arc::clone(&proxy),
        Arc::clone(&gateway),
        Tls::new(store, challenges, offered)?,
        Arc::clone(&counters),
        Arc::clone(&pressure),
        most_connections,
    );

    let mut tasks = Tasks::default();
    let (config_tx, config_rx) = watch::channel(first);
    let (reload_tx, reload_rx) = mpsc::channel(QUEUE);
    tasks.spawn(
        "config",
        config::watch::follow(path, seen, config_tx, reload_rx, going.clone()),
    );
    let (listing_tx, listing_rx) = watch::channel(Listing {
        inventory: None,
        last_sync: None,
        error: None,
    });
    let watched = engine::watch::follow(Arc::clone(&ports.engine), listing_tx, going.clone());
    tasks.spawn("engine::watch", watched);
    let (action_tx, action_rx) = mpsc::channel(QUEUE);
    let (acted_tx, acted_rx) = mpsc::channel(QUEUE);
    let acting = engine::act::run(
        Arc::clone(&ports.engine),
        action_rx,
        acted_tx,
        going.clone(),
    );
    tasks.spawn("engine::act", acting);
    let (metered_tx, metered_rx) = mpsc::channel(QUEUE);
    let metering = engine::meter::run(
        Arc::clone(&ports.engine),
        listing_rx.clone(),
        metered_tx,
        going.clone(),
    );
    tasks.spawn("engine::meter", metering);
    let (target_tx, target_rx) = watch::channel(Arc::default());
    let (outcome_tx, outcome_rx) = mpsc::channel(QUEUE);
    tasks.spawn("prober", prober::run(target_rx, outcome_tx, going.clone()));
    let (wanted_tx, wanted_rx) = watch::channel(wanted);
    let (certificate_tx, certificate_rx) = watch::channel(Arc::default());
    let (export_tx, export_rx) = watch::channel(Arc::default());
    let certs_dir = config.certs.dir.clone();
    let exported = certs::export::follow(certs_dir, wanted_rx.clone(), export_tx, going.clone());
    tasks.spawn("certs::export", exported);
    let managed = manager.run(wanted_rx, config_rx.clone(), certificate_tx, going.clone());
    tasks.spawn("certs", managed);
    let (host_tx, host_rx) = watch::channel(host::Host::now(&config.state_dir));
    tasks.spawn(
        "host",
        host::watch(config.state_dir.clone(), host_tx, going.clone()),
    );
    let look = look(routes.clone(), Arc::clone(&counters), most_connections);
    tasks.spawn("listener::pressure", {
        let (pressure, going) = (Arc::clone(&pressure), going.clone());
        async move { pressure.watch(look, going).await }
    });
    let maintained = Arc::clone(&acceptors).maintain(going.clone());
    tasks.spawn("listener::tickets", maintained);
    let (plan_tx, plan_rx) = watch::channel(Arc::<Plan>::default());
    let (report_tx, report_rx) = watch::channel(Arc::<Report>::default());
    let edge = {
        let (counters, log) = (Arc::clone(&counters), Arc::clone(&log));
        let pressure = Arc::clone(&pressure);
        move || counters.report(pressure.level(), log.dropped())
    };
    let farewell = Arc::clone(&sessions) as Arc<dyn routing::Farewell>;
    let (unserved_tx, unserved_rx) = watch::channel(Arc::default());
    let inspected = files::inspect(
        Arc::clone(&editions),
        served(plan_rx.clone()),
        unserved_tx,
        going.clone(),
    );
    tasks.spawn("files::inspect", inspected);
    let sets = sets(plan_rx.clone());
    tasks.spawn(
        "files::editions",
        editions.keeper().run(sets, going.clone()),
    );
    tasks.spawn(
        "routing",
        routing::run(
            routes.clone(),
            farewell,
            edge,
            plan_rx,
            report_tx,
            going.clone(),
        ),
    );
    tasks.spawn("files::workshop", workshop.run(going.clone()));
    tasks.spawn("proxy::sweep", Arc::clone(&gateway).sweep(going.clone()));
    let (command_tx, command_rx) = mpsc::channel::<Command>(QUEUE);
    let controller = Controller::new(config_rx.borrow().clone(), ports.engine_facts, now());
    let (status_tx, status_rx) = watch::channel(Arc::new(first_status(controller)));
    let kept_at = kept::path(&config.state_dir);
    let (unkept_tx, unkept_rx) = watch::channel(None);
    let (kept_tx, kept_rx) = watch::channel(Arc::default());
    tasks.spawn(
        "app::kept",
        kept::follow(kept_at.clone(), kept_rx, unkept_tx),
    );
    let (undelivered_tx, undelivered_rx) = watch::channel(alerts::Undelivered::default());
    let doors = Doors {
        config: config_rx.clone(),
        listings: listing_rx,
        reports: report_rx.clone(),
        certificates: certificate_rx,
        undelivered: undelivered_rx,
        exports: export_rx,
        unserved: unserved_rx,
        unkept: unkept_rx,
        host: host_rx,
        outcomes: outcome_rx,
        acted: acted_rx,
        metered: metered_rx,
        commands: command_rx,
        plans: plan_tx,
        targets: target_tx,
        wanted: wanted_tx,
        status: status_tx,
        actions: action_tx,
        kept: kept_tx,
    };
    tasks.spawn(
        "control",
        control::run(
            doors,
            ports.engine_facts,
            kept::read(&kept_at),
            going.clone(),
        ),
    );

    let told = alerts::run(
        config_rx.clone(),
        status_rx.clone(),
        undelivered_tx,
        going.clone(),
    );
    tasks.spawn("alerts", told);

    let feed = admin::Feed::new(&status_rx, Arc::clone(&sessions) as _, failures as _);
    tasks.spawn(
        "admin::feed",
        Arc::clone(&feed).run(status_rx.clone(), going.clone()),
    );
    let logs = Logs::new(Arc::clone(&ports.engine));
    let view = View {
        status: status_rx.clone(),
        reports: report_rx.clone(),
        feed,
        orders,
        tails: Tails::new(logs.clone()),
        panics: ports.panics,
        shutdown: accepting.clone(),
    };
    let levers = Levers {
        commands: command_tx,
        reloads: reload_tx.clone(),
        certificates: wishes,
    };
    let addresses = |sockets: &[TcpListener]| -> Vec<SocketAddr> {
        sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    };
    let mut running = Running {
        http: addresses(&http),
        https: addresses(&https),
        admin: addresses(&admin)
            .first()
            .copied()
            .unwrap_or(config.admin.listen),
        status: status_rx,
        reports: report_rx,
        routes,
        reloads: reload_tx,
        config: config_rx,
        engine: ports.engine,
        sessions,
        proxy,
        serving: Tasks::default(),
        tasks,
        stop_accepting,
        cut,
        stop_tasks,
        _state: state,
    };
    let access = Arc::new(admin::Access::new(&config.admin, &config.certs.dir));
    let walls = walls(
        running.routes.clone(),
        running.status.clone(),
        ports.engine_facts,
    );
    for socket in admin {
        let (walls, access) = (Arc::clone(&walls), Arc::clone(&access));
        let serve = admin::serve(socket, walls, access, view.clone(), going.clone());
        running.tasks.spawn("admin", serve);
    }
    let serve = admin::serve_control(socket, view, levers, logs, going.clone());
    running.tasks.spawn("admin::control", serve);

    let mut reports = running.reports.clone();
    let applied = reports.wait_for(|report| report.applied.0 > 0);
    if timeout(FIRST_PLAN_WITHIN, applied).await.is_err() {
        warn!("no plan is in force yet; serving all the same");
    }
    for (sockets, tls, name) in [(http, false, "http"), (https, true, "https")] {
        for socket in sockets {
            let serve = Arc::clone(&acceptors).serve(socket, tls, accepting.clone(), uncut.clone());
            running.serving.spawn(name, serve);
        }
    }
    let shown = |addresses: &[SocketAddr]| {
        let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        shown.join(" ")
    };
    info!(
        http = shown(&running.http),
        https = shown(&running.https),
        admin = %running.admin,
        "serving"
    );
    Ok(running)
}

/// Counts every panic of the process from now on, and logs it with its backtrace.
///
/// A panic ends the connection or the task it happened in, and nothing else.
pub fn count_panics(counter: &'static AtomicU64) {
    std::panic::set_hook(Box::new(|panic| {
        counter.fetch_add(1, Ordering::Relaxed);
        let backtrace = Backtrace::capture();
        error!(%panic, %backtrace, "panic");
    }));
}

/// Keeps the networks of stacks away from the admin listener. Until the engine was listed nobody knows
/// which they are.
fn walls(
    routes: Routes,
    status: watch::Receiver<Arc<Status>>,
    engine: EngineFacts,
) -> admin::Walls {
    Arc::new(move |local, peer| {
        let unknown = engine.kind == "docker" && !status.borrow().synced;
        let entered = || routes.load().edge().entered(local, peer).is_some();
        !peer.to_canonical().is_loopback() && (unknown || entered())
    })
}

fn first_status(mut controller: Controller) -> Status {
    controller.status(now())
}

fn pingora_app(gateway: &Arc<Gateway>, http2_idle: Duration) -> HttpProxy<Door> {
    let conf = ServerConf {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        upstream_keepalive_pool_size: 1024,
        // One try and three replicas more.
        max_retries: 4,
        ..ServerConf::default()
    };
    let mut proxy = http_proxy(&Arc::new(conf), Door(Arc::clone(gateway)));
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(http2_idle);
    proxy.server_options = Some(options);
    // Options of one's own lose the framework's limits, so they begin with those.
    let mut http2 = default_h2_options();
    http2
        // Decoded, with 32 bytes for each field (RFC 9113 §6.5.2).
        .max_header_list_size(16 * 1024)
        .max_concurrent_streams(100)
        .initial_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        // Of an answer that the client does not read. The framework would keep 400 KiB, and with it
        // one connection with a hundred streams 40 MiB.
        .max_send_buffer_size(64 * 1024);
    proxy.h2_options = Some(http2);
    proxy
}

#[expect(clippy::disallowed_methods, reason = "the clock of the start")]
fn now() -> Now {
    Now {
        at: Instant::now(),
        wall: SystemTime::now(),
    }
}

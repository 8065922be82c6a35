//! `usher run`: starts, follows signals, stops.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::environment::{is_set, is_told, told, without_effect};
use super::{Exit, config_file, future_config_file, no_config, print_issues};
use crate::app::{self, Ports, Running, StateDir};
use crate::cause::chain;
use crate::config;
use crate::config::model::{Log, LogFormat, NamesFromContainers};
use crate::config::variables::Note;
use crate::control::Status;
use crate::engine::DockerHost;
use crate::listener::Inherited;
use crate::systemd::Supervisor;

/// The first listing, when an engine is required.
const ENGINE_WITHIN: Duration = Duration::from_secs(10);
/// What is logged unless `USHER_LOG` says otherwise. The framework's own words are for its authors.
/// A client that leaves in its HTTP/2 handshake is no error of anybody, and what strangers send in the
/// place of TLS is counted.
const LOGGED: &str = "info,pingora=error,pingora_core=error,pingora_core::apps=off,\
     pingora_proxy=error,pingora_pool=error,rustls=error";

pub(super) async fn run(
    named: Option<PathBuf>,
    names_from_containers: Option<NamesFromContainers>,
    require_engine: bool,
    panics: &'static AtomicU64,
) -> Exit {
    // A file that was named and is not there is a mistake, whatever else could hold.
    let asked = names_from_containers.filter(|_| named.as_ref().is_none_or(|path| path.exists()));
    let path = match (config_file(named), asked) {
        (Some(path), _) => path,
        (None, Some(_)) => future_config_file(),
        (None, None) => return no_config(),
    };
    let (told, notes) = told(asked);
    let followed = told.as_ref().is_some_and(is_told);
    let loaded = config::load_as(&path, told, None);
    print_issues(&path, &loaded.issues);
    let Some(config) = &loaded.config else {
        return Exit::BadUsage;
    };
    log_to_stderr(&config.log, LOGGED);
    for (variable, instead) in without_effect(followed, is_set) {
        warn!(
            variable,
            instead, "a variable of nginx-proxy is set and has no effect"
        );
    }
    for Note { variable, text } in notes {
        warn!(
            variable,
            reason = text,
            "a variable of nginx-proxy is not followed to the letter"
        );
    }
    // The memory holds the keys of every tenant: it is in no core dump, and nobody without
    // privileges looks into it.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn!(%error, "core dumps cannot be forbidden; they would hold the keys");
    }
    let state = match StateDir::open(&config.state_dir) {
        Ok(state) => state,
        Err(error) => return failed(&error),
    };
    let docker_host = DockerHost::told(|name| std::env::var(name).ok());
    let (engine, engine_facts) = match app::engine_for(config, &state, docker_host) {
        Ok(engine) => engine,
        Err(error) => return failed(&error),
    };
    let ports = Ports {
        engine,
        engine_facts,
        inherited: Inherited::from_env(),
        access_log: Box::new(io::stdout()),
        panics,
        http2_idle: app::HTTP2_IDLE,
    };
    // Before the start, so that no signal finds the default in its place.
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            error!(%error, "no signals");
            return Exit::Failed;
        }
    };
    let mut running = match app::start(path, loaded, state, ports).await {
        Ok(running) => running,
        Err(error) if error.is_bind() => {
            eprintln!("error: {}", chain(&error));
            return Exit::CannotBind;
        }
        Err(error) => return failed(&error),
    };
    if require_engine && !engine_answers(&running).await {
        eprintln!("error: the engine does not answer, and --require-engine was given");
        running.stop_now().await;
        return Exit::NoEngine;
    }
    let supervisor = Supervisor::from_env();
    running.supervised(supervisor.clone());
    serve(running, signals, supervisor).await
}

fn failed(error: &app::StartError) -> Exit {
    eprintln!("error: {}", chain(error));
    Exit::Failed
}

/// Libraries that write whole heads of requests when they are asked for details: cookies and
/// passwords of attendees are no detail. Whoever names one in `USHER_LOG` gets them all the same.
const TELL_ALL: [&str; 5] = ["h2", "hyper", "pingora", "tokio_tungstenite", "tungstenite"];

/// Installs the log of the process: JSON or text, to standard error.
///
/// `USHER_LOG` says what is logged in the place of `filter`.
pub(super) fn log_to_stderr(log: &Log, filter: &str) {
    let filter = EnvFilter::try_from_env("USHER_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let quieter = filter
        .max_level_hint()
        .is_none_or(|level| level > LevelFilter::INFO);
    let filter = TELL_ALL.into_iter().fold(filter, |filter, library| {
        match format!("{library}=info").parse() {
            Ok(directive) if quieter => filter.add_directive(directive),
            _ => filter,
        }
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second log in one process would be a second main; then the first stays.
    let _ = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
    };
}

/// Says that the first listing takes long, until it has come. Never ends: what follows it is none
/// of its business.
async fn tell_first_sync(mut status: watch::Receiver<Arc<Status>>) {
    const EVERY: Duration = Duration::from_secs(5);
    let mut patience = Duration::from_secs(1);
    let mut late = false;
    loop {
        let synced = timeout(patience, status.wait_for(|status| status.synced)).await;
        // Whoever keeps what was waited for keeps the control plane from saying anything new.
        let kind = synced.map(|status| status.map_or("none", |status| status.engine.kind));
        if let Ok(kind) = kind {
            if late {
                info!("the engine is listed");
            }
            if kind == "docker" {
                // What scripts wait for that know docker-gen.
                info!("Watching docker events");
            }
            return pending().await;
        }
        info!("the first listing of the engine is awaited");
        (late, patience) = (true, EVERY);
    }
}

async fn engine_answers(running: &Running) -> bool {
    let mut status = running.status.clone();
    let synced = status.wait_for(|status| status.engine.connected);
    timeout(ENGINE_WITHIN, synced)
        .await
        .is_ok_and(|synced| synced.is_ok())
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// HUP reloads, TERM drains and stops, a second TERM and INT stop now.
async fn serve(mut running: Running, mut signals: Signals, supervisor: Supervisor) -> Exit {
    let first_sync = tell_first_sync(running.status.clone());
    tokio::pin!(first_sync);
    loop {
        tokio::select! {
            () = &mut first_sync => {}
            Some(()) = signals.hangup.recv() => {
                supervisor.reloading(running.reload(false)).await;
            }
            Some(()) = signals.interrupt.recv() => {
                supervisor.stopping();
                running.stop_now().await;
                return Exit::Fine;
            }
            Some(()) = signals.terminate.recv() => break,
            name = running.fault() => {
                error!(task = name, "a task ended that should not");
                supervisor.stopping();
                running.stop().await;
                return Exit::Failed;
            }
        }
    }
    supervisor.stopping();
    tokio::select! {
        () = running.stop() => {}
        // Dropping the stop cuts everything: the process ends.
        _ = signals.terminate.recv() => info!("stopping at once"),
        _ = signals.interrupt.recv() => info!("stopping at once"),
    }
    Exit::Fine
}

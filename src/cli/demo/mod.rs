//! `usher demo`: the product itself, with nothing installed.
//!
//! The same wiring as `usher run`: a configuration in a fresh folder, the process engine whose
//! replicas are hidden commands of this binary, certificates of the local authority, and attendees with real TLS websockets whose number rises and falls.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep};

mod crowd;
mod replica;

pub(super) use self::replica::{web, worker};

use self::crowd::{Crowd, Tally, trusting};
use super::run::log_to_stderr;
use super::{Exit, print_issues};
use crate::app::{self, Ports, Running, StateDir};
use crate::cause::chain;
use crate::certs;
use crate::config;
use crate::config::model::{AccessFormat, AccessKeys, Addresses, Log, LogFormat};
use crate::control::Status;
use crate::engine::{DockerHost, Processes};
use crate::listener::Inherited;

/// The two instances and their domains. Browsers take every name below `localhost` for this
/// machine.
const INSTANCES: [(&str, &str); 2] = [
    ("congress", "congress.localhost"),
    ("assembly", "assembly.localhost"),
];
/// How long an audience takes to come and go again.
const PERIOD: Duration = Duration::from_secs(90);
const PRINT_EVERY: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many come at most, to both instances together
    #[arg(long, default_value_t = 160)]
    attendees: u32,
    /// End after this time, for example 2m; otherwise Ctrl-C ends it
    #[arg(long = "for", value_parser = crate::config::parse_span)]
    span: Option<Duration>,
    /// [default: 127.0.0.1:8080, or a free port]
    #[arg(long)]
    http: Option<SocketAddr>,
    /// [default: 127.0.0.1:8443, or a free port]
    #[arg(long)]
    https: Option<SocketAddr>,
    /// [default: 127.0.0.1:9900, or a free port]
    #[arg(long)]
    admin: Option<SocketAddr>,
}

/// A folder that only this user may enter and that goes with the demo.
struct Folder(PathBuf);

const FOLDER_PREFIX: &str = "usher-demo-";
const REMOVE_TRIES: u32 = 50;
const REMOVE_AGAIN: Duration = Duration::from_millis(20);

/// Ends the replicas of demos that were killed, and removes what they left. Demos that run hold
/// their state folders.
fn clean_up_after_the_killed() {
    let entries = fs::read_dir(std::env::temp_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let ours = entry
            .file_name()
            .to_string_lossy()
            .starts_with(FOLDER_PREFIX);
        let state = entry.path().join("state");
        // A demo that is just starting has no record yet.
        if !ours || !state.join("processes.json").exists() {
            continue;
        }
        // What belongs to another user, or to a demo that runs, is refused.
        if let Ok(_taken) = StateDir::open(&state)
            && Processes::open(&state).is_ok()
        {
            drop(Folder(entry.path()));
        }
    }
}

impl Folder {
    fn fresh() -> io::Result<Self> {
        let name = format!(
            "{FOLDER_PREFIX}{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        let path = std::env::temp_dir().join(name);
        // Not recursive: a folder that exists already is somebody else's.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whatever writes into it for a moment longer (a state that is being saved, the next demo
        // that looks whether this one was killed) keeps a folder from going.
        for _ in 0..REMOVE_TRIES {
            match fs::remove_dir_all(&self.0) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(_) => std::thread::sleep(REMOVE_AGAIN),
            }
        }
        eprintln!("left behind, please remove it: {}", self.0.display());
    }
}

pub(super) async fn run(arguments: Arguments, panics: &'static AtomicU64) -> Exit {
    log_to_stderr(
        &Log {
            access_keys: AccessKeys::default(),
            access_format: AccessFormat::default(),
            format: LogFormat::Text,
            access: false,
            addresses: Addresses::Full,
            queries: false,
        },
        "error,pingora_core::apps=off",
    );
    match demonstrate(arguments, panics).await {
        Ok(()) => Exit::Fine,
        Err(Trouble::CannotBind(why)) => {
            eprintln!("error: {why}");
            Exit::CannotBind
        }
        Err(Trouble::Other(why)) => {
            eprintln!("error: {why}");
            Exit::Failed
        }
    }
}

enum Trouble {
    CannotBind(String),
    Other(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<app::StartError> for Trouble {
    fn from(error: app::StartError) -> Self {
        if error.is_bind() {
            Self::CannotBind(chain(&error))
        } else {
            Self::Other(chain(&error))
        }
    }
}

async fn demonstrate(arguments: Arguments, panics: &'static AtomicU64) -> Result<(), Trouble> {
    clean_up_after_the_killed();
    let folder = Folder::fresh()?;
    let path = folder.0.join("usher.toml");
    let mut bound = Vec::new();
    let wanted = [
        (arguments.http, 8080),
        (arguments.https, 8443),
        (arguments.admin, 9900),
    ];
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 3];
    for ((named, usual), address) in wanted.into_iter().zip(&mut addresses) {
        *address = match named {
            Some(named) => named,
            None => {
                let socket = listen_anywhere(usual)?;
                let address = socket.local_addr()?;
                bound.push(socket);
                address
            }
        };
    }
    fs::write(
        &path,
        configuration(&folder.0, addresses, arguments.attendees)?,
    )?;
    let loaded = config::load(&path, None);
    print_issues(&path, &loaded.issues);
    let Some(config) = &loaded.config else {
        return Err(Trouble::Other(
            "the demo's own configuration is wrong".to_owned(),
        ));
    };
    let state_dir = config.state_dir.clone();
    let state = StateDir::open(&state_dir)?;
    let (engine, engine_facts) = app::engine_for(config, &state, DockerHost::default())?;
    let ports = Ports {
        engine,
        engine_facts,
        inherited: Inherited::of(bound),
        access_log: Box::new(io::sink()),
        panics,
        http2_idle: app::HTTP2_IDLE,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut running = app::start(path, loaded, state, ports).await?;
    let roots = certs::local::root_pem(&state_dir)?.unwrap_or_default();
    let client = trusting(&roots);
    introduce(&running, &folder.0);
    let tally = Arc::new(Tally::default());
    let https = running
        .https
        .first()
        .copied()
        .unwrap_or_else(|| ([127, 0, 0, 1], 443).into());
    let each = arguments.attendees / 2;
    let crowds = INSTANCES
        .map(|(_, domain)| Crowd::new(domain, https, Arc::clone(&client), Arc::clone(&tally)));
    let show = show(running.status.clone(), crowds, each);
    let end = async {
        match arguments.span {
            Some(span) => sleep(span).await,
            None => std::future::pending().await,
        }
    };
    let name = tokio::select! {
        () = show => None,
        () = end => None,
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        name = running.fault() => Some(name),
    };
    println!("\n{}", tally.closing_line());
    running.stop().await;
    match name {
        Some(name) => Err(Trouble::Other(format!("the task {name} ended"))),
        None => Ok(()),
    }
}

fn introduce(running: &Running, folder: &Path) {
    let port = running.https.first().map_or(443, SocketAddr::port);
    println!("usher demo: two instances, their replicas are processes of this machine\n");
    for (_, domain) in INSTANCES {
        println!("  https://{domain}:{port}/");
    }
    println!("  http://{}/               what usher sees", running.admin);
    println!(
        "  http://{}/metrics        the same for Prometheus",
        running.admin
    );
    println!(
        "  {}    the authority behind the certificates",
        folder.join("state/local-ca/root.pem").display()
    );
    println!(
        "  usher status --socket {}\n",
        folder.join("control.sock").display()
    );
}

/// The configuration an operator would write, for two instances of this demo.
fn configuration(folder: &Path, addresses: [SocketAddr; 3], attendees: u32) -> io::Result<String> {
    let program = std::env::current_exe()?;
    let [http, https, admin] = addresses;
    let folder = folder.display();
    // Six replicas at most, half full when everybody is there.
    let per_replica = (attendees / 2).div_ceil(4).max(1);
    let mut text = format!(
        "[state]\ndir = {state:?}\n\n[listen]\nhttp = [\"{http}\"]\nhttps = [\"{https}\"]\n\n\
         [admin]\nlisten = \"{admin}\"\nsocket = {socket:?}\n\n[engine]\nkind = \"processes\"\n\n\
         [certs]\ndir = {certs:?}\n\n[log]\naccess = false\nformat = \"text\"\n\n\
         [scale]\nsessions-per-replica = {per_replica}\ndown-after = \"15s\"\n\n\
         [limits]\nreplica-drain = \"10s\"\nreplica-drain-max = \"30s\"\n",
        state = format!("{folder}/state"),
        socket = format!("{folder}/control.sock"),
        certs = format!("{folder}/certs"),
    );
    for (name, domain) in INSTANCES {
        text.push_str(&format!(
            "\n[[instance]]\nname = \"{name}\"\ndomains = [\"{domain}\"]\n\n\
             [instance.service.web]\nrole = \"sessions\"\nprobe = \"/\"\nmin = 1\nmax = 6\n\
             command = [{program:?}, \"demo-web\", \"--listen\", \"127.0.0.1:{{port}}\", \"--name\", \"{name}\"]\n\n\
             [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 2.0\nmin = 1\nmax = 12\n\
             command = [{program:?}, \"demo-worker\"]\n",
            program = program.display().to_string(),
        ));
    }
    Ok(text)
}

/// The usual port, or any that is free: two demos can run side by side. Bound at once, so that
/// neither takes it from the other.
fn listen_anywhere(usual: u16) -> io::Result<TcpListener> {
    let at = |port| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
    at(usual).or_else(|_| at(0))
}

/// Lets the audience come and go, and prints how usher follows.
async fn show(status: watch::Receiver<Arc<Status>>, mut crowds: [Crowd; 2], each: u32) {
    let mut tick = interval(Duration::from_millis(200));
    let began = tick.tick().await;
    let mut printed = began;
    let mut told: Vec<String> = Vec::new();
    loop {
        let now = tick.tick().await;
        let at = now.duration_since(began);
        for (index, crowd) in (0_u32..).zip(&mut crowds) {
            // The second audience comes when the first begins to leave.
            let shifted = at.checked_sub(PERIOD / 3 * index);
            crowd.become_many(shifted.map_or(0, |at| audience(at, each)));
        }
        let status = Arc::clone(&status.borrow());
        told.retain(|line| decisions(&status).contains(line));
        for line in decisions(&status) {
            if !told.contains(&line) {
                println!("        {line}");
                told.push(line);
            }
        }
        if now.duration_since(printed) >= PRINT_EVERY {
            printed = now;
            print_line(&status, &crowds, began, now);
        }
    }
}

/// How many of `most` are there: nobody, everybody, nobody, as a wave.
fn audience(at: Duration, most: u32) -> u32 {
    let turn = at.as_secs_f64() / PERIOD.as_secs_f64() * std::f64::consts::TAU;
    let share = (1.0 - turn.cos()) / 2.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and most"
    )]
    let there = (share * f64::from(most)).round() as u32;
    there
}

fn decisions(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    for instance in &status.instances {
        for service in &instance.services {
            if let Some(decision) = &service.last_decision {
                lines.push(format!(
                    "{}/{}: {} → {} ({})",
                    instance.name, service.name, decision.from, decision.to, decision.reason
                ));
            }
        }
    }
    lines
}

fn print_line(status: &Status, crowds: &[Crowd; 2], began: Instant, now: Instant) {
    let mut line = format!("{:>5} s", now.duration_since(began).as_secs());
    for ((name, _), crowd) in INSTANCES.iter().zip(crowds) {
        let Some(seen) = status.instances.iter().find(|seen| seen.name == *name) else {
            continue;
        };
        let ready = |name: &str| {
            let service = seen.services.iter().find(|service| service.name == name);
            service.map_or(0, |service| service.ready)
        };
        line.push_str(&format!(
            "   {}: {:>3} attendees, {:>3} websockets, web {}, worker {:>2}",
            seen.name,
            crowd.size(),
            seen.websockets,
            ready("web"),
            ready("worker")
        ));
    }
    println!("{line}");
}

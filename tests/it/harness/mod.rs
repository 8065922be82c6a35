//! One way to start usher in a test: the same door as production, on free ports, in a folder of
//! its own.

#![allow(dead_code, reason = "each test uses a part of the harness")]

pub mod acme;
pub mod acme_fault;
pub mod audience;
pub mod browser;
pub mod channel;
pub mod claiming;
pub mod client;
pub mod contained;
pub mod daemon;
pub mod docker;
pub mod docker_api;
pub mod docker_swarm;
pub mod engine;
pub mod eventually;
pub mod h2flood;
pub mod h2raw;
pub mod h2wire;
pub mod hall;
pub mod hang;
pub mod installed;
pub mod kept;
pub mod line;
pub mod neighbour;
pub mod numbers;
pub mod origin;
pub mod pebble;
pub mod pki;
pub mod program;
pub mod readers;
pub mod recorder;
pub mod volume_driver;
pub mod wire;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Once};
use std::time::Duration;

use serde_json::Value;
use usher::app::{self, Ports, Running, StateDir};
use usher::config;
use usher::engine::Engine;
use usher::listener::Inherited;

pub use self::client::{Answer, Front};
pub use self::eventually::eventually;
pub use self::installed::Installed;
pub use self::kept::Kept;
pub use self::origin::Origin;
pub use self::pki::Pki;
pub use self::recorder::Recorder;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// What `main` does once for a process.
pub fn prepare_process() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if std::env::var_os("USHER_LOG").is_some() {
            tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::from_env("USHER_LOG"))
                .with_test_writer()
                .init();
        }
    });
}

/// A running usher.
pub struct Edge {
    pub folder: tempfile::TempDir,
    pub pki: Pki,
    pub running: Running,
}

/// What an edge is started with.
pub struct Setup {
    folder: tempfile::TempDir,
    pki: Pki,
    /// The tables of the configuration that a test cares about.
    text: String,
    engine: Option<(Arc<dyn Engine>, usher::control::EngineFacts)>,
    certified: bool,
    access_log: Option<Box<dyn io::Write + Send>>,
    quiet: Duration,
    http2_idle: Duration,
}

/// One instance with fixed replicas, everything else by default.
pub fn instance(name: &str, replicas: &[SocketAddr]) -> String {
    let addresses: Vec<String> = replicas
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    format!(
        "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\naddresses = [{}]\n",
        addresses.join(", ")
    )
}

impl Setup {
    /// `text` is appended to a configuration with free ports and a folder of its own.
    pub fn new(text: &str) -> Self {
        prepare_process();
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            pki: Pki::new(),
            folder,
            text: text.to_owned(),
            engine: None,
            certified: true,
            access_log: None,
            http2_idle: app::HTTP2_IDLE,
            quiet: usher::control::QUIET,
        }
    }

    /// Adds tables that name paths in the folder.
    pub fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// With this engine in the place of the configured one.
    pub fn engine(mut self, engine: Arc<dyn Engine>, starts_from_nothing: bool) -> Self {
        let facts = usher::control::EngineFacts {
            kind: "docker",
            starts_from_nothing,
            shared: false,
            quiet: usher::control::QUIET,
        };
        self.engine = Some((engine, facts));
        self
    }

    /// With this in the place of the time for which a stack has to be left alone.
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Without the certificates that every domain otherwise has.
    pub fn without_certificates(mut self) -> Self {
        self.certified = false;
        self
    }

    pub fn http2_idle(mut self, idle: Duration) -> Self {
        self.http2_idle = idle;
        self
    }

    pub fn access_log(mut self, output: impl io::Write + Send + 'static) -> Self {
        self.access_log = Some(Box::new(output));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A pair in the folder of certificates, under the first of these names.
    pub fn write_pair(&self, names: &[&str]) {
        self.pki.write_pair(&self.path("certs"), names);
    }

    pub async fn start(self) -> Edge {
        let Self {
            folder,
            pki,
            text,
            engine,
            certified,
            access_log,
            http2_idle,
            quiet,
        } = self;
        let path = folder.path().join("usher.toml");
        fs::write(&path, configuration(folder.path(), &text)).expect("written");
        let loaded = config::load(&path, None);
        let errors: Vec<_> = loaded
            .issues
            .iter()
            .filter(|issue| issue.level == config::Level::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        let config = loaded.config.as_ref().expect("good");
        if certified {
            write_pairs(&pki, config, &folder.path().join("certs"));
        }
        let state = StateDir::open(&config.state_dir).expect("state");
        let (engine, engine_facts) = engine.unwrap_or_else(|| {
            app::engine_for(config, &state, usher::engine::DockerHost::default()).expect("engine")
        });
        let ports = Ports {
            engine,
            engine_facts: usher::control::EngineFacts {
                quiet,
                ..engine_facts
            },
            inherited: Inherited::default(),
            access_log: access_log.unwrap_or_else(|| Box::new(io::sink())),
            panics: &PANICS,
            http2_idle,
        };
        let running = app::start(path, loaded, state, ports)
            .await
            .expect("started");
        Edge {
            folder,
            pki,
            running,
        }
    }
}

/// A pair for every name that is served.
pub fn write_pairs(pki: &Pki, config: &config::Config, dir: &Path) {
    for domain in config.served_names() {
        pki.write_pair(dir, &[&domain.to_string()]);
    }
}

/// A whole configuration around the tables of a test, on ports that the system chooses.
pub fn configuration(folder: &Path, text: &str) -> String {
    configuration_at(folder, [0; 3], text)
}

/// As [`configuration`], on these ports for HTTP, HTTPS and the admin listener.
pub fn configuration_at(folder: &Path, ports: [u16; 3], text: &str) -> String {
    let [http, https, admin] = ports;
    let folder = folder.display();
    let mut all = String::new();
    let mut add = |table: &str, lines: String| {
        // A test that has the table itself says everything in it.
        if !text.contains(&format!("[{table}]")) {
            all.push_str(&format!("[{table}]\n{lines}\n\n"));
        }
    };
    add("state", format!("dir = \"{folder}/state\""));
    add(
        "listen",
        format!("http = [\"127.0.0.1:{http}\"]\nhttps = [\"127.0.0.1:{https}\"]"),
    );
    add(
        "admin",
        format!("listen = \"127.0.0.1:{admin}\"\nsocket = \"{folder}/control.sock\""),
    );
    add("certs", format!("dir = \"{folder}/certs\""));
    add("engine", "kind = \"none\"".to_owned());
    add("stop", "within = \"3s\"".to_owned());
    // However busy the machine of the tests is, that is not what they are about.
    let never = "load-per-core = [1000.0, 2000.0]\nmemory-available = [0.0, 0.0]\n\
                 disk-available = [0.0, 0.0]";
    add("status", never.to_owned());
    all + text
}

impl Edge {
    /// With replicas at fixed addresses and no engine.
    pub async fn start(text: &str) -> Self {
        let edge = Setup::new(text).start().await;
        edge.all_ready().await;
        edge
    }

    /// GET, over a connection of its own.
    pub async fn get(&self, url: &str) -> Answer {
        self.ask(url).send().await
    }

    /// Changes the tables of the test and reads the file again.
    pub async fn reload(&self, text: &str) -> config::watch::Outcome {
        let path = self.folder.path().join("usher.toml");
        fs::write(path, configuration(self.folder.path(), text)).expect("written");
        self.running.reload(false).await.expect("running")
    }

    /// The statistics, asked for over the admin listener.
    pub async fn stats(&self) -> Value {
        let body = self.admin("/stats").await.text();
        serde_json::from_str(&body).expect("JSON")
    }

    pub async fn admin(&self, path: &str) -> Answer {
        client::plain(self.running.admin, "localhost", path).await
    }

    /// What an operator's command says.
    pub async fn order(&self, order: &Value) -> Value {
        client::order(&self.folder.path().join("control.sock"), order).await
    }

    /// One instance of the statistics.
    pub async fn instance(&self, name: &str) -> Value {
        let stats = self.stats().await;
        let instances = stats["instances"].as_array().expect("instances");
        let found = instances.iter().find(|instance| instance["name"] == name);
        found.cloned().unwrap_or(Value::Null)
    }

    /// Waits until every replica of every instance is ready.
    pub async fn all_ready(&self) {
        eventually("all replicas ready", async || {
            let stats = self.stats().await;
            let replicas = stats["instances"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|instance| instance["services"].as_array().into_iter().flatten())
                .flat_map(|service| service["replicas"].as_array().into_iter().flatten());
            let states: Vec<_> = replicas
                .map(|replica| replica["state"].to_string())
                .collect();
            let applied = stats["generation"] == json_generation(&self.running);
            (applied && states.iter().all(|state| state == "\"ready\""))
                .then_some(())
                .ok_or(states)
        })
        .await;
    }
}

impl Front for Edge {
    fn http(&self) -> SocketAddr {
        self.running.http[0]
    }

    fn https(&self) -> SocketAddr {
        self.running.https[0]
    }

    fn trust(&self, protocols: &[&str]) -> rustls::ClientConfig {
        self.pki.client(protocols)
    }
}

fn json_generation(running: &Running) -> Value {
    Value::from(running.reports.borrow().applied.0)
}

//! usher as a service: what systemd hears of it, and the units that are shipped.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixDatagram;
use tokio::time::{Instant, timeout};

use crate::harness::client::plain;
use crate::harness::{Installed, Origin, instance};

const URL: &str = "https://congress.example.org/";

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<(Instant, String)>,
}

impl Manager {
    fn at(path: &Path) -> Self {
        Self {
            socket: UnixDatagram::bind(path).unwrap(),
            heard: Vec::new(),
        }
    }

    /// The next datagram with this line.
    async fn hears(&mut self, line: &str) -> String {
        let waited = async {
            loop {
                let mut bytes = [0; 4096];
                let length = self.socket.recv(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                self.heard.push((Instant::now(), text.clone()));
                if text.lines().any(|known| known.starts_with(line)) {
                    return text;
                }
            }
        };
        let found = timeout(Duration::from_secs(30), waited).await;
        found.unwrap_or_else(|_| panic!("no {line}; heard {:?}", self.heard))
    }
}

#[tokio::test]
async fn systemd_hears_of_the_start_the_reload_and_the_end() {
    let origin = Origin::start("origin").await;
    let text = instance("congress", &[origin.address]);
    let installed = Installed::new(&text);
    let path = installed.folder.path().join("notify");
    let mut manager = Manager::at(&path);
    let mut usher = installed.start_with(&[
        ("NOTIFY_SOCKET", path.as_os_str()),
        ("WATCHDOG_USEC", OsStr::new("2000000")),
    ]);

    let told = manager.hears("READY=1").await;
    assert!(told.contains("\nSTATUS=1 instances, "), "{told}");
    let ready = plain(installed.admin(), "localhost", "/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    installed.answers(URL, 200).await;
    // The control loop goes round once a second, and each sign of life stands for a round.
    manager.hears("WATCHDOG=1").await;
    let first = Instant::now();
    manager.hears("WATCHDOG=1").await;
    assert!(
        first.elapsed() < Duration::from_secs(2),
        "{:?}",
        first.elapsed()
    );

    installed.write(&text.replace("congress.example.org", "other.example.org"));
    usher.signal(Signal::HUP);
    let reloading = manager.hears("RELOADING=1").await;
    let usec = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(usec.expect("the time").parse::<u64>().unwrap() > 0);
    assert_eq!(manager.hears("READY=1").await, "READY=1");
    usher.says("configuration changed").await;

    usher.signal(Signal::TERM);
    manager.hears("STOPPING=1").await;
    assert!(usher.ended().await.success(), "{}", usher.err());
}

#[tokio::test]
async fn systemd_is_not_told_ready_before_the_engine_has_been_listed() {
    let folder = "[engine]\nkind = \"docker\"\nendpoint = \"unix:///nonexistent/docker.sock\"\n";
    let installed = Installed::new(folder);
    let path = installed.folder.path().join("notify");
    let mut manager = Manager::at(&path);
    let mut usher = installed.start_with(&[("NOTIFY_SOCKET", path.as_os_str())]);

    manager.hears("STATUS=Not ready: the engine").await;
    usher.says("\"serving\"").await;
    let ready = plain(installed.admin(), "localhost", "/readyz").await;
    assert_eq!(ready.status, 503);
    usher.signal(Signal::INT);
    manager.hears("STOPPING=1").await;
    assert!(usher.ended().await.success());
    let early: Vec<_> = manager
        .heard
        .iter()
        .filter(|(_, text)| text.contains("READY=1"))
        .collect();
    assert!(early.is_empty(), "{early:?}");
}

/// The values of a directive, in the order of the file.
fn values(unit: &str, directive: &str) -> Vec<String> {
    let prefix = format!("{directive}=");
    let lines = unit.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.map(ToOwned::to_owned).collect()
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name);
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_shipped_units_wait_for_the_drain_and_pass_the_default_sockets() {
    let unit = shipped("usher.service");
    let stop: u64 = values(&unit, "TimeoutStopSec")[0]
        .trim_end_matches('s')
        .parse()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usher.toml");
    fs::write(&file, "").unwrap();
    let config = usher::config::load(&file, None).config.expect("defaults");
    assert!(Duration::from_secs(stop) > config.stop_within);

    let socket = shipped("usher.socket");
    let passed: Vec<std::net::SocketAddr> = values(&socket, "ListenStream")
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    let wanted = [config.listen.http, config.listen.https].concat();
    assert_eq!(
        passed, wanted,
        "a socket that is not passed would be bound twice"
    );
    // Otherwise the IPv6 socket would take IPv4's place.
    assert_eq!(values(&socket, "BindIPv6Only"), ["ipv6-only"]);
    // The control socket and the folders lie where the service may write.
    let run = config.admin.socket.parent().unwrap().to_owned();
    let run = run.strip_prefix("/run").unwrap().display().to_string();
    assert_eq!(values(&unit, "RuntimeDirectory"), [run]);
    assert_eq!(values(&unit, "WorkingDirectory"), ["/var/lib/usher"]);
    assert_eq!(values(&unit, "StateDirectory"), ["usher"]);
}

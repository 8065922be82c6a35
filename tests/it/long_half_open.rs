//! A peer that vanishes without a word: its cable is pulled, and no packet says so.

use std::process::Command;
use std::time::Duration;

use crate::harness::eventually::{check, eventually, within};
use crate::harness::program::Program;
use crate::harness::{Installed, Origin, instance};

/// The promise for a dead peer, and what looking at it adds.
const GONE_WITHIN: Duration = Duration::from_secs(90);

/// A network namespace with one cable to it, until it is dropped.
struct Elsewhere {
    name: String,
    cable: String,
}

impl Elsewhere {
    /// # Errors
    /// What `ip` said, where this user may not have a namespace.
    fn new() -> Result<Self, String> {
        let id = std::process::id();
        let elsewhere = Self {
            name: format!("usher-{id}"),
            cable: format!("ush{id}"),
        };
        let Self { name, cable } = &elsewhere;
        for line in [
            format!("netns add {name}"),
            format!("link add {cable} type veth peer name far0 netns {name}"),
            format!("address add {HERE}/30 dev {cable}"),
            format!("link set {cable} up"),
            format!("-n {name} address add {THERE}/30 dev far0"),
            format!("-n {name} link set far0 up"),
        ] {
            ip(&line)?;
        }
        Ok(elsewhere)
    }

    /// From now on nothing arrives, and nobody is told.
    fn pull_the_cable(&self) {
        ip(&format!("-n {} link set far0 down", self.name)).unwrap();
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = ip(&format!("netns delete {}", self.name));
        let _ = ip(&format!("link delete {}", self.cable));
    }
}

/// Addresses for documentation (RFC 5737): nobody's network.
const HERE: &str = "198.51.100.1";
const THERE: &str = "198.51.100.2";

fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("ip {line}: {said}"))
    }
}

#[tokio::test]
#[ignore = "takes a minute, and needs root for a network namespace; make test-long runs it"]
async fn a_peer_whose_cable_is_pulled_is_gone_within_ninety_seconds() {
    let elsewhere = Elsewhere::new().expect("run as root, with iproute2");
    let origin = Origin::start("origin").await;
    let port = crate::harness::program::free_port();
    let secure = crate::harness::program::free_port();
    let own = instance("congress", &[origin.address])
        .replace("[instance.service", "https = \"both\"\n[instance.service");
    let text =
        format!("[listen]\nhttp = [\"{HERE}:{port}\"]\nhttps = [\"127.0.0.1:{secure}\"]\n{own}");
    let installed = Installed::new(&text);
    let _usher = installed.start().await;
    let open = async || installed.stats().await["totals"]["websockets"].clone();
    eventually("the replica is ready", async || {
        let stats = installed.stats().await;
        let ready = stats["instances"][0]["services"][0]["ready"].clone();
        check(ready == 1, stats)
    })
    .await;

    // Without a program of our own inside: the shell opens the connection and shakes hands.
    let handshake = "GET /ws/ HTTP/1.1\\r\\nhost: congress.example.org\\r\\n\
         upgrade: websocket\\r\\nconnection: Upgrade\\r\\nsec-websocket-version: 13\\r\\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n";
    let script = format!("exec 3<>/dev/tcp/{HERE}/{port}; printf '{handshake}' >&3; cat <&3");
    let mut command = tokio::process::Command::new("ip");
    command.args(["netns", "exec", &elsewhere.name, "bash", "-c", &script]);
    let _peer = Program::spawn(command);
    eventually("the peer's websocket", async || {
        let open = open().await;
        check(open == 1, open)
    })
    .await;

    elsewhere.pull_the_cable();

    let (_, took) = within(3 * GONE_WITHIN, "nobody", async || {
        let open = open().await;
        check(open == 0, open)
    })
    .await;
    println!("a peer that vanished was gone after {took:?}");
    assert!(took < GONE_WITHIN, "{took:?}");
}

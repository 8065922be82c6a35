//! What usher costs beside nginx and HAProxy, on the machine this runs on.
//!
//! Figures from real processes on loopback, everything switched on: a thousand names, an access log
//! in JSON, metrics.
//!
//! 1. CPU time of the proxy per request: plain HTTP/1.1, HTTP/1.1 over TLS, HTTP/2 over TLS; on
//!    connections that are open already, with an answer of 300 bytes from the same upstream.
//! 2. Resident memory of the proxy per idle websocket over TLS; CPU time of the proxy per websocket
//!    that is opened (a full TLS handshake, the upgrade, and one message there and back) and per
//!    message of 100 bytes and its echo.
//! 3. CPU time per large script for clients that take gzip and brotli.
//! 4. The time until a hall of websockets that dropped at once is back, and what memory a hundred
//!    thousand connections leave behind.
//! 5. CPU time per TLS handshake, full and resumed, with the same P-256 certificate.
//! 6. The time from the start of a container to the first answer through usher, by a real Docker
//!    engine; from the container's own `StartedAt`, and from when its listener answers.
//! 7. What the autoscaler costs: one decision, and those of a thousand stacks.
//! 8. The time from somebody for whom there is no room to the call that makes a replica, by an engine
//!    in this process.
//! 9. What a thousand stacks cost whose containers name themselves, once with one name each and once
//!    with ten: memory, CPU time per request, per container that changes, and per scrape.
//!
//! CPU time is user and system time of all processes of the proxy, as the kernel counts it: neither
//! the load generator nor the upstream is in it, and neither is waiting. Still it depends on what
//! else the machine does and on its caches, so only figures of the same run compare. They come from
//! rounds in which the proxies take turns; shown is the median, with the least and the most. Each
//! proxy has one worker; beside it usher has threads for its log and its files.
//!
//! `cargo bench` measures everything, `cargo bench -- requests script` the parts
//! that are named. It fails when something could not be measured, not when a target is missed.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a measurement prints, reads clocks and spawns"
)]

#[allow(unused_imports, reason = "a part of what the tests use")]
#[path = "../../tests/it/harness/mod.rs"]
mod harness;

mod autoscaler;
mod containers;
mod handshakes;
mod names;
mod process;
mod proxies;
mod reaction;
mod report;
mod requests;
mod script;
mod storms;
mod turns;
mod websockets;

use proxies::Stage;
use report::{Target, verdicts};

const PARTS: [&str; 9] = [
    "requests",
    "handshakes",
    "websockets",
    "script",
    "storms",
    "containers",
    "autoscaler",
    "reaction",
    "names",
];

#[tokio::main]
async fn main() {
    // What begins with a dash is cargo's.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if let Some(unknown) = named.iter().find(|name| !PARTS.contains(&name.as_str())) {
        panic!("there is no part `{unknown}`, only {PARTS:?}");
    }
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    process::allow_many_files();

    let mut targets: Vec<Target> = Vec::new();
    if PARTS.iter().any(|part| {
        !["autoscaler", "containers", "names", "reaction"].contains(part) && wanted(part)
    }) {
        let stage = Stage::new().await;
        if wanted("requests") {
            targets.extend(requests::measure(&stage).await);
        }
        if wanted("handshakes") {
            targets.extend(handshakes::measure(&stage).await);
        }
        if wanted("websockets") {
            targets.extend(websockets::measure(&stage).await);
        }
        if wanted("script") {
            targets.extend(script::measure(&stage).await);
        }
        if wanted("storms") {
            targets.extend(storms::measure(&stage).await);
        }
    }
    if wanted("containers") {
        targets.extend(containers::measure().await);
    }
    if wanted("autoscaler") {
        targets.extend(autoscaler::measure());
    }
    if wanted("reaction") {
        targets.extend(reaction::measure().await);
    }
    if wanted("names") {
        targets.extend(names::measure().await);
    }
    verdicts(&targets);
}

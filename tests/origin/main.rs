//! The origin of the tests as a program, for containers and child processes.
//!
//! `ORIGIN_NAME` is what it calls itself, `PORT` where it listens, `START_AFTER_MS` how long it
//! takes to start. `ROLE=idle` listens nowhere, as a worker does.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program of the tests"
)]

#[path = "../it/harness/origin.rs"]
#[expect(
    dead_code,
    reason = "the part for tests in one process is not used here"
)]
mod origin;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let name = variable("ORIGIN_NAME", &format!("origin {}", std::process::id()));
    let wait = variable("START_AFTER_MS", "0").parse().unwrap_or(0);
    let work = async {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        if variable("ROLE", "web") == "idle" {
            return std::future::pending().await;
        }
        let port: u16 = variable("PORT", "8000").parse().expect("PORT");
        let listener = TcpListener::bind(("0.0.0.0", port)).await.expect("bound");
        println!("{name} listens on {port}");
        origin::serve(listener, name, Arc::default()).await;
    };
    tokio::select! {
        () = work => {}
        // As the first process of a container it gets no default action for TERM.
        _ = terminate.recv() => {}
    }
}

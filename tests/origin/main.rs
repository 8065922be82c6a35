//! The origin of the tests as a program, for containers and child processes.
//!
//! `ORIGIN_NAME` is what it calls itself, `PORT` where it listens, `START_AFTER_MS` how long it
//! takes to start. `ROLE=idle` listens nowhere, as a worker does. With `REDIS` it has a channel layer
//! there: every answer is one of a worker, which is another with `ROLE=worker` and is busy for
//! `WORK_MS` with each. `LISTEN` is the address it listens at, `0.0.0.0` unless said otherwise.
//!
//! With `ask ADDRESS HOST PATH` it is no server: it asks once, over plain HTTP, and prints the first line
//! of the answer, or why there is none.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program of the tests"
)]

#[path = "../it/harness/channel.rs"]
mod channel;
#[path = "../it/harness/origin.rs"]
#[expect(
    dead_code,
    reason = "the part for tests in one process is not used here"
)]
mod origin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The first line of the answer, or why there is none.
async fn ask(address: &str, host: &str, path: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    match tokio::time::timeout(Duration::from_secs(2), exchange).await {
        Ok(Ok(answer)) => answer.lines().next().unwrap_or("closed").to_owned(),
        Ok(Err(error)) => format!("unreachable: {error}"),
        Err(_) => "unreachable: no answer".to_owned(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, address, host, path] = &arguments[..]
        && what == "ask"
    {
        println!("{}", ask(address, host, path).await);
        return;
    }
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let name = variable("ORIGIN_NAME", &format!("origin {}", std::process::id()));
    let wait = variable("START_AFTER_MS", "0").parse().unwrap_or(0);
    let redis = std::env::var("REDIS").ok();
    let redis = redis.map(|address| address.parse::<SocketAddr>().expect("REDIS"));
    let work = async {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        if variable("ROLE", "web") == "idle" {
            return std::future::pending().await;
        }
        let mut seen = origin::Seen::default();
        if let Some(redis) = redis {
            let answers = format!("answers.{}", std::process::id());
            let channel = channel::Channel::open(redis, answers).await;
            seen.channel = Some(channel.expect("a channel layer"));
        }
        let port: u16 = variable("PORT", "8000").parse().expect("PORT");
        let at = variable("LISTEN", "0.0.0.0");
        let listener = TcpListener::bind((at.as_str(), port)).await.expect("bound");
        println!("{name} listens on {port}");
        origin::serve(listener, name, Arc::new(seen)).await;
    };
    if let (Some(redis), "worker") = (redis, variable("ROLE", "web").as_str()) {
        // As `runworker`: what it works on when it is told to go is done first.
        let leaving = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&leaving);
        tokio::spawn(async move {
            terminate.recv().await;
            told.store(true, Ordering::Relaxed);
        });
        let each = Duration::from_millis(variable("WORK_MS", "10").parse().unwrap_or(10));
        let done = channel::work(redis, each, || leaving.load(Ordering::Relaxed)).await;
        return done.expect("a channel layer");
    }
    tokio::select! {
        () = work => {}
        // As the first process of a container it gets no default action for TERM.
        _ = terminate.recv() => {}
    }
}

//! A real application behind usher, from the first certificate to the last websocket.
//!
//! A Django Channels 1 stack (daphne, workers, redis) runs under Compose; usher runs as the binary
//! that is shipped, with certificates from pebble. The run shows that
//!
//! - a certificate is ordered and served, and an answer comes through daphne, redis and a worker;
//! - 300 websockets over TLS open while replicas of both services come up with them, and the
//!   replicas that usher made really serve: sessions, requests, and work taken from redis;
//! - when most of the audience has left, the replicas go too, down to what Compose had started,
//!   while those who stayed go on exchanging messages;
//! - 600 people behind one address arrive over two minutes, lose their line all at once, come back
//!   within five seconds and are all let in;
//! - usher closed not one websocket, and ends with exit code 0 when it is told to.
//!
//! `make acceptance` builds the image and runs this. The closing lines are the figures.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "a driver reads clocks, spawns and prints, and uses a part of the tests' harness"
)]

#[allow(unused_imports, reason = "the tests use more of it")]
#[path = "../it/harness/mod.rs"]
mod harness;

mod attendee;
mod audience;
mod figures;
mod needs;
mod observer;
mod proofs;
mod stack;
mod storm;
mod story;
mod tally;
mod wait;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    wait::begin();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async {
        // The loser of this race is dropped, and what it started ends with it.
        tokio::select! {
            outcome = story::run() => outcome,
            () = interrupted() => Err("interrupted".to_owned()),
        }
    });
    match outcome {
        Ok(figures) => {
            println!("{figures}");
            println!("acceptance: passed");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("acceptance: FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() {
    let mut interrupt = signal(SignalKind::interrupt()).expect("a handler");
    let mut terminate = signal(SignalKind::terminate()).expect("a handler");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

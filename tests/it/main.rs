//! usher from the outside: every test enters through the door that production uses.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests read clocks, spawn, print what they measured, and end where something is wrong"
)]

mod harness;

mod acme_pebble;
mod admin;
mod cli;
mod discovery;
mod docker_container;
mod docker_discovery;
mod docker_scaling;
mod endurance;
mod failure;
mod files;
mod forwarding;
mod holding;
mod layering;
mod limits;
mod long_half_open;
mod long_slow_clients;
mod panics;
mod reload;
mod routing;
mod scaling;
mod shutdown;
mod slow_clients;
mod storms;
mod tls;
mod websockets;

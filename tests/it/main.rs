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
mod autobahn_cases;
mod cli;
mod daemon_restart;
mod daphne_smuggling;
mod discovery;
mod docker_container;
mod docker_discovery;
mod docker_scaling;
mod encoding;
mod endurance;
mod failure;
mod files;
mod files_roots;
mod forwarding;
mod hang_files;
mod haproxy_smuggling;
mod hijack;
mod holding;
mod http2;
mod identity;
mod layering;
mod limits;
mod long_half_open;
mod long_slow_clients;
mod long_tenants;
mod nginx_smuggling;
mod overload;
mod panics;
mod proxy_protocol;
mod reload;
mod routing;
mod scaling;
mod shutdown;
mod slow_clients;
mod smuggling;
mod storms;
mod streams;
mod systemd;
mod tls;
mod websockets;

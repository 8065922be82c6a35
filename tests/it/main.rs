//! usher from the outside: every test enters through the door that production uses.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests read clocks, spawn, print what they measured, and end where something is wrong"
)]

mod harness;

mod acme_crashes;
mod acme_fallbacks;
mod acme_orders;
mod acme_pebble;
mod acme_schedule;
mod admin;
mod admin_access;
mod admin_events;
mod admin_output;
mod admin_stats;
mod admission;
mod alerts;
mod autobahn_cases;
mod blast_radius;
mod browser_page;
mod cert_commands;
mod cert_folder;
mod cli;
mod client_certificates;
mod compat;
mod compat_certificates;
mod compat_clients;
mod compat_files;
mod compat_hosts;
mod compat_owners;
mod compat_paths;
mod compat_upstreams;
mod crowded;
mod daemon_restart;
mod daphne_smuggling;
mod discovery;
mod docker_compat;
mod docker_container;
mod docker_deploy;
mod docker_deploys;
mod docker_discovery;
mod docker_networks;
mod docker_rests;
mod docker_scaling;
mod docker_status;
mod docker_swarm;
mod docker_tls;
mod encoding;
mod endurance;
mod engine_faults;
mod examples;
mod failure;
mod files;
mod files_roots;
mod foresight;
mod forwarding;
mod full_host;
mod handshakes;
mod hang_files;
mod haproxy_smuggling;
mod hijack;
mod holding;
mod http2;
mod identity;
mod layering;
mod limits;
mod local_ca;
mod logged;
mod logs;
mod long_half_open;
mod long_simulate;
mod long_slow_clients;
mod long_tenants;
mod loops;
mod measuring;
mod misdirected;
mod monitoring;
mod networks;
mod nginx_smuggling;
mod openslides;
mod operating;
mod overload;
mod panics;
mod processor_shares;
mod prometheus_rules;
mod proxy_protocol;
mod redis_channel;
mod reload;
mod rests;
mod rings;
mod routing;
mod scaling;
mod schemathesis_admin;
mod setting_up;
mod shutdown;
mod simulate;
mod slow_clients;
mod smuggling;
mod storms;
mod strace_certificates;
mod strangers;
mod streams;
mod superseded;
mod swarm_stacks;
mod systemd;
mod testssl_findings;
mod tls;
mod totals;
mod unserved;
mod variables;
mod websockets;

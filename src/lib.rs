//! # usher
//!
//! The edge proxy for live events on Docker: it finds stacks, terminates TLS, serves static files,
//! spreads websockets over replicas and lets the replicas follow the audience.
//!
//! This page is the architecture document. Read it first, then [`app`], which wires everything.
//!
//! ## One value down, one value up
//!
//! ```text
//!         CONTROL PLANE  (one task decides)                  DATA PLANE  (many tasks serve)
//!  config ──▶ watch ─┐                                         client
//!  engine ──▶ watch ─┤         ┌──────────────────┐              │ accept, limits
//!  prober ──▶ mpsc ──┼─ Event ▶│  Controller      │           listener ── certs::Store
//!  engine::act ▶ mpsc┤         │  take, settle    │              │ stream or handshake
//!  operator ─▶ mpsc ─┤         └────────┬─────────┘            proxy ── sessions
//!  timer ────────────┘                  │                        │ table.load(), pick, enter
//!                                       │                      endpoint ──▶ replica
//!              ┌── Plan (whole, numbered, immutable) ──▶ routing::apply ──▶ ArcSwap<Table>
//!              │                                             │
//!              └◀─ Report (applied generation, counts) ◀─────┘   every second, after each plan, and
//!                                                               when somebody comes to who is asleep
//! ```
//!
//! The control plane never sees a socket or a table. The data plane never sees an engine or a
//! policy. The autoscaler changes nothing itself: it orders a replica, the engine lists it, and the
//! listing is an ordinary event.
//!
//! ## Words
//!
//! *Instance, policy, plan* are wishes; *stack, replica, report* are facts. A **session** is a
//! websocket or an answer that streams for more than 30 s. To **drain** is to take nothing new and
//! let the old end; to **cut** is to end the old, paced.
//!
//! ## Invariants
//!
//! 1. The data plane never waits for the control plane and never talks to an engine.
//! 2. A request reads one table once, keeps its route and endpoint, and lets the table go. A session
//!    pins an endpoint, never a table, a plan or a configuration.
//! 3. Only the controller decides a plan; only `routing::apply` publishes a table.
//! 4. `Controller::take` and `settle` do no IO, read no clock, spawn nothing and cannot fail. Bad
//!    input becomes a sentence in the status.
//! 5. Plans, reports, listings and configurations are whole. Losing one costs an interval, never
//!    correctness.
//! 6. Blast radius: an instance whose plan did not change keeps the very same `Arc` in plan and
//!    table. A bad entry keeps that instance's last good form; it cannot reach another's.
//! 7. No replica is stopped without the proof that its gate gives when it is closed and empty, or
//!    when its closing phase is over; and not before a report that has applied the draining plan.
//! 8. A route exists because it is declared, not because a container runs: no replica means 503 and
//!    the instance's page, never 404 and never another tenant. Where the operator lets containers
//!    declare names, [`compat`] turns what they say into instances, and it holds while they exist.
//! 9. bollard is named in `engine/docker.rs` and, for its models, `engine/compose.rs` and
//!    `engine/containers.rs`; pingora in `listener`, `proxy` and `app`; instant-acme in
//!    `certs/orders`. `tests/it/layering.rs` holds these walls.
//! 10. Every key of the configuration is consumed where the compiler would notice its absence.
//! 11. Nothing from a container is executed, templated or used as an address: endpoints come from
//!     the engine's own network data.
//! 12. No process globals: two usher can run in one process. `main` alone installs the log, the
//!     crypto provider and the panic hook.
//! 13. Long-lived tasks are spawned by `app`, connections by `listener`, probes by `prober`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read clocks"))]

// In reading order: values first, then the two planes, then what composes them.
pub mod cause;
pub mod drain;
pub mod durable;
pub mod fingerprint;
pub mod folder;
pub mod moment;
pub mod names;
pub mod plan;
pub mod shared;

pub mod config;
pub mod health;
pub mod host;
pub mod inventory;

pub mod autoscaler;
pub mod compat;
pub mod control;
pub mod engine;
pub mod logs;
pub mod prober;
pub mod sealed;
pub mod simulate;

pub mod certs;
pub mod failures;
pub mod files;
pub mod listener;
pub mod passwords;
pub mod proxy;
pub mod routing;
pub mod sessions;

pub mod admin;
pub mod alerts;
pub mod app;
pub mod cli;
pub mod shutdown;
pub mod systemd;

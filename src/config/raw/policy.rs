//! `[limits]` and `[scale]`, of the file or of an instance, as they are written.

use serde::Deserialize;

use crate::config::reader::{Leaf, Reader};
use crate::config::units::{Never, Size, Span};

#[derive(Clone, Debug, Default)]
pub(in crate::config) struct RawLimits {
    pub(in crate::config) max_body: Leaf<Size>,
    pub(in crate::config) connections: Leaf<u32>,
    pub(in crate::config) sessions: Leaf<u32>,
    pub(in crate::config) requests_in_flight: Leaf<u32>,
    pub(in crate::config) sessions_hard: Leaf<u32>,
    pub(in crate::config) header_timeout: Leaf<Span>,
    pub(in crate::config) request_timeout: Leaf<Span>,
    pub(in crate::config) websocket_idle: Leaf<Span>,
    pub(in crate::config) replica_drain: Leaf<Span>,
    pub(in crate::config) replica_drain_max: Leaf<Span>,
    pub(in crate::config) replica_stop: Leaf<Span>,
    pub(in crate::config) close_code: Leaf<u16>,
}

impl RawLimits {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            max_body: table.leaf("max-body"),
            connections: table.leaf("connections"),
            sessions: table.leaf("sessions"),
            requests_in_flight: table.leaf("requests-in-flight"),
            sessions_hard: table.leaf("sessions-hard"),
            header_timeout: table.leaf("header-timeout"),
            request_timeout: table.leaf("request-timeout"),
            websocket_idle: table.leaf("websocket-idle"),
            replica_drain: table.leaf("replica-drain"),
            replica_drain_max: table.leaf("replica-drain-max"),
            replica_stop: table.leaf("replica-stop"),
            close_code: table.leaf("close-code"),
        }
    }

    pub(in crate::config) fn over(self, below: &Self) -> Self {
        let Self {
            max_body,
            connections,
            sessions,
            requests_in_flight,
            sessions_hard,
            header_timeout,
            request_timeout,
            websocket_idle,
            replica_drain,
            replica_drain_max,
            replica_stop,
            close_code,
        } = self;
        Self {
            max_body: max_body.or_else(|| below.max_body.clone()),
            connections: connections.or_else(|| below.connections.clone()),
            sessions: sessions.or_else(|| below.sessions.clone()),
            requests_in_flight: requests_in_flight.or_else(|| below.requests_in_flight.clone()),
            sessions_hard: sessions_hard.or_else(|| below.sessions_hard.clone()),
            header_timeout: header_timeout.or_else(|| below.header_timeout.clone()),
            request_timeout: request_timeout.or_else(|| below.request_timeout.clone()),
            websocket_idle: websocket_idle.or_else(|| below.websocket_idle.clone()),
            replica_drain: replica_drain.or_else(|| below.replica_drain.clone()),
            replica_drain_max: replica_drain_max.or_else(|| below.replica_drain_max.clone()),
            replica_stop: replica_stop.or_else(|| below.replica_stop.clone()),
            close_code: close_code.or_else(|| below.close_code.clone()),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(in crate::config) struct RawScale {
    pub(in crate::config) sessions_per_replica: Leaf<u32>,
    pub(in crate::config) down_after: Leaf<Span>,
    pub(in crate::config) idle_to_zero: Leaf<Never>,
    pub(in crate::config) no_wake: Leaf<Vec<String>>,
    pub(in crate::config) mode: Leaf<RawScaleMode>,
    pub(in crate::config) weight: Leaf<u32>,
}

impl RawScale {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            sessions_per_replica: table.leaf("sessions-per-replica"),
            down_after: table.leaf("down-after"),
            idle_to_zero: table.leaf("idle-to-zero"),
            no_wake: table.leaf("no-wake"),
            mode: table.leaf("mode"),
            weight: table.leaf("weight"),
        }
    }

    pub(in crate::config) fn over(self, below: &Self) -> Self {
        let Self {
            sessions_per_replica,
            down_after,
            idle_to_zero,
            no_wake,
            mode,
            weight,
        } = self;
        Self {
            sessions_per_replica: sessions_per_replica
                .or_else(|| below.sessions_per_replica.clone()),
            down_after: down_after.or_else(|| below.down_after.clone()),
            idle_to_zero: idle_to_zero.or_else(|| below.idle_to_zero.clone()),
            no_wake: no_wake.or_else(|| below.no_wake.clone()),
            mode: mode.or_else(|| below.mode.clone()),
            weight: weight.or_else(|| below.weight.clone()),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawScaleMode {
    Auto,
    Hold,
    Off,
    Recommend,
}

//! Limits, drains and scaling: the defaults of all instances, and what one says of its own.

use std::time::Duration;

use super::values::value_or;
use crate::config::issue::{Issues, report};
use crate::config::model::{Drain, ScaleMode, ScalePolicy};
use crate::config::raw::{RawLimits, RawScale, RawScaleMode};
use crate::config::reader::Field;
use crate::config::units::Span;
use crate::plan::Limits;

impl RawLimits {
    pub(in crate::config) fn lower(self, issues: &Issues) -> (Limits, Drain, u16) {
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
        let default = Limits::default();
        let span = |field: Option<Field<Span>>, default: Duration| {
            if let Some(field) = field.as_ref().filter(|field| field.value.0.is_zero()) {
                report(issues, field.at.error("must be longer than nothing"));
            }
            field.map_or(default, |field| field.value.0)
        };
        let count = |field: Option<Field<u32>>, default: u32| {
            if let Some(field) = field.as_ref().filter(|field| field.value == 0) {
                report(issues, field.at.error("must be at least 1"));
            }
            value_or(field, default)
        };
        if let Some(field) = &close_code {
            // RFC 6455 §7.4: 1004 to 1006 and 1015 never appear on the wire.
            let sendable = matches!(field.value, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if !sendable {
                report(
                    issues,
                    field.at.error("is no code that a close frame may carry"),
                );
            }
        }
        let drain = Drain {
            // Zero is a wish here: cut at once.
            natural: replica_drain.map_or(Duration::from_secs(900), |field| field.value.0),
            at_most: replica_drain_max
                .as_ref()
                .map_or(Duration::from_secs(3_600), |field| field.value.0),
            stop: replica_stop.map_or(Duration::from_secs(10), |field| field.value.0),
        };
        if let Some(field) = replica_drain_max.filter(|_| drain.at_most < drain.natural) {
            report(issues, field.at.error("must be at least `replica-drain`"));
        }
        let limits = Limits {
            max_body: max_body.map_or(default.max_body, |field| field.value.0),
            connections: count(connections, default.connections),
            sessions: count(sessions, default.sessions),
            requests_in_flight: count(requests_in_flight, default.requests_in_flight),
            sessions_hard: count(sessions_hard, default.sessions_hard),
            header_timeout: span(header_timeout, default.header_timeout),
            request_timeout: span(request_timeout, default.request_timeout),
            websocket_idle: span(websocket_idle, default.websocket_idle),
        };
        (limits, drain, close_code.map_or(1012, |field| field.value))
    }
}

impl RawScale {
    /// The policy, and the paths whose requests are nobody's presence.
    pub(in crate::config) fn lower(self, issues: &Issues) -> (ScalePolicy, Vec<String>) {
        let Self {
            sessions_per_replica,
            down_after,
            idle_to_zero,
            no_wake,
            mode,
            weight,
        } = self;
        if let Some(field) = idle_to_zero
            .as_ref()
            .filter(|field| field.value.0.is_some_and(|span| span.is_zero()))
        {
            let text = "must be longer than nothing, or \"never\"";
            report(issues, field.at.error(text));
        }
        if let Some(field) = &no_wake {
            for path in field.value.iter().filter(|path| !path.starts_with('/')) {
                let text = format!("`{path}` is no path; it begins with `/`");
                report(issues, field.at.error(text));
            }
        }
        if let Some(field) = weight
            .as_ref()
            .filter(|field| field.value == 0 || field.value > 1_000)
        {
            report(issues, field.at.error("must be between 1 and 1000"));
        }
        if let Some(field) = sessions_per_replica
            .as_ref()
            .filter(|field| field.value == 0)
        {
            report(issues, field.at.error("must be at least 1"));
        }
        let policy = ScalePolicy {
            sessions_per_replica: value_or(sessions_per_replica, 150),
            down_after: down_after.map_or(Duration::from_secs(600), |field| field.value.0),
            idle_to_zero: idle_to_zero.and_then(|field| field.value.0),
            mode: match mode.map(|field| field.value) {
                None | Some(RawScaleMode::Auto) => ScaleMode::Auto,
                Some(RawScaleMode::Hold) => ScaleMode::Hold,
                Some(RawScaleMode::Off) => ScaleMode::Off,
                Some(RawScaleMode::Recommend) => ScaleMode::Recommend,
            },
            weight: value_or(weight, 1),
        };
        (policy, value_or(no_wake, Vec::new()))
    }
}

//! Layers of one instance: its own entry over the pattern that fits it, over its preset.
//!
//! Field by field the upper layer wins where it says anything. Everything keeps its origin, so a
//! complaint names the file that is to blame.

use super::raw::{RawInstance, RawLimits, RawRoute, RawScale, RawService};
use super::reader::Field;

impl RawInstance {
    /// `self` with `below` where it is silent.
    ///
    /// What makes an entry a pattern (`match`, `except`) and what names a single tenant (`name`,
    /// `stack`) stays with its own layer.
    pub(super) fn over(self, below: &Self) -> Self {
        let Self {
            at,
            name,
            matching,
            except,
            stack,
            domains,
            patterns,
            redirect_from,
            preset,
            https,
            http_without_certificate,
            no_route,
            external_http_port,
            external_https_port,
            non_get_redirect,
            http2,
            websocket_origin,
            hsts,
            hsts_of_variables,
            standby,
            rental,
            allow,
            deny,
            headers,
            certificate,
            client_ca,
            error_page,
            trust_default_cert,
            key_type,
            acme_email,
            acme_directory,
            staging,
            orders,
            export_certificate,
            limits,
            scale,
            services,
            depends,
            routes,
            events,
        } = self;
        Self {
            at,
            name,
            matching,
            except,
            stack,
            // Whoever names its hosts means those and no others, and has certificates for them.
            patterns: if domains.is_none() && patterns.is_empty() {
                below.patterns.clone()
            } else {
                patterns
            },
            orders: match (orders, &domains) {
                (None, None) => below.orders.clone(),
                (orders, _) => orders,
            },
            domains: domains.or_else(|| below.domains.clone()),
            redirect_from: redirect_from.or_else(|| below.redirect_from.clone()),
            preset: preset.or_else(|| below.preset.clone()),
            https: https.or_else(|| below.https.clone()),
            http_without_certificate: http_without_certificate
                .or_else(|| below.http_without_certificate.clone()),
            no_route: no_route.or_else(|| below.no_route.clone()),
            external_http_port: external_http_port.or_else(|| below.external_http_port.clone()),
            external_https_port: external_https_port.or_else(|| below.external_https_port.clone()),
            non_get_redirect: non_get_redirect.or_else(|| below.non_get_redirect.clone()),
            http2: http2.or_else(|| below.http2.clone()),
            websocket_origin: websocket_origin.or_else(|| below.websocket_origin.clone()),
            hsts: hsts.or_else(|| below.hsts.clone()),
            hsts_of_variables: hsts_of_variables.or_else(|| below.hsts_of_variables.clone()),
            standby: standby.or_else(|| below.standby.clone()),
            rental: rental.or_else(|| below.rental.clone()),
            allow: allow.or_else(|| below.allow.clone()),
            deny: deny.or_else(|| below.deny.clone()),
            headers: headers.or_else(|| below.headers.clone()),
            certificate: certificate.or_else(|| below.certificate.clone()),
            client_ca: client_ca.or_else(|| below.client_ca.clone()),
            error_page: error_page.or_else(|| below.error_page.clone()),
            trust_default_cert: trust_default_cert.or_else(|| below.trust_default_cert.clone()),
            key_type: key_type.or_else(|| below.key_type.clone()),
            acme_email: acme_email.or_else(|| below.acme_email.clone()),
            acme_directory: acme_directory.or_else(|| below.acme_directory.clone()),
            staging: staging.or_else(|| below.staging.clone()),
            export_certificate: export_certificate.or_else(|| below.export_certificate.clone()),
            limits: limits.over(&below.limits),
            scale: scale.over(&below.scale),
            services: services_over(services, &below.services),
            depends: depends.or_else(|| below.depends.clone()),
            routes: routes_over(routes, &below.routes),
            // Its own calendar replaces the one below: two would overlap.
            events: if events.is_empty() {
                below.events.clone()
            } else {
                events
            },
        }
    }
}

impl RawLimits {
    pub(super) fn over(self, below: &Self) -> Self {
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

impl RawScale {
    pub(super) fn over(self, below: &Self) -> Self {
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

impl RawService {
    fn over(self, below: &Self) -> Self {
        let Self {
            role,
            of,
            ratio,
            requests_each,
            min,
            max,
            port,
            tls,
            keep_alive,
            probe,
            placement,
            addresses,
            command,
            memory,
            cpus,
        } = self;
        Self {
            role: role.or_else(|| below.role.clone()),
            of: of.or_else(|| below.of.clone()),
            ratio: ratio.or_else(|| below.ratio.clone()),
            requests_each: requests_each.or_else(|| below.requests_each.clone()),
            min: min.or_else(|| below.min.clone()),
            max: max.or_else(|| below.max.clone()),
            port: port.or_else(|| below.port.clone()),
            tls: tls.or_else(|| below.tls.clone()),
            keep_alive: keep_alive.or_else(|| below.keep_alive.clone()),
            probe: probe.or_else(|| below.probe.clone()),
            placement: placement.or_else(|| below.placement.clone()),
            addresses: addresses.or_else(|| below.addresses.clone()),
            command: command.or_else(|| below.command.clone()),
            memory: memory.or_else(|| below.memory.clone()),
            cpus: cpus.or_else(|| below.cpus.clone()),
        }
    }
}

type Services = Vec<(Field<String>, RawService)>;

fn services_over(own: Services, below: &Services) -> Services {
    let mut merged = own;
    for (name, service) in below {
        match merged.iter_mut().find(|(own, _)| own.value == name.value) {
            Some((_, own)) => *own = own.clone().over(service),
            None => merged.push((name.clone(), service.clone())),
        }
    }
    merged
}

/// On an equal prefix the upper layer's route replaces the lower one's.
fn routes_over(own: Vec<RawRoute>, below: &[RawRoute]) -> Vec<RawRoute> {
    let prefix = |route: &RawRoute| route.prefix.as_ref().map(|field| field.value.clone());
    let inherited = below
        .iter()
        .filter(|route| !own.iter().any(|own| prefix(own) == prefix(route)))
        .cloned()
        .collect::<Vec<_>>();
    own.into_iter().chain(inherited).collect()
}

//! `[[instance]]`, as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::dates::{RawEvent, RawRental};
use super::policy::{RawLimits, RawScale};
use super::route::{RawRoute, routes_over};
use super::service::{RawService, services_over};
use crate::config::client_ca::{self, ClientCa};
use crate::config::error_page::{self, ErrorPage};
use crate::config::issue::{At, Issue};
use crate::config::model::Orders;
use crate::config::reader::{Field, Leaf, Reader};
use crate::config::upstream_tls;
use crate::fingerprint::Fingerprint;
use crate::names::HostPattern;

/// One `[[instance]]`, or the whole of a preset.
#[derive(Clone, Debug)]
pub(in crate::config) struct RawInstance {
    pub(in crate::config) at: At,
    pub(in crate::config) name: Leaf<String>,
    pub(in crate::config) matching: Leaf<RawMatch>,
    pub(in crate::config) except: Leaf<Vec<String>>,
    pub(in crate::config) stack: Leaf<String>,
    pub(in crate::config) domains: Leaf<Vec<String>>,
    /// Not of files: only containers ask for hosts by their shape.
    pub(in crate::config) patterns: Vec<HostPattern>,
    pub(in crate::config) redirect_from: Leaf<Vec<String>>,
    pub(in crate::config) preset: Leaf<String>,
    pub(in crate::config) https: Leaf<RawHttps>,
    pub(in crate::config) http_without_certificate: Leaf<bool>,
    pub(in crate::config) no_route: Leaf<String>,
    pub(in crate::config) external_http_port: Leaf<u16>,
    pub(in crate::config) external_https_port: Leaf<u16>,
    pub(in crate::config) non_get_redirect: Leaf<u16>,
    pub(in crate::config) http2: Leaf<bool>,
    pub(in crate::config) websocket_origin: Leaf<RawOrigin>,
    pub(in crate::config) hsts: Leaf<String>,
    /// Not of files: what variables say, which is told to nobody who may come by plain HTTP too.
    pub(in crate::config) hsts_of_variables: Leaf<String>,
    pub(in crate::config) standby: Leaf<bool>,
    pub(in crate::config) rental: Leaf<RawRental>,
    pub(in crate::config) allow: Leaf<Vec<String>>,
    pub(in crate::config) deny: Leaf<Vec<String>>,
    pub(in crate::config) headers: Leaf<BTreeMap<String, String>>,
    pub(in crate::config) certificate: Leaf<String>,
    pub(in crate::config) client_ca: Leaf<ClientCa>,
    pub(in crate::config) error_page: Leaf<ErrorPage>,
    pub(in crate::config) trust_default_cert: Leaf<bool>,
    pub(in crate::config) key_type: Leaf<String>,
    pub(in crate::config) acme_email: Leaf<String>,
    pub(in crate::config) acme_directory: Leaf<String>,
    pub(in crate::config) staging: Leaf<bool>,
    /// Not of files: what an entry names is ordered.
    pub(in crate::config) orders: Option<Orders>,
    pub(in crate::config) export_certificate: Leaf<RawExport>,
    pub(in crate::config) limits: RawLimits,
    pub(in crate::config) scale: RawScale,
    pub(in crate::config) services: Vec<(Field<String>, RawService)>,
    pub(in crate::config) depends: Leaf<BTreeMap<String, Vec<String>>>,
    pub(in crate::config) routes: Vec<RawRoute>,
    pub(in crate::config) events: Vec<RawEvent>,
}

impl RawInstance {
    pub(in crate::config) fn read(table: &mut Reader<'_, '_>) -> Self {
        let name: Leaf<String> = table.leaf("name");
        if let Some(name) = &name {
            table.rename(format!("instance.{}", name.value));
        }
        Self {
            at: table.at().clone(),
            name,
            matching: table.leaf("match"),
            except: table.leaf("except"),
            stack: table.leaf("stack"),
            domains: table.leaf("domains"),
            patterns: Vec::new(),
            redirect_from: table.leaf("redirect-from"),
            preset: table.leaf("preset"),
            https: table.leaf("https"),
            http_without_certificate: table.leaf("http-without-certificate"),
            no_route: table.leaf("no-route"),
            external_http_port: table.leaf("external-http-port"),
            external_https_port: table.leaf("external-https-port"),
            non_get_redirect: table.leaf("non-get-redirect"),
            http2: table.leaf("http2"),
            websocket_origin: table.leaf("websocket-origin"),
            hsts: table.leaf("hsts"),
            hsts_of_variables: None,
            standby: table.leaf("standby"),
            rental: table.leaf("rental"),
            allow: table.leaf("allow"),
            deny: table.leaf("deny"),
            headers: table.leaf("headers"),
            certificate: table.leaf("certificate"),
            client_ca: table.leaf("client-ca"),
            error_page: table.leaf("error-page"),
            trust_default_cert: table.leaf("trust-default-cert"),
            key_type: table.leaf("key-type"),
            acme_email: table.leaf("acme-email"),
            acme_directory: table.leaf("acme-directory"),
            staging: table.leaf("staging"),
            orders: None,
            export_certificate: table.leaf("export-certificate"),
            limits: table.table("limits", RawLimits::read),
            scale: table.table("scale", RawScale::read),
            services: table.named("service", RawService::read),
            depends: table.leaf("depends"),
            routes: table.tables("route", RawRoute::read),
            events: table.tables("event", RawEvent::read),
        }
    }

    /// Reads the files that the entry names.
    pub(in crate::config) fn read_files(
        &mut self,
        issues: &mut Vec<Issue>,
        seen: &mut Fingerprint,
    ) {
        if let Some(field) = &mut self.client_ca {
            client_ca::read(field, issues, seen);
        }
        let services = self
            .services
            .iter_mut()
            .map(|(_, service)| &mut service.tls);
        let routes = self.routes.iter_mut().map(|route| &mut route.tls);
        for field in services.chain(routes).flatten() {
            upstream_tls::read(field, issues, seen);
        }
        if let Some(field) = &mut self.error_page {
            error_page::read(field, issues, seen);
        }
    }

    /// `self` with `below` where it is silent.
    ///
    /// What makes an entry a pattern (`match`, `except`) and what names a single tenant (`name`,
    /// `stack`) stays with its own layer.
    pub(in crate::config) fn over(self, below: &Self) -> Self {
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawMatch {
    pub(in crate::config) services: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawHttps {
    Both,
    /// Not of files: as `both`, and nobody is told to come by TLS only unless a file says so.
    #[serde(skip)]
    NoRedirect,
    Off,
    Only,
    Redirect,
}

impl RawHttps {
    /// As nginx-proxy means it.
    pub(in crate::config) fn of_variables(said: Field<Self>) -> Field<Self> {
        match said.value {
            Self::Both => Field {
                value: Self::NoRedirect,
                ..said
            },
            _ => said,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawOrigin {
    Own,
    Strict,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawExport {
    pub(in crate::config) volume: String,
}

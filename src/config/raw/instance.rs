//! What an instance's entry may say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::super::client_ca::ClientCa;
use super::super::error_page::ErrorPage;
use super::super::issue::At;
use super::super::model::Orders;
use super::super::reader::{Datetime, Field, Reader};
use super::super::units::{Size, Span};
use super::super::upstream_tls::RawTls;
use super::{Leaf, RawLimits, RawScale};
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

#[derive(Clone, Debug)]
pub(in crate::config) struct RawEvent {
    pub(in crate::config) at: At,
    pub(in crate::config) name: Leaf<String>,
    pub(in crate::config) start: Leaf<Datetime>,
    pub(in crate::config) end: Leaf<Datetime>,
    pub(in crate::config) hours: Leaf<String>,
    pub(in crate::config) attendees: Leaf<u32>,
    pub(in crate::config) sessions_per_attendee: Leaf<f64>,
    pub(in crate::config) prewarm: Leaf<Span>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawMatch {
    pub(in crate::config) services: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRental {
    pub(in crate::config) from: Datetime,
    pub(in crate::config) until: Datetime,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawExport {
    pub(in crate::config) volume: String,
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

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawOrigin {
    Own,
    Strict,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawPlacement {
    Client,
    Least,
}

#[derive(Clone, Debug)]
pub(in crate::config) struct RawService {
    pub(in crate::config) role: Leaf<RawRole>,
    pub(in crate::config) of: Leaf<String>,
    pub(in crate::config) ratio: Leaf<f64>,
    pub(in crate::config) requests_each: Leaf<u32>,
    pub(in crate::config) min: Leaf<u32>,
    pub(in crate::config) max: Leaf<u32>,
    pub(in crate::config) port: Leaf<u16>,
    pub(in crate::config) tls: Leaf<RawTls>,
    pub(in crate::config) keep_alive: Leaf<bool>,
    pub(in crate::config) probe: Leaf<String>,
    pub(in crate::config) placement: Leaf<RawPlacement>,
    pub(in crate::config) addresses: Leaf<Vec<String>>,
    pub(in crate::config) command: Leaf<Vec<String>>,
    pub(in crate::config) memory: Leaf<Size>,
    pub(in crate::config) cpus: Leaf<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawRole {
    Fixed,
    Ratio,
    Sessions,
}

#[derive(Clone, Debug)]
pub(in crate::config) struct RawRoute {
    pub(in crate::config) at: At,
    pub(in crate::config) prefix: Leaf<String>,
    pub(in crate::config) loose: Leaf<bool>,
    pub(in crate::config) to: Leaf<String>,
    pub(in crate::config) port: Leaf<u16>,
    pub(in crate::config) tls: Leaf<RawTls>,
    pub(in crate::config) files: Option<RawFiles>,
    pub(in crate::config) file: Option<RawFiles>,
    pub(in crate::config) stub_status: Leaf<bool>,
    pub(in crate::config) not_found: Leaf<bool>,
    pub(in crate::config) cache_control: Leaf<String>,
    pub(in crate::config) replace_prefix: Leaf<String>,
    pub(in crate::config) allow: Leaf<Vec<String>>,
    pub(in crate::config) auth: Option<RawAuth>,
}

#[derive(Clone, Debug)]
pub(in crate::config) struct RawAuth {
    pub(in crate::config) at: At,
    pub(in crate::config) basic: Leaf<String>,
    pub(in crate::config) realm: Leaf<String>,
}

#[derive(Clone, Debug)]
pub(in crate::config) struct RawFiles {
    pub(in crate::config) at: At,
    pub(in crate::config) dir: Leaf<PathBuf>,
    pub(in crate::config) volume: Leaf<String>,
    pub(in crate::config) path: Leaf<PathBuf>,
    pub(in crate::config) set: Leaf<PathBuf>,
    pub(in crate::config) listing: Leaf<bool>,
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

impl RawEvent {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            name: table.leaf("name"),
            start: table.leaf("start"),
            end: table.leaf("end"),
            hours: table.leaf("hours"),
            attendees: table.leaf("attendees"),
            sessions_per_attendee: table.leaf("sessions-per-attendee"),
            prewarm: table.leaf("prewarm"),
        }
    }
}

impl RawService {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            role: table.leaf("role"),
            of: table.leaf("of"),
            ratio: table.leaf("ratio"),
            requests_each: table.leaf("requests-each"),
            min: table.leaf("min"),
            max: table.leaf("max"),
            port: table.leaf("port"),
            tls: table.leaf("tls"),
            keep_alive: table.leaf("keep-alive"),
            probe: table.leaf("probe"),
            placement: table.leaf("placement"),
            addresses: table.leaf("addresses"),
            command: table.leaf("command"),
            memory: table.leaf("memory"),
            cpus: table.leaf("cpus"),
        }
    }
}

impl RawRoute {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            prefix: table.leaf("prefix"),
            loose: table.leaf("loose"),
            to: table.leaf("to"),
            port: table.leaf("port"),
            tls: table.leaf("tls"),
            files: table.optional_table("files", RawFiles::read),
            file: table.optional_table("file", RawFiles::read),
            stub_status: table.leaf("stub-status"),
            not_found: table.leaf("not-found"),
            cache_control: table.leaf("cache-control"),
            replace_prefix: table.leaf("replace-prefix"),
            allow: table.leaf("allow"),
            auth: table.optional_table("auth", RawAuth::read),
        }
    }
}

impl RawAuth {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            basic: table.leaf("basic"),
            realm: table.leaf("realm"),
        }
    }
}

impl RawFiles {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            dir: table.leaf("dir"),
            volume: table.leaf("volume"),
            path: table.leaf("path"),
            set: table.leaf("set"),
            listing: table.leaf("listing"),
        }
    }
}

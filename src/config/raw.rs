//! The shape of the files: what was written, where, and nothing about what it means.
//!
//! A field that no one lowers is a dead field, and the compiler says so.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;

mod instance;

pub(super) use self::instance::{
    RawAuth, RawEvent, RawFiles, RawHttps, RawInstance, RawOrigin, RawPlacement, RawRental,
    RawRole, RawRoute, RawService,
};

use super::issue::{At, Issue};
use super::reader::{Field, Reader};
use super::units::{Never, Size, Span};

type Leaf<T> = Option<Field<T>>;

/// One file: the main one or an included one.
pub(super) struct RawFile {
    pub(super) include: Leaf<Vec<String>>,
    pub(super) state_dir: Leaf<PathBuf>,
    pub(super) listen: RawListen,
    pub(super) admin: RawAdmin,
    pub(super) engine: RawEngine,
    pub(super) certs: RawCerts,
    pub(super) compat: RawCompat,
    pub(super) acme: Option<RawAcme>,
    pub(super) alerts: Vec<RawAlert>,
    pub(super) log: RawLog,
    pub(super) status: RawStatus,
    pub(super) stop_within: Leaf<Span>,
    pub(super) limits: RawLimits,
    pub(super) scale: RawScale,
    pub(super) instances: RawInstances,
}

/// Each with the issues of its own text.
pub(super) type RawInstances = Vec<(RawInstance, Vec<Issue>)>;

#[derive(Default)]
pub(super) struct RawListen {
    pub(super) http: Leaf<Vec<String>>,
    pub(super) https: Leaf<Vec<String>>,
    pub(super) max_connections: Leaf<u32>,
    pub(super) trusted_proxies: Leaf<Vec<String>>,
    pub(super) proxy_protocol: Leaf<RawProxyProtocol>,
    pub(super) http2: Leaf<bool>,
    pub(super) default_host: Leaf<String>,
}

/// Whose connections begin with a PROXY header.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum RawProxyProtocol {
    OfTrusted(bool),
    OfAll(RawAll),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAll {
    All,
}

#[derive(Default)]
pub(super) struct RawAdmin {
    pub(super) listen: Leaf<String>,
    pub(super) socket: Leaf<PathBuf>,
    pub(super) allow: Leaf<Vec<String>>,
    pub(super) certificate: Leaf<String>,
    pub(super) token_file: Leaf<PathBuf>,
    pub(super) client_ca: Leaf<PathBuf>,
}

#[derive(Default)]
pub(super) struct RawEngine {
    pub(super) kind: Leaf<RawEngineKind>,
    pub(super) endpoint: Leaf<String>,
    pub(super) networks: Leaf<RawNetworks>,
    pub(super) names_from_containers: Leaf<String>,
    pub(super) container_filters: Leaf<Vec<String>>,
    pub(super) prefer_ipv6: Leaf<bool>,
    pub(super) trusted_networks: Leaf<Vec<String>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawEngineKind {
    #[default]
    Docker,
    None,
    Processes,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawNetworks {
    Auto,
    Join,
    None,
    Reach,
}

#[derive(Default)]
pub(super) struct RawCerts {
    pub(super) dir: Leaf<PathBuf>,
    pub(super) unknown_name: Leaf<RawUnknownName>,
    pub(super) min_version: Leaf<RawTlsVersion>,
    pub(super) reuse_key: Leaf<bool>,
    pub(super) key_type: Leaf<String>,
    pub(super) webroot: Leaf<PathBuf>,
}

#[derive(Default)]
pub(super) struct RawCompat {
    pub(super) nginx: Leaf<PathBuf>,
    pub(super) html: Leaf<PathBuf>,
    pub(super) app: Leaf<PathBuf>,
    pub(super) trust_default_cert: Leaf<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawUnknownName {
    Default,
    Reject,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum RawTlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

pub(super) struct RawAcme {
    pub(super) email: Leaf<String>,
    pub(super) directories: Leaf<Vec<String>>,
    pub(super) challenges: Leaf<Vec<String>>,
    pub(super) dns_hook: Leaf<Vec<String>>,
    pub(super) preflight: Leaf<bool>,
    pub(super) new_names_per_day: Leaf<u32>,
    pub(super) resolver: Leaf<String>,
    pub(super) directory: Vec<(Field<String>, RawDirectory)>,
}

pub(super) struct RawDirectory {
    pub(super) url: Leaf<String>,
    pub(super) ca_bundle: Leaf<PathBuf>,
    pub(super) eab: Leaf<RawExternalAccount>,
    pub(super) profile: Leaf<String>,
    pub(super) rate_limits: Leaf<bool>,
    pub(super) caa_issuer: Leaf<String>,
    pub(super) requests_per_second: Leaf<NonZeroU32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawExternalAccount {
    pub(super) kid: String,
    pub(super) key_file: Option<PathBuf>,
    /// The variable of the environment that holds the key.
    pub(super) key_variable: Option<String>,
}

pub(super) struct RawAlert {
    pub(super) at: At,
    pub(super) url: Leaf<String>,
    pub(super) command: Leaf<Vec<String>>,
    pub(super) format: Leaf<RawAlertFormat>,
    pub(super) min_status: Leaf<RawMinStatus>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAlertFormat {
    Alertmanager,
    Json,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMinStatus {
    Critical,
    Warning,
}

#[derive(Default)]
pub(super) struct RawLog {
    pub(super) format: Leaf<RawLogFormat>,
    pub(super) access: Leaf<bool>,
    pub(super) addresses: Leaf<RawAddresses>,
    pub(super) queries: Leaf<bool>,
    pub(super) access_keys: Leaf<RawAccessKeys>,
    pub(super) access_format: Leaf<RawAccessFormat>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAccessFormat {
    Combined,
    Usher,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawAccessKeys {
    NginxProxy,
    Usher,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawLogFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAddresses {
    Full,
    Masked,
    Off,
}

/// Pairs of warning and critical.
#[derive(Default)]
pub(super) struct RawStatus {
    pub(super) load_per_core: Leaf<[f64; 2]>,
    pub(super) memory_available: Leaf<[f64; 2]>,
    pub(super) disk_available: Leaf<[f64; 2]>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RawLimits {
    pub(super) max_body: Leaf<Size>,
    pub(super) connections: Leaf<u32>,
    pub(super) sessions: Leaf<u32>,
    pub(super) requests_in_flight: Leaf<u32>,
    pub(super) sessions_hard: Leaf<u32>,
    pub(super) header_timeout: Leaf<Span>,
    pub(super) request_timeout: Leaf<Span>,
    pub(super) websocket_idle: Leaf<Span>,
    pub(super) replica_drain: Leaf<Span>,
    pub(super) replica_drain_max: Leaf<Span>,
    pub(super) replica_stop: Leaf<Span>,
    pub(super) close_code: Leaf<u16>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RawScale {
    pub(super) sessions_per_replica: Leaf<u32>,
    pub(super) down_after: Leaf<Span>,
    pub(super) idle_to_zero: Leaf<Never>,
    pub(super) no_wake: Leaf<Vec<String>>,
    pub(super) mode: Leaf<RawScaleMode>,
    pub(super) weight: Leaf<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawScaleMode {
    Auto,
    Hold,
    Off,
    Recommend,
}

impl RawFile {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            include: table.leaf("include"),
            state_dir: table.table("state", |table| table.leaf("dir")),
            listen: table.table("listen", RawListen::read),
            admin: table.table("admin", RawAdmin::read),
            engine: table.table("engine", RawEngine::read),
            certs: table.table("certs", RawCerts::read),
            compat: table.table("compat", RawCompat::read),
            acme: table.optional_table("acme", RawAcme::read),
            alerts: table.tables("alert", RawAlert::read),
            log: table.table("log", RawLog::read),
            status: table.table("status", RawStatus::read),
            stop_within: table.table("stop", |table| table.leaf("within")),
            limits: table.table("limits", RawLimits::read),
            scale: table.table("scale", RawScale::read),
            instances: read_instances(table),
        }
    }
}

/// All that an included file may hold.
pub(super) fn read_instances(table: &mut Reader<'_, '_>) -> RawInstances {
    table.tables_apart("instance", RawInstance::read)
}

impl RawListen {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            http: table.leaf("http"),
            https: table.leaf("https"),
            max_connections: table.leaf("max-connections"),
            trusted_proxies: table.leaf("trusted-proxies"),
            proxy_protocol: table.leaf("proxy-protocol"),
            http2: table.leaf("http2"),
            default_host: table.leaf("default-host"),
        }
    }
}

impl RawAdmin {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            listen: table.leaf("listen"),
            socket: table.leaf("socket"),
            allow: table.leaf("allow"),
            certificate: table.leaf("certificate"),
            token_file: table.leaf("token-file"),
            client_ca: table.leaf("client-ca"),
        }
    }
}

impl RawEngine {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            kind: table.leaf("kind"),
            endpoint: table.leaf("endpoint"),
            networks: table.leaf("networks"),
            names_from_containers: table.leaf("names-from-containers"),
            container_filters: table.leaf("container-filters"),
            prefer_ipv6: table.leaf("prefer-ipv6"),
            trusted_networks: table.leaf("trusted-networks"),
        }
    }
}

impl RawCerts {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            dir: table.leaf("dir"),
            unknown_name: table.leaf("unknown-name"),
            min_version: table.leaf("min-version"),
            reuse_key: table.leaf("reuse-key"),
            key_type: table.leaf("key-type"),
            webroot: table.leaf("webroot"),
        }
    }
}

impl RawCompat {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            nginx: table.leaf("nginx"),
            html: table.leaf("html"),
            app: table.leaf("app"),
            trust_default_cert: table.leaf("trust-default-cert"),
        }
    }
}

impl RawAcme {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            email: table.leaf("email"),
            directories: table.leaf("directories"),
            challenges: table.leaf("challenges"),
            dns_hook: table.leaf("dns-hook"),
            preflight: table.leaf("preflight"),
            new_names_per_day: table.leaf("new-names-per-day"),
            resolver: table.leaf("resolver"),
            directory: table.named("directory", RawDirectory::read),
        }
    }
}

impl RawDirectory {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            url: table.leaf("url"),
            ca_bundle: table.leaf("ca-bundle"),
            eab: table.leaf("eab"),
            profile: table.leaf("profile"),
            rate_limits: table.leaf("rate-limits"),
            caa_issuer: table.leaf("caa-issuer"),
            requests_per_second: table.leaf("requests-per-second"),
        }
    }
}

impl RawAlert {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            url: table.leaf("url"),
            command: table.leaf("command"),
            format: table.leaf("format"),
            min_status: table.leaf("min-status"),
        }
    }
}

impl RawLog {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            format: table.leaf("format"),
            access: table.leaf("access"),
            addresses: table.leaf("addresses"),
            queries: table.leaf("queries"),
            access_keys: table.leaf("access-keys"),
            access_format: table.leaf("access-format"),
        }
    }
}

impl RawStatus {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            load_per_core: table.leaf("load-per-core"),
            memory_available: table.leaf("memory-available"),
            disk_available: table.leaf("disk-available"),
        }
    }
}

impl RawLimits {
    fn read(table: &mut Reader<'_, '_>) -> Self {
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
}

impl RawScale {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            sessions_per_replica: table.leaf("sessions-per-replica"),
            down_after: table.leaf("down-after"),
            idle_to_zero: table.leaf("idle-to-zero"),
            no_wake: table.leaf("no-wake"),
            mode: table.leaf("mode"),
            weight: table.leaf("weight"),
        }
    }
}

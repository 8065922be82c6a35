//! The global part, from what was written to what is meant.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::filters;
use super::instance::lower_key_type;
use super::issue::{Issue, Issues, Level, report};
use super::lower::{from_str, networks, parse_list, socket_address, value_or};
use super::model::{
    AccessFormat, AccessKeys, Addresses, Certs, Compat, EngineChoice, Listen, Log, LogFormat,
    NamesFromContainers, Networks, Threshold, Thresholds, TlsVersion,
};
use super::raw::{
    RawAccessFormat, RawAccessKeys, RawAddresses, RawAll, RawCerts, RawCompat, RawEngine,
    RawEngineKind, RawListen, RawLog, RawLogFormat, RawNetworks, RawProxyProtocol, RawStatus,
    RawTlsVersion, RawUnknownName,
};
use super::reader::Field;
use crate::plan::ProxyProtocol;

impl RawListen {
    pub(super) fn lower(self, issues: &Issues) -> Listen {
        let Self {
            http,
            https,
            max_connections,
            trusted_proxies,
            proxy_protocol,
            http2,
            default_host,
        } = self;
        let trusted_proxies = networks(trusted_proxies, issues);
        let of_trusted = |field: &&Field<RawProxyProtocol>| {
            matches!(field.value, RawProxyProtocol::OfTrusted(true))
        };
        if let Some(on) = proxy_protocol.as_ref().filter(of_trusted)
            && trusted_proxies.is_empty()
        {
            let text =
                "would be accepted from nobody; name the load balancers in `trusted-proxies`";
            report(issues, on.at.error(text));
        }
        let addresses = |field: Option<Field<Vec<String>>>, port: u16| match field {
            Some(field) => parse_list(&field, issues, socket_address),
            None => vec![
                SocketAddr::from(([0, 0, 0, 0], port)),
                SocketAddr::from(([0_u16; 8], port)),
            ],
        };
        Listen {
            http: addresses(http, 80),
            https: addresses(https, 443),
            max_connections: value_or(max_connections, 60_000),
            trusted_proxies,
            proxy_protocol: match proxy_protocol.map(|field| field.value) {
                None | Some(RawProxyProtocol::OfTrusted(false)) => ProxyProtocol::Off,
                Some(RawProxyProtocol::OfTrusted(true)) => ProxyProtocol::Trusted,
                Some(RawProxyProtocol::OfAll(RawAll::All)) => ProxyProtocol::All,
            },
            http2: value_or(http2, true),
            default_host: default_host.and_then(|field| {
                let host = from_str(&field.value);
                host.map_err(|why| {
                    report(issues, field.at.error(format!("`{}` {why}", field.value)));
                })
                .ok()
            }),
        }
    }
}

impl RawEngine {
    /// Also says whether containers may claim names, if it says anything about that.
    pub(super) fn lower(self, issues: &Issues) -> (EngineChoice, Option<NamesFromContainers>) {
        let Self {
            kind,
            endpoint,
            networks,
            names_from_containers,
            container_filters,
            prefer_ipv6,
            trusted_networks,
        } = self;
        let names = names_from_containers.and_then(|field| match field.value.parse() {
            Ok(names) => Some(names),
            Err(why) => {
                report(issues, field.at.error(why));
                None
            }
        });
        let choice = match value_or(kind, RawEngineKind::default()) {
            RawEngineKind::None => EngineChoice::None,
            RawEngineKind::Processes => EngineChoice::Processes,
            RawEngineKind::Docker => EngineChoice::Docker {
                endpoint: endpoint.and_then(|field| {
                    let known = ["unix://", "tcp://", "http://"];
                    if known.iter().any(|scheme| field.value.starts_with(scheme)) {
                        return Some(field.value);
                    }
                    let text = format!(
                        "`{}` is no endpoint; write for example unix:///var/run/docker.sock",
                        field.value
                    );
                    report(issues, field.at.error(text));
                    None
                }),
                networks: match networks.map(|field| field.value) {
                    None | Some(RawNetworks::Auto) => Networks::Auto,
                    Some(RawNetworks::Join) => Networks::Join,
                    Some(RawNetworks::None) => Networks::None,
                    Some(RawNetworks::Reach) => Networks::Reach,
                },
                filters: filters::lower(container_filters, issues),
                prefer_ipv6: value_or(prefer_ipv6, false),
                trusted_networks: value_or(trusted_networks, Vec::new()),
            },
        };
        (choice, names)
    }
}

/// The same path from the root, as messages and mounts of containers have it.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl RawCerts {
    /// `in_its_place`: usher is started in the place of nginx-proxy.
    /// Also says whether its folder was mounted for nginx-proxy.
    pub(super) fn lower(
        self,
        compat: &Compat,
        in_its_place: bool,
        issues: &Issues,
    ) -> (Certs, bool) {
        let Self {
            dir,
            unknown_name,
            min_version,
            reuse_key,
            key_type,
            webroot,
        } = self;
        let own = PathBuf::from("certs");
        let mounted = compat.nginx.as_ref().map(|nginx| nginx.join("certs"));
        let mounted = mounted.filter(|dir| in_its_place && !own.exists() && dir.is_dir());
        let is_mounted = dir.is_none() && mounted.is_some();
        let webroot = webroot.map(|field| field.value);
        let certs = Certs {
            dir: absolute(value_or(dir, mounted.unwrap_or(own))),
            // It answers with its default where there is one.
            default_for_unknown: match unknown_name.map(|field| field.value) {
                Some(RawUnknownName::Default) => true,
                Some(RawUnknownName::Reject) => false,
                None => in_its_place,
            },
            min_version: match min_version.map(|field| field.value) {
                None | Some(RawTlsVersion::Tls12) => TlsVersion::Tls12,
                Some(RawTlsVersion::Tls13) => TlsVersion::Tls13,
            },
            reuse_key: value_or(reuse_key, false),
            key_type: key_type
                .and_then(|field| lower_key_type(&field, issues))
                .unwrap_or_default(),
            webroot: webroot.or_else(|| compat.html.clone().filter(|html| html.is_dir())),
        };
        (certs, is_mounted)
    }
}

impl RawCompat {
    /// `in_its_place`: usher is started in the place of nginx-proxy.
    pub(super) fn lower(self, in_its_place: bool, is_followed: bool, issues: &Issues) -> Compat {
        let Self {
            nginx,
            html,
            app,
            trust_default_cert,
        } = self;
        for field in [&nginx, &html, &app].into_iter().flatten() {
            if !is_followed {
                let text = "is followed only where containers name themselves; see \
                            `names-from-containers` in [engine]";
                report(issues, field.at.warning(text));
            }
        }
        // Where nginx is installed these are its own.
        let mounted = in_its_place && !Path::new("/usr/sbin/nginx").exists();
        let folder = |field: Option<Field<PathBuf>>, usual: &str| {
            let usual = mounted.then(|| PathBuf::from(usual));
            field.map(|field| field.value).or(usual)
        };
        Compat {
            nginx: folder(nginx, "/etc/nginx"),
            html: folder(html, "/usr/share/nginx/html"),
            app: folder(app, "/app"),
            trust_default_cert: value_or(trust_default_cert, true),
        }
    }
}

/// Where usher keeps what it remembers, where the file does not say it.
///
/// In a container that has nginx-proxy's folder of certificates mounted and none for the state, the
/// state would be gone with the container, and with it the account and every order.
pub(super) fn state_dir(certs: &Path, is_mounted: bool, issues: &Issues) -> PathBuf {
    let usual = PathBuf::from("state");
    if usual.exists() || !is_mounted {
        return usual;
    }
    let volume = absolute(usual.clone());
    let volume = volume.display();
    let (dir, text) = if access(certs, Access::WRITE_OK).is_ok() {
        let beside = certs.join(".usher");
        let text = format!(
            "no folder `state` is here, so accounts and orders are kept in {}, where a recreated \
             container finds them; mount a volume of its own at {volume}",
            beside.display()
        );
        (beside, text)
    } else {
        let text = format!(
            "{} cannot be written: no certificate can be put there, and accounts and orders are lost \
             with this container; mount it without `:ro`, and a volume at {volume}",
            certs.display()
        );
        (usual, text)
    };
    report(
        issues,
        Issue {
            level: Level::Warning,
            file: "the defaults".to_owned(),
            line: None,
            key: "state.dir".to_owned(),
            text,
        },
    );
    dir
}

impl RawLog {
    pub(super) fn lower(self) -> Log {
        let Self {
            format,
            access,
            addresses,
            queries,
            access_keys,
            access_format,
        } = self;
        Log {
            format: match format.map(|field| field.value) {
                None | Some(RawLogFormat::Json) => LogFormat::Json,
                Some(RawLogFormat::Text) => LogFormat::Text,
            },
            access: value_or(access, true),
            addresses: match addresses.map(|field| field.value) {
                None | Some(RawAddresses::Full) => Addresses::Full,
                Some(RawAddresses::Masked) => Addresses::Masked,
                Some(RawAddresses::Off) => Addresses::Off,
            },
            queries: value_or(queries, false),
            access_keys: match access_keys.map(|field| field.value) {
                None | Some(RawAccessKeys::Usher) => AccessKeys::Usher,
                Some(RawAccessKeys::NginxProxy) => AccessKeys::NginxProxy,
            },
            access_format: match access_format.map(|field| field.value) {
                None | Some(RawAccessFormat::Usher) => AccessFormat::Usher,
                Some(RawAccessFormat::Combined) => AccessFormat::Combined,
            },
        }
    }
}

impl RawStatus {
    pub(super) fn lower(self, issues: &Issues) -> Thresholds {
        let Self {
            load_per_core,
            memory_available,
            disk_available,
        } = self;
        let pair = |field: Option<Field<[f64; 2]>>, default: [f64; 2]| {
            if let Some(field) = field.as_ref() {
                let [warning, critical] = field.value;
                if (warning < critical) != (default[0] < default[1]) {
                    report(issues, field.at.error("is written [warning, critical]"));
                }
            }
            let [warning, critical] = value_or(field, default);
            Threshold { warning, critical }
        };
        Thresholds {
            load_per_core: pair(load_per_core, [1.0, 2.0]),
            memory_available: pair(memory_available, [0.15, 0.05]),
            disk_available: pair(disk_available, [0.15, 0.05]),
        }
    }
}

/// The files an `include` pattern names, in the order of their names.
pub(super) fn included(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let paths =
        glob::glob(pattern).map_err(|error| format!("is no file pattern: {}", error.msg))?;
    let mut files = paths
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("cannot be listed: {error}"))?;
    files.sort();
    Ok(files)
}

/// From TERM to the exit when nothing else is said: Docker kills a second later.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(9);

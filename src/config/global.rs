//! The global part, from what was written to what is meant.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::lower::{Issues, networks, only, parse_list, report, socket_address, value_or};
use super::model::{
    Acme, Addresses, Admin, Certs, Directory, EngineChoice, ExternalAccount, Listen, Log,
    LogFormat, Networks, Threshold, Thresholds, TlsVersion,
};
use super::raw::{
    RawAcme, RawAddresses, RawAdmin, RawCerts, RawEngine, RawEngineKind, RawListen, RawLog,
    RawLogFormat, RawNetworks, RawStatus, RawTlsVersion, RawUnknownName,
};
use super::reader::Field;

impl RawListen {
    pub(super) fn lower(self, issues: &Issues) -> Listen {
        let Self {
            http,
            https,
            max_connections,
            trusted_proxies,
            proxy_protocol,
        } = self;
        let trusted_proxies = networks(trusted_proxies, issues);
        if let Some(on) = proxy_protocol.as_ref().filter(|field| field.value)
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
            proxy_protocol: value_or(proxy_protocol, false),
        }
    }
}

impl RawAdmin {
    pub(super) fn lower(self, issues: &Issues) -> Admin {
        let Self {
            listen,
            socket,
            allow,
        } = self;
        let default = SocketAddr::from(([127, 0, 0, 1], 9900));
        let listen = listen.map_or(default, |field| match socket_address(&field.value) {
            Ok(address) if address.ip().is_loopback() => address,
            Ok(address) => {
                let text = format!(
                    "`{address}` is not loopback; the admin listener has no access control yet, \
                     so it stays on 127.0.0.1 or ::1"
                );
                report(issues, field.at.error(text));
                default
            }
            Err(why) => {
                report(issues, field.at.error(format!("`{}` {why}", field.value)));
                default
            }
        });
        Admin {
            listen,
            socket: value_or(socket, PathBuf::from(super::CONTROL_SOCKET)),
            allow: networks(allow, issues),
        }
    }
}

impl RawEngine {
    pub(super) fn lower(self, issues: &Issues) -> EngineChoice {
        let Self {
            kind,
            endpoint,
            networks,
            names_from_containers,
        } = self;
        only(
            names_from_containers.as_ref(),
            &"off".to_owned(),
            "`\"off\"`",
            issues,
        );
        match value_or(kind, RawEngineKind::default()) {
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
            },
        }
    }
}

impl RawCerts {
    pub(super) fn lower(self) -> Certs {
        let Self {
            dir,
            unknown_name,
            min_version,
        } = self;
        Certs {
            dir: value_or(dir, PathBuf::from("certs")),
            default_for_unknown: matches!(
                unknown_name,
                Some(Field {
                    value: RawUnknownName::Default,
                    ..
                })
            ),
            min_version: match min_version.map(|field| field.value) {
                None | Some(RawTlsVersion::Tls12) => TlsVersion::Tls12,
                Some(RawTlsVersion::Tls13) => TlsVersion::Tls13,
            },
        }
    }
}

impl RawAcme {
    pub(super) fn lower(self, issues: &Issues) -> Acme {
        let Self {
            at,
            email,
            directories,
            challenges,
            dns_hook,
            preflight,
            directory,
        } = self;
        only(
            challenges.as_ref(),
            &vec!["http-01".to_owned()],
            "`[\"http-01\"]`",
            issues,
        );
        only(dns_hook.as_ref(), &Vec::new(), "`[]`", issues);
        if let Some(email) = email.as_ref().filter(|email| !email.value.contains('@')) {
            report(issues, email.at.error("is no e-mail address"));
        }
        let mut known = vec![
            built_in(
                "letsencrypt",
                "https://acme-v02.api.letsencrypt.org/directory",
            ),
            built_in(
                "letsencrypt-staging",
                "https://acme-staging-v02.api.letsencrypt.org/directory",
            ),
        ];
        for (name, raw) in directory {
            let Some(url) = raw.url else {
                report(issues, name.at.error("needs the `url` of the directory"));
                continue;
            };
            if !url.value.starts_with("https://") {
                report(
                    issues,
                    url.at.error("must begin with https:// (RFC 8555 §6.1)"),
                );
            }
            known.push(Directory {
                name: name.value,
                url: url.value,
                ca_bundle: raw.ca_bundle.map(|field| readable(field, issues)),
                external_account: raw.eab.map(|eab| ExternalAccount {
                    kid: eab.value.kid.clone(),
                    key_file: readable(
                        Field {
                            value: eab.value.key_file,
                            at: eab.at,
                        },
                        issues,
                    ),
                }),
                profile: raw.profile.map(|field| field.value),
            });
        }
        let find = |name: &str| known.iter().rfind(|known| known.name == name).cloned();
        let chosen = match &directories {
            None => find("letsencrypt").into_iter().collect(),
            Some(field) => parse_list(field, issues, |name| {
                find(name).ok_or_else(|| {
                    format!(
                        "is no directory; declare it as [acme.directory.{name}], or use one of {}",
                        known
                            .iter()
                            .map(|known| known.name.as_str())
                            .collect::<Vec<_>>()
                            .join(", ")
                    )
                })
            }),
        };
        if directories.is_some_and(|field| field.value.is_empty()) {
            report(
                issues,
                at.error("names no directory; leave `directories` out for Let's Encrypt"),
            );
        }
        Acme {
            email: email.map(|field| field.value),
            directories: chosen,
            preflight: value_or(preflight, true),
        }
    }
}

fn built_in(name: &str, url: &str) -> Directory {
    Directory {
        name: name.to_owned(),
        url: url.to_owned(),
        ca_bundle: None,
        external_account: None,
        profile: None,
    }
}

/// A file that has to be there when it is used; said at once and not in the middle of an order.
fn readable(field: Field<PathBuf>, issues: &Issues) -> PathBuf {
    if let Err(error) = std::fs::File::open(&field.value) {
        let text = format!(
            "cannot read {}: {error}; nothing is ordered from this directory until it can be read",
            field.value.display()
        );
        // What is on the disk is served all the same: a lost bundle must not keep a site down.
        report(issues, field.at.warning(text));
    }
    field.value
}

impl RawLog {
    pub(super) fn lower(self) -> Log {
        let Self {
            format,
            access,
            addresses,
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

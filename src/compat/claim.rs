//! One container's claim: from what its variables and labels say to what they mean.
//!
//! Everything here is hostile input. A value is of its type and short, or it is a sentence for the
//! operator; where the rest would mean something else without it, the whole container is refused.

use std::fmt;

use crate::config::model::NamesFromContainers;
use crate::inventory::Claims;
use crate::names::{Domain, HostPattern, Hostname};
use crate::plan::{Https, Placement};

mod tls;

pub(super) use self::tls::{Clients, Tls};

/// Names in one list of one container.
const MOST_HOSTS: usize = 16;
/// Bytes of a path and of a header's value.
const LONGEST: usize = 256;
/// Sentences of one container; whoever writes three hundred bad values is told of a few.
const MOST_TROUBLES: usize = 6;

const LABELS: &str = "com.github.nginx-proxy.nginx-proxy.";

/// A host that a container asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Host {
    Named(Domain),
    Shaped(HostPattern),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(domain) => domain.fmt(f),
            Self::Shaped(pattern) => pattern.fmt(f),
        }
    }
}

/// What one container asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Claim {
    /// Never empty.
    pub(super) hosts: Vec<Host>,
    pub(super) port: Option<u16>,
    pub(super) path: String,
    pub(super) dest: Option<String>,
    /// Only for clients of private networks.
    pub(super) internal: bool,
    pub(super) placement: Option<Placement>,
    pub(super) wishes: Wishes,
    /// Names a certificate is asked for.
    pub(super) orders: Vec<Domain>,
}

/// What is about a host and not about a path of it. `None` is not said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Wishes {
    pub(super) https: Option<Https>,
    pub(super) hsts: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) email: Option<String>,
    pub(super) staging: Option<bool>,
    pub(super) apart: Option<bool>,
    pub(super) tls: Tls,
}

impl Wishes {
    /// With what another one says where this is silent.
    pub(super) fn or(self, other: &Self) -> Self {
        Self {
            https: self.https.or(other.https),
            hsts: self.hsts.or_else(|| other.hsts.clone()),
            certificate: self.certificate.or_else(|| other.certificate.clone()),
            email: self.email.or_else(|| other.email.clone()),
            staging: self.staging.or(other.staging),
            apart: self.apart.or(other.apart),
            tls: self.tls.or(other.tls),
        }
    }
}

/// Reads what a container says. The sentences go on where "container x: " ends; without a claim it is
/// not routed.
pub(super) fn read(claims: &Claims, names: NamesFromContainers) -> (Option<Claim>, Vec<String>) {
    let mut reading = Reading {
        claims,
        names,
        troubles: claims.left_out.clone(),
    };
    let claim = match reading.claim() {
        Ok(claim) => claim,
        Err(why) => {
            // What keeps it out comes first.
            reading.troubles.insert(0, why);
            None
        }
    };
    let mut troubles = reading.troubles;
    if troubles.len() > MOST_TROUBLES {
        let more = troubles.len() - MOST_TROUBLES;
        troubles.truncate(MOST_TROUBLES);
        troubles.push(format!("{more} more values are not followed"));
    }
    (claim, troubles)
}

struct Reading<'c> {
    claims: &'c Claims,
    names: NamesFromContainers,
    troubles: Vec<String>,
}

impl<'c> Reading<'c> {
    /// A value that says something.
    fn get(&self, key: &str) -> Option<&'c str> {
        let value = self.claims.values.get(key)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// By the companion's newer name, else by its older one.
    fn acme(&self, what: &str) -> Option<(String, &'c str)> {
        ["ACME", "LETSENCRYPT"].iter().find_map(|family| {
            let key = format!("{family}_{what}");
            let value = self.get(&key)?;
            Some((key, value))
        })
    }

    fn ignored(&mut self, key: &str, value: &str, why: &str) {
        let text = format!("{key} `{}` is ignored: {why}", shown(value));
        self.troubles.push(text);
    }

    /// `Ok(None)`: it asks for nothing.
    fn claim(&mut self) -> Result<Option<Claim>, String> {
        let refused = |key: &str, value: &str, why: &str| {
            format!(
                "{key} `{}` {why}; the container is not routed until that is mended",
                shown(value)
            )
        };
        if self.get("VIRTUAL_HOST_MULTIPORTS").is_some() {
            return Err(
                "VIRTUAL_HOST_MULTIPORTS is not followed, and the container is not routed; write \
                 an [[instance]] for its stack, with a route for each path"
                    .to_owned(),
            );
        }
        let Some(list) = self.get("VIRTUAL_HOST") else {
            return Ok(None);
        };
        let hosts = self.hosts(list);
        if hosts.is_empty() {
            return Err(refused("VIRTUAL_HOST", list, "names no host"));
        }
        let port = match self.get("VIRTUAL_PORT") {
            None => None,
            Some(text) => match text.parse().ok().filter(|port: &u16| *port != 0) {
                Some(port) => Some(port),
                None => {
                    let why = "is no port between 1 and 65535";
                    return Err(refused("VIRTUAL_PORT", text, why));
                }
            },
        };
        if let Some(proto) = self.get("VIRTUAL_PROTO")
            && proto != "http"
        {
            let why = "is nothing usher speaks with containers, which is http";
            return Err(refused("VIRTUAL_PROTO", proto, why));
        }
        let path = self.get("VIRTUAL_PATH").unwrap_or("/");
        let dest = self.get("VIRTUAL_DEST");
        for (key, value) in [("VIRTUAL_PATH", Some(path)), ("VIRTUAL_DEST", dest)] {
            if let Some(value) = value.filter(|value| !is_plain_path(value)) {
                let why = "is no plain path that begins with `/` (regular expressions are not \
                           followed here)";
                return Err(refused(key, value, why));
            }
        }
        let internal = match self.get("NETWORK_ACCESS") {
            None | Some("external") => false,
            Some("internal") => true,
            // Served to everybody it might be what nobody outside should see.
            Some(other) => {
                let why = "is neither `internal` nor `external`";
                return Err(refused("NETWORK_ACCESS", other, why));
            }
        };
        let orders = self.orders(&hosts);
        let wishes = self.wishes();
        let placement = self.labels();
        self.unknown();
        Ok(Some(Claim {
            hosts,
            port,
            path: path.to_owned(),
            dest: dest.map(ToOwned::to_owned),
            internal,
            placement,
            wishes,
            orders,
        }))
    }

    fn hosts(&mut self, list: &str) -> Vec<Host> {
        let mut hosts: Vec<Host> = Vec::new();
        for text in items(list) {
            let shaped = text.starts_with('~') || text.ends_with(".*");
            let host = if !shaped {
                text.parse::<Domain>().map(Host::Named)
            } else if self.names == NamesFromContainers::Open {
                HostPattern::parse(text).map(Host::Shaped)
            } else {
                let why = "patterns count only where `names-from-containers` is \"open\"";
                self.ignored("VIRTUAL_HOST", text, why);
                continue;
            };
            match host {
                Err(why) => self.ignored("VIRTUAL_HOST", text, &format!("it {why}")),
                Ok(host) if hosts.contains(&host) => {}
                Ok(_) if hosts.len() == MOST_HOSTS => {
                    let why = format!("it is one name more than {MOST_HOSTS}");
                    self.ignored("VIRTUAL_HOST", text, &why);
                }
                Ok(host) => hosts.push(host),
            }
        }
        hosts
    }

    /// Names for a certificate: such as an authority can know, and that the container serves.
    fn orders(&mut self, hosts: &[Host]) -> Vec<Domain> {
        let Some((key, list)) = self.acme("HOST") else {
            return Vec::new();
        };
        let mut orders: Vec<Domain> = Vec::new();
        for text in items(list).take(MOST_HOSTS) {
            let domain = match text.parse::<Domain>() {
                Ok(domain) => domain,
                Err(why) => {
                    self.ignored(&key, text, &format!("it {why}"));
                    continue;
                }
            };
            let (Domain::Exact(name) | Domain::Below(name)) = &domain;
            if !name.is_delegated() {
                let why = "no authority can know it, and none is asked";
                self.ignored(&key, text, why);
            } else if !hosts.contains(&Host::Named(domain.clone())) {
                let why = "it is not in VIRTUAL_HOST too";
                self.ignored(&key, text, why);
            } else if !orders.contains(&domain) {
                orders.push(domain);
            }
        }
        orders
    }

    fn wishes(&mut self) -> Wishes {
        let https = self.get("HTTPS_METHOD").and_then(|method| match method {
            "redirect" => Some(Https::Redirect),
            "noredirect" => Some(Https::Both),
            "nohttp" => Some(Https::Only),
            "nohttps" => Some(Https::Off),
            other => {
                let why = "it is none of redirect, noredirect, nohttp and nohttps";
                self.ignored("HTTPS_METHOD", other, why);
                None
            }
        });
        let hsts = self.get("HSTS").and_then(|value| {
            let fits = value.len() <= LONGEST && value.bytes().all(|b| matches!(b, b' '..=b'~'));
            if !fits {
                self.ignored("HSTS", value, "it cannot be sent in a header");
            }
            fits.then(|| value.to_owned())
        });
        // Who may come by plain HTTP is not told to come by TLS only.
        let never = (https == Some(Https::Both)).then(|| "off".to_owned());
        let certificate = self.get("CERT_NAME").and_then(|name| {
            let parsed = name.parse::<Hostname>();
            if let Err(why) = &parsed {
                self.ignored("CERT_NAME", name, &format!("it {why}"));
            }
            parsed.ok().map(|name| name.to_string())
        });
        let email = self.acme("EMAIL").and_then(|(key, email)| {
            let fits = email.len() <= LONGEST
                && email.split('@').filter(|part| !part.is_empty()).count() == 2
                && email.bytes().all(|b| b.is_ascii_graphic() && b != b',');
            if !fits {
                self.ignored(&key, email, "it is no mail address");
            }
            fits.then(|| email.to_owned())
        });
        let said = |value: Option<&str>| value.map(|value| value.eq_ignore_ascii_case("true"));
        let apart = self.acme("SINGLE_DOMAIN_CERTS");
        if let Some(status) = self.get("NON_GET_REDIRECT")
            && status != "308"
        {
            self.ignored(
                "NON_GET_REDIRECT",
                status,
                "redirects that are no GET are 308",
            );
        }
        Wishes {
            https,
            hsts: never.or(hsts),
            certificate,
            email,
            staging: said(self.get("LETSENCRYPT_TEST")),
            apart: said(apart.map(|(_, value)| value)),
            tls: self.tls(),
        }
    }

    fn labels(&mut self) -> Option<Placement> {
        let mut placement = None;
        for (key, value) in &self.claims.values {
            let Some(label) = key.strip_prefix(LABELS) else {
                continue;
            };
            match (label, value.trim().trim_end_matches(';')) {
                ("loadbalance", "least_conn") => placement = Some(Placement::Least),
                ("loadbalance", "ip_hash" | "hash $remote_addr") => {
                    placement = Some(Placement::Client);
                }
                ("loadbalance", other) => {
                    let why = "it is none of ip_hash, hash $remote_addr and least_conn";
                    self.ignored("the label loadbalance", other, why);
                }
                // As it is anyway.
                ("keepalive", _)
                | ("http2.enable", "true")
                | ("http3.enable" | "debug-endpoint", "false") => {}
                (label, _) if tls::READ.contains(&label) => {}
                ("non-get-redirect", "308") => {}
                (_, value) => {
                    let key: String = label.chars().take(64).collect();
                    let key = format!("the label {}", key.escape_debug());
                    self.ignored(&key, value, "usher does not know it");
                }
            }
        }
        placement
    }

    /// Of the family, and nothing that is followed.
    fn unknown(&mut self) {
        const KNOWN: [&str; 12] = [
            "CERT_NAME",
            "HSTS",
            "HTTPS_METHOD",
            "LETSENCRYPT_TEST",
            "NETWORK_ACCESS",
            "NON_GET_REDIRECT",
            "VIRTUAL_DEST",
            "VIRTUAL_HOST",
            "VIRTUAL_HOST_MULTIPORTS",
            "VIRTUAL_PATH",
            "VIRTUAL_PORT",
            "VIRTUAL_PROTO",
        ];
        const OF_ACME: [&str; 4] = ["HOST", "EMAIL", "SINGLE_DOMAIN_CERTS", "KEYSIZE"];
        let of_acme = |key: &str| {
            let families = ["ACME_", "LETSENCRYPT_"];
            let what = families.iter().find_map(|family| key.strip_prefix(family));
            what.is_some_and(|what| OF_ACME.contains(&what))
        };
        let claims = self.claims;
        for key in claims.values.keys() {
            if !key.starts_with(LABELS) && !KNOWN.contains(&key.as_str()) && !of_acme(key) {
                let key = key.escape_debug();
                self.troubles
                    .push(format!("{key} is not followed by usher"));
            }
        }
    }
}

/// What a list with commas holds, blanks and a comma too many aside.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn is_plain_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= LONGEST
        && !path.contains("//")
        && path.split('/').all(|part| !matches!(part, "." | ".."))
        && path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"?#%\\".contains(&b))
}

/// A value as it may stand in a log line.
fn shown(value: &str) -> String {
    let short: String = value.chars().take(80).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    format!("{}{more}", short.escape_debug())
}

#[cfg(test)]
mod tests;

//! One container's claim: from what its variables and labels say to what they mean.
//!
//! Everything here is hostile input. A value is of its type and short, or it is a sentence for the
//! operator; where the rest would mean something else without it, the whole container is refused.

mod multiports;
mod paths;
mod reading;
mod tls;
mod wishes;

pub(super) use self::paths::{Host, Place, Site};
pub(super) use self::tls::Clients;
pub(super) use self::wishes::Wishes;

use self::multiports::KEY as MULTIPORTS;
use self::paths::{MOST_HOSTS, Words, port};
use self::reading::{LABELS, Reading, items, refused};
use crate::config::model::NamesFromContainers;
use crate::config::variables::flag;
use crate::inventory::Claims;
use crate::names::Domain;
use crate::plan::{ExternalPorts, NonGetRedirect, Placement};

/// Sentences of one container; whoever writes three hundred bad values is told of a few.
const MOST_TROUBLES: usize = 6;

/// What one container asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Claim {
    /// Never empty; each host once.
    pub(super) sites: Vec<Site>,
    /// Only for clients of private networks.
    pub(super) internal: bool,
    pub(super) placement: Option<Placement>,
    pub(super) keep_alive: Option<bool>,
    /// Of all hosts alike; what is about one of them is in its site.
    pub(super) wishes: Wishes,
    /// Names a certificate is asked for.
    pub(super) orders: Vec<Domain>,
}

impl Claim {
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.sites.iter().map(|site| &site.host)
    }

    /// What it serves of a host.
    pub(super) fn places(&self, host: &Host) -> &[Place] {
        let site = self.sites.iter().find(|site| site.host == *host);
        site.map_or(&[], |site| &site.places)
    }

    /// The pair that it asks to be served with.
    pub(super) fn certificate(&self) -> Option<&String> {
        self.wishes.certificate.as_ref()
    }

    /// What it wishes for a host that it serves.
    pub(super) fn wishes(&self, host: &Host) -> Wishes {
        let site = self.sites.iter().find(|site| site.host == *host);
        Wishes {
            external_ports: site.map_or_else(ExternalPorts::default, |site| site.external),
            ..self.wishes.clone()
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

/// What the labels ask for.
#[derive(Debug, Default)]
struct Labels {
    placement: Option<Placement>,
    keep_alive: Option<bool>,
    non_get_redirect: Option<NonGetRedirect>,
    http2: Option<bool>,
}

impl Reading<'_> {
    /// `Ok(None)`: it asks for nothing.
    fn claim(&mut self) -> Result<Option<Claim>, String> {
        let external = ExternalPorts {
            http: self.external("EXTERNAL_HTTP_PORT"),
            https: self.external("EXTERNAL_HTTPS_PORT"),
        };
        let sites = if let Some(text) = self.get(MULTIPORTS) {
            self.multiports(text, external)?
        } else if let Some(list) = self.get("VIRTUAL_HOST") {
            self.virtual_hosts(list, external)?
        } else {
            return Ok(None);
        };
        let internal = match self.get("NETWORK_ACCESS") {
            None | Some("external") => false,
            Some("internal") => true,
            // Served to everybody it might be what nobody outside should see.
            Some(other) => {
                let why = "is neither `internal` nor `external`";
                return Err(refused("NETWORK_ACCESS", other, why));
            }
        };
        let orders = self.orders();
        let wishes = self.wishes();
        let Labels {
            placement,
            keep_alive,
            non_get_redirect,
            http2,
        } = self.labels();
        self.unknown();
        Ok(Some(Claim {
            sites,
            internal,
            placement,
            keep_alive,
            wishes: Wishes {
                non_get_redirect: non_get_redirect.or(wishes.non_get_redirect),
                http2,
                ..wishes
            },
            orders,
        }))
    }

    /// All hosts lead to the one place.
    fn virtual_hosts(&mut self, list: &str, external: ExternalPorts) -> Result<Vec<Site>, String> {
        let hosts = self.hosts(items(list), "VIRTUAL_HOST");
        if hosts.is_empty() {
            return Err(refused("VIRTUAL_HOST", list, "names no host"));
        }
        let words = Words {
            path: self.get("VIRTUAL_PATH").unwrap_or("/"),
            dest: self.get("VIRTUAL_DEST"),
            port: self.get("VIRTUAL_PORT"),
            proto: self.get("VIRTUAL_PROTO"),
        };
        let place = words.read(self.names);
        let place = place.map_err(|one| refused(one.key, one.word, &one.why))?;
        let sites = hosts.into_iter().map(|host| Site {
            host,
            external,
            places: vec![place.clone()],
        });
        Ok(sites.collect())
    }

    /// Names for a certificate, such as an authority can know.
    fn orders(&mut self) -> Vec<Domain> {
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
            } else if !orders.contains(&domain) {
                orders.push(domain);
            }
        }
        orders
    }

    fn labels(&mut self) -> Labels {
        let mut labels = Labels::default();
        for (key, value) in &self.claims.values {
            let Some(label) = key.strip_prefix(LABELS) else {
                continue;
            };
            match (label, value.trim().trim_end_matches(';')) {
                ("loadbalance", "least_conn") => labels.placement = Some(Placement::Least),
                ("loadbalance", "ip_hash" | "hash $remote_addr") => {
                    labels.placement = Some(Placement::Client);
                }
                ("loadbalance", other) => {
                    let why = "it is none of ip_hash, hash $remote_addr and least_conn";
                    self.ignored("the label loadbalance", other, why);
                }
                ("keepalive", "disabled") => labels.keep_alive = Some(false),
                // A number is how many of them nginx keeps; usher lets go of them by their age.
                ("keepalive", kept) if kept == "auto" || port(kept).is_some() => {
                    labels.keep_alive = Some(true);
                }
                ("keepalive", other) => {
                    let why = "it is none of auto, disabled and a number";
                    self.ignored("the label keepalive", other, why);
                }
                ("http2.enable", enabled) if flag(enabled).is_some() => {
                    labels.http2 = flag(enabled);
                }
                ("http2.enable", other) => {
                    let why = "it is neither true nor false";
                    self.ignored("the label http2.enable", other, why);
                }
                ("non-get-redirect", status) => {
                    let redirect = self.non_get_redirect("the label non-get-redirect", status);
                    labels.non_get_redirect = redirect;
                }
                // As it is anyway.
                ("http3.enable" | "debug-endpoint", off) if flag(off) == Some(false) => {}
                (label, _) if tls::READ.contains(&label) => {}
                (_, value) => {
                    let key: String = label.chars().take(64).collect();
                    let key = format!("the label {}", key.escape_debug());
                    self.ignored(&key, value, "usher does not know it");
                }
            }
        }
        labels
    }

    /// Of the family, and nothing that is followed.
    fn unknown(&mut self) {
        const KNOWN: [&str; 16] = [
            "ACME_CA_URI",
            "CERT_NAME",
            "ENABLE_HTTP_ON_MISSING_CERT",
            "EXTERNAL_HTTPS_PORT",
            "EXTERNAL_HTTP_PORT",
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

#[cfg(test)]
mod tests;

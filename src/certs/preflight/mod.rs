//! A look before an order: what is certainly wrong forbids it, what may be wrong is said and makes
//! the pauses longer.
//!
//! From behind NAT, or with a DNS of its own, a machine may see itself differently than an
//! authority does. So only a name that does not exist at all forbids.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

mod caa;
mod dns;
mod probe;

pub(crate) use self::dns::Addresses;

use self::dns::Dns;
use super::challenge::Challenges;
use super::lineage::Lineage;
use super::schedule::{Candidate, Class, Spacing, Steady, Wait};
use crate::config::model::{Acme, ChallengeKind, Directory};
use crate::names::{Domain, Hostname};

/// A whole look. The DNS asks twice and the probe has its own deadline, all names at once.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// As long as an order has not begun, a look counts for so long.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// What a look found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Clear,
    /// Certainly wrong.
    Forbidden(String),
    /// Perhaps wrong.
    Warned(String),
}

/// What follows from the last look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Gate {
    Look,
    Open(Spacing),
    Shut(Wait),
}

/// The last look at each set of names.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<Lineage, Look>);

#[derive(Debug)]
struct Look {
    verdict: Verdict,
    at: Steady,
    /// An order was begun on its strength.
    used: bool,
    /// Times in a row that it forbade.
    forbade: u32,
}

impl Looks {
    pub(super) fn gate(&self, acme: &Acme, candidate: &Candidate, now: Steady) -> Gate {
        if !acme.preflight {
            return Gate::Open(Spacing::Usual);
        }
        let Some(look) = self.0.get(&candidate.lineage) else {
            return Gate::Look;
        };
        let old = now.since(look.at) >= GOOD_FOR || look.used;
        match &look.verdict {
            Verdict::Forbidden(why) => {
                // It costs no authority anything to look again, so a record that was just made is
                // found soon.
                let pause = if look.forbade > 1 { 600 } else { 60 };
                let until = look.at + Duration::from_secs(pause);
                if until <= now && candidate.class != Class::Unfinished {
                    Gate::Look
                } else {
                    Gate::Shut(Wait {
                        until: Some(until),
                        why: Some(why.clone()),
                    })
                }
            }
            _ if old => Gate::Look,
            Verdict::Clear => Gate::Open(Spacing::Usual),
            Verdict::Warned(_) => Gate::Open(Spacing::Wide),
        }
    }

    pub(super) fn took(&mut self, lineage: Lineage, verdict: Verdict, now: Steady) {
        let before = self.0.get(&lineage).map_or(0, |look| look.forbade);
        let forbade = match verdict {
            Verdict::Forbidden(_) => before + 1,
            Verdict::Clear | Verdict::Warned(_) => 0,
        };
        let look = Look {
            verdict,
            at: now,
            used: false,
            forbade,
        };
        self.0.insert(lineage, look);
    }

    /// An order begins: the next one wants a look of its own.
    pub(super) fn used(&mut self, lineage: &Lineage) {
        if let Some(look) = self.0.get_mut(lineage) {
            look.used = true;
        }
    }

    pub(super) fn forget(&mut self, lineage: &Lineage) {
        self.0.remove(lineage);
    }

    pub(super) fn prune(&mut self, wanted: impl Fn(&Lineage) -> bool) {
        self.0.retain(|lineage, _| wanted(lineage));
    }

    /// What speaks against these names and does not forbid them.
    pub(super) fn warning(&self, lineage: &Lineage) -> Option<String> {
        match &self.0.get(lineage)?.verdict {
            Verdict::Warned(why) => Some(why.clone()),
            Verdict::Clear | Verdict::Forbidden(_) => None,
        }
    }
}

/// Looks whether an order of these names can succeed.
pub(super) fn look(
    acme: &Acme,
    lineage: Lineage,
    directory: &Directory,
    challenges: Challenges,
) -> impl Future<Output = Verdict> + Send + 'static + use<> {
    let way = Way {
        server: acme.resolver,
        kinds: acme.challenges.clone(),
        issuer: directory.caa_issuer.clone(),
        challenges,
    };
    async move {
        let names = lineage.to_string();
        match timeout(SEEN_WITHIN, way.look(&lineage)).await {
            Ok(verdict) => verdict,
            Err(_) => Verdict::Warned(format!(
                "preflight of {names} did not end within {} s",
                SEEN_WITHIN.as_secs()
            )),
        }
    }
}

/// Where each of these names leads, for whoever wants to know without an order.
pub(crate) async fn where_names_lead(
    server: Option<SocketAddr>,
    names: Vec<Hostname>,
) -> Vec<(Hostname, Addresses)> {
    let dns = match Dns::new(server) {
        Ok(dns) => dns,
        Err(why) => {
            let unknown = |name| (name, Addresses::Unknown(why.clone()));
            return names.into_iter().map(unknown).collect();
        }
    };
    let look = |name: Hostname| async {
        let addresses = dns.addresses(&name).await;
        (name, addresses)
    };
    join_all(names.into_iter().map(look)).await
}

/// Whether an address is one of this machine's.
pub(crate) fn is_ours(address: IpAddr) -> bool {
    probe::is_ours(address)
}

/// How a look is done.
struct Way {
    server: Option<SocketAddr>,
    kinds: Vec<ChallengeKind>,
    issuer: Option<String>,
    challenges: Challenges,
}

impl Way {
    async fn look(&self, lineage: &Lineage) -> Verdict {
        let dns = match Dns::new(self.server) {
            Ok(dns) => dns,
            Err(why) => return Verdict::Warned(format!("the DNS cannot be asked: {why}")),
        };
        let looks = lineage.names().iter().map(|name| self.look_at(&dns, name));
        let mut warnings = Vec::new();
        for (forbidden, warned) in join_all(looks).await {
            if let Some(why) = forbidden {
                return Verdict::Forbidden(why);
            }
            warnings.extend(warned);
        }
        if warnings.is_empty() {
            Verdict::Clear
        } else {
            Verdict::Warned(warnings.join("; "))
        }
    }

    /// What forbids, and what warns.
    async fn look_at(&self, dns: &Dns, domain: &Domain) -> (Option<String>, Vec<String>) {
        let mut warnings = Vec::new();
        if let Some(issuer) = &self.issuer {
            warnings.extend(caa::objection(dns, domain, issuer).await);
        }
        let by_dns = self.kinds.contains(&ChallengeKind::Dns01);
        let by_address = self.kinds.iter().any(|kind| *kind != ChallengeKind::Dns01);
        // A wildcard is proven by the DNS alone, and has no address.
        let Domain::Exact(host) = domain else {
            return (None, warnings);
        };
        if !by_address {
            return (None, warnings);
        }
        match dns.addresses(host).await {
            Addresses::NoName => {
                let text = format!(
                    "{host} does not exist in the DNS (NXDOMAIN); make an A or AAAA record for it that \
                     leads here, or take it out of `domains`; `preflight = false` orders all the same"
                );
                if by_dns {
                    warnings.push(text);
                } else {
                    return (Some(text), Vec::new());
                }
            }
            Addresses::NoAddress => {
                warnings.push(format!("{host} has neither an A nor an AAAA record"));
            }
            Addresses::Unknown(why) => {
                warnings.push(format!("nobody could say where {host} leads: {why}"));
            }
            Addresses::Found(addresses) => {
                let looks = addresses.iter().map(|address| self.visit(host, *address));
                warnings.extend(join_all(looks).await.into_iter().flatten());
            }
        }
        (None, warnings)
    }

    /// What is wrong with one address of a name.
    async fn visit(&self, host: &Hostname, address: IpAddr) -> Option<String> {
        let ours = is_ours(address);
        let foreign = if ours {
            ""
        } else {
            ", which is no address of this machine"
        };
        if !self.kinds.contains(&ChallengeKind::Http01) {
            return (!ours).then(|| format!("{host} leads to {address}{foreign}"));
        }
        // Through NAT a foreign address may well lead here; the probe knows.
        let target = SocketAddr::new(address, probe::PORT);
        match probe::fetch(&self.challenges, host, target).await {
            Ok(()) => None,
            Err(why) => Some(format!(
                "{host} leads to {address}{foreign}, and port {} there {why}",
                probe::PORT
            )),
        }
    }
}

//! From the claims of a stack to the instances it asks for.
//!
//! A host leads to paths, each path to a service. Hosts that lead to the same in the same way are one
//! instance; a stack whose services claim hosts of their own becomes several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::claim::{Clients, Host, Place, Wishes};
use super::orders::Routable;
use super::stack::{HostClaim, Reading, ServiceClaim};
use crate::config::claimed::{Claimed, ClaimedRoute, ClaimedService};
use crate::config::model::Orders;
use crate::config::mounted::Mounted;
use crate::inventory::{Stack, Unit};
use crate::names::{Domain, InstanceName, ServiceName, StackName};
use crate::plan::{ClientAuthorities, ClientVerify};

/// The name of a stack's service that needs no mention in the instance's name.
const WEB: &str = "web";

/// Hosts that lead to the same.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: InstanceName,
    pub(super) claimed: Claimed,
    /// Services whose replicas stand in for each other, by the first of them, which is one of them.
    pub(super) joined: BTreeMap<ServiceName, Vec<Member>>,
    pub(super) troubles: Vec<String>,
}

/// One of several services that are served as one.
#[derive(Debug)]
pub(super) struct Member {
    service: ServiceName,
    /// Where its replicas listen, if it says so.
    port: Option<u16>,
}

/// What a host leads to.
#[derive(Debug, PartialEq)]
struct Site {
    /// By their paths.
    routes: BTreeMap<String, Vec<Serving>>,
    wishes: Wishes,
    /// Itself, where files of passwords close paths of it: they are for no other host.
    closed_as: Option<String>,
    clients: Option<(PathBuf, Arc<ClientAuthorities>)>,
}

/// A service that serves a path.
#[derive(Clone, Debug, PartialEq)]
struct Serving {
    service: ServiceName,
    place: Place,
}

/// The networks of `NETWORK_ACCESS=internal`.
fn internal() -> Vec<IpNet> {
    let v4 = [
        ([127, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
    ];
    let v4 = v4
        .into_iter()
        .filter_map(|(address, bits)| Ipv4Net::new(address.into(), bits).ok())
        .map(IpNet::V4);
    let local = [
        ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
        ([0, 0, 0, 0, 0, 0, 0, 1], 128),
    ];
    let v6 = local
        .into_iter()
        .filter_map(|(address, bits): ([u16; 8], u8)| Ipv6Net::new(address.into(), bits).ok())
        .map(IpNet::V6);
    v4.chain(v6).collect()
}

/// The instances a stack asks for, of the hosts that it has.
pub(super) fn groups(
    stack: &StackName,
    reading: &Reading,
    mounted: &Mounted,
    has: &BTreeSet<String>,
    routable: &Routable,
) -> Vec<Group> {
    let mut sites: Vec<(Vec<Host>, Site)> = Vec::new();
    for (text, HostClaim { host, .. }) in &reading.hosts {
        if !has.contains(text) {
            continue;
        }
        let site = site(reading, mounted, host);
        match sites.iter_mut().find(|(_, known)| *known == site) {
            Some((hosts, _)) => hosts.push(host.clone()),
            None => sites.push((vec![host.clone()], site)),
        }
    }
    let mut taken = BTreeSet::new();
    let mut groups = Vec::new();
    for (mut hosts, site) in sites {
        let mut serving = site.routes.values().flatten();
        let Some(Serving { service, .. }) = serving.next() else {
            continue;
        };
        let first = hosts.first().map(ToString::to_string).unwrap_or_default();
        let Some(name) = name(stack, service, &first, &mut taken) else {
            continue;
        };
        // As the container has them: the first is the one its certificate is named after.
        if let Some(said) = reading.claims.get(service) {
            let place = |host: &Host| said.claim.hosts().position(|known| known == host);
            hosts.sort_by_key(|host| place(host).unwrap_or(usize::MAX));
        }
        groups.push(group(reading, name, &hosts, &site, routable));
    }
    groups
}

fn site(reading: &Reading, mounted: &Mounted, host: &Host) -> Site {
    let mut routes: BTreeMap<String, Vec<Serving>> = BTreeMap::new();
    for (service, said) in &reading.claims {
        for place in said.claim.places(host) {
            let serving = Serving {
                service: service.clone(),
                place: place.clone(),
            };
            routes.entry(place.path.clone()).or_default().push(serving);
        }
    }
    let claiming = reading.claims.values();
    let claiming = claiming.filter(|said| !said.claim.places(host).is_empty());
    let wishes = claiming.fold(Wishes::default(), |wishes, said| {
        wishes.or(&said.claim.wishes(host))
    });
    let text = host.to_string();
    Site {
        clients: clients(mounted, &text, &wishes),
        closed_as: mounted.has_passwords(&text).then_some(text),
        routes,
        wishes,
    }
}

/// Who vouches for the clients of a host, in the way its containers want them asked.
pub(super) fn clients(
    mounted: &Mounted,
    host: &str,
    wishes: &Wishes,
) -> Option<(PathBuf, Arc<ClientAuthorities>)> {
    let verify = match wishes.tls.clients {
        None => ClientVerify::Required,
        Some(Clients::Asked(verify)) => verify,
        Some(Clients::NotAsked) => return None,
    };
    let vouching = mounted.clients(host)?;
    let authorities = vouching.authorities.verifying(verify);
    Some((vouching.file.clone(), Arc::new(authorities)))
}

impl Site {
    /// The places of a service, in the order of their paths.
    fn places<'s>(&'s self, service: &'s ServiceName) -> impl Iterator<Item = &'s Place> + Clone {
        let all = self.routes.values().flatten();
        all.filter(move |serving| serving.service == *service)
            .map(|serving| &serving.place)
    }

    /// Whether the replicas of two services that serve one path can stand in for each other: wherever
    /// one of them is asked, so could be the other.
    fn interchangeable(&self, one: &Serving, other: &Serving) -> bool {
        let alone = |serving: &Serving| self.places(&serving.service).count() == 1;
        if alone(one) && alone(other) {
            // Each has the port it says; what else is said for the path counts for all of them.
            return one.place.tls == other.place.tls;
        }
        self.places(&one.service).eq(self.places(&other.service))
    }
}

/// What a service listens on, whatever its paths: what the first of them says, unless one of them means
/// the port it would have if nothing were said.
pub(super) fn usual<'p>(places: impl Iterator<Item = &'p Place> + Clone) -> (Option<u16>, bool) {
    let tls = places.clone().next().is_some_and(|place| place.tls);
    let ports = places.map(|place| place.port);
    let port = match ports.clone().any(|port| port.is_none()) {
        true => None,
        false => ports.flatten().next(),
    };
    (port, tls)
}

/// What the instance is called: as its stack where that is clear, and the same whatever else the stack
/// claims.
fn name(
    stack: &StackName,
    service: &ServiceName,
    host: &str,
    taken: &mut BTreeSet<String>,
) -> Option<InstanceName> {
    let plain = |text: &str| -> String {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let safe = text
            .chars()
            .map(|letter| if fits(letter) { letter } else { '-' });
        safe.collect()
    };
    let alone = service.as_str() == WEB || plain(service.as_str()) == plain(stack.as_str());
    let base = if alone {
        stack.to_string()
    } else {
        format!("{stack}-{}", plain(service.as_str()))
    };
    let cut = |name: &str| name.chars().take(63).collect::<String>();
    let further = format!("{base}-{}", plain(host));
    let name = [cut(&base), cut(&further)]
        .into_iter()
        .find(|name| !taken.contains(name))?;
    taken.insert(name.clone());
    name.parse().ok()
}

fn group(
    reading: &Reading,
    name: InstanceName,
    hosts: &[Host],
    site: &Site,
    routable: &Routable,
) -> Group {
    let mut services = BTreeMap::new();
    let mut joined: BTreeMap<ServiceName, Vec<Member>> = BTreeMap::new();
    let mut routes = Vec::new();
    let mut asking: Vec<&ServiceClaim> = Vec::new();
    let mut by: Vec<&str> = Vec::new();
    let mut troubles = Vec::new();
    for (path, serving) in &site.routes {
        let Some((first, others)) = serving.split_first() else {
            continue;
        };
        let Some(said) = reading.claims.get(&first.service) else {
            continue;
        };
        let (fit, unfit): (Vec<&Serving>, Vec<&Serving>) = others
            .iter()
            .partition(|other| site.interchangeable(first, other));
        for other in unfit
            .iter()
            .filter_map(|other| reading.claims.get(&other.service))
        {
            troubles.push(format!(
                "containers {} and {} claim the path {path} of one host and serve it in different \
                 ways; {} has it",
                said.by, other.by, said.by
            ));
        }
        let (port, tls) = usual(site.places(&first.service));
        // Those that are joined have ports of their own.
        let port = port.filter(|_| fit.is_empty());
        services.insert(first.service.clone(), service(said, port, tls));
        if !fit.is_empty() {
            let all = std::iter::once(first).chain(fit.iter().copied());
            let members = all.map(|serving| Member {
                service: serving.service.clone(),
                port: usual(site.places(&serving.service)).0,
            });
            joined.insert(first.service.clone(), members.collect());
        }
        // Joined replicas that each serve one path have the ports they say.
        let own_ports = !fit.is_empty() && site.places(&first.service).count() == 1;
        let place = Place {
            port: first.place.port.filter(|_| !own_ports),
            ..first.place.clone()
        };
        routes.push(route(&place, &first.service, said, (port, tls)));
        for serving in std::iter::once(first).chain(fit) {
            if let Some(said) = reading.claims.get(&serving.service) {
                asking.push(said);
                if !by.contains(&said.by.as_str()) {
                    by.push(&said.by);
                }
            }
        }
    }
    let mut domains = Vec::new();
    let mut patterns = Vec::new();
    for host in hosts {
        match host {
            Host::Named(domain) => domains.push(domain.clone()),
            Host::Shaped(pattern) => patterns.push(pattern.clone()),
        }
    }
    let mut wishes = site.wishes.clone();
    let mut names: Vec<Domain> = Vec::new();
    // Another service of the stack may ask for what this one serves.
    for said in asking.into_iter().chain(reading.claims.values()) {
        for domain in &said.claim.orders {
            let host = routable.get(domain);
            let is_own = host.is_some_and(|text| hosts.iter().any(|own| own.to_string() == *text));
            if is_own && !names.contains(domain) {
                names.push(domain.clone());
                wishes = wishes.of_order(&said.claim.wishes);
            }
        }
    }
    let Wishes {
        https,
        external_ports,
        non_get_redirect,
        http2,
        hsts,
        http_without_certificate,
        certificate,
        email,
        directory,
        staging,
        apart,
        tls,
    } = wishes;
    let claimed = Claimed {
        by: format!("container {}", by.join(", ")),
        domains,
        patterns,
        https,
        external_ports,
        non_get_redirect,
        http2,
        hsts,
        http_without_certificate,
        certificate,
        orders: Orders::Asked {
            names,
            apart: apart.unwrap_or(false),
        },
        email,
        directory,
        staging,
        key_type: tls.key_type,
        trust_default_cert: tls.trust_default,
        clients: site.clients.clone(),
        services,
        routes,
    };
    Group {
        name,
        claimed,
        joined,
        troubles,
    }
}

pub(super) fn service(said: &ServiceClaim, port: Option<u16>, tls: bool) -> ClaimedService {
    ClaimedService {
        port,
        tls,
        keep_alive: said.claim.keep_alive,
        placement: said.claim.placement,
        checked: said.checked,
    }
}

/// `usual`: what its service listens on, and whether that speaks TLS.
pub(super) fn route(
    place: &Place,
    to: &ServiceName,
    said: &ServiceClaim,
    usual: (Option<u16>, bool),
) -> ClaimedRoute {
    let (port, tls) = usual;
    ClaimedRoute {
        prefix: place.path.clone(),
        to: to.clone(),
        port: place.port.filter(|own| Some(*own) != port),
        tls: Some(place.tls).filter(|own| *own != tls),
        replace_prefix: place.dest.clone(),
        allow: match said.claim.internal {
            true => internal(),
            false => Vec::new(),
        },
    }
}

/// The stack as an instance of its claims sees it, where that is another one: without those that ask
/// for nothing, and with services that stand in for each other as one.
pub(super) fn view(stack: &Stack, reading: &Reading, group: &Group) -> Option<Stack> {
    let of = |service: &ServiceName| stack.services.get(service).into_iter().flatten();
    let barred = |unit: &&Unit| reading.barred.contains(&unit.id);
    let services = || group.claimed.services.keys();
    if group.joined.is_empty() && !services().flat_map(of).any(|unit| barred(&unit)) {
        return None;
    }
    let mut seen = Stack {
        services: BTreeMap::new(),
        volumes: stack.volumes.clone(),
        counts: stack.counts.clone(),
        unknown_labels: stack.unknown_labels.clone(),
        left_out: stack.left_out.clone(),
    };
    for service in services() {
        let mut units = Vec::new();
        match group.joined.get(service) {
            None => units.extend(of(service).filter(|unit| !barred(unit)).cloned()),
            Some(members) => {
                for Member { service, port } in members {
                    for unit in of(service).filter(|unit| !barred(unit)) {
                        let mut unit = unit.clone();
                        unit.ports = port.map_or(unit.ports, |port| vec![port]);
                        units.push(unit);
                    }
                }
            }
        }
        seen.services.insert(service.clone(), units);
    }
    Some(seen)
}

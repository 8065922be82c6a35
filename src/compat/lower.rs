//! From the claims of a stack to the instances it asks for.
//!
//! A host leads to paths, each path to a service. Hosts that lead to the same in the same way are one
//! instance; a stack whose services claim hosts of their own becomes several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::claim::{Clients, Host, Wishes};
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
    /// Services whose replicas stand in for those of another one, by that one.
    pub(super) joined: BTreeMap<ServiceName, Vec<ServiceName>>,
}

/// What a host leads to.
#[derive(Debug, PartialEq)]
struct Site {
    /// By their paths; the first of the services takes the replicas of the others.
    routes: BTreeMap<String, Vec<ServiceName>>,
    wishes: Wishes,
    /// Itself, where files of passwords close paths of it: they are for no other host.
    closed_as: Option<String>,
    clients: Option<(PathBuf, Arc<ClientAuthorities>)>,
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
    has: impl Fn(&str) -> bool,
) -> Vec<Group> {
    let mut sites: Vec<(Vec<Host>, Site)> = Vec::new();
    for (text, HostClaim { host, .. }) in &reading.hosts {
        if !has(text) {
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
        let Some(service) = site.routes.values().next().and_then(|to| to.first()) else {
            continue;
        };
        let first = hosts.first().map(ToString::to_string).unwrap_or_default();
        let Some(name) = name(stack, service, &first, &mut taken) else {
            continue;
        };
        // As the container has them: the first is the one its certificate is named after.
        if let Some(said) = reading.claims.get(service) {
            let place = |host: &Host| said.claim.hosts.iter().position(|known| known == host);
            hosts.sort_by_key(|host| place(host).unwrap_or(usize::MAX));
        }
        groups.push(group(reading, name, &hosts, &site));
    }
    groups
}

fn site(reading: &Reading, mounted: &Mounted, host: &Host) -> Site {
    let mut routes: BTreeMap<String, Vec<ServiceName>> = BTreeMap::new();
    let claiming = |said: &&ServiceClaim| said.claim.hosts.contains(host);
    for (service, said) in &reading.claims {
        if claiming(&said) {
            let path = said.claim.path.clone();
            routes.entry(path).or_default().push(service.clone());
        }
    }
    let services = routes.values().flatten();
    let wishes = services.filter_map(|service| reading.claims.get(service));
    let wishes = wishes.fold(Wishes::default(), |wishes, said| {
        wishes.or(&said.claim.wishes)
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
fn clients(
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

fn group(reading: &Reading, name: InstanceName, hosts: &[Host], site: &Site) -> Group {
    let mut services = BTreeMap::new();
    let mut joined = BTreeMap::new();
    let mut routes = Vec::new();
    let mut asked: Vec<&Domain> = Vec::new();
    let mut by = Vec::new();
    for (path, of_path) in &site.routes {
        let mut all = of_path.iter();
        let Some((first, said)) = all
            .next()
            .and_then(|name| reading.claims.get_key_value(name))
        else {
            continue;
        };
        let others: Vec<ServiceName> = all.cloned().collect();
        let service = ClaimedService {
            // Those that are joined have ports of their own.
            port: said.claim.port.filter(|_| others.is_empty()),
            placement: said.claim.placement,
            checked: said.checked,
        };
        services.insert(first.clone(), service);
        if !others.is_empty() {
            joined.insert(first.clone(), others);
        }
        routes.push(route(path, first, said));
        for said in of_path.iter().filter_map(|name| reading.claims.get(name)) {
            asked.extend(&said.claim.orders);
            by.push(said.by.as_str());
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
    let mut names: Vec<Domain> = Vec::new();
    for domain in asked {
        if domains.contains(domain) && !names.contains(domain) {
            names.push(domain.clone());
        }
    }
    let Wishes {
        https,
        hsts,
        certificate,
        email,
        staging,
        apart,
        tls,
    } = site.wishes.clone();
    let claimed = Claimed {
        by: format!("container {}", by.join(", ")),
        domains,
        patterns,
        https,
        hsts,
        certificate,
        orders: Orders::Asked {
            names,
            apart: apart.unwrap_or(false),
        },
        email,
        staging: staging.unwrap_or(false),
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
    }
}

fn route(path: &str, to: &ServiceName, said: &ServiceClaim) -> ClaimedRoute {
    ClaimedRoute {
        prefix: path.to_owned(),
        to: to.clone(),
        replace_prefix: said.claim.dest.clone(),
        allow: match said.claim.internal {
            true => internal(),
            false => Vec::new(),
        },
    }
}

/// What the containers of a stack add to the entry that is about it: one table of paths, and names
/// that its wildcards already stand for. `granted` says which of their hosts they may have.
pub(super) fn addition(
    reading: &Reading,
    mounted: &Mounted,
    granted: impl Fn(&Host) -> bool,
    troubles: &mut Vec<String>,
) -> Claimed {
    let mut claimed = Claimed::default();
    let mut wishes = Wishes::default();
    let mut by = Vec::new();
    let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
    let mut hosts: Vec<Domain> = Vec::new();
    let claims = reading.claims.iter();
    for (service, said) in claims.filter(|(_, said)| said.claim.hosts.iter().any(&granted)) {
        let claim = &said.claim;
        by.push(said.by.as_str());
        wishes = wishes.or(&claim.wishes);
        for host in claim.hosts.iter().filter(|host| granted(host)) {
            if let Host::Named(domain) = host
                && !hosts.contains(domain)
            {
                hosts.push(domain.clone());
            }
        }
        match paths.get(claim.path.as_str()) {
            Some(first) => troubles.push(format!(
                "containers {first} and {} claim the path {} of one instance; {first} has it",
                said.by, claim.path
            )),
            None => {
                paths.insert(&claim.path, &said.by);
                claimed.routes.push(route(&claim.path, service, said));
                let wish = ClaimedService {
                    port: claim.port,
                    placement: claim.placement,
                    checked: said.checked,
                };
                claimed.services.insert(service.clone(), wish);
            }
        }
    }
    let clients = hosts
        .iter()
        .find_map(|host| clients(mounted, &host.to_string(), &wishes));
    Claimed {
        by: format!("container {}", by.join(", ")),
        clients,
        key_type: wishes.tls.key_type,
        trust_default_cert: wishes.tls.trust_default,
        domains: hosts,
        https: wishes.https,
        hsts: wishes.hsts,
        certificate: wishes.certificate,
        email: wishes.email,
        staging: wishes.staging.unwrap_or(false),
        ..claimed
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
    };
    for service in services() {
        let others = group.joined.get(service);
        let mut units = Vec::new();
        for name in std::iter::once(service).chain(others.into_iter().flatten()) {
            let port = reading.claims.get(name).and_then(|said| said.claim.port);
            for unit in of(name).filter(|unit| !barred(unit)) {
                let mut unit = unit.clone();
                if let (Some(port), Some(_)) = (port, others) {
                    unit.ports = vec![port];
                }
                units.push(unit);
            }
        }
        seen.services.insert(service.clone(), units);
    }
    Some(seen)
}

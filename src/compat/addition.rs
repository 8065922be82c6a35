//! From the claims of a stack to what they add to the entry that is about it.

use std::collections::BTreeMap;

use super::claim::{Host, Place, Wishes};
use super::lower::{clients, route, service, usual};
use super::stack::Reading;
use crate::config::claimed::Claimed;
use crate::config::mounted::Mounted;
use crate::names::{Domain, PathPattern};

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
    let mut paths: BTreeMap<&str, (&str, &Place)> = BTreeMap::new();
    let mut hosts: Vec<Domain> = Vec::new();
    for (service_name, said) in &reading.claims {
        let claim = &said.claim;
        let mut places: Vec<&Place> = Vec::new();
        for host in claim.hosts().filter(|host| granted(host)) {
            if let Host::Named(domain) = host
                && !hosts.contains(domain)
            {
                hosts.push(domain.clone());
            }
            wishes = wishes.or(&claim.wishes(host));
            for place in claim.places(host) {
                if PathPattern::is_meant(&place.path) {
                    // It would come before what the operator has written for its paths.
                    troubles.push(format!(
                        "container {}: the pattern {} is not followed where an [[instance]] is about \
                         its stack; write it there as the `prefix` of a route",
                        said.by, place.path
                    ));
                    continue;
                }
                match paths.get(place.path.as_str()) {
                    Some((first, known)) if *first == said.by && *known == place => {}
                    Some((first, _)) => troubles.push(format!(
                        "containers {first} and {} claim the path {} of one instance; the first has \
                         it",
                        said.by, place.path
                    )),
                    None => {
                        paths.insert(&place.path, (&said.by, place));
                        places.push(place);
                    }
                }
            }
        }
        if places.is_empty() {
            continue;
        }
        by.push(said.by.as_str());
        let usual = usual(places.iter().copied());
        let routes = places
            .iter()
            .map(|place| route(place, service_name, said, usual));
        claimed.routes.extend(routes);
        let wish = service(said, usual.0, usual.1);
        claimed.services.insert(service_name.clone(), wish);
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
        external_ports: wishes.external_ports,
        non_get_redirect: wishes.non_get_redirect,
        http2: wishes.http2,
        hsts: wishes.hsts,
        http_without_certificate: wishes.http_without_certificate,
        certificate: wishes.certificate,
        email: wishes.email,
        directory: wishes.directory,
        staging: wishes.staging,
        ..claimed
    }
}

//! The claims of one stack together: one for each service, and what its replicas disagree about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claim::{Claim, Host, read};
use crate::config::model::NamesFromContainers;
use crate::inventory::{Claims, Stack, Unit};
use crate::names::{Domain, PathPattern, ReplicaId, ServiceName};

/// Sentences about one stack.
const MOST_TROUBLES: usize = 24;

/// What was read, and of what: with the same facts it need not be read again.
#[derive(Debug)]
pub(super) struct Reading {
    facts: Vec<Fact>,
    names: NamesFromContainers,
    pub(super) claims: BTreeMap<ServiceName, ServiceClaim>,
    /// Every host the stack asks for, as it is written.
    pub(super) hosts: BTreeMap<String, HostClaim>,
    /// Whether one of them is meant by its shape.
    pub(super) is_shaped: bool,
    /// Replicas that must get nothing: they ask for nothing, or what they say is refused.
    pub(super) barred: BTreeSet<ReplicaId>,
    pub(super) troubles: Vec<String>,
}

/// Who asks for a host.
#[derive(Debug)]
pub(super) struct HostClaim {
    pub(super) host: Host,
    /// Whether one of them runs.
    pub(super) alive: bool,
    /// The container that said so first.
    pub(super) by: String,
    pub(super) services: Vec<ServiceName>,
    /// How many patterns it takes: itself, and those of its paths.
    pub(super) patterns: usize,
}

/// What a service asks for.
#[derive(Debug)]
pub(super) struct ServiceClaim {
    /// The container that said so.
    pub(super) by: String,
    pub(super) claim: Claim,
    /// Whether its image brings a health check.
    pub(super) checked: bool,
}

#[derive(Debug, Eq, PartialEq)]
struct Fact {
    service: ServiceName,
    id: ReplicaId,
    name: String,
    alive: bool,
    checked: bool,
    claims: Arc<Claims>,
}

fn facts(stack: &Stack) -> impl Iterator<Item = (&ServiceName, &Unit)> {
    let claiming = |units: &&Vec<Unit>| units.iter().any(|unit| !unit.claims.is_empty());
    let services = stack.services.iter();
    let services = services.filter(move |(_, units)| claiming(units));
    services.flat_map(|(service, units)| units.iter().map(move |unit| (service, unit)))
}

/// Whether a replica serves a host that both claim, or failing such a host its first one, in another
/// way than the one that speaks for all.
fn serves_otherwise(said: &Claim, claim: &Claim) -> bool {
    let mut common = said.hosts().filter(|host| !claim.places(host).is_empty());
    match common.next() {
        Some(first) => std::iter::once(first)
            .chain(common)
            .any(|host| said.places(host) != claim.places(host)),
        None => {
            let first = |claim: &Claim| claim.sites.first().map(|site| site.places.clone());
            first(said) != first(claim)
        }
    }
}

impl Fact {
    fn is_of(&self, (service, unit): (&ServiceName, &Unit)) -> bool {
        self.service == *service
            && self.id == unit.id
            && self.name == unit.name
            && self.alive == unit.phase.is_alive()
            && self.checked == unit.health.is_some()
            && self.claims == unit.claims
    }
}

/// Whether anything of a stack claims anything.
pub(super) fn is_silent(stack: &Stack) -> bool {
    facts(stack).next().is_none()
}

impl Reading {
    /// Whether this is still what the stack says.
    pub(super) fn is_of(&self, stack: &Stack, names: NamesFromContainers) -> bool {
        let mut now = facts(stack);
        self.names == names
            && self
                .facts
                .iter()
                .all(|fact| now.next().is_some_and(|now| fact.is_of(now)))
            && now.next().is_none()
    }

    /// The names whose pairs the stack asks to be served with.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &String> {
        let claims = self.claims.values();
        claims.filter_map(|said| said.claim.certificate())
    }

    /// The names it orders certificates for that it does not ask for as hosts of its own.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = &Domain> {
        let claims = self.claims.values();
        let orders = claims.flat_map(|said| &said.claim.orders);
        orders.filter(|domain| !self.hosts.contains_key(&domain.to_string()))
    }

    pub(super) fn new(stack: &Stack, names: NamesFromContainers) -> Self {
        let mut reading = Self {
            facts: Vec::new(),
            names,
            claims: BTreeMap::new(),
            hosts: BTreeMap::new(),
            is_shaped: false,
            barred: BTreeSet::new(),
            troubles: Vec::new(),
        };
        let mut said: BTreeMap<&ServiceName, Vec<(&Unit, Claim)>> = BTreeMap::new();
        for (service, unit) in facts(stack) {
            reading.facts.push(Fact {
                service: service.clone(),
                id: unit.id.clone(),
                name: unit.name.clone(),
                alive: unit.phase.is_alive(),
                checked: unit.health.is_some(),
                claims: Arc::clone(&unit.claims),
            });
            let (claim, troubles) = read(&unit.claims, names);
            let told = troubles
                .into_iter()
                .map(|trouble| format!("container {}: {trouble}", unit.name));
            reading.troubles.extend(told);
            match claim {
                Some(claim) => said.entry(service).or_default().push((unit, claim)),
                None => drop(reading.barred.insert(unit.id.clone())),
            }
        }
        for (service, claims) in said {
            reading.agree(service, claims);
        }
        if reading.troubles.len() > MOST_TROUBLES {
            let more = reading.troubles.len() - MOST_TROUBLES;
            reading.troubles.truncate(MOST_TROUBLES);
            reading.troubles.push(format!("{more} more such sentences"));
        }
        reading
    }

    /// The first by name of those that run speaks for all replicas of its service.
    fn agree(&mut self, service: &ServiceName, mut claims: Vec<(&Unit, Claim)>) {
        claims.sort_by_key(|(unit, _)| (!unit.phase.is_alive(), unit.name.clone()));
        let mut claims = claims.into_iter();
        let Some((first, claim)) = claims.next() else {
            return;
        };
        for (other, said) in claims.filter(|(_, said)| *said != claim) {
            let keys: BTreeSet<&String> = [&first.claims.values, &other.claims.values]
                .into_iter()
                .flat_map(|values| values.keys())
                .filter(|key| first.claims.values.get(*key) != other.claims.values.get(*key))
                .collect();
            let keys: Vec<&str> = keys.into_iter().take(4).map(String::as_str).collect();
            self.troubles.push(format!(
                "containers {} and {} of the service {service} disagree about {}; what {} says \
                 counts",
                first.name,
                other.name,
                keys.join(", "),
                first.name
            ));
            // It would be asked where it does not listen, or get what it does not expect.
            if serves_otherwise(&said, &claim) {
                self.barred.insert(other.id.clone());
            }
        }
        let alive = first.phase.is_alive();
        for site in &claim.sites {
            let host = &site.host;
            self.is_shaped |= matches!(host, Host::Shaped(_));
            let known = self.hosts.entry(host.to_string());
            let known = known.or_insert_with(|| HostClaim {
                host: host.clone(),
                alive,
                by: first.name.clone(),
                services: Vec::new(),
                patterns: usize::from(matches!(host, Host::Shaped(_))),
            });
            let places = site.places.iter();
            let patterns = places.filter(|place| PathPattern::is_meant(&place.path));
            known.patterns += patterns.count();
            known.alive |= alive;
            known.services.push(service.clone());
        }
        let said = ServiceClaim {
            by: first.name.clone(),
            checked: first.health.is_some(),
            claim,
        };
        self.claims.insert(service.clone(), said);
    }
}

//! Whether a stack may have what it claims: by the configuration first, then by who has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claim::Host;
use super::conflicts::{Owners, Standing};
use super::stack::Reading;
use crate::config::Instance;
use crate::names::{Domain, Hostname, InstanceName, StackName};
use crate::shared::Map;

/// Names of the configuration, by who has them.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) instances: Map<InstanceName, Instance>,
    names: BTreeMap<Domain, InstanceName>,
    pub(super) stacks: BTreeMap<StackName, Arc<Instance>>,
}

impl Declared {
    pub(super) fn new(instances: &Map<InstanceName, Instance>) -> Self {
        let mut names = BTreeMap::new();
        let mut stacks = BTreeMap::new();
        for (name, instance) in instances {
            let site = &instance.site;
            let redirects = site.redirect_from.iter().cloned().map(Domain::Exact);
            let all = site.domains.iter().cloned().chain(redirects);
            names.extend(all.map(|domain| (domain, name.clone())));
            stacks.insert(instance.stack.clone(), Arc::clone(instance));
        }
        Self {
            instances: instances.clone(),
            names,
            stacks,
        }
    }

    /// Whether these are the instances it was made of.
    pub(super) fn is_of(&self, instances: &Map<InstanceName, Instance>) -> bool {
        let same = |(one, other): (&Arc<Instance>, &Arc<Instance>)| {
            Arc::ptr_eq(one, other) || one == other
        };
        self.instances.len() == instances.len()
            && self.instances.keys().eq(instances.keys())
            && self.instances.values().zip(instances.values()).all(same)
    }

    /// Whose a name is by the configuration, wildcards included.
    pub(super) fn owner(&self, domain: &Domain) -> Option<&InstanceName> {
        if self.names.is_empty() {
            return None;
        }
        if let Some(owner) = self.names.get(domain) {
            return Some(owner);
        }
        let (Domain::Exact(name) | Domain::Below(name)) = domain;
        let mut parent = match domain {
            Domain::Exact(_) => name.parent(),
            Domain::Below(_) => Some(name.as_str()),
        };
        while let Some(text) = parent {
            let below = text.parse().map(Domain::Below);
            if let Ok(Some(owner)) = below.map(|below| self.names.get(&below)) {
                return Some(owner);
            }
            parent = text.split_once('.').map(|(_, rest)| rest);
        }
        None
    }

    /// Whether a host is the configuration's to give. A pattern never is.
    pub(super) fn has(&self, host: &Host) -> bool {
        match host {
            Host::Named(domain) => self.owner(domain).is_some(),
            Host::Shaped(_) => false,
        }
    }
}

/// Whether the entry of a stack lets it have a host. `Ok(false)`: it is the entry's own affair.
///
/// # Errors
/// Why not.
pub(super) fn not_granted(
    base: &Instance,
    host: &Host,
    declared: &Declared,
) -> Result<bool, String> {
    let site = &base.site;
    let Host::Named(domain) = host else {
        return Err(format!(
            "the entry of the instance {} names its hosts, and a pattern is none of them",
            base.name
        ));
    };
    if let Domain::Exact(name) = domain
        && site.redirect_from.contains(name)
    {
        return Ok(false);
    }
    match declared.owner(domain) {
        Some(owner) if *owner == base.name => Ok(true),
        Some(owner) => Err(format!("it belongs to the instance {owner}")),
        None => Err(format!(
            "it is none of the `domains` of the instance {}; add it there",
            base.name
        )),
    }
}

/// Whether a stack without an entry has a host.
///
/// # Errors
/// Whose it is.
pub(super) fn lost(
    stack: &StackName,
    text: &str,
    host: &Host,
    owners: &Owners,
    declared: &Declared,
) -> Result<bool, String> {
    if let Host::Named(domain) = host
        && let Some(owner) = declared.owner(domain)
    {
        return Err(format!(
            "it belongs to the instance {owner} of the configuration"
        ));
    }
    match owners.of(text) {
        Some(Standing { owner, away: false }) if owner != stack => Err(format!(
            "the stack {owner} has it; take it out of one of them. If both are one site, let them be \
             one stack: put them into one Compose project, or start both containers with the labels \
             com.docker.compose.project={owner} and com.docker.compose.service"
        )),
        Some(Standing { owner, away: true }) if owner != stack => Err(format!(
            "the stack {owner} had it, and has it again if it starts within 24 hours of its end. To \
             give it to {stack} now, add an [[instance]] with `stack = \"{stack}\"` and the name in \
             `domains`; if {stack} is the same site, start it as the Compose project {owner}, or with \
             the labels com.docker.compose.project={owner} and com.docker.compose.service"
        )),
        _ => Ok(true),
    }
}

/// Pairs that a stack asks to be served with and that are made for somebody else's name.
pub(super) fn foreign(
    stack: &StackName,
    reading: &Reading,
    owners: &Owners,
    declared: &Declared,
) -> BTreeSet<String> {
    let own = declared.stacks.get(stack).map(|instance| &instance.name);
    let is_others = |domain: Domain| match declared.names.get(&domain) {
        Some(owner) => Some(owner) != own,
        None => {
            let standing = owners.of(&domain.to_string());
            standing.is_some_and(|name| name.owner != stack)
        }
    };
    let others = |name: &&String| {
        let host = name.parse::<Hostname>();
        // A pair of that name may be a wildcard's.
        host.is_ok_and(|host| {
            is_others(Domain::Exact(host.clone())) || is_others(Domain::Below(host))
        })
    };
    reading.certificates().filter(others).cloned().collect()
}

//! Names that containers give themselves, in the words of nginx-proxy and acme-companion.
//!
//! Pure: listings and the configuration in, instances and sentences out. What a container says is a
//! layer below the operator's entry and is lowered like it, so that everything behind knows one model.
//! A name belongs to the configuration first, then to the stack that has it and lives; what is wrong
//! with one container costs that container alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

mod claim;
mod conflicts;
mod lower;
mod mounts;
mod orders;
mod stack;

use self::claim::Host;
use self::conflicts::{Claimant, Owners};
use self::lower::{addition, groups, view};
use self::orders::{Judges, Routable};
use self::stack::{HostClaim, Reading, is_silent};
use crate::config::claimed::Claimed;
use crate::config::model::NamesFromContainers;
use crate::config::{Config, Instance, Issue};
use crate::inventory::{Inventory, Stack};
use crate::names::{Domain, HostPattern, Hostname, InstanceName, StackName};

/// Patterns of all stacks together, of hosts and of paths. Each of the former is tried for a host that
/// nobody names, and each of both takes memory.
const MOST_PATTERNS: usize = 256;

/// What is remembered from listing to listing.
#[derive(Debug, Default)]
pub struct Compat {
    stacks: BTreeMap<StackName, Known>,
    owners: Owners,
}

#[derive(Debug)]
struct Known {
    reading: Reading,
    verdict: Option<Verdict>,
}

/// What was made of a reading, and what else it hung on.
#[derive(Debug)]
struct Verdict {
    config: Arc<Config>,
    base: Option<Arc<Instance>>,
    /// Hosts the stack has, and pairs that are another's.
    has: BTreeSet<String>,
    foreign: BTreeSet<String>,
    routable: Routable,
    made: Made,
}

#[derive(Debug, Default)]
struct Made {
    groups: Vec<(lower::Group, Arc<Instance>)>,
    /// The instance of the entry, with what its containers add.
    layered: Option<Arc<Instance>>,
    troubles: Vec<String>,
}

/// What comes of all claims.
#[derive(Debug, Default)]
pub struct Ruling {
    /// New ones, and those of entries with what their containers add.
    pub instances: BTreeMap<InstanceName, Arc<Instance>>,
    /// Where an instance is to see its stack as another one.
    pub views: BTreeMap<InstanceName, Arc<Stack>>,
    /// What is not followed, by the instance it is told at.
    pub notes: BTreeMap<InstanceName, Vec<String>>,
    /// Stacks that claim names and get none.
    pub refused: BTreeMap<StackName, Vec<String>>,
}

/// Names of the configuration, by who has them.
struct Declared<'d> {
    names: BTreeMap<Domain, &'d InstanceName>,
    stacks: BTreeMap<&'d StackName, &'d Arc<Instance>>,
}

impl Ruling {
    /// What files of passwords close is closed, whether or not a container runs that asks for it.
    fn close_others(&mut self, config: &Config, declared: &BTreeMap<InstanceName, Arc<Instance>>) {
        for (name, instance) in declared {
            if !self.instances.contains_key(name) && config.mounted.closes(&instance.site) {
                let mut closed = Instance::clone(instance);
                let notes = self.notes.entry(name.clone()).or_default();
                mounts::close(&mut closed, &config.mounted, notes);
                self.instances.insert(name.clone(), Arc::new(closed));
            }
        }
        self.notes.retain(|_, notes| !notes.is_empty());
    }
}

impl<'d> Declared<'d> {
    fn new(declared: &'d BTreeMap<InstanceName, Arc<Instance>>) -> Self {
        let mut names = BTreeMap::new();
        let mut stacks = BTreeMap::new();
        for (name, instance) in declared {
            let site = &instance.site;
            let redirects = site.redirect_from.iter().cloned().map(Domain::Exact);
            let all = site.domains.iter().cloned().chain(redirects);
            names.extend(all.map(|domain| (domain, name)));
            stacks.insert(&instance.stack, instance);
        }
        Self { names, stacks }
    }

    /// Whose a name is by the configuration, wildcards included.
    fn owner(&self, domain: &Domain) -> Option<&'d InstanceName> {
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
}

impl Compat {
    /// When time alone may change something.
    pub fn again_at(&self) -> Option<Instant> {
        self.owners.again_at()
    }

    /// Says what comes of what containers claim. `declared` are the instances there are without that.
    pub fn settle(
        &mut self,
        now: Instant,
        config: &Arc<Config>,
        inventory: &Inventory,
        declared: &BTreeMap<InstanceName, Arc<Instance>>,
    ) -> Ruling {
        let names = config.names_from_containers;
        if names == NamesFromContainers::Off {
            *self = Self::default();
            return Ruling::default();
        }
        let declared_names = Declared::new(declared);
        self.read(inventory, names);
        self.settle_owners(now, &declared_names);
        let shapes = self.shapes();
        let mut ruling = Ruling::default();
        let mut patterns = 0;
        let Self { stacks, owners } = self;
        for (stack, known) in stacks {
            let Some(content) = inventory.stacks.get(stack) else {
                continue;
            };
            let base = declared_names.stacks.get(stack).copied();
            let mut troubles = Vec::new();
            let mut has = BTreeSet::new();
            for (text, HostClaim { host, by, .. }) in &known.reading.hosts {
                let shaped = usize::from(matches!(host, Host::Shaped(_)));
                let shaped = shaped + known.reading.patterns(host);
                let refused = match base {
                    Some(base) => not_granted(base, host, &declared_names),
                    None if names == NamesFromContainers::Listed => Err(format!(
                        "no entry grants it; add an [[instance]] with `stack = \"{stack}\"` and \
                         the name in `domains`"
                    )),
                    None if patterns + shaped > MOST_PATTERNS => {
                        Err(format!("there are {MOST_PATTERNS} patterns already"))
                    }
                    None => lost(stack, text, host, owners, &declared_names),
                };
                match refused {
                    Ok(true) => {
                        patterns += shaped;
                        has.insert(text.clone());
                    }
                    Ok(false) => {}
                    Err(why) => {
                        troubles.push(format!("container {by} claims `{text}` in vain: {why}"));
                    }
                }
            }
            let foreign = foreign(stack, &known.reading, owners, &declared_names);
            let judges = Judges {
                owners,
                declared: &declared_names,
                shapes: &shapes,
            };
            let reading = &known.reading;
            let base_entry = base.map(|base| &**base);
            let routable = judges.routable(stack, reading, &has, base_entry, &mut troubles);
            known.judge(stack, content, config, base, has, (foreign, routable));
            let Known {
                reading,
                verdict: Some(Verdict { made, .. }),
            } = known
            else {
                continue;
            };
            troubles.extend(made.troubles.iter().cloned());
            let mut told_at = None;
            if let (Some(base), Some(instance)) = (base, &made.layered) {
                ruling
                    .instances
                    .insert(base.name.clone(), Arc::clone(instance));
            }
            if let Some(base) = base {
                told_at = Some(base.name.clone());
            }
            for (group, instance) in &made.groups {
                let name = &group.name;
                if declared.contains_key(name) || ruling.instances.contains_key(name) {
                    troubles.push(format!(
                        "what it claims would be the instance {name}, and there is another one of \
                         that name; rename the stack or the service"
                    ));
                    continue;
                }
                if let Some(seen) = view(content, reading, group) {
                    ruling.views.insert(name.clone(), Arc::new(seen));
                }
                ruling.instances.insert(name.clone(), Arc::clone(instance));
                told_at.get_or_insert_with(|| name.clone());
            }
            match told_at {
                _ if troubles.is_empty() => {}
                Some(name) => ruling.notes.entry(name).or_default().extend(troubles),
                None => drop(ruling.refused.insert(stack.clone(), troubles)),
            }
        }
        ruling.close_others(config, declared);
        ruling
    }

    fn read(&mut self, inventory: &Inventory, names: NamesFromContainers) {
        self.stacks.retain(|stack, _| {
            let content = inventory.stacks.get(stack);
            content.is_some_and(|content| !is_silent(content))
        });
        for (stack, content) in &inventory.stacks {
            let known = self.stacks.get(stack);
            let current = known.is_some_and(|known| known.reading.is_of(content, names));
            if !current && !is_silent(content) {
                let known = Known {
                    reading: Reading::new(content, names),
                    verdict: None,
                };
                self.stacks.insert(stack.clone(), known);
            }
        }
    }

    /// The shapes of hosts that stacks have.
    fn shapes(&self) -> Vec<(HostPattern, StackName)> {
        let stacks = self.stacks.iter();
        let stacks = stacks.filter(|(_, known)| known.reading.is_shaped);
        let hosts = stacks.flat_map(|(stack, known)| {
            known
                .reading
                .hosts
                .iter()
                .map(move |(text, claim)| (stack, text, &claim.host))
        });
        hosts
            .filter_map(|(stack, text, host)| match host {
                Host::Shaped(shape) if self.owners.of(text) == Some(stack) => {
                    Some((shape.clone(), stack.clone()))
                }
                Host::Shaped(_) | Host::Named(_) => None,
            })
            .collect()
    }

    /// Of the names that the configuration says nothing about.
    fn settle_owners(&mut self, now: Instant, declared: &Declared<'_>) {
        let mut claims: BTreeMap<&str, Vec<Claimant<'_>>> = BTreeMap::new();
        let stacks = self.stacks.iter();
        for (stack, known) in stacks.filter(|(stack, _)| !declared.stacks.contains_key(stack)) {
            for (text, HostClaim { host, alive, .. }) in &known.reading.hosts {
                let is_declared = match host {
                    Host::Named(domain) => declared.owner(domain).is_some(),
                    Host::Shaped(_) => false,
                };
                if !is_declared {
                    claims.entry(text).or_default().push(Claimant {
                        stack,
                        alive: *alive,
                    });
                }
            }
        }
        self.owners.settle(now, &claims);
    }
}

/// Whether the entry of a stack lets it have a host. `Ok(false)`: it is the entry's own affair.
///
/// # Errors
/// Why not.
fn not_granted(base: &Instance, host: &Host, declared: &Declared<'_>) -> Result<bool, String> {
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
fn lost(
    stack: &StackName,
    text: &str,
    host: &Host,
    owners: &Owners,
    declared: &Declared<'_>,
) -> Result<bool, String> {
    if let Host::Named(domain) = host
        && let Some(owner) = declared.owner(domain)
    {
        return Err(format!(
            "it belongs to the instance {owner} of the configuration"
        ));
    }
    match owners.of(text) {
        Some(owner) if owner != stack => Err(format!(
            "the stack {owner} has it; take it out of one of them, or end that stack. If both are one \
             site, let them be one stack: put them into one Compose project, or start both containers \
             with the labels com.docker.compose.project={owner} and com.docker.compose.service"
        )),
        _ => Ok(true),
    }
}

/// Pairs that a stack asks to be served with and that are made for somebody else's name.
fn foreign(
    stack: &StackName,
    reading: &Reading,
    owners: &Owners,
    declared: &Declared<'_>,
) -> BTreeSet<String> {
    let asked = reading.claims.values();
    let asked = asked.filter_map(|said| said.claim.certificate());
    let own = declared.stacks.get(stack).map(|instance| &instance.name);
    let is_others = |domain: Domain| match declared.names.get(&domain) {
        Some(owner) => Some(*owner) != own,
        None => owners
            .of(&domain.to_string())
            .is_some_and(|owner| owner != stack),
    };
    let others = |name: &&String| {
        let host = name.parse::<Hostname>();
        // A pair of that name may be a wildcard's.
        host.is_ok_and(|host| {
            is_others(Domain::Exact(host.clone())) || is_others(Domain::Below(host))
        })
    };
    asked.filter(others).cloned().collect()
}

impl Known {
    /// Says what comes of the reading; what was said stays where nothing it hangs on has changed.
    fn judge(
        &mut self,
        stack: &StackName,
        content: &Stack,
        config: &Arc<Config>,
        base: Option<&Arc<Instance>>,
        has: BTreeSet<String>,
        (foreign, routable): (BTreeSet<String>, Routable),
    ) {
        let same = self.verdict.as_ref().is_some_and(|verdict| {
            Arc::ptr_eq(&verdict.config, config)
                && verdict.base.as_deref() == base.map(|base| &**base)
                && verdict.has == has
                && verdict.foreign == foreign
                && verdict.routable == routable
        });
        if same {
            return;
        }
        let reading = &self.reading;
        let made = match base {
            Some(base) => layered(reading, content, config, base, &has, (&foreign, &routable)),
            None => made(stack, reading, config, &has, (&foreign, &routable)),
        };
        self.verdict = Some(Verdict {
            config: Arc::clone(config),
            base: base.cloned(),
            has,
            foreign,
            routable,
            made,
        });
    }
}

fn made(
    stack: &StackName,
    reading: &Reading,
    config: &Config,
    has: &BTreeSet<String>,
    (foreign, routable): (&BTreeSet<String>, &Routable),
) -> Made {
    let mut made = Made {
        troubles: reading.troubles.clone(),
        ..Made::default()
    };
    let mounted = &config.mounted;
    for mut group in groups(stack, reading, mounted, has, routable) {
        made.troubles.append(&mut group.troubles);
        check_certificate(&mut group.claimed, config, foreign, &mut made.troubles);
        mounts::never_in_the_clear(&mut group.claimed, &mut made.troubles);
        match config.instance_claimed(&group.name, stack, &group.claimed) {
            Ok(mut instance) => {
                mounts::close(&mut instance, mounted, &mut made.troubles);
                mounts::tell_of_clients(&group.claimed, mounted, &mut made.troubles);
                made.groups.push((group, Arc::new(instance)));
            }
            Err(issues) => made.troubles.extend(issues.iter().map(Issue::to_string)),
        }
    }
    made
}

fn layered(
    reading: &Reading,
    content: &Stack,
    config: &Config,
    base: &Arc<Instance>,
    has: &BTreeSet<String>,
    (foreign, routable): (&BTreeSet<String>, &Routable),
) -> Made {
    let mut made = Made {
        troubles: reading.troubles.clone(),
        ..Made::default()
    };
    if has.is_empty() {
        return made;
    }
    let granted = |host: &Host| has.contains(&host.to_string());
    let mounted = &config.mounted;
    let mut claimed = addition(reading, mounted, granted, &mut made.troubles);
    // What the entry's wildcards stand for has a certificate once it is named.
    let redirects = |name: &Domain| match name {
        Domain::Exact(name) => base.site.redirect_from.contains(name),
        Domain::Below(_) => false,
    };
    let is_new = |name: &&Domain| !claimed.domains.contains(name) && !redirects(name);
    let named: Vec<Domain> = routable.keys().filter(is_new).cloned().collect();
    claimed.domains.extend(named);
    check_certificate(&mut claimed, config, foreign, &mut made.troubles);
    mounts::never_in_the_clear(&mut claimed, &mut made.troubles);
    match config.instance_with(base, content.services.keys(), &claimed) {
        Some(Ok(mut instance)) => {
            mounts::close(&mut instance, mounted, &mut made.troubles);
            mounts::tell_of_clients(&claimed, mounted, &mut made.troubles);
            made.layered = Some(Arc::new(instance));
        }
        Some(Err(issues)) => made.troubles.extend(issues.iter().map(Issue::to_string)),
        None => {}
    }
    made
}

/// What everybody may be served with who has no pair of their own.
const DEFAULT: &str = "default";

/// A stack is served with any pair but another's. What it is served with, the pair has to be for: that
/// is seen where the pair is read.
fn check_certificate(
    claimed: &mut Claimed,
    config: &Config,
    foreign: &BTreeSet<String>,
    troubles: &mut Vec<String>,
) {
    let Some(name) = claimed.certificate.take() else {
        return;
    };
    let why = if name == DEFAULT && !config.compat.trust_default_cert {
        "the default is trusted by nobody, as `[compat] trust-default-cert` says".to_owned()
    } else if foreign.contains(&name) {
        format!(
            "the pair is for a name of somebody else; to serve it all the same, write `certificate = \
             \"{name}\"` into an [[instance]] for the stack"
        )
    } else {
        claimed.certificate = Some(name);
        return;
    };
    troubles.push(format!(
        "{}: CERT_NAME `{name}` is ignored: {why}",
        claimed.by
    ));
}

#[cfg(test)]
mod tests;

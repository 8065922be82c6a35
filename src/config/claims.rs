//! What belongs to one instance only: its names, and the stack it scales.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::issue::{Issue, Level};
use super::model::Instance;
use super::whole::Config;
use crate::names::{Domain, InstanceName, StackName};

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Claim {
    Domain(Domain),
    /// Two that scale one stack would each stop replicas under the sessions of the other.
    Stack(StackName),
}

impl Claim {
    fn key(&self) -> &'static str {
        match self {
            Self::Domain(_) => "domains",
            Self::Stack(_) => "stack",
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "`{domain}`"),
            Self::Stack(stack) => write!(f, "the stack `{stack}`"),
        }
    }
}

fn claims(instance: &Instance) -> BTreeSet<Claim> {
    let mut claims: BTreeSet<_> = instance.names().into_iter().map(Claim::Domain).collect();
    claims.insert(Claim::Stack(instance.stack.clone()));
    claims
}

#[derive(Default)]
struct Owners(BTreeMap<Claim, InstanceName>);

impl Owners {
    /// What of it belongs to somebody else.
    fn taken(&self, instance: &Instance) -> Option<(Claim, &InstanceName)> {
        let mut claims = claims(instance).into_iter();
        claims.find_map(|claim| self.0.get(&claim).map(|owner| (claim, owner)))
    }

    fn give(&mut self, instance: &Instance) {
        let name = &instance.name;
        let claims = claims(instance)
            .into_iter()
            .map(|claim| (claim, name.clone()));
        self.0.extend(claims);
    }
}

/// Removes every instance that claims what is another's, or puts its last good form in its place.
///
/// The live owner keeps what it has; at a first start, the one that comes first by name gets it.
/// `kept` are those that are here in their last good form.
pub(super) fn settle(
    config: &mut Config,
    previous: Option<&Config>,
    kept: &mut BTreeSet<InstanceName>,
    issues: &mut Vec<Issue>,
) {
    let before = |instance: &Instance| previous?.instances.get(&instance.name).cloned();
    let had_all = |instance: &Instance| {
        before(instance).is_some_and(|old| claims(instance).is_subset(&claims(&old)))
    };
    let mut owners = Owners::default();
    let mut order: Vec<Arc<Instance>> = config.instances.values().cloned().collect();
    order.sort_by_key(|instance| !kept.contains(&instance.name) && !had_all(instance));
    for instance in order {
        let Some((claim, owner)) = owners.taken(&instance) else {
            owners.give(&instance);
            continue;
        };
        issues.push(Issue {
            level: Level::Error,
            file: instance.file.to_string(),
            line: None,
            key: format!("instance.{}.{}", instance.name, claim.key()),
            text: format!("{claim} belongs to the instance `{owner}`; remove it from one of them"),
        });
        config.instances.remove(&instance.name);
        if let Some(old) = before(&instance).filter(|old| owners.taken(old).is_none()) {
            owners.give(&old);
            kept.insert(old.name.clone());
            config.instances.insert(old.name.clone(), old);
        }
    }
}

#[cfg(test)]
mod tests;

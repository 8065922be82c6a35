//! Which of the names that a stack asks certificates for lead to it: as a name of its own, below a
//! wildcard of it, or by a shape of it.

use std::collections::{BTreeMap, BTreeSet};

use super::conflicts::Owners;
use super::grants::Declared;
use super::stack::Reading;
use crate::config::Instance;
use crate::names::{Domain, HostPattern, Hostname, StackName};

/// Names, and the host of the stack that each of them leads to, as it is written.
pub(super) type Routable = BTreeMap<Domain, String>;

/// Sentences about names that one stack asks for in vain.
const MOST_TROUBLES: usize = 8;

/// Who decides whose a name is.
pub(super) struct Judges<'j> {
    pub(super) owners: &'j Owners,
    pub(super) declared: &'j Declared,
    /// Of all stacks, with those that have them.
    pub(super) shapes: &'j [(HostPattern, StackName)],
}

impl Judges<'_> {
    /// What a stack has asked for and gets. `has`: its hosts, as they are written. `base`: its entry.
    pub(super) fn routable(
        &self,
        stack: &StackName,
        reading: &Reading,
        has: &BTreeSet<String>,
        base: Option<&Instance>,
        troubles: &mut Vec<String>,
    ) -> Routable {
        let mut routable = Routable::new();
        let mut told = 0;
        for said in reading.claims.values() {
            for domain in &said.claim.orders {
                let host = match base {
                    Some(base) => {
                        let owner = self.declared.owner(domain);
                        let own = owner.is_some_and(|owner| *owner == base.name);
                        own.then(|| domain.to_string())
                    }
                    None => self.host(stack, domain, reading, has),
                };
                if let Some(host) = host {
                    routable.insert(domain.clone(), host);
                } else if told < MOST_TROUBLES {
                    told += 1;
                    troubles.push(format!(
                        "container {}: no certificate is ordered for `{domain}`, which does not lead \
                         to its stack; add it to VIRTUAL_HOST",
                        said.by
                    ));
                }
            }
        }
        routable
    }

    /// As requests find it: the name itself, the closest wildcard above it, the first shape.
    fn host(
        &self,
        stack: &StackName,
        domain: &Domain,
        reading: &Reading,
        has: &BTreeSet<String>,
    ) -> Option<String> {
        let text = domain.to_string();
        if has.contains(&text) {
            return Some(text);
        }
        let Domain::Exact(name) = domain else {
            return None;
        };
        let is_others = |text: &str| {
            let standing = self.owners.of(text);
            standing.is_some_and(|name| name.owner != stack)
        };
        let is_refused = reading.hosts.contains_key(&text);
        if is_refused || self.declared.owner(domain).is_some() || is_others(&text) {
            return None;
        }
        let mut parent = name.parent();
        while let Some(above) = parent {
            let wildcard = format!("*.{above}");
            if has.contains(&wildcard) {
                return Some(wildcard);
            }
            if is_others(&wildcard) {
                return None;
            }
            parent = above.split_once('.').map(|(_, rest)| rest);
        }
        self.shape(stack, name).map(ToString::to_string)
    }

    /// The shape that is asked first, where all of those are the stack's.
    fn shape(&self, stack: &StackName, name: &Hostname) -> Option<&HostPattern> {
        let fitting = || self.shapes.iter().filter(|(shape, _)| shape.fits(name));
        let first = fitting().map(|(shape, _)| shape.precedence()).max()?;
        let mut asked = fitting().filter(|(shape, _)| shape.precedence() == first);
        let (shape, owner) = asked.next()?;
        let alone = owner == stack && asked.all(|(_, other)| other == stack);
        alone.then_some(shape)
    }
}

//! Who asks for what may be somebody else's: pairs, certificates for names that are no host of the
//! asker's own, and hosts by their shape. Where one of these changes hands, these are judged anew.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::Host;
use super::conflicts::Owners;
use super::known::Known;
use super::stack::Reading;
use crate::names::{Domain, HostPattern, StackName};

#[derive(Debug, Default)]
pub(super) struct Asking {
    /// By the names whose owners decide about it, wildcards as they are written.
    about: BTreeMap<String, BTreeSet<StackName>>,
    /// Those that order a name which may lead to them by its shape.
    ordering: BTreeSet<StackName>,
    shaped: BTreeSet<StackName>,
    /// Of all stacks, with those that have them.
    pub(super) shapes: Vec<(HostPattern, StackName)>,
    /// Whether `shapes` may be out of date.
    stale: bool,
}

/// The names whose owners decide what a stack gets of what it asks for.
fn names(reading: &Reading) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for name in reading.certificates() {
        names.extend([name.clone(), format!("*.{name}")]);
    }
    for domain in reading.elsewhere() {
        names.insert(domain.to_string());
        let (Domain::Exact(name) | Domain::Below(name)) = domain;
        let parents = std::iter::successors(name.parent(), |above| Some(above.split_once('.')?.1));
        names.extend(parents.map(|above| format!("*.{above}")));
    }
    names
}

impl Asking {
    /// Takes in what a stack says.
    pub(super) fn list(&mut self, stack: &StackName, reading: &Reading) {
        for name in names(reading) {
            let about = self.about.entry(name).or_default();
            about.insert(stack.clone());
        }
        if reading.elsewhere().next().is_some() {
            self.ordering.insert(stack.clone());
        }
        if reading.is_shaped {
            self.shaped.insert(stack.clone());
            self.stale = true;
        }
    }

    /// Takes back what a stack said.
    pub(super) fn unlist(&mut self, stack: &StackName, reading: &Reading) {
        for name in names(reading) {
            if let Some(about) = self.about.get_mut(&name) {
                about.remove(stack);
                if about.is_empty() {
                    self.about.remove(&name);
                }
            }
        }
        self.ordering.remove(stack);
        self.stale |= self.shaped.remove(stack);
    }

    /// Who asks for what the owner of this name decides about, now that it has another one.
    pub(super) fn about(&mut self, name: &str) -> impl Iterator<Item = &StackName> {
        // What is no name is a shape.
        self.stale |= name.parse::<Domain>().is_err();
        self.about.get(name).into_iter().flatten()
    }

    /// Looks for the shapes of hosts that stacks have, where they may be others than before. Returns
    /// those to whom that may matter.
    pub(super) fn reshape(
        &mut self,
        stacks: &BTreeMap<StackName, Known>,
        owners: &Owners,
    ) -> impl Iterator<Item = &StackName> {
        let stale = std::mem::take(&mut self.stale);
        let new = stale && {
            let shapes = self.shapes(stacks, owners);
            let before = std::mem::replace(&mut self.shapes, shapes);
            before != self.shapes
        };
        self.ordering.iter().filter(move |_| new)
    }

    fn shapes(
        &self,
        stacks: &BTreeMap<StackName, Known>,
        owners: &Owners,
    ) -> Vec<(HostPattern, StackName)> {
        let mut shapes = Vec::new();
        for stack in &self.shaped {
            let reading = stacks.get(stack).and_then(|known| known.reading.as_ref());
            for (text, said) in reading.into_iter().flat_map(|reading| &reading.hosts) {
                let has = || owners.of(text).is_some_and(|name| name.owner == stack);
                if let Host::Shaped(shape) = &said.host
                    && has()
                {
                    shapes.push((shape.clone(), stack.clone()));
                }
            }
        }
        shapes
    }
}

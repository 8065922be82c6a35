//! Which instances are of which stack: a listing and the outcome of an order speak of stacks.

use std::collections::{BTreeSet, HashMap};

use crate::names::{InstanceName, StackName};

#[derive(Debug, Default)]
pub(in crate::control) struct OfStacks(HashMap<StackName, BTreeSet<InstanceName>>);

impl OfStacks {
    /// In the order of their names; mostly there is one.
    pub(in crate::control) fn of(&self, stack: &StackName) -> impl Iterator<Item = &InstanceName> {
        self.0.get(stack).into_iter().flatten()
    }

    pub(in crate::control) fn add(&mut self, stack: &StackName, name: &InstanceName) {
        let of = self.0.entry(stack.clone()).or_default();
        of.insert(name.clone());
    }

    pub(in crate::control) fn remove(&mut self, stack: &StackName, name: &InstanceName) {
        if let Some(of) = self.0.get_mut(stack) {
            of.remove(name);
            if of.is_empty() {
                self.0.remove(stack);
            }
        }
    }
}

//! What comes of all claims, put together from what comes of those of each stack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::mounts;
use crate::config::{Config, Instance};
use crate::inventory::Stack;
use crate::names::{InstanceName, StackName};
use crate::shared::Map;

/// What comes of all claims. What comes of a stack that has not changed is the very same as before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ruling {
    /// New ones, and those of entries with what their containers add.
    pub instances: Map<InstanceName, Instance>,
    /// Where an instance is to see its stack as another one.
    pub views: Map<InstanceName, Stack>,
    /// What is not followed, by the instance it is told at.
    pub notes: Map<InstanceName, [String]>,
    /// Stacks that claim names and get none.
    pub refused: Map<StackName, [String]>,
}

/// What comes of one stack, whatever others are called.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The instance of its entry, and that with what its containers add.
    pub(super) base: Option<InstanceName>,
    pub(super) layered: Option<Arc<Instance>>,
    pub(super) made: Vec<(InstanceName, Arc<Instance>, Option<Arc<Stack>>)>,
    pub(super) troubles: Arc<[String]>,
}

/// The ruling, and what it was made of.
#[derive(Debug, Default)]
pub(super) struct Together {
    ruling: Arc<Ruling>,
    outcomes: BTreeMap<StackName, Arc<Outcome>>,
    /// The stacks that want an instance of this name; the first of them has it.
    wanting: BTreeMap<InstanceName, BTreeSet<StackName>>,
    declared: BTreeSet<InstanceName>,
    /// Instances of the configuration as files of passwords close them, and what is told of that.
    closed: BTreeMap<InstanceName, (Arc<Instance>, Arc<[String]>)>,
}

impl Together {
    pub(super) fn ruling(&self) -> Arc<Ruling> {
        Arc::clone(&self.ruling)
    }

    /// Without any stack: what files of passwords close is closed, whether or not a container runs
    /// that asks for it.
    pub(super) fn of(config: &Config, declared: &Map<InstanceName, Instance>) -> Self {
        let mut together = Self {
            declared: declared.keys().cloned().collect(),
            ..Self::default()
        };
        let mut ruling = Ruling::default();
        for (name, instance) in declared {
            if config.mounted.closes(&instance.site) {
                let mut closed = Instance::clone(instance);
                let mut notes = Vec::new();
                mounts::close(&mut closed, &config.mounted, &mut notes);
                let closed = (Arc::new(closed), notes.into());
                let _ = together.closed.insert(name.clone(), closed);
                together.close(&mut ruling, name);
            }
        }
        together.ruling = Arc::new(ruling);
        together
    }

    /// Puts these outcomes in the place of what came of their stacks before.
    pub(super) fn take(&mut self, fresh: Vec<(StackName, Option<Arc<Outcome>>)>) {
        if fresh.is_empty() {
            return;
        }
        let mut ruling = std::mem::take(&mut self.ruling);
        let changed = Arc::make_mut(&mut ruling);
        // Those who want a name that somebody begins or ceases to want.
        let mut again: BTreeSet<StackName> = BTreeSet::new();
        for (stack, outcome) in &fresh {
            let known = self.outcomes.get(stack);
            let names = [known, outcome.as_ref()].into_iter().flatten();
            for (name, ..) in names.flat_map(|outcome| &outcome.made) {
                again.extend(self.wanting.get(name).into_iter().flatten().cloned());
            }
            again.insert(stack.clone());
        }
        for stack in &again {
            self.take_back(changed, stack);
        }
        for (stack, outcome) in fresh {
            let known = match &outcome {
                Some(outcome) => self.outcomes.insert(stack.clone(), Arc::clone(outcome)),
                None => self.outcomes.remove(&stack),
            };
            for (name, ..) in known.iter().flat_map(|outcome| &outcome.made) {
                if let Some(wanting) = self.wanting.get_mut(name) {
                    wanting.remove(&stack);
                    if wanting.is_empty() {
                        self.wanting.remove(name);
                    }
                }
            }
            for (name, ..) in outcome.iter().flat_map(|outcome| &outcome.made) {
                let wanting = self.wanting.entry(name.clone()).or_default();
                wanting.insert(stack.clone());
            }
        }
        for stack in &again {
            self.give(changed, stack);
        }
        self.ruling = ruling;
    }

    /// Whether an instance of this name is the stack's to have.
    fn has(&self, stack: &StackName, name: &InstanceName) -> bool {
        let first = self.wanting.get(name).and_then(BTreeSet::first);
        first == Some(stack) && !self.declared.contains(name)
    }

    fn close(&self, ruling: &mut Ruling, name: &InstanceName) {
        if let Some((closed, notes)) = self.closed.get(name) {
            ruling.instances.insert(name.clone(), Arc::clone(closed));
            if !notes.is_empty() {
                ruling.notes.insert(name.clone(), Arc::clone(notes));
            }
        }
    }

    fn take_back(&self, ruling: &mut Ruling, stack: &StackName) {
        let Some(outcome) = self.outcomes.get(stack) else {
            return;
        };
        for (name, ..) in &outcome.made {
            if self.has(stack, name) {
                ruling.instances.remove(name);
                ruling.views.remove(name);
                ruling.notes.remove(name);
            }
        }
        if let Some(base) = &outcome.base {
            ruling.instances.remove(base);
            ruling.notes.remove(base);
            self.close(ruling, base);
        }
        ruling.refused.remove(stack);
    }

    fn give(&self, ruling: &mut Ruling, stack: &StackName) {
        let Some(outcome) = self.outcomes.get(stack) else {
            return;
        };
        let mut more = Vec::new();
        let mut told_at = outcome.base.as_ref();
        if let (Some(base), Some(layered)) = (&outcome.base, &outcome.layered) {
            ruling.instances.insert(base.clone(), Arc::clone(layered));
            ruling.notes.remove(base);
        }
        for (name, instance, view) in &outcome.made {
            if !self.has(stack, name) {
                more.push(format!(
                    "what it claims would be the instance {name}, and there is another one of that \
                     name; rename the stack or the service"
                ));
                continue;
            }
            if let Some(view) = view {
                ruling.views.insert(name.clone(), Arc::clone(view));
            }
            ruling.instances.insert(name.clone(), Arc::clone(instance));
            told_at = told_at.or(Some(name));
        }
        let mut troubles = Arc::clone(&outcome.troubles);
        // What is told of a closed instance comes behind.
        let closed = told_at.and_then(|name| ruling.notes.get(name));
        more.extend(closed.into_iter().flat_map(|notes| notes.iter().cloned()));
        if !more.is_empty() {
            troubles = troubles.iter().cloned().chain(more).collect();
        }
        match told_at {
            _ if troubles.is_empty() => {}
            Some(name) => drop(ruling.notes.insert(name.clone(), troubles)),
            None => drop(ruling.refused.insert(stack.clone(), troubles)),
        }
    }
}

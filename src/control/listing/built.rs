//! What tenants are made from, as it was the last time, so that only what is new is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compat::Ruling;
use crate::config::{Config, Instance, Issue};
use crate::inventory::{Inventory, Stack};
use crate::names::{InstanceName, StackName};
use crate::shared::Map;

/// What the entries for many make of one stack.
#[derive(Debug)]
pub(in crate::control) struct Fitted {
    pub(in crate::control) config: Arc<Config>,
    pub(in crate::control) stack: Arc<Stack>,
    /// `None`: none of them fits. The error: why it becomes no instance.
    pub(in crate::control) made: Option<Result<Arc<Instance>, String>>,
}

impl Fitted {
    pub(in crate::control) fn new(
        config: &Arc<Config>,
        name: &StackName,
        stack: &Arc<Stack>,
    ) -> Self {
        let made = config.instance_by_pattern(name, stack.services.keys());
        let told = |issues: Vec<Issue>| {
            let text: Vec<_> = issues.iter().map(Issue::to_string).collect();
            text.join("; ")
        };
        Self {
            config: Arc::clone(config),
            stack: Arc::clone(stack),
            made: made.map(|made| made.map(Arc::new).map_err(told)),
        }
    }

    pub(in crate::control) fn is_of(&self, config: &Arc<Config>, stack: &Arc<Stack>) -> bool {
        let same = || self.stack.services.keys().eq(stack.services.keys());
        Arc::ptr_eq(&self.config, config) && (Arc::ptr_eq(&self.stack, stack) || same())
    }
}

/// What tenants were last brought in line with.
#[derive(Debug, Default)]
pub(in crate::control) struct Built {
    pub(in crate::control) config: Option<Arc<Config>>,
    pub(in crate::control) inventory: Arc<Inventory>,
    pub(in crate::control) declared: Instances,
    /// Of the entries for many.
    pub(in crate::control) misfits: Misfits,
    pub(in crate::control) ruling: Arc<Ruling>,
    /// Stacks of which containers only say that they are of them.
    pub(in crate::control) beset: BTreeSet<StackName>,
}

pub(in crate::control) type Instances = Map<InstanceName, Instance>;

/// Stacks that become no instance, and why.
pub(in crate::control) type Misfits = BTreeMap<StackName, String>;

impl Built {
    pub(in crate::control) fn names(&self) -> impl Iterator<Item = &InstanceName> {
        self.declared.keys().chain(self.ruling.instances.keys())
    }

    pub(in crate::control) fn instance(&self, name: &InstanceName) -> Option<&Arc<Instance>> {
        let ruled = self.ruling.instances.get(name);
        ruled.or_else(|| self.declared.get(name))
    }
}

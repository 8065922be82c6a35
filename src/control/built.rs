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
pub(super) struct Fitted {
    pub(super) config: Arc<Config>,
    pub(super) stack: Arc<Stack>,
    /// `None`: none of them fits. The error: why it becomes no instance.
    pub(super) made: Option<Result<Arc<Instance>, String>>,
}

impl Fitted {
    pub(super) fn new(config: &Arc<Config>, name: &StackName, stack: &Arc<Stack>) -> Self {
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

    pub(super) fn is_of(&self, config: &Arc<Config>, stack: &Arc<Stack>) -> bool {
        let same = || self.stack.services.keys().eq(stack.services.keys());
        Arc::ptr_eq(&self.config, config) && (Arc::ptr_eq(&self.stack, stack) || same())
    }
}

/// What tenants were last brought in line with.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) config: Option<Arc<Config>>,
    pub(super) inventory: Arc<Inventory>,
    pub(super) declared: Instances,
    /// Of the entries for many.
    pub(super) misfits: Misfits,
    pub(super) ruling: Arc<Ruling>,
    /// Stacks of which containers only say that they are of them.
    pub(super) beset: BTreeSet<StackName>,
}

pub(super) type Instances = Map<InstanceName, Instance>;

/// Stacks that become no instance, and why.
pub(super) type Misfits = BTreeMap<StackName, String>;

impl Built {
    pub(super) fn names(&self) -> impl Iterator<Item = &InstanceName> {
        self.declared.keys().chain(self.ruling.instances.keys())
    }

    pub(super) fn instance(&self, name: &InstanceName) -> Option<&Arc<Instance>> {
        let ruled = self.ruling.instances.get(name);
        ruled.or_else(|| self.declared.get(name))
    }
}

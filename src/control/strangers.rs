//! Containers that only say they are of a stack: whom that is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compat::Ruling;
use crate::config::Instance;
use crate::inventory::Inventory;
use crate::names::InstanceName;

/// Whose stacks there are.
pub(super) struct Whose<'w> {
    pub(super) declared: &'w BTreeMap<InstanceName, Arc<Instance>>,
    /// Whether containers may ask for names, so that any of them may matter.
    pub(super) follows: bool,
}

impl Whose<'_> {
    /// Adds the sentences to those of the stack's first instance. Where there is none, to those of the
    /// stack itself.
    pub(super) fn tell(&self, inventory: &Inventory, ruling: &mut Arc<Ruling>) {
        let stacks = inventory.stacks.iter();
        for (stack, content) in stacks.filter(|(_, content)| !content.left_out.is_empty()) {
            let made = ruling.instances.values();
            let mut instances = self.declared.values().chain(made);
            let instance = instances.find(|instance| instance.stack == *stack);
            let instance = instance.map(|instance| instance.name.clone());
            // Whoever says nothing of strangers shares the ruling.
            let ruling = Arc::make_mut(ruling);
            let told = match instance {
                Some(instance) => ruling.notes.entry(instance).or_default(),
                None if self.follows => ruling.refused.entry(stack.clone()).or_default(),
                None => continue,
            };
            *told = told.iter().chain(&content.left_out).cloned().collect();
        }
    }
}

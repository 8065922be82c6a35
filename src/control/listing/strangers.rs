//! Containers that only say they are of a stack: whom that is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compat::Ruling;
use crate::config::Instance;
use crate::inventory::Inventory;
use crate::names::{InstanceName, StackName};
use crate::shared::Map;

/// Whose stacks there are.
pub(in crate::control) struct Whose<'w> {
    pub(in crate::control) declared: &'w Map<InstanceName, Instance>,
    /// Whether containers may ask for names, so that any of them may matter.
    pub(in crate::control) follows: bool,
    /// The stacks that are told something.
    pub(in crate::control) beset: &'w BTreeSet<StackName>,
}

impl Whose<'_> {
    /// Adds the sentences to those of the stack's first instance. Where there is none, to those of the
    /// stack itself.
    pub(in crate::control) fn tell(&self, inventory: &Inventory, ruling: &mut Arc<Ruling>) {
        let beset = self.beset.iter();
        let beset = beset.filter_map(|stack| Some((stack, inventory.stacks.get(stack)?)));
        for (stack, content) in beset {
            let instance = {
                let made = ruling.instances.values();
                let mut instances = self.declared.values().chain(made);
                let first = instances.find(|instance| instance.stack == *stack);
                first.map(|instance| instance.name.clone())
            };
            // Whoever says nothing of strangers shares the ruling.
            let ruling = Arc::make_mut(ruling);
            let more = |told: Option<&Arc<[String]>>| -> Arc<[String]> {
                let told = told.map_or(&[][..], |told| told).iter();
                told.chain(&content.left_out).cloned().collect()
            };
            if let Some(instance) = instance {
                let told = more(ruling.notes.get(&instance));
                ruling.notes.insert(instance, told);
            } else if self.follows {
                let told = more(ruling.refused.get(stack));
                ruling.refused.insert(stack.clone(), told);
            }
        }
    }
}

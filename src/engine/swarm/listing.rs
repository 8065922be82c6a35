//! Stacks of a Swarm in the inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::super::labels::note_unknown;
use super::counts::Counts;
use super::nodes;
use super::tasks::{Around, unit};
use super::turns::turns;
use super::wire::{Node, Service, Task};
use crate::inventory::{Inventory, Unit};
use crate::names::{ServiceName, StackName};

/// The label by which a stack marks everything of it.
pub(in crate::engine) const NAMESPACE: &str = "com.docker.stack.namespace";

/// Everything a manager said at one moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The node whose engine was asked.
    pub(super) local: String,
    pub(super) services: Vec<Service>,
    pub(super) tasks: Vec<Task>,
    pub(super) nodes: Vec<Node>,
}

/// Which stack and service of usher's words this is.
pub(super) fn place(service: &Service) -> Option<(StackName, ServiceName)> {
    let stack = service.label(NAMESPACE)?;
    let name = service.spec.name.as_str();
    // `docker stack` puts the stack before every name.
    let own = name
        .strip_prefix(stack)
        .and_then(|rest| rest.strip_prefix('_'))
        .unwrap_or(name);
    Some((stack.parse().ok()?, own.parse().ok()?))
}

impl Look {
    pub(super) fn tasks_of<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Task> {
        self.tasks
            .iter()
            .filter(move |task| task.service_id == service.id)
    }

    /// The service that a stack calls so.
    pub(super) fn find(&self, stack: &StackName, service: &ServiceName) -> Option<&Service> {
        self.services
            .iter()
            .find(|known| place(known).is_some_and(|(at, name)| at == *stack && name == *service))
    }

    /// Something is on its way, of which no event will tell the end.
    pub(super) fn is_unsettled(&self) -> bool {
        let settled = |task: &Task| {
            let ended = matches!(
                task.status.state.as_str(),
                "complete" | "failed" | "orphaned" | "rejected" | "remove" | "shutdown"
            );
            if task.is_wanted() {
                task.is_running()
            } else {
                ended
            }
        };
        let known: BTreeSet<&str> = self
            .services
            .iter()
            .map(|service| service.id.as_str())
            .collect();
        let mut tasks = self.tasks.iter();
        tasks.any(|task| known.contains(task.service_id.as_str()) && !settled(task))
    }

    /// Takes notice of who changed how many there are.
    pub(super) fn count(&self, counts: &mut Counts, at: SystemTime) {
        for service in &self.services {
            counts.listed(service, at);
        }
        counts.keep(
            &self
                .services
                .iter()
                .map(|service| service.id.as_str())
                .collect(),
        );
    }

    /// Adds the stacks to the inventory. Returns what was left out, in words.
    pub(super) fn add_to(
        &self,
        inventory: &mut Inventory,
        counts: &Counts,
        around: &Around<'_>,
    ) -> Vec<String> {
        let composed = inventory.stacks.clone();
        let mut left_out = BTreeSet::new();
        for service in &self.services {
            let Some((stack, name)) = place(service) else {
                continue;
            };
            if composed.contains_key(&stack) {
                left_out.insert(format!(
                    "the Swarm stack {stack} is not served: a Compose project has the same name; \
                     rename one of them"
                ));
                continue;
            }
            let stack = inventory.stacks.change(stack);
            if let Some(count) = counts.changed(&service.id) {
                stack.counts.insert(name.clone(), count);
            }
            note_unknown(service.label_names(), &mut stack.unknown_labels);
            let units = stack.services.entry(name).or_default();
            units.extend(self.units(service, around));
            units.sort_by_key(|unit| (unit.origin, unit.id.clone()));
        }
        left_out.into_iter().collect()
    }

    fn units(&self, service: &Service, around: &Around<'_>) -> Vec<Unit> {
        let scalable = service.replicas().is_some();
        let mut turn_of: BTreeMap<&str, u32> = BTreeMap::new();
        for (group, turn) in turns(self.tasks_of(service)).iter().zip(0..) {
            for task in group.iter().flat_map(|slot| &slot.tasks) {
                turn_of.insert(&task.id, turn);
            }
        }
        // Of those that ended in one place, the last one tells how it goes there.
        let mut ended: BTreeMap<(u64, &str), &Task> = BTreeMap::new();
        let mut units = Vec::new();
        for task in self.tasks_of(service) {
            let turn = turn_of.get(task.id.as_str()).copied();
            let Some(unit) = unit(service, task, turn.filter(|_| scalable), around) else {
                continue;
            };
            if unit.phase.is_alive() || unit.phase == crate::inventory::Phase::Created {
                units.push(unit);
                continue;
            }
            // A slot may move; what is each node's own does not.
            let node = if task.slot == 0 {
                task.node_id.as_str()
            } else {
                ""
            };
            let last = ended.entry((task.slot, node)).or_insert(task);
            if last.created_at < task.created_at {
                *last = task;
            }
        }
        units.extend(
            ended
                .into_values()
                .filter_map(|task| unit(service, task, None, around)),
        );
        units
    }
}

/// The machines, as the inventory tells them.
pub(super) fn machines(look: &Look) -> Vec<crate::inventory::Node> {
    nodes::nodes(&look.nodes)
}

//! Which tasks Swarm ends when a service gets smaller. It asks nobody, but it is predictable.
//!
//! From the orchestrator's source (moby/swarmkit, `manager/orchestrator/replicated`): slots are put
//! in order, running ones first and lower numbers first; each is given its place among those of its
//! own node; the highest places go first, so that nodes stay even. Slots that have no node yet, or
//! two tasks during an update, go before all others. Among equals it does as it likes.

use std::collections::BTreeMap;

use super::wire::Task;

/// One slot of a service, with the tasks that are wanted in it.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    pub(super) number: u64,
    pub(super) tasks: Vec<&'a Task>,
}

impl Slot<'_> {
    pub(super) fn is_running(&self) -> bool {
        self.tasks.iter().any(|task| task.is_running())
    }

    /// Its place among those of a node cannot be told.
    fn node(&self) -> Option<&str> {
        match self.tasks.as_slice() {
            [task] if !task.node_id.is_empty() => Some(&task.node_id),
            _ => None,
        }
    }
}

/// The slots of one service in the order in which they go; those that go together are equals.
pub(super) fn turns<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Vec<Vec<Slot<'a>>> {
    let mut slots: BTreeMap<u64, Vec<&Task>> = BTreeMap::new();
    for task in tasks.into_iter().filter(|task| task.is_wanted()) {
        slots.entry(task.slot).or_default().push(task);
    }
    let mut slots: Vec<Slot<'_>> = slots
        .into_iter()
        .map(|(number, tasks)| Slot { number, tasks })
        .collect();
    slots.sort_by_key(|slot| (!slot.is_running(), slot.number));
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    // What has no place goes before the highest one.
    let mut groups: BTreeMap<std::cmp::Reverse<u32>, Vec<Slot<'_>>> = BTreeMap::new();
    for slot in slots {
        let place = slot.node().map_or(u32::MAX, |node| {
            let place = places.entry(node.to_owned()).or_default();
            *place += 1;
            *place
        });
        groups
            .entry(std::cmp::Reverse(place))
            .or_default()
            .push(slot);
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::TaskStatus;
    use super::*;

    fn task(slot: u64, node: &str, state: &str) -> Task {
        Task {
            id: format!("{slot}{state}"),
            slot,
            node_id: node.to_owned(),
            desired_state: "running".to_owned(),
            status: TaskStatus {
                state: state.to_owned(),
                ..TaskStatus::default()
            },
            ..Task::default()
        }
    }

    fn numbers(tasks: &[Task]) -> Vec<Vec<u64>> {
        let of = |group: Vec<Slot<'_>>| group.iter().map(|slot| slot.number).collect();
        turns(tasks).into_iter().map(of).collect()
    }

    #[test]
    fn on_one_node_the_highest_slot_goes_first() {
        let tasks = [2, 1, 3].map(|slot| task(slot, "a", "running"));
        assert_eq!(numbers(&tasks), [[3], [2], [1]]);
    }

    #[test]
    fn what_does_not_run_goes_before_what_does() {
        let tasks = [
            task(1, "a", "preparing"),
            task(2, "a", "running"),
            task(3, "a", "running"),
        ];
        assert_eq!(numbers(&tasks), [[1], [3], [2]]);
    }

    #[test]
    fn the_fullest_node_gives_first_and_equal_ones_are_equals() {
        let tasks = [
            task(1, "a", "running"),
            task(2, "b", "running"),
            task(3, "a", "running"),
            task(4, "b", "running"),
            task(5, "a", "running"),
        ];
        assert_eq!(numbers(&tasks), [vec![5], vec![3, 4], vec![1, 2]]);
    }

    #[test]
    fn what_has_no_node_or_two_tasks_goes_before_all() {
        let tasks = [
            task(1, "", "pending"),
            task(2, "a", "running"),
            task(2, "a", "starting"),
            task(3, "a", "running"),
        ];
        assert_eq!(numbers(&tasks), [vec![2, 1], vec![3]]);
    }

    #[test]
    fn what_is_leaving_has_no_turn() {
        let mut tasks = [1, 2, 3].map(|slot| task(slot, "a", "running"));
        tasks[2].desired_state = "remove".to_owned();
        assert_eq!(numbers(&tasks), [[2], [1]]);
    }

    proptest! {
        /// Every slot has one turn, and a node never gives one while another has two more.
        #[test]
        fn nodes_stay_even(nodes in proptest::collection::vec(0_u8..4, 1..24)) {
            let tasks: Vec<Task> = nodes
                .iter()
                .zip(1_u64..)
                .map(|(node, slot)| task(slot, &node.to_string(), "running"))
                .collect();
            let groups = turns(&tasks);
            let mut left: BTreeMap<&str, usize> = BTreeMap::new();
            for task in &tasks {
                *left.entry(&task.node_id).or_default() += 1;
            }
            for group in &groups {
                let most = left.values().copied().max().unwrap_or(0);
                for slot in group {
                    let count = left.get_mut(slot.tasks[0].node_id.as_str()).expect("known");
                    prop_assert_eq!(*count, most);
                    *count -= 1;
                }
            }
            prop_assert!(left.values().all(|count| *count == 0));
        }
    }
}

//! Where the engine chooses who is ended.

use super::*;
use crate::inventory::{Count, Task};

/// A running task of this slot, on this node.
fn task(slot: u32, node: &str, turn: u32) -> Unit {
    let mut unit = unit(&format!("web_{slot}"), Origin::Declared { number: slot });
    unit.task = Some(Task {
        node: node.to_owned(),
        turn: Some(turn),
    });
    unit
}

/// Tasks with these slots, nodes and turns; all ready.
fn tasks(all: &[(u32, &str, u32)]) -> Edge {
    let mut edge = Edge::new(CONFIG);
    set(&mut edge, all);
    edge.controller.plan();
    edge
}

fn set(edge: &mut Edge, all: &[(u32, &str, u32)]) {
    let units = all
        .iter()
        .map(|(slot, node, turn)| task(*slot, node, *turn));
    edge.units.insert("web", units.collect());
    edge.list();
    for (slot, ..) in all {
        edge.probe(&format!("web_{slot}"), true);
    }
}

fn scale(edge: &mut Edge, replicas: u32) {
    let (reply, _) = tokio::sync::oneshot::channel();
    let wish = Wish::Scale {
        instance: "congress".parse().expect("name"),
        service: "web".parse().expect("name"),
        replicas,
        span: None,
    };
    edge.take(Event::Command(Command { wish, reply }));
}

fn states<const N: usize>(edge: &Edge) -> [&'static str; N] {
    let mut slot = 0;
    [(); N].map(|()| {
        slot += 1;
        edge.state(&format!("web_{slot}"))
    })
}

fn session(edge: &mut Edge, name: &str, count: u32) {
    edge.sessions.insert(name.to_owned(), count);
}

#[tokio::test]
async fn the_task_that_swarm_would_end_is_drained_however_full_it_is() {
    let mut edge = tasks(&[(1, "a", 2), (2, "a", 1), (3, "a", 0)]);
    session(&mut edge, "web_3", 9);
    scale(&mut edge, 2);
    assert_eq!(edge.seconds(5), [""; 0]);
    assert_eq!(states(&edge), ["ready", "ready", "draining"]);
    session(&mut edge, "web_3", 0);
    assert_eq!(edge.second(), ["stop web_3"]);
    assert_eq!(edge.state("web_3"), "stopping");
}

#[tokio::test]
async fn two_leave_in_the_order_of_swarm_and_one_at_a_time() {
    let mut edge = tasks(&[(1, "a", 2), (2, "a", 1), (3, "a", 0)]);
    session(&mut edge, "web_1", 9);
    scale(&mut edge, 1);
    edge.report_applied = Some(Generation::default());
    edge.seconds(3);
    assert_eq!(states(&edge), ["ready", "draining", "draining"]);
    edge.report_applied = None;
    assert_eq!(edge.second(), ["stop web_3"]);
    assert_eq!(edge.second(), [""; 0], "web_3 still runs");
    set(&mut edge, &[(1, "a", 1), (2, "a", 0)]);
    assert_eq!(edge.second(), ["stop web_2"]);
}

#[tokio::test]
async fn equals_drain_together_and_who_is_not_chosen_comes_back() {
    let mut edge = tasks(&[(1, "a", 1), (2, "b", 1), (3, "a", 0), (4, "b", 0)]);
    session(&mut edge, "web_1", 2);
    session(&mut edge, "web_3", 2);
    session(&mut edge, "web_4", 1);
    scale(&mut edge, 3);
    assert_eq!(edge.seconds(5), [""; 0]);
    assert_eq!(states(&edge), ["ready", "ready", "draining", "draining"]);
    session(&mut edge, "web_4", 0);
    assert_eq!(
        edge.seconds(5),
        [""; 0],
        "web_3 may be the one, and is in use"
    );
    session(&mut edge, "web_3", 0);
    let stop = edge.tick();
    let [Action::Stop { proof, others, .. }] = stop.as_slice() else {
        panic!("{stop:?}");
    };
    let named = [proof, &others[0]].map(|proof| proof.replica().unit().to_owned());
    assert!(
        named == ["web_4", "web_3"] || named == ["web_3", "web_4"],
        "{named:?}"
    );
    // Swarm takes the one that was not meant.
    let taken = named[1].as_str();
    let left = if taken == "web_4" { (3, "a") } else { (4, "b") };
    set(&mut edge, &[(1, "a", 1), (2, "b", 1), (left.0, left.1, 0)]);
    let action = stop.into_iter().next().expect("one");
    edge.take(Event::Acted(Acted {
        action,
        result: Err(Failure {
            text: format!("Swarm ended {taken}"),
            trouble: Trouble::Passing,
        }),
    }));
    assert_eq!(edge.second(), [""; 0]);
    assert_eq!(edge.state(&format!("web_{}", left.0)), "ready");
    assert_eq!(edge.state(taken), "gone");
}

#[tokio::test]
async fn equals_who_are_all_there_is_leave_only_when_nobody_is_inside() {
    let mut edge = tasks(&[(1, "a", 0), (2, "b", 0)]);
    session(&mut edge, "web_1", 1);
    scale(&mut edge, 1);
    assert_eq!(edge.seconds(20), [""; 0]);
    assert_eq!(
        states(&edge),
        ["ready", "ready"],
        "or nobody would be served"
    );
    session(&mut edge, "web_1", 0);
    edge.second();
    assert_eq!(states(&edge), ["draining", "draining"]);
    // Somebody was quicker than the gate.
    session(&mut edge, "web_2", 1);
    assert_eq!(edge.second(), [""; 0]);
    assert_eq!(states(&edge), ["ready", "ready"]);
    session(&mut edge, "web_2", 0);
    edge.second();
    assert_eq!(edge.second().len(), 1, "one of them is ended");
}

#[tokio::test]
async fn sessions_are_not_ended_for_an_equal_that_stays() {
    let mut edge = tasks(&[(1, "a", 1), (2, "b", 1), (3, "a", 0), (4, "b", 0)]);
    session(&mut edge, "web_3", 1);
    session(&mut edge, "web_4", 1);
    scale(&mut edge, 3);
    // Past `replica-drain` and `replica-drain-max`.
    edge.seconds(4_000);
    assert_eq!(states(&edge), ["ready", "ready", "draining", "draining"]);
}

#[tokio::test]
async fn a_drain_that_lost_its_turn_is_taken_back() {
    let mut edge = tasks(&[(1, "a", 1), (2, "a", 0)]);
    session(&mut edge, "web_2", 3);
    scale(&mut edge, 1);
    edge.seconds(2);
    assert_eq!(states(&edge), ["ready", "draining"]);
    // Somebody has made it larger meanwhile.
    session(&mut edge, "web_3", 1);
    set(&mut edge, &[(1, "a", 2), (2, "a", 1), (3, "a", 0)]);
    edge.seconds(2);
    assert_eq!(states(&edge), ["ready", "draining", "draining"]);
    scale(&mut edge, 2);
    edge.seconds(2);
    assert_eq!(edge.state("web_2"), "ready");
}

#[tokio::test]
async fn a_task_without_a_turn_is_never_ended() {
    let mut edge = tasks(&[(1, "a", 0), (2, "b", 0)]);
    for unit in edge.units.get_mut("web").expect("web") {
        unit.task.as_mut().expect("a task").turn = None;
    }
    edge.list();
    scale(&mut edge, 1);
    assert_eq!(edge.seconds(20), [""; 0]);
    assert_eq!(states(&edge), ["ready", "ready"]);
}

#[tokio::test]
async fn a_number_that_somebody_set_counts_for_half_an_hour() {
    for (from, to, started) in [(1, 3, true), (3, 1, false)] {
        let mut edge = tasks(&[(1, "a", 0)]);
        // Two replicas' worth.
        session(&mut edge, "web_1", 150);
        let mut inventory = edge.inventory();
        let stack = inventory.stacks.change("congress".parse().expect("name"));
        let count = Count {
            from,
            to,
            at: edge.now.wall,
            version: 7,
        };
        stack.counts.insert("web".parse().expect("name"), count);
        edge.list_this(Some(inventory.clone()), None);
        let first = edge.second();
        let starts = |all: &[String]| all.iter().any(|one| one == "start web");
        if started {
            session(&mut edge, "web_1", 0);
            assert!(starts(&first), "{first:?}");
        } else {
            assert!(!starts(&first), "{first:?}");
            edge.now.at += Duration::from_secs(1_790);
            edge.now.wall += Duration::from_secs(1_790);
            assert!(!starts(&edge.second()), "still");
            edge.now.at += Duration::from_secs(20);
            edge.now.wall += Duration::from_secs(20);
            // The same listing again is no new word.
            edge.list_this(Some(inventory), None);
            assert!(starts(&edge.second()), "it has been long enough");
        }
    }
}

#[tokio::test]
async fn a_task_that_is_lost_with_its_node_is_nobodys_wish() {
    let mut edge = tasks(&[(1, "a", 1), (2, "b", 0), (3, "c", 0)]);
    session(&mut edge, "web_1", 250);
    edge.seconds(5);
    set(&mut edge, &[(1, "a", 1), (2, "b", 0)]);
    edge.seconds(60);
    let over = edge.controller.tenants["congress"].services["web"].over;
    assert!(over.is_none(), "{over:?}");
}

//! Sessions are closed a few at a time, and only as long as it is a good time for it.

use super::guard::overloaded_second;
use super::*;

const NATURAL: u32 = 15 * 60;

/// What is being closed of the replica: how many are kept, and within how many seconds the others end.
fn closing(edge: &Edge) -> Option<(u32, u64)> {
    match edge.usage("web_clone_1") {
        Some(Usage::Cut { keep, over }) => Some((keep, over.as_secs())),
        _ => None,
    }
}

/// An operator's number.
pub(super) fn scale(edge: &mut Edge, replicas: u32) {
    let (reply, _) = tokio::sync::oneshot::channel();
    let wish = Wish::Scale {
        instance: "congress".parse().expect("name"),
        service: "web".parse().expect("name"),
        replicas,
        span: None,
    };
    edge.take(Event::Command(Command { wish, reply }));
}

/// Of the sessions there are, those of the others and one more are lost.
fn nobody_else(edge: &mut Edge) {
    edge.sessions.insert("web_1".into(), 0);
    edge.sessions.insert("web_clone_1".into(), 24);
}

/// The first of its 25 sessions were told to end a moment ago.
fn closing_began() -> Edge {
    let mut edge = draining(25);
    for _ in 0..=NATURAL {
        edge.second();
        if closing(&edge).is_some() {
            return edge;
        }
    }
    panic!("nothing was closed");
}

fn wait(edge: &mut Edge, seconds: u32) -> Vec<String> {
    (0..seconds).flat_map(|_| edge.second()).collect()
}

#[tokio::test]
async fn no_more_are_closed_than_the_workers_can_let_in_again() {
    let mut edge = closing_began();
    // Two workers: two in a second.
    assert_eq!(closing(&edge), Some((15, 5)));
    wait(&mut edge, 4);
    assert_eq!(closing(&edge), Some((15, 5)));
    wait(&mut edge, 1);
    assert_eq!(closing(&edge), Some((5, 5)));
    wait(&mut edge, 5);
    assert_eq!(closing(&edge), Some((0, 3)));
    let status = edge.controller.status(edge.now);
    let replicas = &status.instances[0].services[0].replicas;
    let one = replicas.iter().find(|one| one.name == "web_clone_1");
    let deadline = one.expect("listed").drain_deadline.expect("one");
    assert_eq!(deadline.0, edge.now.wall + Duration::from_secs(3));
}

#[tokio::test]
async fn without_the_engine_no_drain_begins_and_closing_pauses() {
    let mut edge = closing_began();
    let inventory = edge.inventory();
    edge.list_this(Some(inventory), Some("the engine is away"));
    assert!(wait(&mut edge, 60).is_empty());
    assert_eq!(closing(&edge), Some((15, 5)));
    edge.list();
    wait(&mut edge, 1);
    assert_eq!(closing(&edge), Some((5, 5)));
}

#[tokio::test]
async fn closing_pauses_while_the_others_have_no_room_for_the_rest() {
    let mut edge = closing_began();
    edge.sessions.insert("web_1".into(), 80);
    wait(&mut edge, 60);
    assert_eq!(closing(&edge), Some((15, 5)));
    edge.sessions.insert("web_1".into(), 70);
    // More than there is room for is a panic, too.
    wait(&mut edge, 60);
    assert_eq!(closing(&edge).map(|(keep, _)| keep), Some(0));
}

#[tokio::test]
async fn nothing_is_closed_while_it_is_too_much_or_those_who_were_lost_are_expected_back() {
    let mut edge = draining(25);
    wait(&mut edge, NATURAL - 30);
    for _ in 0..60 {
        overloaded_second(&mut edge);
    }
    wait(&mut edge, 30);
    assert_eq!(closing(&edge), None, "its time has come in a panic");
    wait(&mut edge, 15);
    assert!(closing(&edge).is_some(), "it is over");

    let mut edge = draining(25);
    wait(&mut edge, NATURAL - 30);
    nobody_else(&mut edge);
    wait(&mut edge, 60);
    assert_eq!(closing(&edge), None, "a third was lost at once");
    wait(&mut edge, 180);
    assert!(closing(&edge).is_some());
}

#[tokio::test]
async fn when_all_its_time_is_over_a_replica_is_closed_at_the_same_pace_whatever_is_elsewhere() {
    let mut edge = draining(25);
    scale(&mut edge, 1);
    edge.sessions.insert("web_1".into(), 100);
    wait(&mut edge, 3_598);
    assert_eq!(closing(&edge), None);
    wait(&mut edge, 3);
    // One worker more than the ratio asks for.
    assert_eq!(closing(&edge), Some((10, 5)));
    wait(&mut edge, 5);
    assert_eq!(closing(&edge), Some((0, 4)));
}

#[tokio::test]
async fn nothing_is_closed_for_room_beyond_what_a_replica_may_hold() {
    let text = CONFIG.replace("[instance.limits]", "[instance.limits]\nsessions-hard = 50");
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    scale(&mut edge, 3);
    edge.seconds(5);
    for (name, sessions) in [("web_1", 45), ("web_clone_1", 45), ("web_clone_2", 25)] {
        edge.sessions.insert(name.to_owned(), sessions);
    }
    edge.seconds(70);
    scale(&mut edge, 2);
    wait(&mut edge, 5);
    assert_eq!(edge.state("web_clone_2"), "draining");
    wait(&mut edge, NATURAL + 60);
    assert_eq!(edge.state("web_clone_2"), "draining", "room for ten");
    edge.sessions.insert("web_1".into(), 30);
    edge.sessions.insert("web_clone_1".into(), 30);
    wait(&mut edge, 2);
    assert_eq!(edge.state("web_clone_2"), "cutting", "room for forty");
}

//! Replicas of a service share what their stack weighs.

use super::*;

impl Edge {
    /// What was ordered until now.
    fn weights(&mut self) -> Vec<String> {
        std::mem::take(&mut self.weighed)
            .iter()
            .map(words)
            .collect()
    }
}

#[tokio::test]
async fn however_many_replicas_there_are_together_they_weigh_what_the_stack_does() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 50);
    edge.seconds(5);
    assert_eq!(
        edge.weights(),
        ["weigh worker_1 512", "weigh worker_2 512"],
        "one alone has what it would have anyway, and nothing is said twice"
    );
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(10);
    let all = edge.weights();
    for order in [
        "weigh web_1 512",
        "weigh web_clone_1 512",
        "weigh worker_1 256",
    ] {
        assert!(all.contains(&order.to_owned()), "{order}: {all:?}");
    }
    edge.seconds(10);
    assert_eq!(edge.weights(), [""; 0]);
}

#[tokio::test]
async fn a_stack_that_weighs_more_gets_more() {
    let text = CONFIG.replace("[instance.scale]", "[instance.scale]\nweight = 3");
    let mut edge = Edge::running();
    edge.take(Event::Config(current(&text)));
    edge.seconds(3);
    assert!(edge.weights().contains(&"weigh web_1 3072".to_owned()));
}

#[tokio::test]
async fn who_only_recommends_changes_nothing_of_a_container() {
    for mode in ["recommend", "hold", "off"] {
        let text = CONFIG.replace(
            "[instance.scale]",
            &format!("[instance.scale]\nmode = \"{mode}\""),
        );
        let mut edge = Edge::new(&text);
        edge.units = Edge::running().units;
        edge.list();
        edge.seconds(3);
        assert_eq!(edge.weights(), [""; 0], "{mode}");
    }
}

#[tokio::test]
async fn what_the_maker_of_a_service_has_set_is_asked_about_once_and_left_alone() {
    let mut edge = Edge::running();
    edge.not_weighed = Some(Trouble::Stack);
    edge.seconds(5);
    assert_eq!(edge.weights(), ["weigh worker_1 512"]);
    // Made of something else: it may have changed.
    for unit in edge.units.get_mut("worker").expect("some") {
        unit.id = ReplicaId::new(&format!("{} again", unit.name), 2);
        unit.make = "new".to_owned();
    }
    edge.list();
    edge.not_weighed = None;
    edge.seconds(40);
    assert_eq!(edge.weights().len(), 2);
}

#[tokio::test]
async fn an_engine_that_refuses_is_not_asked_again_until_there_is_something_else_to_say() {
    let mut edge = Edge::running();
    edge.not_weighed = Some(Trouble::Passing);
    edge.seconds(5);
    assert_eq!(edge.weights().len(), 2, "one for each");
}

#[tokio::test]
async fn what_usher_has_set_is_known_to_the_next_as_its_own() {
    let mut edge = Edge::running();
    edge.seconds(5);
    edge.weights();
    let kept = edge.controller.kept(edge.now);
    let mut next = Edge::new(CONFIG);
    next.controller.remember(kept, next.now);
    next.units = edge.units.clone();
    next.units.get_mut("worker").expect("some").pop();
    next.list();
    next.seconds(2);
    let Some(Action::Weigh { shares, own, .. }) = next.weighed.first() else {
        panic!("nothing was said");
    };
    assert_eq!(
        (*shares, &own[..]),
        (1_024, &[512, 1_024][..]),
        "it has half of it still"
    );
}

//! What would be done is told, and nothing is done.

use super::*;
use crate::control::status::InstanceStatus;

#[tokio::test]
async fn a_recommendation_is_told_with_its_reason_as_not_done_and_again_when_it_changes() {
    let mut edge = Edge::new(&CONFIG.replace("down-after", "mode = \"recommend\"\ndown-after"));
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    // As many as there should be: nothing to tell.
    edge.sessions.insert("web_1".into(), 50);
    edge.seconds(70);
    let web = |edge: &mut Edge| edge.controller.status(edge.now).instances[0].clone();
    assert!(web(&mut edge).decisions.is_empty());

    edge.sessions.insert("web_1".into(), 350);
    assert_eq!(edge.seconds(2), [""; 0]);
    let own = web(&mut edge);
    let told = own.services[0].last_decision.as_ref().expect("told");
    assert_eq!((told.from, told.to), (1, 4));
    assert!(
        told.reason
            .starts_with("recommended and not done (mode = \"recommend\"): 350 sessions"),
        "{}",
        told.reason
    );
    assert!(own.services[0].changes.is_empty(), "nothing was changed");
    let of_web = |own: &InstanceStatus| {
        let decisions = own.decisions.iter();
        let to: Vec<u32> = decisions
            .filter(|taken| taken.service == "web")
            .map(|taken| taken.to)
            .collect();
        to
    };
    // Other numbers and the same recommendation; then one that wavers.
    for sessions in [351, 360, 290, 350, 290, 350] {
        edge.sessions.insert("web_1".into(), sessions);
        edge.seconds(1);
    }
    assert_eq!(of_web(&web(&mut edge)), [4]);
    edge.sessions.insert("web_1".into(), 50);
    edge.seconds(300);
    assert_eq!(of_web(&web(&mut edge)), [4, 1], "back to what there is");
}

//! Services that are not scaled, at an operator's word.

use super::*;
use crate::engine::Trouble;
use crate::engine::act::Failure;
use crate::inventory::Phase;

fn with_redis() -> Edge {
    let redis = "[instance.service.redis]\nrole = \"fixed\"\n";
    let mut edge = Edge::new(&format!("{CONFIG}{redis}"));
    edge.units = Edge::running().units;
    let one = unit("redis_1", Origin::Declared { number: 1 });
    edge.units.insert("redis", vec![one]);
    edge.list();
    edge.probe("web_1", true);
    edge.probe("redis_1", true);
    edge.sessions.insert("web_1".into(), 10);
    edge.seconds(70);
    edge
}

fn told(edge: &mut Edge, start: bool, service: &str) -> Result<String, String> {
    let instance = "congress".parse().expect("name");
    let service = service.parse().expect("name");
    let wish = match start {
        true => Wish::Start { instance, service },
        false => Wish::Stop { instance, service },
    };
    edge.controller.obey(edge.now, &wish)
}

fn laid_down(edge: &mut Edge) {
    let redis = &mut edge.units.get_mut("redis").expect("redis")[0];
    redis.phase = Phase::Exited { code: 0 };
    edge.list();
}

#[tokio::test]
async fn a_service_is_stopped_when_its_sessions_have_ended_and_no_sooner() {
    let mut edge = with_redis();
    edge.sessions.insert("redis_1".into(), 3);
    edge.report();
    let said = told(&mut edge, false, "redis").expect("it stops");
    assert!(said.contains("3 open now"), "{said}");
    // Longer than any drain of a replica that is scaled.
    assert_eq!(edge.seconds(2 * 3600), [""; 0]);
    assert_eq!(edge.state("redis_1"), "draining");
    edge.sessions.insert("redis_1".into(), 0);
    let ordered: Vec<String> = (0..3).flat_map(|_| edge.second()).collect();
    assert_eq!(ordered, ["stop redis_1"]);
    laid_down(&mut edge);
    assert_eq!(edge.seconds(120), [""; 0], "and nobody starts it again");

    let said = told(&mut edge, true, "redis").expect("it starts");
    assert_eq!(said, "congress/redis: starts");
    assert_eq!(edge.seconds(120), ["wake redis"], "once");
}

#[tokio::test]
async fn a_stop_is_taken_back_while_somebody_is_inside() {
    let mut edge = with_redis();
    edge.sessions.insert("redis_1".into(), 3);
    told(&mut edge, false, "redis").expect("it stops");
    edge.seconds(5);
    let said = told(&mut edge, true, "redis").expect("it stays");
    assert!(said.contains("stays"), "{said}");
    assert_eq!(edge.seconds(60), [""; 0]);
    assert_eq!(edge.state("redis_1"), "ready");
}

#[tokio::test]
async fn who_asks_for_it_while_it_is_being_stopped_gets_it_back_afterwards() {
    let mut edge = with_redis();
    told(&mut edge, false, "redis").expect("it stops");
    let ordered: Vec<String> = (0..3).flat_map(|_| edge.second()).collect();
    assert_eq!(ordered, ["stop redis_1"]);
    assert_eq!(edge.state("redis_1"), "stopping");
    let said = told(&mut edge, true, "redis").expect("it starts");
    assert!(said.contains("once it has stopped"), "{said}");
    assert_eq!(edge.seconds(5), [""; 0], "it does not rest yet");
    laid_down(&mut edge);
    assert_eq!(edge.seconds(120), ["wake redis"], "once");
}

/// Asked for again while the engine is at a stop that comes to nothing.
fn wanted_back() -> Edge {
    let mut edge = with_redis();
    told(&mut edge, false, "redis").expect("it stops");
    let stop = (0..3).find_map(|_| edge.tick().pop()).expect("a stop");
    assert_eq!(words(&stop), "stop redis_1");
    told(&mut edge, true, "redis").expect("it starts");
    assert_eq!(edge.second(), [""; 0]);
    let result = Err(Failure {
        text: "the engine did not answer within 70 s".to_owned(),
        trouble: Trouble::Passing,
    });
    let action = stop;
    edge.take(Event::Acted(Acted { action, result }));
    edge
}

#[tokio::test]
async fn who_asks_for_it_while_its_stop_is_refused_has_it_as_it_was() {
    let mut edge = wanted_back();
    assert_eq!(edge.state("redis_1"), "ready");
    assert_eq!(edge.seconds(120), [""; 0], "and nobody stops it again");
    assert_eq!(edge.state("redis_1"), "ready");
    let runs = told(&mut edge, true, "redis").expect("as it is");
    assert!(runs.contains("runs already"), "{runs}");
    laid_down(&mut edge);
    assert_eq!(edge.seconds(120), [""; 0], "that was somebody else");
}

#[tokio::test]
async fn what_ends_although_its_stop_was_refused_is_started_again_for_who_has_asked_for_it() {
    let mut edge = wanted_back();
    edge.seconds(20);
    laid_down(&mut edge);
    assert_eq!(edge.seconds(120), ["wake redis"], "once");
}

#[tokio::test]
async fn what_nothing_would_come_of_is_refused_with_what_to_do_instead() {
    let mut edge = with_redis();
    for (start, service, why) in [
        (true, "web", "usher scale congress/web"),
        (false, "worker", "usher scale congress/worker"),
        (
            false,
            "nobody",
            "has no service `nobody`; it has redis, web, worker",
        ),
    ] {
        let refused = told(&mut edge, start, service).expect_err("refused");
        assert!(refused.contains(why), "{refused}");
    }
    let runs = told(&mut edge, true, "redis").expect("as it is");
    assert!(runs.contains("runs already"), "{runs}");
    edge.units.remove("redis");
    edge.list();
    let none = told(&mut edge, true, "redis").expect_err("nothing rests");
    assert!(none.contains("bring it up with Compose"), "{none}");
}

#[tokio::test]
async fn who_does_not_hold_the_lease_says_so() {
    let mut edge = with_redis();
    edge.controller.engine.shared = true;
    let tenants = &mut edge.controller.tenants;
    let refused = Claim::Refused {
        at: edge.now.at,
        why: "another usher has it".to_owned(),
    };
    tenants.get_mut("congress").expect("congress").claim = refused;
    let why = told(&mut edge, false, "redis").expect_err("refused");
    assert!(why.contains("another usher has it"), "{why}");
    assert_eq!(edge.state("redis_1"), "ready");
}

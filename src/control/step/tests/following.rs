//! Replicas follow the sessions, and those who follow follow them.

use super::*;

#[tokio::test]
async fn replicas_follow_the_sessions_up_and_workers_their_ratio() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 250);
    let ordered = edge.seconds(5);
    let count = |what: &str| ordered.iter().filter(|action| *action == what).count();
    assert_eq!(
        (count("start web"), count("start worker")),
        (2, 4),
        "{ordered:?}"
    );
    assert!(edge.seconds(30).is_empty(), "and no more than that");
}

#[tokio::test]
async fn the_plan_says_how_many_workers_are_ready_to_answer() {
    let mut edge = Edge::running();
    let workers = |edge: &Edge| {
        let instance = edge.controller.plan.instances.values().next();
        instance.expect("congress").services["web"].workers
    };
    assert_eq!(workers(&edge), Some(2));
    edge.units.get_mut("worker").expect("workers").pop();
    edge.list();
    edge.controller.plan();
    assert_eq!(workers(&edge), Some(1));
}

#[tokio::test]
async fn the_plan_says_how_many_requests_those_who_follow_can_have() {
    let requests = |more: &str| {
        let mut edge = Edge::new(&format!("{CONFIG}{more}"));
        edge.units = Edge::running().units;
        edge.list();
        edge.probe("web_1", true);
        let plan = edge.controller.plan().expect("a plan");
        let both = plan.instances["congress"].services["web"].requests;
        edge.units.insert("worker", Vec::new());
        edge.list();
        let plan = edge.controller.plan().expect("a plan");
        (both, plan.instances["congress"].services["web"].requests)
    };
    assert_eq!(requests(""), (16, 8), "one is taken for ready");
    assert_eq!(requests("requests-each = 100\n"), (200, 100));
}

#[tokio::test]
async fn a_burst_does_not_order_twice_while_one_is_starting() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    assert_eq!(edge.second(), ["start web", "start worker"]);
    assert!(edge.second().is_empty(), "the engine works on it");
}

#[tokio::test]
async fn nobody_leaves_before_a_whole_quiet_window() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 250);
    edge.seconds(5);
    edge.sessions.clear();
    // They were lost at once and may come back: three times as long.
    assert!(edge.seconds(180).is_empty());
    let later = edge.seconds(80);
    assert!(
        later
            .iter()
            .any(|action| action.starts_with("stop web_clone")),
        "{later:?}"
    );
}

#[tokio::test]
async fn what_usher_added_leaves_before_what_the_operator_declared() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 250);
    edge.seconds(5);
    edge.sessions.clear();
    let stopped: Vec<_> = edge
        .seconds(400)
        .into_iter()
        .filter(|action| action.starts_with("stop web"))
        .collect();
    assert_eq!(stopped.len(), 2, "{stopped:?}");
    assert!(
        stopped.iter().all(|action| action.contains("clone")),
        "{stopped:?}"
    );
    assert_eq!(edge.state("web_1"), "ready");
}

/// The clock of the tests begins at 13:46:40 of that day.
fn with_event(hour: u32, attendees: u32) -> Edge {
    let event = format!(
        "[[instance.event]]\nname = \"Congress\"\nstart = 1970-01-12T{hour}:00:00Z\n\
         end = 1970-01-12T20:00:00Z\nattendees = {attendees}\n"
    );
    let mut edge = Edge::new(&format!("{CONFIG}{event}"));
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    edge
}

#[tokio::test]
async fn an_event_brings_its_replicas_before_its_audience() {
    let mut edge = with_event(14, 300);
    let ordered = edge.seconds(10);
    let count = |what: &str| ordered.iter().filter(|action| *action == what).count();
    assert_eq!(
        (count("start web"), count("start worker")),
        (2, 4),
        "{ordered:?}"
    );
    let status = edge.controller.status(edge.now);
    let next = status.instances[0].next_event.clone().expect("an event");
    assert_eq!(
        (next.name.as_str(), next.attendees, next.fits),
        ("Congress", 300, true)
    );
}

#[tokio::test]
async fn an_event_that_will_not_fit_is_said_before_it_begins() {
    let mut edge = with_event(18, 300);
    memory(&mut edge, 4);
    edge.settle();
    let status = edge.controller.status(edge.now);
    let congress = &status.instances[0];
    assert!(!congress.next_event.as_ref().expect("an event").fits);
    let told: Vec<_> = congress
        .reasons
        .iter()
        .map(|reason| reason.text.as_str())
        .collect();
    let text = "Congress will not fit: it and all else announced for the time need 6 replicas more, \
                and the host has memory for 4; fewer will be started";
    assert!(told.contains(&text), "{told:?}");

    let edge = &mut with_event(18, 900);
    edge.settle();
    let status = edge.controller.status(edge.now);
    let told = format!("{:?}", status.instances[0].reasons);
    assert!(
        told.contains("needs 9 replicas of web, and `max` allows 4"),
        "{told}"
    );
}

#[tokio::test]
async fn a_full_host_starts_no_more_than_fits_and_says_so() {
    let mut edge = Edge::running();
    memory(&mut edge, 3);
    edge.sessions.insert("web_1".into(), 350);
    let ordered = edge.seconds(5);
    // One web with its two workers, of which one is there already; another three would not fit.
    assert_eq!(ordered, ["start web", "start worker"]);
    let status = edge.controller.status(edge.now);
    let web = &status.instances[0].services[0];
    assert_eq!(web.limited_by.as_deref(), Some("host memory (density)"));
    assert!(web.desired < web.wanted, "{web:?}");
    // Memory is there again.
    memory(&mut edge, 50);
    edge.seconds(10);
    assert_eq!(edge.units["web"].len(), 4);
}

#[tokio::test]
async fn a_host_that_is_too_small_for_the_least_of_a_service_is_told() {
    let mut edge = Edge::new(&CONFIG.replace("max = 4", "min = 3\nmax = 4"));
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    memory(&mut edge, 0);
    assert_eq!(edge.seconds(3), [""; 0]);
    let own = edge.controller.status(edge.now).instances[0].clone();
    let told = |reason: &Reason| reason.text.ends_with("host memory allows 1 of 3");
    assert!(own.reasons.iter().any(told), "{:?}", own.reasons);
}

#[tokio::test]
async fn what_was_saved_is_told_by_month() {
    let mut edge = Edge::running();
    edge.seconds(60);
    let status = edge.controller.status(edge.now);
    let savings = status.instances[0].savings.clone().expect("savings");
    assert_eq!(savings.month, "1970-01");
    assert!(savings.replica_hours > 0.0 && savings.replica_hours <= savings.always_on_hours);
}

//! Nobody is stopped before its drain has ended.

use super::*;

#[tokio::test]
async fn a_replica_with_sessions_is_not_stopped_before_its_drain_ended() {
    let mut edge = draining(5);
    edge.settle();
    assert_eq!(edge.usage("web_clone_1"), Some(Usage::Drain));
    let stopped = edge.seconds(600);
    let web = |action: &String| action.starts_with("stop web");
    assert!(
        !stopped.iter().any(web),
        "five people are still there: {stopped:?}"
    );
    edge.sessions.insert("web_clone_1".into(), 0);
    assert_eq!(edge.seconds(2), ["stop web_clone_1"]);
    assert_eq!(edge.state("web_clone_1"), "gone");
}

#[tokio::test]
async fn an_old_report_is_no_proof_that_a_replica_is_empty() {
    let mut edge = draining_unapplied();
    let stop = "stop web_clone_1".to_owned();
    for _ in 0..3 {
        assert!(!edge.second().contains(&stop));
    }
    edge.report_applied = None;
    assert!(edge.second().contains(&stop));
}

/// One web drains without sessions, but no report has seen the plan that says so.
fn draining_unapplied() -> Edge {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    edge.sessions.clear();
    for _ in 0..400 {
        edge.report_applied = Some(edge.controller.plan.generation);
        edge.second();
        if edge.state("web_clone_1") == "draining" {
            return edge;
        }
    }
    panic!("nothing began to drain");
}

#[tokio::test]
async fn demand_that_returns_takes_the_drain_back_instead_of_starting_another() {
    let mut edge = draining(5);
    edge.sessions.insert("web_1".into(), 150);
    assert!(
        edge.seconds(2)
            .iter()
            .all(|action| !action.starts_with("start web"))
    );
    assert_eq!(edge.state("web_clone_1"), "ready");
    edge.settle();
    assert_eq!(edge.usage("web_clone_1"), Some(Usage::Serve));
}

#[tokio::test]
async fn after_its_time_a_drain_closes_what_is_left_while_others_have_room() {
    let mut edge = draining(25);
    edge.seconds(14 * 60);
    assert_eq!(edge.state("web_clone_1"), "draining");
    edge.seconds(90);
    assert_eq!(edge.state("web_clone_1"), "cutting");
    // Two in a second: ten, ten, and these.
    let over = Duration::from_secs(3);
    let keep = 0;
    assert_eq!(edge.usage("web_clone_1"), Some(Usage::Cut { keep, over }));
}

#[tokio::test]
async fn without_room_elsewhere_nobody_is_cut_before_the_last_moment() {
    let mut edge = draining(25);
    edge.sessions.insert("web_1".into(), 100);
    edge.sessions.insert("web_clone_1".into(), 1);
    // One session more than the other can take, and too few to take the drain back.
    edge.seconds(40 * 60);
    assert_ne!(edge.state("web_clone_1"), "cutting");
}

#[tokio::test]
async fn a_worker_leaves_without_a_drain_because_nobody_is_connected_to_it() {
    let mut edge = Edge::running();
    edge.units
        .get_mut("worker")
        .expect("worker")
        .push(unit("worker_3", Origin::Added { number: 3 }));
    edge.list();
    edge.outlast_the_start();
    assert_eq!(edge.seconds(10), ["stop worker_3"]);
}

#[tokio::test]
async fn workers_are_stopped_idle_and_never_two_within_two_seconds() {
    let mut edge = Edge::running();
    for number in 3..=5 {
        let added = unit(&format!("worker_{number}"), Origin::Added { number });
        edge.units.get_mut("worker").expect("worker").push(added);
    }
    edge.list();
    edge.outlast_the_start();
    let mut stopped = Vec::new();
    for second in 0..180 {
        for action in edge.tick() {
            if let Action::Stop { when, .. } = &action {
                assert_ne!(*when, StopWhen::Now);
                stopped.push(second);
            }
            edge.carry_out(action);
        }
    }
    assert_eq!(stopped.len(), 3, "{stopped:?}");
    let closest = stopped.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(closest >= Some(2), "{stopped:?}");
}

/// One worker too many, and what the engine is told about its end.
fn end_of_a_worker(asked_last: u32) -> StopWhen {
    let mut edge = Edge::running();
    let added = unit("worker_3", Origin::Added { number: 3 });
    edge.units.get_mut("worker").expect("worker").push(added);
    edge.list();
    edge.requests = 1;
    edge.sessions.insert("web_1".into(), 50);
    for _ in 0..59 - asked_last {
        assert_eq!(edge.second(), [""; 0], "usher has just started");
    }
    edge.requests = 0;
    let actions = (0..30).flat_map(|_| edge.tick());
    let mut ends = actions.filter_map(|action| match action {
        Action::Stop { when, .. } => Some(when),
        _ => None,
    });
    ends.next().expect("an end")
}

#[tokio::test]
async fn where_the_engine_cannot_look_a_worker_leaves_when_nobody_has_asked_for_anything() {
    assert_eq!(end_of_a_worker(1), StopWhen::Idle);
    assert_eq!(end_of_a_worker(20), StopWhen::IdleOrUnseen);
}

#[tokio::test]
async fn a_worker_that_was_busy_is_asked_again_later_and_not_at_once() {
    let mut edge = Edge::running();
    let added = unit("worker_3", Origin::Added { number: 3 });
    edge.units.get_mut("worker").expect("worker").push(added);
    edge.list();
    edge.outlast_the_start();
    let action = (0..10).find_map(|_| edge.tick().pop());
    let action = action.expect("a stop");
    let result = Err(Failure {
        text: "it is at work".to_owned(),
        trouble: Trouble::Passing,
    });
    edge.take(Event::Acted(Acted { action, result }));
    assert_eq!(edge.state("worker_3"), "draining");
    for _ in 0..4 {
        assert_eq!(edge.second(), [""; 0]);
    }
    let later: Vec<_> = (0..3).flat_map(|_| edge.second()).collect();
    assert_eq!(later, ["stop worker_3"]);
}

#[tokio::test]
async fn a_worker_that_is_always_busy_has_its_time_and_no_more() {
    let mut edge = Edge::running();
    let added = unit("worker_3", Origin::Added { number: 3 });
    edge.units.get_mut("worker").expect("worker").push(added);
    edge.list();
    edge.outlast_the_start();
    let mut asked = Vec::new();
    for _ in 0..16 * 60 {
        for action in edge.tick() {
            let Action::Stop { when, .. } = &action else {
                continue;
            };
            asked.push(*when);
            let result = match when {
                StopWhen::Idle | StopWhen::IdleOrUnseen => Err(Failure {
                    text: "it is at work".to_owned(),
                    trouble: Trouble::Passing,
                }),
                StopWhen::Now => Ok(()),
            };
            edge.take(Event::Acted(Acted { action, result }));
        }
    }
    assert_eq!(asked.last(), Some(&StopWhen::Now));
    let looks = asked.iter().filter(|when| **when != StopWhen::Now).count();
    assert!(
        (100..=180).contains(&looks),
        "once in five seconds: {looks}"
    );
}

#[tokio::test]
async fn a_replica_whose_address_is_lost_is_not_stopped_without_a_proof() {
    let mut edge = draining(5);
    edge.settle();
    let webs = edge.units.get_mut("web").expect("web");
    let clone = webs.iter_mut().find(|unit| unit.name == "web_clone_1");
    clone.expect("the clone").reach = Reach::Unreachable {
        why: "its network went".to_owned(),
        joinable: Vec::new(),
    };
    edge.list();
    edge.settle();
    let plan = Arc::clone(&edge.controller.plan.instances["congress"]);
    assert_eq!(edge.usage("web_clone_1"), None, "nobody can be sent there");
    let leaving: Vec<_> = plan.leaving.iter().map(|one| one.id.unit()).collect();
    assert!(leaving.contains(&"web_clone_1"), "{leaving:?}");
}

/// The stop of a worker too many; the engine takes so long for it. Returns how long it may take, and
/// how many were killed at their work.
fn stop_of_a_worker(takes: u64) -> (Duration, Option<u64>) {
    let mut edge = Edge::running();
    let added = unit("worker_3", Origin::Added { number: 3 });
    edge.units.get_mut("worker").expect("worker").push(added);
    edge.list();
    edge.outlast_the_start();
    let action = (0..10).find_map(|_| edge.tick().pop()).expect("a stop");
    let Action::Stop { grace, .. } = &action else {
        panic!("unexpected: {action}");
    };
    let grace = *grace;
    edge.now.at += Duration::from_secs(takes);
    edge.units.get_mut("worker").expect("worker").pop();
    edge.list();
    let result = Ok(());
    edge.take(Event::Acted(Acted { action, result }));
    let status = edge.controller.status(edge.now);
    (grace, status.instances[0].services[1].killed_busy)
}

#[tokio::test]
async fn a_worker_has_half_a_minute_to_end_and_one_that_takes_it_all_is_counted_as_killed() {
    let half_a_minute = Duration::from_secs(30);
    // Two seconds of it the engine looks whether it is idle.
    assert_eq!(stop_of_a_worker(31), (half_a_minute, Some(0)));
    assert_eq!(stop_of_a_worker(32), (half_a_minute, Some(1)));
}

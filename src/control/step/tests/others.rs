//! What others do to a stack: operators, Compose, and another usher.

use super::*;

#[tokio::test]
async fn what_is_left_of_a_sibling_is_cleared_away_unless_one_is_being_made() {
    let mut edge = Edge::running();
    let mut left = unit("web_2", Origin::Added { number: 2 });
    left.phase = Phase::Created;
    edge.units.get_mut("web").expect("web").push(left);
    edge.list();
    assert_eq!(edge.second(), ["remove web_2"]);
    assert_eq!(edge.second(), [""; 0], "once");

    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    assert!(edge.second().contains(&"start web".to_owned()));
    let mut making = unit("web_2", Origin::Added { number: 2 });
    making.phase = Phase::Created;
    edge.units.get_mut("web").expect("web").push(making);
    edge.list();
    assert_eq!(edge.second(), [""; 0], "the engine is still at it");
}

#[tokio::test]
async fn a_declared_container_that_ended_is_its_operators() {
    let mut edge = Edge::running();
    let mut ended = unit("web_2", Origin::Declared { number: 2 });
    ended.phase = Phase::Exited { code: 0 };
    edge.units.get_mut("web").expect("web").push(ended);
    edge.list();
    assert_eq!(edge.seconds(30), [""; 0]);
}

#[tokio::test]
async fn a_container_somebody_else_stops_leaves_the_rotation_at_once() {
    let mut edge = Edge::running();
    edge.units.get_mut("web").expect("web")[0].phase = Phase::Leaving;
    edge.list();
    edge.settle();
    assert_eq!(edge.usage("web_1"), Some(Usage::Drain));
}

#[tokio::test]
async fn nothing_is_ordered_while_the_engine_is_silent_and_nothing_is_forgotten() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 250);
    let inventory = edge.inventory();
    edge.list_this(Some(inventory), Some("connection refused"));
    assert!(edge.second().is_empty());
    assert_eq!(edge.usage("web_1"), Some(Usage::Serve));
    edge.list();
    assert!(!edge.second().is_empty());
}

#[tokio::test]
async fn a_service_that_its_operator_stopped_stays_stopped() {
    let mut edge = Edge::running();
    edge.units.clear();
    edge.list();
    assert!(edge.seconds(120).is_empty());
}

#[tokio::test]
async fn after_a_deployment_by_somebody_else_usher_waits_before_it_adds() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    edge.units
        .get_mut("web")
        .expect("web")
        .retain(|unit| unit.name == "web_1");
    edge.list();
    assert!(edge.seconds(29).iter().all(|action| action != "start web"));
    assert!(edge.seconds(5).contains(&"start web".to_owned()));
}

#[tokio::test]
async fn siblings_that_compose_stops_and_removes_come_back_after_the_same_silence() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    // As a plain `up -d` does it: told to stop first, and gone a moment later.
    edge.units.get_mut("web").expect("web")[1].phase = Phase::Leaving;
    edge.list();
    assert_eq!(edge.seconds(20), [""; 0]);
    edge.units.get_mut("web").expect("web").truncate(1);
    edge.list();
    assert_eq!(edge.seconds(29), [""; 0], "counted from the last change");
    assert!(edge.seconds(5).contains(&"start web".to_owned()));
}

#[tokio::test]
async fn siblings_of_an_earlier_deployment_leave_once_the_new_one_serves() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    edge.sessions.insert("web_clone_1".into(), 5);
    // The original is made anew from another image; the sibling is still of the old one.
    let webs = edge.units.get_mut("web").expect("web");
    let mut new = unit("web_1", Origin::Declared { number: 1 });
    new.id = ReplicaId::new("web_new", 1);
    new.make = "new".to_owned();
    webs[0] = new;
    edge.list();
    edge.seconds(3);
    assert_eq!(edge.state("web_clone_1"), "ready", "nobody else serves yet");
    edge.probe("web_new", true);
    edge.seconds(2);
    assert_eq!(edge.state("web_clone_1"), "draining");
    // The new one is full, and the drain is not taken back for it.
    edge.sessions.insert("web_1".into(), 150);
    assert!(edge.seconds(20).iter().all(|action| action != "start web"));
    assert_eq!(edge.state("web_clone_1"), "draining");
    assert!(edge.seconds(15).contains(&"start web".to_owned()));
}

#[tokio::test]
async fn a_stack_that_was_taken_down_is_forgotten() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    let empty = Inventory::default();
    edge.list_this(Some(empty), None);
    assert_eq!(edge.seconds(2), [""; 0]);
    edge.sessions.clear();
    edge.sessions.insert("web_1".into(), 150);
    edge.units.get_mut("web").expect("web").truncate(1);
    edge.list();
    edge.probe("web_1", true);
    let ordered = edge.seconds(5);
    assert!(ordered.contains(&"start web".to_owned()), "{ordered:?}");
}

#[tokio::test]
async fn while_a_replica_is_replaced_its_visitors_wait() {
    let mut edge = Edge::running();
    let coming = |edge: &Edge| edge.controller.plan.instances["congress"].services["web"].coming;
    assert!(!coming(&edge));
    let mut phases = [Phase::Leaving, Phase::Exited { code: 0 }].into_iter();
    for phase in &mut phases {
        edge.units.get_mut("web").expect("web")[0].phase = phase;
        edge.list();
        edge.settle();
        assert!(coming(&edge), "{phase:?}");
    }
    edge.seconds(11);
    let state = &edge.controller.tenants["congress"].services["web"];
    assert!(!coming(&edge), "it was stopped for good: {state:?}");
}

#[tokio::test]
async fn a_stack_that_another_usher_manages_is_routed_to_and_nothing_else() {
    let mut edge = Edge::running();
    edge.controller.engine.shared = true;
    edge.sessions.insert("web_1".into(), 250);
    assert_eq!(edge.second(), ["claim congress"]);
    let claim = || Action::Claim {
        stack: "congress".parse().expect("name"),
    };
    let result = Err(Failure {
        text: "another usher manages the stack congress".to_owned(),
        trouble: Trouble::Passing,
    });
    let action = claim();
    edge.take(Event::Acted(Acted { action, result }));
    assert_eq!(edge.seconds(9), [""; 0]);
    assert_eq!(edge.usage("web_1"), Some(Usage::Serve));
    let reasons = edge.controller.status(edge.now).instances[0]
        .reasons
        .clone();
    let texts: Vec<_> = reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert!(
        texts.iter().any(|text| text.contains("another usher")),
        "{texts:?}"
    );
    assert_eq!(edge.second(), ["claim congress"], "it may be gone by now");
    let (action, result) = (claim(), Ok(()));
    edge.take(Event::Acted(Acted { action, result }));
    assert!(edge.second().contains(&"start web".to_owned()));
}

fn claimed(edge: &mut Edge, result: Result<(), &str>) {
    let stack = "congress".parse().expect("name");
    let result = result.map_err(|text| Failure {
        text: text.to_owned(),
        trouble: Trouble::Passing,
    });
    let action = Action::Claim { stack };
    edge.take(Event::Acted(Acted { action, result }));
}

#[tokio::test]
async fn while_it_is_asked_again_the_status_still_says_who_manages_the_stack() {
    let mut edge = Edge::running();
    edge.controller.engine.shared = true;
    assert_eq!(edge.second(), ["claim congress"]);
    claimed(&mut edge, Err("another usher has it"));
    edge.seconds(9);
    assert_eq!(edge.second(), ["claim congress"]);
    let status = edge.controller.status(edge.now);
    let reasons = &status.instances[0].reasons;
    assert!(reasons.iter().any(|one| one.text == "another usher has it"));
}

#[tokio::test]
async fn with_a_lease_that_is_lost_drains_end_and_nothing_is_stopped_until_it_is_held_again() {
    let mut edge = draining(0);
    edge.controller.engine.shared = true;
    let tenants = &mut edge.controller.tenants;
    tenants.get_mut("congress").expect("congress").claim = Claim::Held;
    assert_eq!(edge.state("web_clone_1"), "draining");

    let lost = BTreeSet::from(["congress".parse().expect("name")]);
    let listing = Inventory {
        lost,
        ..edge.inventory()
    };
    edge.list_this(Some(listing), None);
    assert_eq!(edge.state("web_clone_1"), "ready");
    assert_eq!(edge.second(), ["claim congress"]);
    claimed(&mut edge, Err("another usher has it"));
    edge.list();
    assert_eq!(edge.seconds(9), [""; 0]);
    assert_eq!(edge.state("web_clone_1"), "ready");
    assert_eq!(edge.usage("web_clone_1"), Some(Usage::Serve));

    assert_eq!(edge.second(), ["claim congress"]);
    claimed(&mut edge, Ok(()));
    let ordered = edge.seconds(600);
    assert!(
        ordered.contains(&"stop web_clone_1".to_owned()),
        "{ordered:?}"
    );
}

#[tokio::test]
async fn who_only_recommends_leaves_the_lease_to_another() {
    let mut edge = Edge::running();
    edge.controller.engine.shared = true;
    assert_eq!(edge.second(), ["claim congress"]);
    claimed(&mut edge, Ok(()));
    let recommends = CONFIG.replace("down-after", "mode = \"recommend\"\ndown-after");
    edge.take(Event::Config(current(&recommends)));
    assert_eq!(edge.second(), ["release congress"]);
    assert_eq!(edge.seconds(30), [""; 0]);
    edge.take(Event::Config(current(CONFIG)));
    assert_eq!(edge.second(), ["claim congress"]);
}

#[tokio::test]
async fn a_database_and_its_standby_that_both_run_are_critical() {
    let mut edge = Edge::running();
    let declared = |name| vec![unit(name, Origin::Declared { number: 1 })];
    edge.units.insert("postgres", declared("postgres_1"));
    edge.list();
    let told = |edge: &mut Edge| {
        let reasons = edge.controller.status(edge.now).instances[0]
            .reasons
            .clone();
        let together = |reason: &Reason| reason.text.contains("postgres and pg-slave");
        reasons
            .into_iter()
            .find(together)
            .map(|reason| reason.status)
    };
    assert_eq!(told(&mut edge), None);
    edge.units.insert("pg-slave", declared("pg-slave_1"));
    edge.list();
    assert_eq!(told(&mut edge), Some(Level::Critical));
}

/// What visitors would find after the only web of a stack has ended ten seconds after its start.
fn after_the_end(dismissed: bool) -> (bool, bool) {
    let mut edge = Edge::running();
    let web = &mut edge.units.get_mut("web").expect("web")[0];
    web.since = edge.now.wall;
    edge.list();
    edge.seconds(10);
    let web = &mut edge.units.get_mut("web").expect("web")[0];
    web.phase = Phase::Exited { code: 143 };
    web.dismissed = dismissed;
    edge.list();
    edge.settle();
    let plan = edge.controller.plan.instances.values().next().expect("one");
    let web = &plan.services["web"];
    (web.coming, web.failing)
}

#[tokio::test]
async fn one_that_was_stopped_and_ended_before_anybody_saw_it_leave_is_no_failed_start() {
    assert_eq!(after_the_end(false), (false, true), "it crashed");
    assert_eq!(
        after_the_end(true),
        (true, false),
        "another takes its place"
    );
}

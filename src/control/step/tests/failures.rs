//! What goes wrong with an engine, a stack or a clock, and what does not follow from it.

use super::closing::scale;
use super::*;
use crate::plan::SessionTotals;

/// Two web replicas with as many sessions as both are needed for, long after the start.
fn two() -> Edge {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    edge.sessions.insert("web_1".into(), 90);
    edge.sessions.insert("web_clone_1".into(), 60);
    edge.seconds(200);
    assert_eq!(edge.state("web_clone_1"), "ready");
    edge
}

fn wait(edge: &mut Edge, seconds: u32) -> Vec<String> {
    (0..seconds).flat_map(|_| edge.second()).collect()
}

/// The engine as it is, or with this trouble.
fn engine(edge: &mut Edge, trouble: Option<&str>) {
    let inventory = edge.inventory();
    edge.list_this(Some(inventory), trouble);
}

fn probes(edge: &mut Edge, good: bool) {
    for name in ["web_1", "web_clone_1"] {
        for _ in 0..3 {
            edge.probe(name, good);
        }
    }
}

fn nobody(edge: &mut Edge) {
    edge.sessions.clear();
}

/// A good answer of this life of a container.
fn proven(edge: &mut Edge, name: &str, life: u64) -> Event {
    let id = ReplicaId::new(name, life);
    let targets = edge.targets();
    let mut targets = targets.iter();
    let target = targets.find(|target| target.subject.replica == id);
    Event::Probe(Outcome {
        subject: target.expect("asked").subject.clone(),
        result: Ok(()),
    })
}

fn webs(edge: &Edge) -> [Option<Usage>; 2] {
    ["web_1", "web_clone_1"].map(|name| edge.usage(name))
}

const SERVE: [Option<Usage>; 2] = [Some(Usage::Serve); 2];

#[tokio::test]
async fn while_the_engine_is_away_routes_stay_and_nothing_starts_drains_or_stops() {
    let mut edge = two();
    engine(&mut edge, Some("no answer"));
    nobody(&mut edge);
    assert_eq!(wait(&mut edge, 1_000), [""; 0]);
    assert_eq!(webs(&edge), SERVE);
    edge.sessions.insert("web_1".into(), 350);
    assert_eq!(wait(&mut edge, 60), [""; 0]);
    // The probes go on, and count.
    for _ in 0..3 {
        edge.probe("web_1", false);
    }
    edge.settle();
    assert_eq!(webs(&edge), [Some(Usage::Drain), Some(Usage::Serve)]);
    engine(&mut edge, None);
    assert!(!wait(&mut edge, 2).is_empty(), "it goes on where it was");
}

#[tokio::test]
async fn when_all_fail_their_probe_all_are_tried_and_none_leaves() {
    let mut edge = two();
    probes(&mut edge, false);
    edge.settle();
    assert_eq!(edge.state("web_1"), "unhealthy");
    assert_eq!(webs(&edge), SERVE, "rather than nobody");
    let own = edge.controller.status(edge.now).instances[0].clone();
    assert_eq!(own.status, Level::Critical, "{:?}", own.reasons);
    nobody(&mut edge);
    let web = |action: &String| action.contains("web");
    assert!(!wait(&mut edge, 1_000).iter().any(web), "none leaves");
    assert_eq!(webs(&edge), SERVE);
    // Not even because an operator wants fewer: who would be left may be the worse one.
    scale(&mut edge, 1);
    assert!(!wait(&mut edge, 60).iter().any(web), "none leaves");
    // One that answers is enough for the rest to follow.
    probes(&mut edge, true);
    let stopped = edge.seconds(5);
    assert_eq!(stopped.iter().filter(|action| web(action)).count(), 1);
}

#[tokio::test]
async fn one_that_does_not_answer_is_out_at_once_and_back_when_it_does() {
    let mut edge = two();
    for _ in 0..3 {
        edge.probe("web_1", false);
    }
    edge.settle();
    assert_eq!(webs(&edge), [Some(Usage::Drain), Some(Usage::Serve)]);
    for _ in 0..2 {
        edge.probe("web_1", true);
    }
    edge.settle();
    assert_eq!(webs(&edge), SERVE);
}

#[tokio::test]
async fn while_starts_fail_no_healthy_one_leaves() {
    let mut edge = two();
    edge.sessions.insert("web_1".into(), 190);
    for _ in 0..3 {
        let ordered = edge.tick();
        for action in ordered {
            let failure = Failure {
                text: "no such image".to_owned(),
                trouble: Trouble::Passing,
            };
            let result = Err(failure);
            edge.take(Event::Acted(Acted { action, result }));
        }
    }
    let own = edge.controller.status(edge.now).instances[0].clone();
    assert!(own.reasons[0].text.contains("no such image"), "{own:?}");
    assert_eq!(webs(&edge), SERVE);
}

/// `down-after` is a minute: what was not watched in it is not known to be little.
#[tokio::test]
async fn counts_that_are_missing_are_not_low_demand() {
    let mut edge = two();
    nobody(&mut edge);
    // Time passes, and no report comes.
    for _ in 0..300 {
        edge.now.at += Duration::from_secs(1);
        edge.now.wall += Duration::from_secs(1);
        assert_eq!(edge.settle(), [""; 0]);
    }
    let silent = wait(&mut edge, 55);
    assert_eq!(silent, [""; 0], "its window is not full again");
    assert!(edge.seconds(400).contains(&"stop web_clone_1".to_owned()));
}

#[tokio::test]
async fn a_clock_that_steps_changes_nothing() {
    for back in [false, true] {
        let mut edge = two();
        let day = Duration::from_secs(86_400);
        edge.now.wall = if back {
            edge.now.wall - day
        } else {
            edge.now.wall + day
        };
        assert_eq!(edge.seconds(60), [""; 0]);
        assert_eq!(webs(&edge), SERVE);
        engine(&mut edge, None);
        assert_eq!(edge.seconds(60), [""; 0]);
    }
}

#[tokio::test]
async fn a_new_usher_leaves_what_it_finds_until_it_knows_better() {
    let mut edge = Edge::new(CONFIG);
    edge.units = two().units;
    edge.list();
    probes(&mut edge, true);
    assert_eq!(edge.seconds(58), [""; 0]);
    assert_eq!(webs(&edge), SERVE);
    assert!(edge.seconds(400).contains(&"stop web_clone_1".to_owned()));
}

#[tokio::test]
async fn after_a_reboot_the_originals_serve_and_dead_siblings_are_cleared_away() {
    let mut edge = two();
    // Compose's own come back by themselves; the siblings' policy does not bring them back.
    let units = edge.units.get_mut("web").expect("webs");
    for unit in units.iter_mut() {
        match unit.origin {
            Origin::Added { .. } => unit.phase = Phase::Exited { code: 137 },
            _ => unit.id = ReplicaId::new(&unit.name, 2),
        }
    }
    edge.list();
    assert_eq!(edge.settle(), ["remove web_clone_1"]);
    assert_eq!(webs(&edge), [None; 2], "it has to prove itself");
    let answer = proven(&mut edge, "web_1", 2);
    edge.take(answer);
    edge.settle();
    assert_eq!(webs(&edge)[0], Some(Usage::Serve));
}

/// A second in which every handshake takes some seconds.
fn slow_second(edge: &mut Edge, second: u64) {
    edge.now.at += Duration::from_secs(1);
    edge.now.wall += Duration::from_secs(1);
    edge.report();
    let mut report = Report::clone(&edge.controller.report);
    let own = report.instances.change("congress".parse().expect("name"));
    let mut totals = SessionTotals::default();
    // 2.5 s to 5 s
    totals.handshakes[9] = 10 * second;
    own.services.insert("web".parse().expect("name"), totals);
    edge.take(Event::Report(Arc::new(report)));
    for action in edge.decide() {
        edge.carry_out(action);
    }
}

#[tokio::test]
async fn when_more_workers_were_no_help_twice_the_status_says_that_something_else_is_slow() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 50);
    let told = |edge: &mut Edge| {
        let own = edge.controller.status(edge.now).instances[0].clone();
        let reasons = own.reasons.iter().cloned();
        let mut reasons = reasons.filter(|reason| reason.part == "service:worker");
        reasons.next().map(|reason| (reason.status, reason.text))
    };
    (1..100).for_each(|second| slow_second(&mut edge, second));
    assert_eq!(edge.units["worker"].len(), 3, "half as many again");
    assert_eq!(told(&mut edge), None);
    (100..160).for_each(|second| slow_second(&mut edge, second));
    let (level, text) = told(&mut edge).expect("a reason");
    assert_eq!(level, Level::Warning);
    assert!(
        text.contains("something else is slow (database, Redis, processor)"),
        "{text}"
    );
}

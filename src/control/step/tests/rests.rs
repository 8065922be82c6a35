//! Stacks at rest: nobody comes, or their rental is over.

use super::*;
use crate::plan::Condition;

/// The engine of Compose: an original that is stopped rests, and is the first to be started again.
struct Compose(Edge);

impl Compose {
    fn new(text: &str) -> Self {
        let mut edge = Edge::new(text);
        edge.units = Edge::running().units;
        edge.list();
        edge.probe("web_1", true);
        edge.controller.plan();
        Self(edge)
    }

    /// As [`Edge::seconds`].
    fn seconds(&mut self, count: u32) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            for action in self.0.tick() {
                all.push(words(&action));
                self.carry_out(action);
            }
        }
        all
    }

    fn carry_out(&mut self, action: Action) {
        let edge = &mut self.0;
        match &action {
            Action::Stop { proof, .. } => {
                let id = proof.replica();
                let mut units = edge.units.values_mut().flatten();
                let unit = units.find(|unit| unit.id == *id).expect("listed");
                unit.phase = Phase::Exited { code: 143 };
                edge.list();
            }
            Action::Start { service, .. } => {
                let units = edge.units.get_mut(service.as_str()).expect("known");
                let unit = units
                    .iter_mut()
                    .find(|unit| !unit.phase.is_alive())
                    .expect("one that rests");
                // Another life of the same container.
                unit.phase = Phase::Running;
                unit.since = edge.now.wall;
                unit.id = ReplicaId::new(&unit.name, unit.id.started() + 1);
                let id = unit.id.clone();
                edge.list();
                let targets = edge.targets();
                let target = targets.iter().find(|target| target.subject.replica == id);
                if let Some(target) = target {
                    edge.take(Event::Probe(Outcome {
                        subject: target.subject.clone(),
                        result: Ok(()),
                    }));
                }
            }
            other => panic!("unexpected: {other}"),
        }
        edge.take(Event::Acted(Acted {
            action,
            result: Ok(()),
        }));
    }

    fn plan(&self) -> &crate::plan::InstancePlan {
        &self.0.controller.plan.instances["congress"]
    }

    fn condition(&self) -> Condition {
        self.plan().condition
    }

    /// Whether the web service is asleep, and whether one is coming, as the data plane is told.
    fn told(&self) -> (bool, bool) {
        let web = &self.plan().services["web"];
        (web.asleep, web.coming)
    }

    fn status(&mut self) -> crate::control::status::Status {
        self.0.controller.status(self.0.now)
    }
}

fn idle() -> String {
    CONFIG.replace(
        "down-after = \"60s\"",
        "down-after = \"60s\"\nidle-to-zero = \"2m\"",
    )
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[tokio::test]
async fn nobody_puts_originals_to_rest_and_a_visit_starts_them_again_in_the_same_moment() {
    let mut stack = Compose::new(&idle());
    // One worker is enough where nobody is.
    assert_eq!(stack.seconds(119), ["stop worker_2"]);
    assert_eq!(stack.told(), (false, false));
    assert_eq!(
        sorted(stack.seconds(10)),
        ["stop web_1", "stop worker_1"],
        "after two minutes without anybody"
    );
    assert_eq!(stack.told(), (true, true));
    let status = stack.status();
    let own = &status.instances[0];
    assert_eq!(own.rests(), Some("scaled to zero"));
    assert!(own.asleep && own.reasons.is_empty(), "{:?}", own.reasons);
    assert_ne!(status.status, Level::Critical);
    let used = own.savings.clone().expect("counted").replica_hours;
    assert!(stack.seconds(3_600).is_empty());
    let savings = stack.status().instances[0].savings.clone();
    let savings = savings.expect("counted");
    assert!(savings.replica_hours - used < 0.01, "{savings:?}");
    assert!(savings.always_on_hours > 3.0, "{savings:?}");

    stack.0.visits += 1;
    let ordered: Vec<Action> = stack.0.tick();
    let said: Vec<String> = ordered.iter().map(words).collect();
    assert_eq!(sorted(said), ["start web", "start worker"]);
    assert_eq!(stack.told(), (false, true), "whoever came is held");
    let own = stack.status().instances[0].clone();
    assert_eq!((own.rests(), own.status), (None, Level::Warning));
    assert!(own.reasons[0].text.contains("is starting"), "{own:?}");
    for action in ordered {
        stack.carry_out(action);
    }
    assert!(stack.seconds(100).is_empty());
    assert_eq!(stack.0.usage("web_1"), Some(Usage::Serve));
    assert_eq!(stack.status().instances[0].status, Level::Healthy);
}

#[tokio::test]
async fn a_visit_while_it_falls_asleep_takes_the_drain_back() {
    let mut stack = Compose::new(&idle());
    stack.seconds(119);
    stack.0.report_applied = Some(Generation(0));
    stack.seconds(3);
    assert_eq!(stack.0.state("web_1"), "draining");
    assert_eq!(stack.told(), (true, true), "nobody is sent away meanwhile");
    stack.0.visits += 1;
    assert!(stack.seconds(1).is_empty());
    assert_eq!(stack.0.usage("web_1"), Some(Usage::Serve));
}

#[tokio::test]
async fn a_wake_that_fails_backs_off_and_the_page_can_say_so() {
    let mut stack = Compose::new(&idle());
    stack.seconds(140);
    stack.0.visits += 1;
    let ordered = stack.0.tick();
    for action in ordered {
        let failure = Failure {
            text: "no such image".to_owned(),
            trouble: Trouble::Passing,
        };
        stack.0.take(Event::Acted(Acted {
            action,
            result: Err(failure),
        }));
    }
    assert!(stack.seconds(4).is_empty(), "it waits");
    let web = &stack.plan().services["web"];
    assert_eq!((web.coming, web.failing), (false, true));
    let own = stack.status().instances[0].clone();
    assert_eq!(own.status, Level::Critical);
    let again = stack.seconds(2);
    assert_eq!(sorted(again), ["start web", "start worker"]);
    assert_eq!(stack.0.usage("web_1"), Some(Usage::Serve));
}

#[tokio::test]
async fn an_operators_stop_is_not_undone_and_a_new_usher_finds_a_stack_at_rest() {
    let redis = "[instance.service.redis]\nrole = \"fixed\"\n";
    for (text, wakes) in [(CONFIG.to_owned(), false), (idle(), true)] {
        let text = format!("{text}{redis}");
        let mut edge = Edge::new(&text);
        edge.units = Edge::running().units;
        for unit in edge.units.values_mut().flatten() {
            unit.phase = Phase::Exited { code: 0 };
        }
        let redis = unit("redis_1", Origin::Declared { number: 1 });
        edge.units.insert("redis", vec![redis]);
        edge.list();
        let mut stack = Compose(edge);
        assert!(stack.seconds(5).is_empty(), "nobody has come");
        stack.0.visits += 1;
        assert_eq!(!stack.seconds(5).is_empty(), wakes);
    }
}

#[tokio::test]
async fn a_new_usher_within_the_rental_starts_what_an_earlier_one_has_stopped() {
    let text = CONFIG.replace(
        "name = \"congress\"",
        "name = \"congress\"\nrental = { from = 1970-01-01, until = 1970-01-31 }",
    );
    let text = format!("{text}[instance.service.redis]\nrole = \"fixed\"\n");
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    for unit in edge.units.values_mut().flatten() {
        unit.phase = Phase::Exited { code: 143 };
    }
    let redis = unit("redis_1", Origin::Declared { number: 1 });
    edge.units.insert("redis", vec![redis]);
    edge.list();
    let mut stack = Compose(edge);
    assert_eq!(sorted(stack.seconds(3)), ["start web", "start worker"]);
    // From now on a stop is an operator's.
    for name in ["web", "worker"] {
        for unit in stack.0.units.get_mut(name).expect("known") {
            unit.phase = Phase::Exited { code: 0 };
        }
    }
    stack.0.list();
    assert!(stack.seconds(60).is_empty());
}

#[tokio::test]
async fn outside_its_rental_a_stack_runs_nothing_asks_nobody_and_comes_back_when_it_begins() {
    // The edge's clock begins twelve days after 1970 did.
    let day = |text: &str| {
        CONFIG.replace(
            "name = \"congress\"",
            &format!("name = \"congress\"\nrental = {{ {text} }}"),
        )
    };
    let mut stack = Compose::new(&day("from = 2026-12-01, until = 2026-12-31"));
    let all = sorted(stack.seconds(30));
    assert_eq!(all, ["stop web_1", "stop worker_1", "stop worker_2"]);
    assert_eq!(stack.condition(), Condition::Unrented);
    assert!(stack.0.targets().is_empty());
    let certificates = stack.0.controller.certificates();
    assert!(certificates.all().all(|wanted| !wanted.may_order));
    let status = stack.status();
    assert_eq!(status.instances[0].rests(), Some("rented-out"));
    assert!(status.instances[0].reasons.is_empty());
    stack.0.visits += 9;
    assert!(stack.seconds(100).is_empty());

    // The middle of it, in whatever zone this runs.
    stack.0.now.wall = "2026-12-15T12:00:00Z"
        .parse::<jiff::Timestamp>()
        .expect("a moment")
        .into();
    let all = sorted(stack.seconds(2));
    assert_eq!(all, ["start web", "start worker"]);
    assert_eq!(stack.condition(), Condition::Serving);
    assert_eq!(stack.0.usage("web_1"), Some(Usage::Serve));
    let certificates = stack.0.controller.certificates();
    assert!(certificates.all().all(|wanted| wanted.may_order));
}

#[tokio::test]
async fn an_event_beyond_the_rental_is_told_before_it_is_met_with_a_closed_door() {
    let event = |start: &str, end: &str| {
        let text = CONFIG.replace(
            "name = \"congress\"",
            "name = \"congress\"\nrental = { from = 1970-01-01, until = 1970-01-13 }",
        );
        let text = format!(
            "{text}[[instance.event]]\nname = \"Vote\"\nstart = {start}\nend = {end}\nattendees = 50\n"
        );
        let mut stack = Compose::new(&text);
        stack.seconds(1);
        let own = stack.status().instances[0].clone();
        let told = own.reasons.iter().map(|reason| reason.text.clone());
        (
            own.next_event.as_ref().expect("announced").fits,
            told.collect::<Vec<_>>(),
        )
    };
    let (fits, told) = event("1970-01-12T15:00:00Z", "1970-01-15T18:00:00Z");
    assert!(
        !fits && told[0].contains("Vote does not lie within the rental"),
        "{told:?}"
    );
    let (fits, told) = event("1970-01-12T15:00:00Z", "1970-01-12T18:00:00Z");
    assert!(fits && told.is_empty(), "{told:?}");
}

#[tokio::test]
async fn sessions_end_by_the_rules_of_drains_when_the_rental_does() {
    let text = CONFIG.replace(
        "name = \"congress\"",
        "name = \"congress\"\nrental = { from = 2026-12-01, until = 2026-12-31 }",
    );
    let mut stack = Compose::new(&text);
    stack.0.sessions.insert("web_1".into(), 20);
    stack.seconds(3_590);
    assert_eq!(stack.0.state("web_1"), "draining");
    stack.seconds(20);
    let usage = stack.0.usage("web_1");
    // Five a second.
    let over = Duration::from_secs(4);
    assert_eq!(usage, Some(Usage::Cut { keep: 0, over }));
}

#[tokio::test]
async fn addresses_that_nobody_manages_are_left_outside_the_rental() {
    let text = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
                rental = { from = 2026-12-01, until = 2026-12-31 }\n\
                [instance.service.web]\nrole = \"sessions\"\naddresses = [\"10.0.0.1:80\"]\n";
    let mut edge = Edge::new(text);
    edge.now.wall = "2026-12-30T12:00:00Z"
        .parse::<jiff::Timestamp>()
        .expect("a moment")
        .into();
    edge.list();
    edge.probe("10.0.0.1:80", true);
    assert_eq!(edge.targets().len(), 1);
    let mut stack = Compose(edge);
    stack.seconds(1);
    assert_eq!(stack.condition(), Condition::Serving);
    stack.0.now.wall += Duration::from_secs(3 * 86_400);
    assert!(stack.seconds(5).is_empty());
    assert_eq!(stack.condition(), Condition::Unrented);
    assert!(stack.plan().services["web"].endpoints.is_empty());
}

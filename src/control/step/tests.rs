use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use super::super::status::{Level, Reason};
use super::*;
use crate::config;
use crate::drain::Gate;
use crate::engine::act::Failure;
use crate::engine::{StopWhen, Trouble};
use crate::inventory::{Network, Origin, Phase, Reach, Unit, Volume};
use crate::names::{Generation, ReplicaId};
use crate::plan::{EndpointReport, InstanceReport, Target, Usage};
use crate::prober::Outcome;

mod closing;
mod failures;
mod guard;
mod operator;
mod rests;
mod rules;
mod swarm;

const CONFIG: &str = r#"
[[instance]]
name = "congress"
domains = ["congress.example.org"]
[instance.scale]
sessions-per-replica = 100
down-after = "60s"
[instance.limits]
replica-drain = "15m"
replica-drain-max = "1h"
[instance.service.web]
role = "sessions"
port = 8000
probe = "/"
max = 4
[instance.service.worker]
role = "ratio"
of = "web"
ratio = 2.0
"#;

/// A controller on a clock of its own, with a stack that does what it is told.
struct Edge {
    controller: Controller,
    now: Now,
    units: BTreeMap<&'static str, Vec<Unit>>,
    sessions: BTreeMap<String, u32>,
    /// The plan that the reports have seen; the newest unless said otherwise.
    report_applied: Option<Generation>,
    /// Requests that said that somebody is there.
    visits: u64,
    made: u32,
}

fn current(text: &str) -> Current {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("usher.toml");
    std::fs::write(&path, text).expect("written");
    let loaded = config::load(&path, None);
    Current {
        config: Arc::new(loaded.config.expect("good")),
        issues: loaded.issues.into(),
        last_reload: Ok(()),
    }
}

fn unit(name: &str, origin: Origin) -> Unit {
    Unit {
        id: ReplicaId::new(name, 1),
        name: name.to_owned(),
        image: "image".to_owned(),
        make: String::new(),
        phase: Phase::Running,
        since: SystemTime::UNIX_EPOCH,
        reach: Reach::At(IpAddr::from([10, 0, 0, 1])),
        networks: vec!["n1".to_owned()],
        ports: vec![8000],
        mounts: Vec::new(),
        health: None,
        origin,
        task: None,
        claims: Arc::default(),
    }
}

impl Edge {
    fn new(text: &str) -> Self {
        let now = Now {
            at: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        let facts = EngineFacts {
            kind: "docker",
            starts_from_nothing: false,
            shared: false,
            quiet: QUIET,
        };
        Self {
            controller: Controller::new(current(text), facts, now),
            now,
            units: BTreeMap::new(),
            sessions: BTreeMap::new(),
            report_applied: None,
            visits: 0,
            made: 0,
        }
    }

    /// One web and two workers, declared, running, and the web ready.
    fn running() -> Self {
        let mut edge = Self::new(CONFIG);
        edge.units
            .insert("web", vec![unit("web_1", Origin::Declared { number: 1 })]);
        let workers =
            [1, 2].map(|number| unit(&format!("worker_{number}"), Origin::Declared { number }));
        edge.units.insert("worker", workers.into());
        edge.list();
        edge.probe("web_1", true);
        edge.controller.plan();
        edge
    }

    fn take(&mut self, event: Event) {
        self.controller.take(self.now, event);
    }

    fn inventory(&self) -> Inventory {
        let services = self
            .units
            .iter()
            .map(|(name, units)| (name.parse().expect("name"), units.clone()))
            .collect();
        let stack = Stack {
            services,
            ..Stack::default()
        };
        Inventory {
            stacks: BTreeMap::from([("congress".parse().expect("name"), stack)]),
            ..Inventory::default()
        }
    }

    fn list(&mut self) {
        let inventory = self.inventory();
        self.list_this(Some(inventory), None);
    }

    fn list_this(&mut self, inventory: Option<Inventory>, error: Option<&str>) {
        self.take(Event::Listing(Listing {
            inventory: inventory.map(Arc::new),
            last_sync: Some(self.now.wall),
            error: error.map(Into::into),
        }));
    }

    fn probe(&mut self, name: &str, good: bool) {
        let id = ReplicaId::new(name, 1);
        let targets = self.controller.targets();
        let Some(target) = targets.iter().find(|target| target.subject.replica == id) else {
            return;
        };
        self.take(Event::Probe(Outcome {
            subject: target.subject.clone(),
            result: if good {
                Ok(())
            } else {
                Err("refused".to_owned())
            },
        }));
    }

    /// Puts what is planned into force and reports the sessions there are.
    fn report(&mut self) {
        let plan = Arc::clone(&self.controller.plan);
        let mut report = Report {
            applied: self.report_applied.unwrap_or(plan.generation),
            ..Report::default()
        };
        for (name, instance) in &plan.instances {
            let mut seen = InstanceReport {
                visits: self.visits,
                ..InstanceReport::default()
            };
            for endpoint in instance
                .services
                .values()
                .flat_map(|service| &service.endpoints)
            {
                let sessions = self.sessions.get(&*endpoint.name).copied().unwrap_or(0);
                seen.endpoints.insert(
                    endpoint.id.clone(),
                    EndpointReport {
                        closed: endpoint.usage != Usage::Serve,
                        inside: sessions,
                        websockets: sessions,
                        streams: 0,
                        pending: 0,
                    },
                );
                if endpoint.usage != Usage::Serve {
                    let gate = Gate::new(endpoint.id.clone());
                    (0..sessions).for_each(|_| assert!(gate.enter()));
                    gate.close();
                    let proof = gate
                        .proof(self.now.at)
                        .map(|proof| (endpoint.id.clone(), proof));
                    seen.drained.extend(proof);
                }
            }
            for leaving in &instance.leaving {
                let gate = Gate::new(leaving.id.clone());
                gate.close();
                let proof = gate.proof(self.now.at).expect("nobody is inside");
                seen.drained.insert(leaving.id.clone(), proof);
            }
            report.instances.insert(name.clone(), seen);
        }
        self.take(Event::Report(Arc::new(report)));
    }

    /// A second passes: report, decide, plan. Returns what was ordered.
    fn tick(&mut self) -> Vec<Action> {
        self.now.at += Duration::from_secs(1);
        self.now.wall += Duration::from_secs(1);
        self.report();
        self.decide()
    }

    fn decide(&mut self) -> Vec<Action> {
        let actions = self.controller.settle(self.now);
        self.controller.plan();
        actions
    }

    /// As [`Self::tick`], in words.
    fn second(&mut self) -> Vec<String> {
        self.tick().iter().map(words).collect()
    }

    fn settle(&mut self) -> Vec<String> {
        self.decide().iter().map(words).collect()
    }

    /// Until what usher found at its start is no longer held; somebody is there meanwhile.
    fn outlast_the_start(&mut self) {
        self.sessions.insert("web_1".into(), 50);
        assert_eq!(self.seconds(60), [""; 0], "usher has just started");
    }

    /// Seconds pass in which the engine does everything at once and replicas become ready.
    fn seconds(&mut self, count: u32) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            for action in self.tick() {
                all.push(words(&action));
                self.carry_out(action);
            }
        }
        all
    }

    fn carry_out(&mut self, action: Action) {
        match &action {
            Action::Start { service, .. } => {
                self.made += 1;
                let name = format!("{service}_clone_{}", self.made);
                let mut made = unit(
                    &name,
                    Origin::Added {
                        number: 10 + self.made,
                    },
                );
                made.since = self.now.wall;
                let key = if service.as_str() == "web" {
                    "web"
                } else {
                    "worker"
                };
                self.units.entry(key).or_default().push(made);
                self.list();
                self.probe(&name, true);
            }
            Action::Remove { replica, .. } => self.is_gone(replica),
            Action::Stop { proof, .. } => self.is_gone(proof.replica()),
            Action::Claim { .. } | Action::Join { .. } | Action::Leave { .. } => {}
        }
        self.take(Event::Acted(Acted {
            action,
            result: Ok(()),
        }));
    }

    fn is_gone(&mut self, replica: &ReplicaId) {
        for units in self.units.values_mut() {
            units.retain(|unit| unit.id != *replica);
        }
        self.list();
    }

    fn usage(&self, name: &str) -> Option<Usage> {
        let instance = &self.controller.plan.instances["congress"];
        let endpoint = instance
            .services
            .values()
            .flat_map(|service| &service.endpoints)
            .find(|endpoint| &*endpoint.name == name);
        endpoint.map(|endpoint| endpoint.usage)
    }

    fn state(&self, name: &str) -> &'static str {
        self.controller.tenants["congress"]
            .services
            .values()
            .find_map(|service| service.replicas.get(&ReplicaId::new(name, 1)))
            .map_or("gone", |replica| replica.state().word())
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Claim { stack } => format!("claim {stack}"),
        Action::Join { network, .. } => format!("join {}", network.name),
        Action::Leave { network } => format!("leave {}", network.name),
        Action::Start { service, .. } => format!("start {service}"),
        Action::Remove { replica, .. } => format!("remove {}", replica.unit()),
        Action::Stop { proof, .. } => format!("stop {}", proof.replica().unit()),
    }
}

#[tokio::test]
async fn a_running_container_gets_no_traffic_before_its_probe_succeeds() {
    let mut edge = Edge::new(CONFIG);
    edge.units
        .insert("web", vec![unit("web_1", Origin::Declared { number: 1 })]);
    edge.list();
    edge.settle();
    assert_eq!(edge.usage("web_1"), None);
    assert_eq!(edge.controller.targets().len(), 1);
    edge.probe("web_1", true);
    edge.settle();
    assert_eq!(edge.usage("web_1"), Some(Usage::Serve));
}

#[tokio::test]
async fn a_restarted_container_has_to_prove_itself_again() {
    let mut edge = Edge::running();
    edge.settle();
    assert_eq!(edge.usage("web_1"), Some(Usage::Serve));
    edge.units.get_mut("web").expect("web")[0].id = ReplicaId::new("web_1", 2);
    edge.list();
    edge.settle();
    assert_eq!(edge.usage("web_1"), None);
}

#[tokio::test]
async fn an_address_on_no_shared_network_is_never_probed() {
    let mut edge = Edge::new(CONFIG);
    let mut far = unit("web_1", Origin::Declared { number: 1 });
    let network = Network {
        id: "n7".to_owned(),
        name: "congress_back".to_owned(),
    };
    far.reach = Reach::Unreachable {
        why: "elsewhere".to_owned(),
        joinable: vec![network],
    };
    edge.units.insert("web", vec![far]);
    edge.list();
    assert_eq!(edge.settle(), ["join congress_back"]);
    assert!(edge.controller.targets().is_empty());
    assert!(edge.settle().is_empty(), "joining is under way");
    let plan = &edge.controller.plan.instances["congress"];
    assert!(plan.services["web"].stranded);
}

#[tokio::test]
async fn a_network_is_left_with_its_last_replica() {
    let mut edge = Edge::running();
    let network = |id: &str| Network {
        id: id.to_owned(),
        name: id.to_owned(),
    };
    let mut inventory = edge.inventory();
    inventory.joined = vec![network("n1"), network("n9")];
    edge.list_this(Some(inventory), None);
    assert_eq!(edge.settle(), ["leave n9"]);
}

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

/// An edge with two ready webs, of which one begins to drain with so many sessions on it.
fn draining(sessions: u32) -> Edge {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    assert_eq!(edge.state("web_clone_1"), "ready");
    edge.sessions.insert("web_1".into(), 10);
    edge.sessions.insert("web_clone_1".into(), sessions);
    for _ in 0..400 {
        edge.seconds(1);
        if edge.state("web_clone_1") == "draining" {
            return edge;
        }
    }
    panic!("nothing began to drain");
}

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
                assert_eq!(*when, StopWhen::Idle);
                stopped.push(second);
            }
            edge.carry_out(action);
        }
    }
    assert_eq!(stopped.len(), 3, "{stopped:?}");
    let closest = stopped.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(closest >= Some(2), "{stopped:?}");
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
                StopWhen::Idle => Err(Failure {
                    text: "it is at work".to_owned(),
                    trouble: Trouble::Passing,
                }),
                StopWhen::Now => Ok(()),
            };
            edge.take(Event::Acted(Acted { action, result }));
        }
    }
    assert_eq!(asked.last(), Some(&StopWhen::Now));
    let looks = asked.iter().filter(|when| **when == StopWhen::Idle).count();
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
async fn three_that_never_come_to_life_are_followed_by_one_try_in_five_minutes() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 900);
    let mut starts = Vec::new();
    for second in 0..1_500 {
        for action in edge.tick() {
            let result = Ok(());
            match &action {
                Action::Start { service, .. } if service.as_str() == "web" => {
                    starts.push(second);
                    // It runs, and never answers.
                    let number = 10 + u32::try_from(starts.len()).expect("few");
                    let mut made = unit(&format!("web_{number}"), Origin::Added { number });
                    made.since = edge.now.wall;
                    edge.units.get_mut("web").expect("web").push(made);
                    edge.take(Event::Acted(Acted { action, result }));
                    edge.list();
                }
                Action::Start { .. } => edge.take(Event::Acted(Acted { action, result })),
                _ => edge.carry_out(action),
            }
        }
        edge.probe("web_1", true);
    }
    assert_eq!(edge.state("web_1"), "ready", "it was left alone");
    let pauses: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(starts.len() >= 4, "{starts:?}");
    assert!(
        pauses.iter().skip(3).all(|pause| *pause >= 300),
        "{starts:?}"
    );
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
    let reasons = edge.controller.status(edge.now).instances.remove(0).reasons;
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

#[tokio::test]
async fn a_database_and_its_standby_that_both_run_are_critical() {
    let mut edge = Edge::running();
    let declared = |name| vec![unit(name, Origin::Declared { number: 1 })];
    edge.units.insert("postgres", declared("postgres_1"));
    edge.list();
    let told = |edge: &mut Edge| {
        let reasons = edge.controller.status(edge.now).instances.remove(0).reasons;
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

#[tokio::test]
async fn a_start_that_fails_is_tried_again_later_and_said() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    let fail = |edge: &mut Edge, passing: bool| {
        edge.take(Event::Acted(Acted {
            action: Action::Start {
                stack: "congress".parse().expect("name"),
                service: "web".parse().expect("name"),
                command: Vec::new(),
            },
            result: Err(Failure {
                text: "no space left".to_owned(),
                trouble: if passing {
                    Trouble::Passing
                } else {
                    Trouble::Stack
                },
            }),
        }));
    };
    assert!(edge.second().contains(&"start web".to_owned()));
    fail(&mut edge, true);
    assert!(!edge.second().contains(&"start web".to_owned()));
    let status = edge.controller.status(edge.now);
    let text = &status.instances[0].reasons[0].text;
    assert_eq!(
        text,
        "no further replica of web could be started: no space left"
    );
    edge.now.at += Duration::from_secs(5);
    assert!(edge.second().contains(&"start web".to_owned()));
    fail(&mut edge, false);
    edge.now.at += Duration::from_secs(3_600);
    assert!(
        !edge.second().contains(&"start web".to_owned()),
        "hopeless until the stack changes"
    );
}

#[tokio::test]
async fn a_replica_that_never_becomes_ready_stops_further_starts_and_drains_nobody() {
    let mut edge = Edge::new(CONFIG);
    edge.units
        .insert("web", vec![unit("web_1", Origin::Declared { number: 1 })]);
    edge.list();
    edge.sessions.insert("web_1".into(), 900);
    let mut ordered = Vec::new();
    for _ in 0..180 {
        ordered.extend(edge.second());
    }
    assert_eq!(edge.state("web_1"), "failed");
    let webs: Vec<_> = ordered
        .iter()
        .filter(|action| action.contains("web"))
        .collect();
    assert!(webs.is_empty(), "{webs:?}");
    edge.probe("web_1", true);
    assert_eq!(edge.state("web_1"), "ready", "late is better than never");
}

#[tokio::test]
async fn when_nobody_answers_the_least_bad_is_served() {
    let mut edge = Edge::running();
    for _ in 0..3 {
        edge.probe("web_1", false);
    }
    edge.settle();
    assert_eq!(edge.state("web_1"), "unhealthy");
    assert_eq!(edge.usage("web_1"), Some(Usage::Serve));
    edge.units
        .get_mut("web")
        .expect("web")
        .push(unit("web_2", Origin::Declared { number: 2 }));
    edge.list();
    edge.probe("web_2", true);
    edge.settle();
    assert_eq!(edge.usage("web_1"), Some(Usage::Drain));
}

#[tokio::test]
async fn an_operators_number_wins_until_it_is_taken_back() {
    let mut edge = Edge::running();
    let (instance, service): (InstanceName, ServiceName) = (
        "congress".parse().expect("name"),
        "web".parse().expect("name"),
    );
    let scale = |replicas, span| Wish::Scale {
        instance: instance.clone(),
        service: service.clone(),
        replicas,
        span,
    };
    assert!(edge.controller.obey(edge.now, &scale(3, None)).is_ok());
    edge.seconds(5);
    assert_eq!(edge.units["web"].len(), 3);
    let too_many = edge.controller.obey(edge.now, &scale(9, None));
    assert!(too_many.expect_err("above max").contains("at most 4"));
    let auto = Wish::Auto {
        instance: instance.clone(),
    };
    assert!(edge.controller.obey(edge.now, &auto).is_ok());
    edge.seconds(300);
    assert_eq!(edge.units["web"].len(), 1);
    let unknown = Wish::Auto {
        instance: "other".parse().expect("name"),
    };
    let answer = edge
        .controller
        .obey(edge.now, &unknown)
        .expect_err("unknown");
    assert_eq!(answer, "there is no instance `other`; there is congress");
}

fn drain(service: &str, replica: &str) -> Wish {
    Wish::Drain {
        instance: "congress".parse().expect("name"),
        service: service.parse().expect("name"),
        replica: replica.to_owned(),
    }
}

#[tokio::test]
async fn a_replica_that_an_operator_drains_leaves_and_another_takes_its_place() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    edge.sessions.insert("web_clone_1".into(), 20);
    edge.report();
    let said = edge.controller.obey(edge.now, &drain("web", "web_clone_1"));
    let said = said.expect("it leaves");
    assert_eq!(
        said,
        "congress/web: web_clone_1 drains; 20 sessions are open"
    );
    // The demand is as it was: somebody else comes, and who was sent away is not called back.
    assert!(edge.seconds(3).contains(&"start web".to_owned()));
    assert_eq!(edge.state("web_clone_1"), "draining");
    edge.settle();
    assert_eq!(edge.usage("web_clone_1"), Some(Usage::Drain));
    assert!(
        edge.seconds(60)
            .iter()
            .all(|action| !action.starts_with("stop"))
    );
    edge.sessions.remove("web_clone_1");
    assert!(edge.seconds(3).contains(&"stop web_clone_1".to_owned()));
    let again = edge.controller.obey(edge.now, &drain("web", "web_clone_1"));
    assert!(again.expect_err("gone").contains("there is web_1"));
}

#[tokio::test]
async fn an_operator_cannot_drain_the_last_one_or_what_usher_does_not_stop() {
    let mut edge = Edge::running();
    let mut refused = |service, replica| {
        let said = edge.controller.obey(edge.now, &drain(service, replica));
        said.expect_err("it stays")
    };
    assert!(refused("web", "web_1").contains("the only one that is ready"));
    assert!(refused("web", "web").contains("there is no one replica `web`"));
    assert!(refused("mail", "mail_1").contains("no service `mail`"));
    for (from, to, why) in [
        ("down-after", "mode = \"off\"\ndown-after", "mode = \"off\""),
        ("domains", "standby = true\ndomains", "standby = true"),
        (
            "port = 8000",
            "addresses = [\"127.0.0.1:1\"]",
            "addresses of the configuration",
        ),
    ] {
        let mut edge = Edge::new(&CONFIG.replacen(from, to, 1));
        let said = edge.controller.obey(edge.now, &drain("web", "web_1"));
        assert!(said.expect_err("it stays").contains(why), "{why}");
    }
}

#[tokio::test]
async fn modes_hold_recommend_and_off_start_and_stop_nothing() {
    for mode in ["hold", "recommend", "off"] {
        let text = CONFIG.replace("down-after", &format!("mode = \"{mode}\"\ndown-after"));
        let mut edge = Edge::new(&text);
        edge.units = Edge::running().units;
        edge.list();
        edge.probe("web_1", true);
        edge.sessions.insert("web_1".into(), 350);
        assert!(edge.seconds(120).is_empty(), "{mode}");
        let decision = edge.controller.tenants["congress"].services["web"]
            .decision
            .clone();
        let desired = decision.map(|decision| decision.desired);
        assert_eq!(
            desired,
            match mode {
                "recommend" => Some(4),
                "hold" => Some(1),
                _ => None,
            }
        );
    }
}

#[tokio::test]
async fn standby_starts_nothing_and_asks_nobody() {
    let text = CONFIG.replace("name = \"congress\"", "name = \"congress\"\nstandby = true");
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.list();
    edge.sessions.insert("web_1".into(), 350);
    assert!(edge.seconds(10).is_empty());
    assert!(edge.controller.targets().is_empty());
    let certificates = edge.controller.certificates();
    assert!(
        certificates.iter().all(|wanted| !wanted.may_order),
        "{certificates:?}"
    );
}

#[tokio::test]
async fn only_what_the_operator_wrote_gets_a_certificate_of_this_machine() {
    let hall = CONFIG
        .replace(
            "congress.example.org",
            "hall.test\", \"hall\", \"hall.example.org",
        )
        .replace("congress", "hall");
    // The stack `congress` runs, and nobody has written that name.
    let any = CONFIG
        .replace("congress.example.org", "{stack}.test")
        .replace("name = \"congress\"", "name = \"*\"");
    let local = |text: &str| {
        let mut edge = Edge::new(text);
        edge.units = Edge::running().units;
        edge.list();
        let wanted = edge.controller.certificates();
        wanted
            .iter()
            .map(|wanted| {
                let names: Vec<String> = wanted.local.iter().map(ToString::to_string).collect();
                (wanted.instance.to_string(), names.join(" "))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let both = format!("{hall}{any}");
    let found = local(&both);
    assert_eq!(found["hall"], "hall.test hall");
    assert_eq!(found["congress"], "");
    // Without the preflight an authority is asked for what could be in somebody's DNS.
    let found = local(&format!("[acme]\npreflight = false\n{both}"));
    assert_eq!(found["hall"], "hall");
}

#[tokio::test]
async fn an_unchanged_instance_keeps_its_allocation_from_plan_to_plan() {
    let text = format!("{CONFIG}{}", CONFIG.replace("congress", "assembly"));
    let mut edge = Edge::new(&text);
    edge.units
        .insert("web", vec![unit("web_1", Origin::Declared { number: 1 })]);
    edge.list();
    edge.settle();
    let before = Arc::clone(&edge.controller.plan);
    edge.probe("web_1", true);
    edge.settle();
    let after = Arc::clone(&edge.controller.plan);
    assert!(after.generation > before.generation);
    assert!(Arc::ptr_eq(
        &before.instances["assembly"],
        &after.instances["assembly"]
    ));
    assert!(!Arc::ptr_eq(
        &before.instances["congress"],
        &after.instances["congress"]
    ));
    edge.settle();
    assert_eq!(
        edge.controller.plan.generation, after.generation,
        "nothing changed, no plan"
    );
}

#[tokio::test]
async fn a_volume_that_is_not_there_is_said_and_answers_503() {
    let text = format!(
        "{CONFIG}\n[[instance.route]]\nprefix = \"/static/\"\nfiles = {{ volume = \"staticfiles\" }}\n"
    );
    let mut edge = Edge::new(&text);
    let mut inventory = Edge::running().inventory();
    edge.list_this(Some(inventory.clone()), None);
    edge.settle();
    let missing = |edge: &Edge| {
        edge.controller.plan.instances["congress"]
            .routes
            .iter()
            .any(|route| {
                matches!(
                    &route.target,
                    Target::Files(crate::plan::FileRoot::Missing(_), _)
                )
            })
    };
    assert!(missing(&edge));
    let status = edge.controller.status(edge.now);
    let reasons = &status.instances[0].reasons;
    assert!(
        reasons
            .iter()
            .any(|r| r.text.contains("no volume `staticfiles`")),
        "{reasons:?}"
    );
    let stack = inventory.stacks.get_mut("congress").expect("stack");
    stack
        .volumes
        .insert("staticfiles".into(), Volume::At("/volumes/x".into()));
    edge.list_this(Some(inventory), None);
    edge.settle();
    assert!(!missing(&edge));
}

#[tokio::test]
async fn a_cause_is_told_once_with_its_consequences_under_it() {
    let text = format!(
        "{CONFIG}\n[instance.service.redis]\nrole = \"fixed\"\nprobe = \"tcp:6379\"\n[instance.depends]\nweb = [\"redis\"]\nworker = [\"redis\"]\n"
    );
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.units.get_mut("web").expect("web")[0].health = None;
    edge.list();
    edge.probe("web_1", true);
    for _ in 0..3 {
        edge.probe("web_1", false);
    }
    edge.settle();
    let status = edge.controller.status(edge.now);
    let congress = &status.instances[0];
    assert_eq!(congress.status, Level::Critical);
    let first = &congress.reasons[0];
    assert_eq!(
        (first.part.as_str(), first.text.as_str()),
        ("service:redis", "the stack has no service redis")
    );
    assert_eq!(
        first.also,
        ["no replica of web is ready: web_1 does not answer its probe: refused"]
    );
}

const FIXED: &str = r#"
[[instance]]
name = "congress"
domains = ["congress.example.org"]
[instance.scale]
down-after = "60s"
[instance.limits]
replica-drain = "60s"
[instance.service.web]
role = "sessions"
addresses = ["10.0.0.7:9000", "10.0.0.8:9000"]
"#;

fn states(edge: &Edge) -> BTreeMap<String, &'static str> {
    edge.controller
        .tenants
        .values()
        .flat_map(|tenant| tenant.services.values())
        .flat_map(|service| service.replicas.values())
        .map(|replica| (replica.unit.name.clone(), replica.state().word()))
        .collect()
}

fn with_fixed_addresses() -> Edge {
    let mut edge = Edge::new(FIXED);
    edge.list();
    for target in edge.controller.targets().iter() {
        edge.take(Event::Probe(Outcome {
            subject: target.subject.clone(),
            result: Ok(()),
        }));
    }
    edge.controller.plan();
    edge
}

#[test]
fn fixed_addresses_are_never_scaled() {
    let mut edge = with_fixed_addresses();
    assert!(edge.seconds(3600).is_empty());
    assert!(states(&edge).values().all(|state| *state == "ready"));
}

#[test]
fn an_address_that_is_withdrawn_drains_and_one_that_returns_stays() {
    let mut edge = with_fixed_addresses();
    edge.sessions.insert("10.0.0.7:9000".to_owned(), 3);
    edge.second();
    let one = current(&FIXED.replace("\"10.0.0.7:9000\", ", ""));
    let both = current(FIXED);

    edge.take(Event::Config(one.clone()));
    edge.seconds(30);
    assert_eq!(states(&edge)["10.0.0.7:9000"], "draining");
    edge.take(Event::Config(both));
    assert_eq!(states(&edge)["10.0.0.7:9000"], "ready");

    edge.take(Event::Config(one));
    edge.seconds(90);
    assert_eq!(states(&edge)["10.0.0.7:9000"], "cutting");
    edge.sessions.clear();
    let actions = edge.seconds(3);
    // Nobody here started it, so nobody stops it.
    assert!(actions.is_empty(), "{actions:?}");
    assert_eq!(states(&edge).keys().collect::<Vec<_>>(), ["10.0.0.8:9000"]);
}

#[test]
fn two_instances_with_one_address_are_each_asked_for_themselves() {
    let second = FIXED.replace("congress", "assembly");
    let edge = Edge::new(&format!("{FIXED}{second}"));
    let targets = edge.controller.targets();
    let instances: Vec<_> = targets
        .iter()
        .map(|target| target.subject.instance.as_str().to_owned())
        .collect();
    assert_eq!(instances, ["assembly", "assembly", "congress", "congress"]);
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

fn memory(edge: &mut Edge, replicas: u64) {
    let total = 100 << 30;
    edge.take(Event::Host(Host {
        memory: Some(crate::host::Memory {
            total,
            // A twentieth is kept for everybody else.
            available: total / 20 + replicas * (150 << 20),
        }),
        ..Host::default()
    }));
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
    assert_eq!(web.limited_by.as_deref(), Some("host memory"));
    assert!(web.desired < web.wanted, "{web:?}");
    // Memory is there again.
    memory(&mut edge, 50);
    edge.seconds(10);
    assert_eq!(edge.units["web"].len(), 4);
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

fn claiming(name: &str, values: &[(&str, &str)]) -> Unit {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Unit {
        claims: Arc::new(crate::inventory::Claims {
            values: values.iter().map(owned).collect(),
            left_out: Vec::new(),
        }),
        ..unit(name, Origin::Declared { number: 1 })
    }
}

fn stack_of(units: Vec<Unit>) -> Stack {
    Stack {
        services: BTreeMap::from([("web".parse().expect("name"), units)]),
        ..Stack::default()
    }
}

fn listing(stacks: &[(&str, Vec<Unit>)]) -> Inventory {
    let stacks = stacks.iter().map(|(name, units)| {
        let name = name.parse().expect("name");
        (name, stack_of(units.clone()))
    });
    Inventory {
        stacks: stacks.collect(),
        ..Inventory::default()
    }
}

#[tokio::test]
async fn a_container_with_three_hundred_hostile_values_leaves_a_neighbour_the_very_same() {
    let mut edge = Edge::new("[engine]\nnames-from-containers = \"open\"\n");
    let shop = claiming("shop_web_1", &[("VIRTUAL_HOST", "shop.example.org")]);
    let label = |at: usize| format!("com.github.nginx-proxy.nginx-proxy.{at}");
    edge.list_this(Some(listing(&[("shop", vec![shop.clone()])])), None);
    edge.probe("shop_web_1", true);
    edge.settle();
    let before = Arc::clone(&edge.controller.plan.instances["shop"]);
    for round in 0..20 {
        let labels: Vec<String> = (0..300).map(|at| label(at + round)).collect();
        let mut values: Vec<(&str, &str)> = labels
            .iter()
            .map(|label| (label.as_str(), "~(((\u{0}\r\n;"))
            .collect();
        values.extend([
            ("VIRTUAL_HOST", "shop.example.org,mine.example.org,a b,~((,"),
            ("CERT_NAME", "shop.example.org"),
            ("LETSENCRYPT_HOST", "shop.example.org"),
        ]);
        let hostile = claiming("hostile_web_1", &values);
        let stacks = [("shop", vec![shop.clone()]), ("hostile", vec![hostile])];
        edge.list_this(Some(listing(&stacks)), None);
        edge.settle();
        let now = &edge.controller.plan.instances;
        assert!(Arc::ptr_eq(&before, &now["shop"]), "{round}");
        assert!(now.contains_key("hostile"));
    }
    let status = edge.controller.status(edge.now);
    let told = serde_json::to_string(&status).expect("JSON");
    assert!(told.contains("the stack shop has it"), "{told}");
    let wanted = edge.controller.certificates();
    let hostile = wanted
        .iter()
        .filter(|one| one.instance.as_str() == "hostile");
    for one in hostile {
        assert!(
            !one.may_order && one.pinned.is_none() && one.local.is_empty(),
            "{one:?}"
        );
    }
}

#[tokio::test]
async fn only_what_a_container_asks_for_is_ordered() {
    let mut edge = Edge::new("[engine]\nnames-from-containers = \"open\"\n[acme]\n");
    let mut values = vec![
        ("VIRTUAL_HOST", "a.example.org,b.example.org,c.example.org"),
        ("LETSENCRYPT_HOST", "a.example.org,b.example.org"),
    ];
    let sets = |edge: &mut Edge, values: &[(&str, &str)]| {
        let shop = claiming("shop_web_1", values);
        edge.list_this(Some(listing(&[("shop", vec![shop])])), None);
        let wanted = edge.controller.certificates();
        let names = |one: &crate::plan::WantedCertificate| {
            let names: Vec<_> = one.names.iter().map(ToString::to_string).collect();
            (names.join(" "), one.may_order)
        };
        wanted.iter().map(names).collect::<Vec<_>>()
    };
    let expected = [
        ("a.example.org b.example.org", true),
        ("c.example.org", false),
    ];
    let owned = |sets: &[(&str, bool)]| -> Vec<(String, bool)> {
        let owned = sets
            .iter()
            .map(|(names, order)| ((*names).to_owned(), *order));
        owned.collect()
    };
    assert_eq!(sets(&mut edge, &values), owned(&expected));
    values.push(("LETSENCRYPT_SINGLE_DOMAIN_CERTS", "true"));
    let expected = [
        ("a.example.org", true),
        ("b.example.org", true),
        ("c.example.org", false),
    ];
    assert_eq!(sets(&mut edge, &values), owned(&expected));
}

#[tokio::test]
async fn a_name_whose_owner_has_gone_is_given_on_by_time_alone() {
    let mut edge = Edge::new("[engine]\nnames-from-containers = \"open\"\n");
    let host = [("VIRTUAL_HOST", "a.example.org")];
    let (one, two) = (claiming("one", &host), claiming("two", &host));
    edge.list_this(Some(listing(&[("first", vec![one])])), None);
    edge.settle();
    edge.list_this(Some(listing(&[("second", vec![two])])), None);
    edge.settle();
    assert!(
        edge.controller.plan.instances.is_empty(),
        "it may come back"
    );
    for _ in 0..11 {
        edge.now.at += Duration::from_secs(1);
        edge.take(Event::Tick);
    }
    edge.settle();
    assert!(edge.controller.plan.instances.contains_key("second"));
}

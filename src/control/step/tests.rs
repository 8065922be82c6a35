use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use super::*;
use crate::config;
use crate::engine::act::Failure;
use crate::inventory::{Network, Origin, Phase, Reach, Unit, Volume};
use crate::names::{Generation, ReplicaId};
use crate::plan::{EndpointReport, InstanceReport, Target, Usage};
use crate::prober::Outcome;

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
        phase: Phase::Running,
        since: SystemTime::UNIX_EPOCH,
        reach: Reach::At(IpAddr::from([10, 0, 0, 1])),
        networks: vec!["n1".to_owned()],
        ports: vec![8000],
        health: None,
        origin,
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
        };
        Self {
            controller: Controller::new(current(text), facts, now),
            now,
            units: BTreeMap::new(),
            sessions: BTreeMap::new(),
            report_applied: None,
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
            volumes: BTreeMap::new(),
        };
        Inventory {
            stacks: BTreeMap::from([("congress".parse().expect("name"), stack)]),
            joined: Vec::new(),
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
            let mut seen = InstanceReport::default();
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
                    },
                );
            }
            report.instances.insert(name.clone(), seen);
        }
        self.take(Event::Report(Arc::new(report)));
    }

    /// A second passes: report, decide, plan. Returns what was ordered, in words.
    fn second(&mut self) -> Vec<String> {
        self.now.at += Duration::from_secs(1);
        self.now.wall += Duration::from_secs(1);
        self.report();
        self.settle()
    }

    fn settle(&mut self) -> Vec<String> {
        let actions = self.controller.settle(self.now);
        self.controller.plan();
        actions.iter().map(words).collect()
    }

    /// Seconds pass in which the engine does everything at once and replicas become ready.
    fn seconds(&mut self, count: u32) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            self.now.at += Duration::from_secs(1);
            self.now.wall += Duration::from_secs(1);
            self.report();
            let actions = self.controller.settle(self.now);
            self.controller.plan();
            for action in actions {
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
            Action::Stop { replica, .. } => {
                for units in self.units.values_mut() {
                    units.retain(|unit| unit.id != *replica);
                }
                self.list();
            }
            Action::Join { .. } | Action::Leave { .. } => {}
        }
        self.take(Event::Acted(Acted {
            action,
            result: Ok(()),
        }));
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
        Action::Join { network, .. } => format!("join {}", network.name),
        Action::Leave { network } => format!("leave {}", network.name),
        Action::Start { service, .. } => format!("start {service}"),
        Action::Stop { replica, .. } => format!("stop {}", replica.unit()),
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
    assert!(edge.seconds(55).is_empty());
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
    for _ in 0..200 {
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
    assert!(edge.seconds(600).is_empty(), "five people are still there");
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
    for _ in 0..200 {
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
    let over = Duration::from_secs(5);
    assert_eq!(edge.usage("web_clone_1"), Some(Usage::Cut { over }));
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
    assert_eq!(edge.second(), ["stop worker_3"]);
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
                passing,
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
    assert_eq!(congress.status, crate::control::status::Level::Critical);
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

//! One controller on a clock of its own; each file below has one subject.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::SystemTime;

use tokio::time::Instant;

use super::super::claim::Claim;
use super::super::facts::QUIET;
use super::super::status::{Level, Reason};
use super::*;
use crate::config;
use crate::drain::Gate;
use crate::engine::act::{Acted, Failure};
use crate::engine::{StopWhen, Trouble};
use crate::host::Host;
use crate::inventory::{Inventory, Network, Origin, Phase, Reach, Stack, Unit, Volume};
use crate::names::{Generation, ReplicaId, ServiceName};
use crate::plan::{EndpointReport, InstanceReport, Target, Usage};
use crate::prober::Outcome;
use crate::shared::Map;

mod claiming;
mod closing;
mod draining;
mod failures;
mod fixed;
mod following;
mod full;
mod guard;
mod labels;
mod operator;
mod others;
mod probing;
mod recommending;
mod rests;
mod room;
mod rules;
mod starting;
mod swarm;
mod telling;
mod touching;
mod weighing;
mod wishes;

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
    /// Requests that each replica works on.
    requests: u32,
    /// Requests that said that somebody is there.
    visits: u64,
    made: u32,
    /// Orders that give shares of the processors; they are carried out at once, or fail like this.
    weighed: Vec<Action>,
    not_weighed: Option<Trouble>,
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
        dismissed: false,
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
            requests: 0,
            visits: 0,
            made: 0,
            weighed: Vec::new(),
            not_weighed: None,
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
            stacks: Map::from([("congress".parse().expect("name"), Arc::new(stack))]),
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

    /// As [`Self::list`], with another stack that has one replica.
    fn list_beside_assembly(&mut self) {
        let mut inventory = self.inventory();
        let web = unit("assembly_1", Origin::Declared { number: 1 });
        let services = BTreeMap::from([("web".parse().expect("name"), vec![web])]);
        let stack = Stack {
            services,
            ..Stack::default()
        };
        inventory
            .stacks
            .insert("assembly".parse().expect("name"), Arc::new(stack));
        self.list_this(Some(inventory), None);
    }

    /// Everybody who is asked whether he is ready.
    fn targets(&mut self) -> Vec<crate::prober::Target> {
        let targets = self.controller.targets();
        let all = targets.values().flat_map(|targets| targets.iter());
        all.cloned().collect()
    }

    fn probe(&mut self, name: &str, good: bool) {
        let id = ReplicaId::new(name, 1);
        let targets = self.targets();
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
        let report = self.counted();
        self.take(Event::Report(Arc::new(report)));
    }

    fn counted(&self) -> Report {
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
                        inside: sessions + self.requests,
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
            report.instances.insert(name.clone(), Arc::new(seen));
        }
        report
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
        let is_weighing = |action: &Action| matches!(action, Action::Weigh { .. });
        let (weighing, actions) = actions.into_iter().partition::<Vec<_>, _>(is_weighing);
        for action in weighing {
            self.weighed.push(action.clone());
            let result = self.not_weighed.map_or(Ok(()), |trouble| {
                let text = "cpu_shares".to_owned();
                Err(Failure { text, trouble })
            });
            self.take(Event::Acted(Acted { action, result }));
        }
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
            Action::Claim { .. }
            | Action::Join { .. }
            | Action::Leave { .. }
            | Action::Release { .. }
            | Action::Wake { .. }
            | Action::Weigh { .. } => {}
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
        Action::Wake { service, .. } => format!("wake {service}"),
        Action::Release { stack } => format!("release {stack}"),
        Action::Remove { replica, .. } => format!("remove {}", replica.unit()),
        Action::Stop { proof, .. } => format!("stop {}", proof.replica().unit()),
        Action::Weigh {
            replica, shares, ..
        } => format!("weigh {} {shares}", replica.unit()),
    }
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

//! Every part: what fails, how bad that is, in which words, and what it does to its instance and to
//! the whole.

use Level::{Critical, Healthy, Warning};

use super::*;
use crate::config::Issue;
use crate::inventory::{Node, NodeRole, Swarm};
use crate::plan::{
    CertificateReport, CertificateSource, CertificateState, EdgeReport, Level as Fullness,
};
use crate::shared::Map;

/// A stack with everything, and two instances beside it that stay well.
const PARTS: &str = r#"
[instance.service.redis]
role = "fixed"
probe = "tcp:6379"
[instance.service.postgres]
role = "fixed"
probe = "tcp:5432"
[instance.service.mail]
role = "fixed"
[instance.depends]
web = ["redis"]
worker = ["redis", "postgres"]
[[instance.route]]
prefix = "/static/"
files = { volume = "staticfiles" }
[[instance]]
name = "assembly"
domains = ["assembly.example.org"]
[instance.service.web]
role = "sessions"
addresses = ["10.0.0.7:9000"]
[[instance]]
name = "council"
domains = ["council.example.org"]
[instance.service.web]
role = "sessions"
addresses = ["10.0.0.8:9000"]
[[alert]]
url = "http://127.0.0.1:9093/api/v2/alerts"
"#;

struct Rule {
    fails: &'static str,
    happens: fn(&mut Edge),
    part: &'static str,
    level: Level,
    says: &'static str,
    instance: Level,
    whole: Level,
}

/// Everything runs, is ready, and nothing is wrong.
fn well() -> Edge {
    let mut edge = Edge::new(&format!("{CONFIG}{PARTS}"));
    edge.units = Edge::running().units;
    let declared = |name| unit(name, Origin::Declared { number: 1 });
    let mut second = declared("web_2");
    second.origin = Origin::Declared { number: 2 };
    edge.units.get_mut("web").expect("web").push(second);
    for (service, name) in [
        ("redis", "redis_1"),
        ("postgres", "postgres_1"),
        ("mail", "mail_1"),
    ] {
        edge.units.insert(service, vec![declared(name)]);
    }
    listed(&mut edge, |_| {});
    for target in edge.targets().iter() {
        edge.take(Event::Probe(Outcome {
            subject: target.subject.clone(),
            result: Ok(()),
        }));
    }
    edge.settle();
    let status = edge.controller.status(edge.now);
    assert_eq!(status.status, Healthy, "{:?}", status.reasons);
    edge
}

/// The engine lists what there is, changed as wished.
fn listed(edge: &mut Edge, change: impl FnOnce(&mut Inventory)) {
    let mut inventory = edge.inventory();
    let stack = inventory.stacks.change("congress".parse().expect("name"));
    stack
        .volumes
        .insert("staticfiles".into(), Volume::At("/volumes/x".into()));
    change(&mut inventory);
    edge.list_this(Some(inventory), None);
}

fn fails(edge: &mut Edge, names: &[&str]) {
    for name in names {
        for _ in 0..3 {
            edge.probe(name, false);
        }
    }
}

fn phase(edge: &mut Edge, service: &str, phase: Phase) {
    let units = edge.units.get_mut(service).expect("a service");
    units.iter_mut().for_each(|unit| unit.phase = phase);
    listed(edge, |_| {});
}

fn host(edge: &mut Edge, load: f64, memory: f64, disk: f64) {
    edge.take(Event::Host(Host {
        load_15m_per_core: Some(load),
        memory_available: Some(memory),
        disk_available: Some(disk),
        ..Host::default()
    }));
}

fn certificate(edge: &mut Edge, state: CertificateState) {
    let instance: InstanceName = "congress".parse().expect("a name");
    let report = CertificateReport {
        instance: instance.clone(),
        names: vec!["congress.example.org".parse().expect("a name")],
        state,
        source: CertificateSource::Acme,
        not_before: None,
        not_after: None,
        next_attempt: None,
        failures: 1,
        last_error: Some("the authority is down".to_owned()),
        warning: None,
    };
    let all = Map::from([(instance, Arc::from([report]))]);
    edge.take(Event::Certificates(Arc::new(all)));
}

fn full(edge: &mut Edge, level: Fullness) {
    let report = Report {
        edge: EdgeReport {
            level,
            ..EdgeReport::default()
        },
        ..Report::default()
    };
    edge.take(Event::Report(Arc::new(report)));
}

fn swarm(edge: &mut Edge, lost: Option<&str>) {
    let node = |name: &str, state: &str| Node {
        name: name.to_owned(),
        role: NodeRole::Worker,
        state: state.to_owned(),
        availability: "active".to_owned(),
    };
    let swarm = Swarm {
        nodes: vec![node("host-1", "ready"), node("host-2", "down")],
        lost: lost.map(ToOwned::to_owned),
        ..Swarm::default()
    };
    listed(edge, |inventory| inventory.swarm = Some(swarm));
}

#[rustfmt::skip]
const RULES: [Rule; 30] = [
    Rule { fails: "one web replica", happens: |edge| fails(edge, &["web_2"]),
        part: "service:web", level: Warning, says: "1 of 2 web replicas: web_2 does not answer its probe: refused",
        instance: Warning, whole: Warning },
    Rule { fails: "every web replica", happens: |edge| fails(edge, &["web_1", "web_2"]),
        part: "service:web", level: Critical, says: "no replica of web is ready: web_1 does not answer its probe: refused",
        instance: Critical, whole: Warning },
    Rule { fails: "a web replica that cannot be reached", happens: |edge| {
            edge.units.get_mut("web").expect("web")[1].reach = Reach::Unreachable { why: "no shared network".to_owned(), joinable: Vec::new() };
            listed(edge, |_| {});
        },
        part: "service:web", level: Warning, says: "web_2 cannot be reached: no shared network",
        instance: Warning, whole: Warning },
    Rule { fails: "the workers", happens: |edge| phase(edge, "worker", Phase::Exited { code: 1 }),
        part: "service:worker", level: Critical, says: "worker_1 ended with exit code 1",
        instance: Critical, whole: Warning },
    Rule { fails: "redis, stopped", happens: |edge| phase(edge, "redis", Phase::Exited { code: 137 }),
        part: "service:redis", level: Critical, says: "redis_1 ended with exit code 137",
        instance: Critical, whole: Warning },
    Rule { fails: "redis, stopped in peace", happens: |edge| phase(edge, "redis", Phase::Exited { code: 0 }),
        part: "service:redis", level: Critical, says: "redis was stopped",
        instance: Critical, whole: Warning },
    Rule { fails: "redis, silent", happens: |edge| fails(edge, &["redis_1"]),
        part: "service:redis", level: Critical, says: "no replica of redis is ready: redis_1 does not answer its probe",
        instance: Critical, whole: Warning },
    Rule { fails: "postgres, gone", happens: |edge| { edge.units.remove("postgres"); listed(edge, |_| {}); },
        part: "service:postgres", level: Critical, says: "the stack has no service postgres",
        instance: Critical, whole: Warning },
    Rule { fails: "a service that nothing needs, gone", happens: |edge| { edge.units.remove("mail"); listed(edge, |_| {}); },
        part: "service:mail", level: Warning, says: "the stack has no service mail",
        instance: Warning, whole: Warning },
    Rule { fails: "the stack", happens: |edge| listed(edge, |inventory| inventory.stacks = Map::default()),
        part: "service:redis", level: Critical, says: "the stack congress does not run",
        instance: Critical, whole: Warning },
    Rule { fails: "the certificate, expired", happens: |edge| certificate(edge, CertificateState::Expired),
        part: "certificate", level: Critical, says: "the certificate of congress.example.org has expired: the authority is down",
        instance: Critical, whole: Warning },
    Rule { fails: "the certificate, not there yet", happens: |edge| certificate(edge, CertificateState::Pending),
        part: "certificate", level: Warning, says: "congress.example.org has no certificate yet: the authority is down",
        instance: Warning, whole: Warning },
    Rule { fails: "the static root", happens: |edge| { edge.list(); edge.settle(); },
        part: "static", level: Warning, says: "/static/ answers 503: ",
        instance: Warning, whole: Warning },
    Rule { fails: "room on the host", happens: |edge| {
            memory(edge, 1);
            edge.sessions.insert("web_1".into(), 350);
            edge.second();
        },
        part: "service:web", level: Warning, says: "web has fewer replicas than it needs: ",
        instance: Warning, whole: Warning },
    Rule { fails: "a start", happens: |edge| {
            let action = Action::Start { stack: "congress".parse().expect("name"), service: "web".parse().expect("name"), command: Vec::new() };
            let result = Err(Failure { text: "no space left".to_owned(), trouble: Trouble::Passing });
            edge.take(Event::Acted(Acted { action, result }));
        },
        part: "service:web", level: Warning, says: "no further replica of web could be started: no space left",
        instance: Warning, whole: Warning },
    Rule { fails: "the file, for one instance", happens: |edge| {
            let mut current = edge.controller.current.clone();
            let issue = Issue { level: config::Level::Error, file: "usher.toml".to_owned(), line: Some(3),
                key: "instance.congress.domains".to_owned(), text: "`?` is no name".to_owned() };
            current.issues = [issue].into();
            edge.take(Event::Config(current));
        },
        part: "configuration", level: Warning, says: "`?` is no name",
        instance: Warning, whole: Warning },
    Rule { fails: "the file", happens: |edge| {
            let mut current = edge.controller.current.clone();
            current.last_reload = Err("it does not parse".to_owned());
            edge.take(Event::Config(current));
        },
        part: "configuration", level: Warning, says: "the file is not what is in force: it does not parse",
        instance: Healthy, whole: Warning },
    Rule { fails: "the engine", happens: |edge| {
            let inventory = edge.controller.listing.inventory.clone();
            edge.take(Event::Listing(Listing { inventory, last_sync: None, error: Some("it does not answer".into()) }));
        },
        part: "engine", level: Critical, says: "it does not answer; what is known is served, nothing is started or stopped",
        instance: Healthy, whole: Critical },
    Rule { fails: "the load", happens: |edge| host(edge, 1.0, 0.5, 0.5),
        part: "host", level: Warning, says: "load per core 1, memory available 50 %, disk available 50 %",
        instance: Healthy, whole: Warning },
    Rule { fails: "the load, badly", happens: |edge| host(edge, 2.0, 0.5, 0.5),
        part: "host", level: Critical, says: "load per core 2,", instance: Healthy, whole: Critical },
    Rule { fails: "memory", happens: |edge| host(edge, 0.1, 0.15, 0.5),
        part: "host", level: Warning, says: "memory available 15 %", instance: Healthy, whole: Warning },
    Rule { fails: "memory, badly", happens: |edge| host(edge, 0.1, 0.05, 0.5),
        part: "host", level: Critical, says: "memory available 5 %", instance: Healthy, whole: Critical },
    Rule { fails: "the disk", happens: |edge| host(edge, 0.1, 0.5, 0.15),
        part: "host", level: Warning, says: "disk available 15 %", instance: Healthy, whole: Warning },
    Rule { fails: "the disk, badly", happens: |edge| host(edge, 0.1, 0.5, 0.05),
        part: "host", level: Critical, says: "disk available 5 %", instance: Healthy, whole: Critical },
    Rule { fails: "a node of the Swarm", happens: |edge| swarm(edge, None),
        part: "swarm", level: Warning, says: "host-2", instance: Healthy, whole: Warning },
    Rule { fails: "a Swarm of which nothing is served", happens: |edge| swarm(edge, Some("no leader")),
        part: "swarm", level: Warning, says: "no leader; what is known is served",
        instance: Healthy, whole: Warning },
    Rule { fails: "an alert", happens: |edge| {
            let to = edge.controller.current.config.alerts[0].to.name();
            edge.take(Event::Alerts(Arc::new(BTreeMap::from([(to, "connection refused".to_owned())]))));
        },
        part: "alert:http://127.0.0.1:9093", level: Warning, says: "connection refused",
        instance: Healthy, whole: Warning },
    Rule { fails: "room for connections", happens: |edge| full(edge, Fullness::Shedding),
        part: "listeners", level: Warning, says: "raise `listen.max-connections`",
        instance: Healthy, whole: Warning },
    Rule { fails: "all room for connections", happens: |edge| full(edge, Fullness::Full),
        part: "listeners", level: Critical, says: "full: nobody is accepted; what is open goes on",
        instance: Healthy, whole: Critical },
    Rule { fails: "the state folder", happens: |edge| edge.take(Event::State(Some("state/control.json: no space".to_owned()))),
        part: "state", level: Critical, says: "forgotten at a restart: state/control.json: no space",
        instance: Healthy, whole: Critical },
];

#[tokio::test]
async fn every_part_has_its_failure_its_level_its_words_and_its_weight() {
    for rule in &RULES {
        let fails = rule.fails;
        let mut edge = well();
        edge.now.wall += Duration::from_secs(60);
        (rule.happens)(&mut edge);
        let began = edge.now.wall;
        edge.controller.status(edge.now);
        // It is so since it began, and not since somebody looked.
        edge.now.wall += Duration::from_secs(5);
        let status = edge.controller.status(edge.now);
        let congress = &status.instances[1];
        assert_eq!(congress.name, "congress");
        let of_instance = rule.instance != Healthy;
        let reasons = if of_instance {
            &congress.reasons
        } else {
            &status.reasons
        };
        let told = reasons.iter().find(|reason| reason.part == rule.part);
        let told = told.unwrap_or_else(|| panic!("{fails}: {reasons:?}"));
        assert_eq!(told.status, rule.level, "{fails}: {told:?}");
        assert!(told.text.contains(rule.says), "{fails}: {told:?}");
        assert_eq!(told.since.0, began, "{fails}: {told:?}");
        assert_eq!(congress.status, rule.instance, "{fails}");
        assert_eq!(status.status, rule.whole, "{fails}: {:?}", status.reasons);
        if of_instance {
            let part = congress.parts.iter().find(|part| part.name == rule.part);
            let part = part.unwrap_or_else(|| panic!("{fails}: {:?}", congress.parts));
            assert_eq!(
                (part.status, part.since),
                (told.status, told.since),
                "{fails}"
            );
            let of_whole = status
                .reasons
                .iter()
                .find(|reason| reason.part == "instance:congress");
            assert!(of_whole.is_some(), "{fails}: {:?}", status.reasons);
        }
        // Nobody else is the worse for it.
        for other in [&status.instances[0], &status.instances[2]] {
            assert_eq!(other.status, Healthy, "{fails}: {:?}", other.reasons);
        }
    }
}

#[tokio::test]
async fn what_ended_in_peace_is_well() {
    let mut edge = well();
    phase(&mut edge, "mail", Phase::Exited { code: 0 });
    let status = edge.controller.status(edge.now);
    assert_eq!(status.status, Healthy, "{:?}", status.reasons);
}

#[tokio::test]
async fn half_of_the_instances_make_the_whole_critical_and_those_that_rest_do_not_count() {
    let mut edge = well();
    fails(&mut edge, &["web_1", "web_2"]);
    let whole = |edge: &mut Edge| edge.controller.status(edge.now).status;
    assert_eq!(whole(&mut edge), Warning, "one of three");
    let pause = |name: &str| {
        let (reply, _answer) = tokio::sync::oneshot::channel();
        let instance = name.parse().expect("a name");
        Event::Command(Command {
            wish: Wish::Pause { instance },
            reply,
        })
    };
    edge.take(pause("council"));
    assert_eq!(whole(&mut edge), Critical, "one of two");
    edge.take(pause("congress"));
    assert_eq!(whole(&mut edge), Healthy, "nobody expects an answer of it");
}

#[tokio::test]
async fn what_the_engine_does_not_end_is_named() {
    let mut edge = draining(0);
    for _ in 0..5 {
        // Ordered, and never carried out.
        edge.tick();
    }
    assert_eq!(edge.state("web_clone_1"), "stopping");
    let told = |edge: &mut Edge| {
        let status = edge.controller.status(edge.now);
        format!("{:?}", status.instances[0].reasons)
    };
    let before = told(&mut edge);
    assert!(!before.contains("still runs"), "{before}");
    edge.now.at += Duration::from_secs(180);
    edge.now.wall += Duration::from_secs(180);
    edge.take(Event::Tick);
    let after = told(&mut edge);
    let text = "web_clone_1 was told to stop 3 min ago and still runs";
    assert!(after.contains(text), "{after}");
}

#[tokio::test]
async fn thresholds_are_what_the_file_says() {
    let text = format!("{CONFIG}\n[status]\nload-per-core = [0.5, 0.9]\n");
    let mut edge = Edge::new(&text);
    let level = |edge: &mut Edge| edge.controller.status(edge.now).nodes[0].status;
    for (load, expected) in [(0.4, Healthy), (0.5, Warning), (0.9, Critical)] {
        host(&mut edge, load, 0.5, 0.5);
        assert_eq!(level(&mut edge), expected, "{load}");
    }
    edge.take(Event::Config(current(CONFIG)));
    assert_eq!(level(&mut edge), Healthy, "the defaults again");
}

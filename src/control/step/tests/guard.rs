//! The host is protected from what its stacks start.

use super::*;
use crate::plan::SessionTotals;

/// Many stacks of one web each on one host, under an engine that starts what it is told. What it
/// started stays in its start until somebody says that it is ready.
struct Crowd {
    edge: Edge,
    webs: BTreeMap<String, Vec<Unit>>,
}

impl Crowd {
    fn new(names: &[&str]) -> Self {
        let mut crowd = Self::of(names, "");
        crowd.list();
        crowd.all_ready();
        crowd.edge.settle();
        crowd
    }

    /// Nobody has come for long, and nothing runs.
    fn asleep(names: &[&str]) -> Self {
        let mut crowd = Self::of(names, "idle-to-zero = \"1h\"\n");
        for unit in crowd.webs.values_mut().flatten() {
            unit.phase = Phase::Exited { code: 0 };
        }
        crowd.list();
        crowd.edge.tick();
        crowd
    }

    fn of(names: &[&str], more: &str) -> Self {
        let tables = names.iter().map(|name| {
            format!(
                "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
                 [instance.scale]\nsessions-per-replica = 100\n{more}\
                 [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 16\n"
            )
        });
        let webs = names.iter().map(|name| {
            let first = unit(&format!("{name}_1"), Origin::Declared { number: 1 });
            ((*name).to_owned(), vec![first])
        });
        Self {
            webs: webs.collect(),
            edge: Edge::new(&tables.collect::<String>()),
        }
    }

    fn list(&mut self) {
        let stacks = self.webs.iter().map(|(name, units)| {
            let services = BTreeMap::from([("web".parse().expect("name"), units.clone())]);
            let stack = Stack {
                services,
                ..Stack::default()
            };
            (name.parse().expect("name"), Arc::new(stack))
        });
        let inventory = Inventory {
            stacks: stacks.collect(),
            ..Inventory::default()
        };
        self.edge.list_this(Some(inventory), None);
    }

    fn all_ready(&mut self) {
        let units = self.webs.values().flatten();
        let names: Vec<String> = units.map(|unit| unit.name.clone()).collect();
        for name in names {
            self.edge.probe(&name, true);
        }
    }

    /// A second passes. Returns the stacks that something was started of.
    fn second(&mut self) -> Vec<String> {
        let mut started = Vec::new();
        for action in self.edge.tick() {
            let Action::Start { stack, .. } = &action else {
                panic!("unexpected: {action}");
            };
            let name = stack.as_str().to_owned();
            let units = self.webs.get_mut(&name).expect("known");
            let resting = |unit: &&mut Unit| !unit.phase.is_alive();
            if let Some(own) = units.iter_mut().find(resting) {
                own.phase = Phase::Running;
                own.since = self.edge.now.wall;
            } else {
                let number = u32::try_from(units.len()).expect("few") + 1;
                let mut made = unit(&format!("{name}_{number}"), Origin::Added { number });
                made.since = self.edge.now.wall;
                units.push(made);
            }
            started.push(name);
            self.list();
            let result = Ok(());
            self.edge.take(Event::Acted(Acted { action, result }));
        }
        started
    }

    fn host(&mut self, host: Host) {
        self.edge.take(Event::Host(host));
    }

    fn limited_by(&mut self, instance: usize) -> Option<String> {
        let status = self.edge.controller.status(self.edge.now);
        status.instances[instance].services[0].limited_by.clone()
    }
}

#[tokio::test]
async fn so_many_start_at_a_time_and_stacks_take_turns() {
    let mut crowd = Crowd::new(&["alpha", "beta", "gamma", "omega"]);
    crowd.host(Host {
        cores: Some(6),
        ..Host::default()
    });
    for name in ["alpha_1", "beta_1", "gamma_1", "omega_1"] {
        crowd.edge.sessions.insert(name.to_owned(), 290);
    }
    assert_eq!(crowd.second(), ["alpha", "beta", "gamma"]);
    assert_eq!(crowd.second(), [""; 0], "three are under way");
    assert_eq!(
        crowd.limited_by(3).as_deref(),
        Some("starts at a time"),
        "omega waits for its turn"
    );
    let status = crowd.edge.controller.status(crowd.edge.now);
    assert_eq!(status.instances[3].status, Level::Healthy, "it soon will");

    crowd.all_ready();
    assert_eq!(crowd.second()[0], "omega", "who holds the least is next");
    crowd.all_ready();
    let rest = crowd.second();
    crowd.all_ready();
    assert_eq!(rest.len() + crowd.second().len(), 2);
    crowd.all_ready();
    assert_eq!(crowd.second(), [""; 0]);
    let counts: Vec<usize> = crowd.webs.values().map(Vec::len).collect();
    assert_eq!(counts, [3, 3, 3, 3], "everybody has what it needs");
}

#[tokio::test]
async fn a_replica_that_fails_to_start_gives_its_place_back() {
    let mut crowd = Crowd::new(&["alpha", "beta", "gamma"]);
    for name in ["alpha_1", "beta_1", "gamma_1"] {
        crowd.edge.sessions.insert(name.to_owned(), 190);
    }
    assert_eq!(
        crowd.second(),
        ["alpha", "beta"],
        "two at least, whatever the host"
    );
    let later: Vec<_> = (0..58).flat_map(|_| crowd.second()).collect();
    assert_eq!(later, [""; 0]);
    let later: Vec<_> = (0..3).flat_map(|_| crowd.second()).collect();
    assert_eq!(later, ["gamma"]);
}

#[tokio::test]
async fn no_more_than_twenty_start_in_a_minute_and_the_rest_follows() {
    let text = CONFIG.replace("ratio = 2.0", "ratio = 30.0\nmax = 60");
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    edge.sessions.insert("web_1".into(), 50);
    assert_eq!(edge.seconds(59).len(), 20);
    let own = edge.controller.status(edge.now).instances[0].clone();
    let worker = &own.services[1];
    assert_eq!(worker.limited_by.as_deref(), Some("starts per minute"));
    let told = "; no more than 20 start on the host in a minute";
    assert!(
        own.reasons.iter().any(|reason| reason.text.ends_with(told)),
        "{:?}",
        own.reasons
    );
    assert_eq!(edge.seconds(30).len(), 8, "thirty in all");
}

#[tokio::test]
async fn what_the_host_has_no_memory_for_is_told_while_starts_in_a_minute_are_used_up_too() {
    let text = CONFIG.replace("max = 4", "max = 40");
    let mut edge = Edge::new(&text.replace("ratio = 2.0", "ratio = 1.0\nmax = 40"));
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    edge.sessions.insert("web_1".into(), 1_990);
    // Of 38 that are missing.
    memory(&mut edge, 24);
    assert_eq!(edge.seconds(59).len(), 20);
    let own = edge.controller.status(edge.now).instances[0].clone();
    let limit = own.services[0].limited_by.clone().unwrap_or_default();
    assert!(limit.starts_with("host memory"), "{limit}");
    let told = own.reasons.iter().map(|reason| &reason.text);
    let both = |text: &&String| {
        text.contains("; host memory allows 1")
            && text.ends_with("; no more than 20 start on the host in a minute")
    };
    assert!(told.filter(both).count() > 0, "{:?}", own.reasons);
}

#[tokio::test]
async fn while_the_host_waits_for_memory_nothing_starts() {
    let mut crowd = Crowd::new(&["alpha"]);
    crowd.edge.sessions.insert("alpha_1".into(), 290);
    let pressed = |share| Host {
        memory_pressure: Some(share),
        ..Host::default()
    };
    crowd.host(pressed(0.124));
    assert_eq!(crowd.second(), [""; 0]);
    assert_eq!(crowd.limited_by(0).as_deref(), Some("memory pressure"));
    let own = crowd.edge.controller.status(crowd.edge.now).instances[0].clone();
    let told = "the host waits for memory 12 % of the time, and nothing starts until that is over";
    assert!(own.reasons[0].text.ends_with(told), "{:?}", own.reasons);
    assert_eq!(own.status, Level::Warning);
    crowd.host(pressed(0.09));
    assert_eq!(crowd.second(), ["alpha"]);
}

/// Names of stacks that somebody knocks at one after the other.
#[tokio::test]
async fn who_knocks_at_every_sleeping_name_does_not_take_the_starts_of_those_who_have_visitors() {
    let names: Vec<String> = (10..60).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut crowd = Crowd::asleep(&names);
    crowd.host(Host {
        cores: Some(64),
        ..Host::default()
    });
    crowd.edge.visits += 1;
    let mut woken = Vec::new();
    for _ in 0..59 {
        woken.extend(crowd.second());
    }
    assert_eq!(woken.len(), 10, "{woken:?}");
    let waits = (0..50).filter_map(|one| crowd.limited_by(one));
    assert!(waits.into_iter().any(|why| why == "wakes per minute"));
    // One that is awake has the rest.
    crowd.all_ready();
    let busy = format!("{}_1", woken[0]);
    crowd.edge.sessions.insert(busy, 490);
    let more: Vec<_> = (0..20).flat_map(|_| crowd.second()).collect();
    let own = more.iter().filter(|name| **name == woken[0]).count();
    assert!(own >= 4, "{more:?}");
}

fn since_1970(now: Now) -> u64 {
    let since = now.wall.duration_since(SystemTime::UNIX_EPOCH);
    since.expect("later").as_secs()
}

/// A second in which the replicas of congress say that it is too much.
pub(super) fn overloaded_second(edge: &mut Edge) -> Vec<Action> {
    edge.now.at += Duration::from_secs(1);
    edge.now.wall += Duration::from_secs(1);
    edge.report();
    let mut report = Report::clone(&edge.controller.report);
    let own = report.instances.change("congress".parse().expect("name"));
    let totals = SessionTotals {
        overloaded: since_1970(edge.now),
        ..SessionTotals::default()
    };
    own.services.insert("web".parse().expect("name"), totals);
    edge.take(Event::Report(Arc::new(report)));
    edge.decide()
}

fn overloaded(edge: &mut Edge, seconds: u32) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..seconds {
        for action in overloaded_second(edge) {
            all.push(words(&action));
            edge.carry_out(action);
        }
    }
    all
}

fn worker_limit(edge: &mut Edge) -> Option<String> {
    let status = edge.controller.status(edge.now);
    let mut instances = status.instances.into_iter();
    let congress = instances.find(|one| one.name == "congress");
    congress.expect("congress").services[1].limited_by.clone()
}

#[tokio::test]
async fn on_a_full_host_boosts_are_not_started_before_what_sessions_need() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 90);
    edge.seconds(61);
    // Half as many workers again as the ratio.
    assert_eq!(overloaded(&mut edge, 5), ["start worker"]);
    // Another web is needed, with its workers; there is room for two of them.
    memory(&mut edge, 2);
    edge.sessions.insert("web_1".into(), 150);
    let first = overloaded_second(&mut edge);
    assert_eq!(
        worker_limit(&mut edge).as_deref(),
        Some("host memory (boost)")
    );
    first.into_iter().for_each(|action| edge.carry_out(action));
    overloaded(&mut edge, 20);
    let counts = ["web", "worker"].map(|name| edge.units[name].len());
    assert_eq!(counts, [2, 4], "as the ratio says");
}

#[tokio::test]
async fn on_a_full_host_a_boosted_worker_leaves_for_another_stack() {
    let assembly = "[[instance]]\nname = \"assembly\"\ndomains = [\"assembly.example.org\"]\n\
                    [instance.scale]\nsessions-per-replica = 100\n\
                    [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n";
    let mut edge = Edge::new(&format!("{CONFIG}{assembly}"));
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    edge.sessions.insert("web_1".into(), 90);
    edge.seconds(61);
    assert_eq!(overloaded(&mut edge, 5), ["start worker"]);

    edge.list_beside_assembly();
    edge.probe("assembly_1", true);
    overloaded_second(&mut edge);
    edge.sessions.insert("assembly_1".into(), 150);
    memory(&mut edge, 0);
    let ordered: Vec<String> = (0..5)
        .flat_map(|_| overloaded_second(&mut edge))
        .map(|action| words(&action))
        .collect();
    assert_eq!(
        ordered,
        ["stop worker_clone_1"],
        "and no more than the boost"
    );
}

/// A second in which every start that is ordered ends like this. Returns the stacks.
fn second_with(crowd: &mut Crowd, trouble: Trouble) -> Vec<String> {
    let mut ordered = Vec::new();
    for action in crowd.edge.tick() {
        let Action::Start { stack, .. } = &action else {
            panic!("unexpected: {action}");
        };
        ordered.push(stack.as_str().to_owned());
        let result = Err(Failure {
            text: "no space left on device".to_owned(),
            trouble,
        });
        crowd.edge.take(Event::Acted(Acted { action, result }));
    }
    ordered
}

#[tokio::test]
async fn when_two_stacks_are_told_that_there_is_no_room_nobody_starts_for_five_minutes() {
    let names = ["alpha", "beta", "gamma"];
    let mut crowd = Crowd::new(&names);
    crowd.edge.sessions.insert("alpha_1".into(), 190);
    assert_eq!(second_with(&mut crowd, Trouble::Capacity), ["alpha"]);
    // It may be of its own making.
    crowd.edge.sessions.insert("beta_1".into(), 190);
    assert_eq!(second_with(&mut crowd, Trouble::Capacity), ["beta"]);
    crowd.edge.sessions.insert("gamma_1".into(), 190);
    let meanwhile: Vec<_> = (0..298).flat_map(|_| crowd.second()).collect();
    assert_eq!(meanwhile, [""; 0]);
    assert_eq!(crowd.limited_by(2).as_deref(), Some("engine room"));
    let own = crowd.edge.controller.status(crowd.edge.now).instances[2].clone();
    assert!(
        own.reasons[0].text.contains("the engine has no room"),
        "{:?}",
        own.reasons
    );
    let later: Vec<_> = (0..4).flat_map(|_| crowd.second()).collect();
    assert!(later.contains(&"gamma".to_owned()), "{later:?}");
}

#[tokio::test]
async fn a_stack_that_is_told_again_and_again_that_there_is_no_room_pauses_nobody_else() {
    let mut crowd = Crowd::new(&["alpha", "beta"]);
    crowd.edge.sessions.insert("alpha_1".into(), 190);
    let own: Vec<_> = (0..310)
        .flat_map(|_| second_with(&mut crowd, Trouble::Capacity))
        .collect();
    assert_eq!(own, ["alpha", "alpha"]);
    crowd.edge.sessions.insert("beta_1".into(), 190);
    assert_eq!(crowd.second(), ["beta"]);
}

#[tokio::test]
async fn a_fixed_service_that_is_restarted_again_and_again_takes_nobodys_turn_to_start() {
    let redis = "[instance.service.redis]\nrole = \"fixed\"\nprobe = \"tcp:6379\"\n";
    let mut edge = Edge::new(&format!("{CONFIG}{redis}"));
    edge.units = Edge::running().units;
    let looping =
        [1, 2, 3].map(|number| unit(&format!("redis_{number}"), Origin::Declared { number }));
    edge.units.insert("redis", looping.into());
    edge.list();
    edge.probe("web_1", true);
    edge.settle();
    assert_eq!(edge.state("redis_1"), "starting");
    edge.sessions.insert("web_1".into(), 350);
    assert!(edge.second().contains(&"start web".to_owned()));
}

#[tokio::test]
async fn replicas_that_their_engine_restarts_again_and_again_take_no_other_stacks_turn_to_start() {
    let mut crowd = Crowd::new(&["alpha", "beta"]);
    let number = |number| unit(&format!("alpha_{number}"), Origin::Declared { number });
    let alpha = crowd.webs.get_mut("alpha").expect("alpha");
    alpha.extend([2, 3].map(number));
    crowd.list();
    crowd.edge.sessions.insert("beta_1".into(), 190);
    assert_eq!(crowd.second(), [""; 0], "both are new: a deployment");
    for life in 2..5 {
        for unit in &mut crowd.webs.get_mut("alpha").expect("alpha")[1..] {
            unit.id = ReplicaId::new(&unit.name, life);
            unit.since = crowd.edge.now.wall;
        }
        crowd.list();
    }
    assert_eq!(crowd.second(), ["beta"]);
}

#[tokio::test]
async fn who_waits_for_its_turn_to_start_for_over_a_minute_is_a_warning() {
    let names = ["alpha", "beta", "gamma", "delta", "omega"];
    let mut crowd = Crowd::new(&names);
    for name in names {
        crowd.edge.sessions.insert(format!("{name}_1"), 190);
    }
    let told = |crowd: &mut Crowd| {
        let status = crowd.edge.controller.status(crowd.edge.now);
        let all = status.instances.iter().flat_map(|one| one.reasons.clone());
        let waits = all.filter(|reason| reason.text.contains("waited for its turn"));
        waits.map(|reason| reason.status).collect::<Vec<_>>()
    };
    (0..59).for_each(|_| drop(crowd.second()));
    assert_eq!(told(&mut crowd), []);
    // Two have failed, two more start and do not become ready either.
    (0..10).for_each(|_| drop(crowd.second()));
    assert_eq!(told(&mut crowd), [Level::Warning]);
}

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::*;
use crate::plan::{
    Condition, EdgeReport, EndpointPlan, Https, LeavingPlan, Report, ServicePlan, Site, Target,
    Upstream, Usage,
};
use crate::routing::apply::{Counted, Reported};
use crate::routing::{Farewell, Routes};

/// A report for which everybody is counted.
fn counted(routes: &Routes) -> Arc<Report> {
    let before = Reported::default();
    routes
        .report(EdgeReport::default(), &before, Counted::All)
        .report
}

fn host(text: &str) -> Hostname {
    text.parse().expect("host")
}

fn service() -> ServiceName {
    "web".parse().expect("name")
}

fn endpoint(name: &str, usage: Usage) -> EndpointPlan {
    EndpointPlan {
        id: ReplicaId::new(name, 1),
        name: name.into(),
        address: SocketAddr::from(([10, 0, 0, 1], 80)),
        usage,
        turn: None,
    }
}

fn instance(name: &str, domains: &[&str], endpoints: Vec<EndpointPlan>) -> Arc<InstancePlan> {
    Arc::new(InstancePlan {
        name: name.parse().expect("name"),
        site: Arc::new(Site {
            domains: domains
                .iter()
                .map(|domain| domain.parse().expect("domain"))
                .collect(),
            redirect_from: vec![host(&format!("old.{name}.example"))],
            https: Https::Both,
            ..Site::default()
        }),
        condition: Condition::Serving,
        routes: vec![Route {
            prefix: "/".to_owned(),
            pattern: None,
            loose: false,
            allow: Vec::new(),
            auth: None,
            cache_control: None,
            replace_prefix: None,
            upstream: Upstream::default(),
            target: Target::Service(service()),
        }],
        leaving: Vec::new(),
        services: BTreeMap::from([(
            service(),
            ServicePlan {
                endpoints,
                ..ServicePlan::default()
            },
        )]),
    })
}

fn plan(generation: u64, instances: &[&Arc<InstancePlan>]) -> Plan {
    Plan {
        generation: Generation(generation),
        edge: Arc::default(),
        instances: instances
            .iter()
            .map(|instance| (instance.name.clone(), Arc::clone(instance)))
            .collect(),
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Farewell for Heard {
    fn cut(&self, replica: &ReplicaId, keep: u32, over: Duration) {
        self.0
            .lock()
            .expect("lock")
            .push(format!("cut {replica} but {keep} over {over:?}"));
    }

    fn gone(&self, instance: &InstanceName) {
        self.0
            .lock()
            .expect("lock")
            .push(format!("gone {instance}"));
    }
}

fn owner(routes: &Routes, name: &str) -> Option<String> {
    routes
        .load()
        .find(&host(name))
        .map(|found| found.instance.name().to_string())
}

#[test]
fn hosts_are_found_exactly_then_by_the_closest_wildcard() {
    let routes = Routes::default();
    let a = instance("a", &["a.example", "*.slides.example"], Vec::new());
    let b = instance("b", &["*.b.slides.example", "x.slides.example"], Vec::new());
    routes.apply(&plan(1, &[&a, &b]), &Heard::default());
    for (name, expected) in [
        ("a.example", Some("a")),
        ("x.slides.example", Some("b")),
        ("y.slides.example", Some("a")),
        ("z.y.slides.example", Some("a")),
        ("y.b.slides.example", Some("b")),
        ("b.slides.example", Some("a")),
        ("slides.example", None),
        ("example", None),
        ("a.example.evil", None),
    ] {
        assert_eq!(owner(&routes, name).as_deref(), expected, "{name}");
    }
}

proptest! {
    /// Instances come, go and pass names on to each other, and every table is as if it were the first.
    #[test]
    fn a_table_made_of_another_leads_where_a_new_one_does(
        steps in prop::collection::vec(prop::collection::vec(0..5_usize, 12), 1..12),
    ) {
        let names = ["a", "b", "c", "d"];
        let routes = Routes::default();
        for (number, owners) in (1..).zip(&steps) {
            // Whose each name is; 4 is nobody.
            let instances: Vec<_> = (0..names.len())
                .filter_map(|own| {
                    let domains: Vec<String> = (0..owners.len())
                        .filter(|name| owners[*name] == own)
                        .map(|name| match name % 3 {
                            0 => format!("*.below{name}.example"),
                            _ => format!("host{name}.example"),
                        })
                        .collect();
                    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
                    (!domains.is_empty()).then(|| instance(names[own], &domains, Vec::new()))
                })
                .collect();
            let next = plan(number, &instances.iter().collect::<Vec<_>>());
            routes.apply(&next, &Heard::default());
            let fresh = Routes::default();
            fresh.apply(&next, &Heard::default());
            for name in 0..owners.len() {
                for host in [format!("host{name}.example"), format!("x.below{name}.example")] {
                    prop_assert_eq!(owner(&routes, &host), owner(&fresh, &host), "{}", host);
                }
            }
        }
    }
}

#[test]
fn an_old_name_leads_to_the_first_domain() {
    let routes = Routes::default();
    let a = instance("a", &["a.example", "b.example"], Vec::new());
    routes.apply(&plan(1, &[&a]), &Heard::default());
    let table = routes.load();
    let found = table.find(&host("old.a.example")).expect("claimed");
    assert_eq!(found.redirect_to, Some(host("a.example")));
}

#[test]
fn between_two_seconds_only_those_with_a_new_table_are_counted_anew() {
    let routes = Routes::default();
    let [a, b] = ["a", "b"].map(|name| instance(name, &[], vec![endpoint("r1", Usage::Serve)]));
    routes.apply(&plan(1, &[&a, &b]), &Heard::default());
    let edge = EdgeReport::default;
    let first = routes.report(edge(), &Reported::default(), Counted::Nobody);
    assert_eq!(first.report.instances.len(), 2, "nobody was counted before");
    let changed = instance("b", &[], vec![endpoint("r1", Usage::Drain)]);
    routes.apply(&plan(2, &[&a, &changed]), &Heard::default());
    let second = routes.report(edge(), &first, Counted::Nobody);
    let third = routes.report(edge(), &second, Counted::All);
    let same = |one: &Reported, other: &Reported, name: &str| {
        Arc::ptr_eq(&one.report.instances[name], &other.report.instances[name])
    };
    assert_eq!(second.report.applied, Generation(2));
    assert!(same(&first, &second, "a") && !same(&first, &second, "b"));
    assert!(second.report.instances["b"].endpoints[&ReplicaId::new("r1", 1)].closed);
    assert!(!same(&second, &third, "a") && !same(&second, &third, "b"));
}

#[test]
fn an_unchanged_instance_keeps_the_very_same_table() {
    let routes = Routes::default();
    let a = instance("a", &["a.example"], vec![endpoint("r1", Usage::Serve)]);
    let b = instance("b", &["b.example"], Vec::new());
    routes.apply(&plan(1, &[&a, &b]), &Heard::default());
    let before = routes.load().instances["a"].clone();
    let changed = instance("b", &["b.example"], vec![endpoint("r2", Usage::Serve)]);
    routes.apply(&plan(2, &[&a, &changed]), &Heard::default());
    assert!(Arc::ptr_eq(&before, &routes.load().instances["a"]));
}

#[test]
fn counts_survive_every_swap() {
    let routes = Routes::default();
    let heard = Heard::default();
    let with = |usage| instance("a", &["a.example"], vec![endpoint("r1", usage)]);
    routes.apply(&plan(1, &[&with(Usage::Serve)]), &heard);
    let pool = Arc::clone(routes.load().instances["a"].pool(&service()).expect("pool"));
    let inside = pool
        .pick([127, 0, 0, 1].into(), &[], true)
        .expect("a place")
        .inside;
    routes.apply(&plan(2, &[&with(Usage::Drain)]), &heard);
    let report = counted(&routes);
    let seen = report.instances["a"].endpoints[&ReplicaId::new("r1", 1)];
    assert_eq!(
        (report.applied, seen.closed, seen.inside),
        (Generation(2), true, 1)
    );
    drop(inside);
    let report = counted(&routes);
    assert_eq!(
        report.instances["a"].endpoints[&ReplicaId::new("r1", 1)].inside,
        0
    );
}

#[test]
fn who_lost_its_address_still_counts_who_is_inside() {
    let routes = Routes::default();
    let heard = Heard::default();
    let with = |endpoints| instance("a", &["a.example"], endpoints);
    let serving = with(vec![endpoint("r1", Usage::Serve)]);
    routes.apply(&plan(1, &[&serving]), &heard);
    let pool = Arc::clone(routes.load().instances["a"].pool(&service()).expect("pool"));
    let client = [127, 0, 0, 1].into();
    let pick = || pool.pick(client, &[], true).expect("a place").inside;
    let inside = pick();
    routes.apply(&plan(2, &[&with(Vec::new())]), &heard);
    // Somebody who reads the table of before is counted as well.
    let late = pick();
    let mut leaving = (*with(Vec::new())).clone();
    leaving.leaving.push(LeavingPlan {
        service: service(),
        id: ReplicaId::new("r1", 1),
        usage: Usage::Drain,
    });
    routes.apply(&plan(3, &[&Arc::new(leaving)]), &heard);
    let proofs = || {
        let report = counted(&routes);
        report.instances["a"].drained.len()
    };
    assert_eq!(proofs(), 0, "two are inside");
    drop(inside);
    assert_eq!(proofs(), 0, "one is inside");
    drop(late);
    assert_eq!(proofs(), 1);
    assert!(
        pool.pick(client, &[], true).is_err(),
        "and nobody can enter"
    );
}

#[test]
fn a_replica_that_was_never_an_endpoint_has_its_proof_once_it_leaves() {
    let routes = Routes::default();
    let heard = Heard::default();
    let mut workers = (*instance("a", &["a.example"], Vec::new())).clone();
    workers.leaving.push(LeavingPlan {
        service: "worker".parse().expect("name"),
        id: ReplicaId::new("w1", 1),
        usage: Usage::Drain,
    });
    routes.apply(&plan(1, &[&Arc::new(workers)]), &heard);
    let report = counted(&routes);
    let proof = &report.instances["a"].drained[&ReplicaId::new("w1", 1)];
    assert_eq!(proof.replica(), &ReplicaId::new("w1", 1));
}

#[test]
fn a_drain_taken_back_opens_the_endpoint_again() {
    let routes = Routes::default();
    let heard = Heard::default();
    for (generation, usage, open) in [
        (1, Usage::Serve, true),
        (2, Usage::Drain, false),
        (3, Usage::Serve, true),
    ] {
        let a = instance("a", &["a.example"], vec![endpoint("r1", usage)]);
        routes.apply(&plan(generation, &[&a]), &heard);
        let pool = Arc::clone(routes.load().instances["a"].pool(&service()).expect("pool"));
        assert_eq!(
            pool.pick([127, 0, 0, 1].into(), &[], true).is_ok(),
            open,
            "{usage:?}"
        );
    }
}

#[test]
fn cuts_and_farewells_are_told() {
    let routes = Routes::default();
    let heard = Heard::default();
    let over = Duration::from_secs(3);
    let a = instance(
        "a",
        &["a.example"],
        vec![endpoint("r1", Usage::Cut { keep: 2, over })],
    );
    routes.apply(&plan(1, &[&a]), &heard);
    routes.apply(&plan(2, &[]), &heard);
    assert_eq!(
        *heard.0.lock().expect("lock"),
        ["cut r1 but 2 over 3s", "gone a"]
    );
}

#[test]
fn pooled_connections_are_told_apart_by_instance_container_and_life() {
    let names: Vec<InstanceName> = ["a", "b"].map(|name| name.parse().expect("name")).into();
    let key = |instance: usize, unit: &str, started| {
        pool_key(&names[instance], &ReplicaId::new(unit, started))
    };
    let all = [
        key(0, "c1", 1),
        key(1, "c1", 1),
        key(0, "c2", 1),
        key(0, "c1", 2),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(key(0, "c1", 1), all[0]);
}

#[test]
fn ten_thousand_hosts_are_each_their_own_tenants_in_every_spelling() {
    let name = |tenant: usize, number: usize| format!("h{number}.t{tenant}.slides.example");
    let instances: Vec<_> = (0..100)
        .map(|tenant| {
            let domains: Vec<String> = (0..100).map(|number| name(tenant, number)).collect();
            let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
            instance(&format!("t{tenant}"), &domains, Vec::new())
        })
        .collect();
    let routes = Routes::default();
    let all: Vec<_> = instances.iter().collect();
    routes.apply(&plan(1, &all), &Heard::default());

    let table = routes.load();
    let found = |authority: &str| {
        let (host, _) = Hostname::from_authority(authority).ok()?;
        Some(table.find(&host)?.instance.name().to_string())
    };
    for tenant in 0..100 {
        for number in 0..100 {
            let name = name(tenant, number);
            let expected = Some(format!("t{tenant}"));
            for spelling in [
                name.clone(),
                name.to_ascii_uppercase(),
                name.replace('h', "H"),
                format!("{name}."),
                format!("{name}:443"),
                format!("{}.:8443", name.to_ascii_uppercase()),
                format!("{name}:"),
            ] {
                assert_eq!(found(&spelling), expected, "{spelling}");
            }
            for other in [
                format!("x.{name}"),
                format!("{name}.x"),
                format!("{name}x"),
                format!("x{name}"),
                format!("{name}.."),
                format!("{name}:80:80"),
                format!("u@{name}"),
            ] {
                assert_eq!(found(&other), None, "{other}");
            }
        }
    }
}

#[test]
fn patterns_come_after_every_name_and_expressions_last() {
    let shaped = |name: &str, domains: &[&str], patterns: &[&str]| {
        let mut plan = InstancePlan::clone(&instance(name, domains, Vec::new()));
        let site = Arc::make_mut(&mut plan.site);
        let parse = |text: &&str| HostPattern::parse(text).expect("a pattern");
        site.patterns = patterns.iter().map(parse).collect();
        Arc::new(plan)
    };
    let instances = [
        shaped("a", &[], &["~^www\\."]),
        shaped("b", &[], &["~^www\\.x", "www.*"]),
        shaped("c", &[], &["www.x.*"]),
        shaped("d", &["*.x.org"], &[]),
        shaped("e", &["www.x.org"], &[]),
    ];
    let all: Vec<_> = instances.iter().collect();
    let finds = |count: usize, name: &str| {
        let table = Table::build(&plan(1, &all[..count]), &Table::default());
        table
            .find(&host(name))
            .map(|host| host.instance.name().to_string())
    };
    for (count, expected) in [(5, "e"), (4, "d"), (3, "c"), (2, "b"), (1, "a")] {
        assert_eq!(finds(count, "www.x.org").as_deref(), Some(expected));
    }
    assert_eq!(finds(5, "nobody.org"), None);
}

#[test]
fn one_room_holds_who_waits_at_any_instance_and_a_stack_has_one_share_of_it() {
    let routes = Routes::default();
    let names = ["a", "b", "c", "d", "e", "f"];
    let hosts = names.map(|name| format!("{name}.example"));
    let mut all = Vec::new();
    // Each of them comes with a plan of its own, and those of before are as they were.
    for (generation, _) in (1..).zip(names) {
        let known = names
            .iter()
            .zip(&hosts)
            .take(usize::try_from(generation).expect("few"));
        let plans = known.map(|(name, host)| instance(name, &[host.as_str()], Vec::new()));
        let plans: Vec<_> = plans.collect();
        let plans: Vec<_> = plans.iter().collect();
        routes.apply(&plan(generation, &plans), &Heard::default());
    }
    let began = Instant::now();
    for name in names {
        let table = routes.load();
        let instance = &table.instances[name];
        let service = instance.pool(&service()).expect("pool").holding();
        for holding in [instance.counters().holding(), service] {
            all.extend((0..6_000).map(|_| holding.hold(began)));
        }
        let held = counted(&routes).instances[name].held;
        assert!(held <= 10_000, "{name}: {held}");
    }
    let report = counted(&routes);
    let held: u32 = report
        .instances
        .values()
        .map(|instance| instance.held)
        .sum();
    assert_eq!(held, 50_000);
    drop(all);
    let report = counted(&routes);
    assert!(report.instances.values().all(|instance| instance.held == 0));
}

//! Who gets traffic: what proves itself, and what cannot be reached.

use super::*;

#[tokio::test]
async fn a_running_container_gets_no_traffic_before_its_probe_succeeds() {
    let mut edge = Edge::new(CONFIG);
    edge.units
        .insert("web", vec![unit("web_1", Origin::Declared { number: 1 })]);
    edge.list();
    edge.settle();
    assert_eq!(edge.usage("web_1"), None);
    assert_eq!(edge.targets().len(), 1);
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
    assert!(edge.targets().is_empty());
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
    for target in edge.targets().iter() {
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
    let mut edge = Edge::new(&format!("{FIXED}{second}"));
    let targets = edge.targets();
    let instances: Vec<_> = targets
        .iter()
        .map(|target| target.subject.instance.as_str().to_owned())
        .collect();
    assert_eq!(instances, ["assembly", "assembly", "congress", "congress"]);
}

#[tokio::test]
async fn on_the_hosts_network_nobody_is_asked_at_a_port_of_ushers_own() {
    let text = format!("[listen]\nhttp = [\"0.0.0.0:8080\"]\n{CONFIG}");
    for (address, port, asked) in [
        ([127, 0, 0, 1], 8080, 0),
        ([127, 0, 0, 1], 8000, 1),
        // Behind a gateway the ports are others.
        ([172, 17, 0, 1], 8080, 1),
    ] {
        let mut edge = Edge::new(&text.replacen("port = 8000", &format!("port = {port}"), 1));
        let mut web = unit("web_1", Origin::Declared { number: 1 });
        web.reach = Reach::Host(IpAddr::from(address));
        web.ports = Vec::new();
        edge.units.insert("web", vec![web]);
        edge.list();
        edge.settle();
        assert_eq!(edge.controller.targets().len(), asked, "{address:?} {port}");
    }
}

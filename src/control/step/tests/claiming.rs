//! What containers claim.

use super::*;
use crate::plan::WantedCertificate;

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
        (name, Arc::new(stack_of(units.clone())))
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
        .all()
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
        let names = |one: &WantedCertificate| {
            let names: Vec<_> = one.names.iter().map(ToString::to_string).collect();
            (names.join(" "), one.may_order)
        };
        wanted.all().map(names).collect::<Vec<_>>()
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
    let told = serde_json::to_string(&edge.controller.status(edge.now)).expect("JSON");
    assert!(told.contains("add an [[instance]] with `stack"), "{told}");
    for _ in 0..24 {
        assert!(edge.controller.plan.instances.is_empty());
        edge.now.at += Duration::from_secs(3_600);
        edge.take(Event::Tick);
        edge.settle();
    }
    assert!(edge.controller.plan.instances.contains_key("second"));
}

#[tokio::test]
async fn after_a_restart_an_owner_that_is_stopped_still_has_its_name() {
    let text = "[engine]\nnames-from-containers = \"open\"\n";
    let host = [("VIRTUAL_HOST", "a.example.org")];
    let (one, two) = (claiming("one", &host), claiming("two", &host));
    let mut before = Edge::new(text);
    before.list_this(Some(listing(&[("first", vec![one])])), None);
    before.settle();
    let kept = serde_json::to_string(&before.controller.kept(before.now)).expect("JSON");

    let mut edge = Edge::new(text);
    let kept = serde_json::from_str(&kept).expect("the same");
    edge.controller.remember(kept, edge.now);
    edge.list_this(Some(listing(&[("second", vec![two])])), None);
    edge.settle();
    assert!(edge.controller.plan.instances.is_empty());
    let told = serde_json::to_string(&edge.controller.status(edge.now)).expect("JSON");
    assert!(told.contains("the stack first had it"), "{told}");
}

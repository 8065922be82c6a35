//! Services and replicas of one stack that say something.

use std::sync::Arc;

use crate::compat::fixture::{Room, host, unit};

#[test]
fn hosts_of_one_container_with_ports_of_their_own_become_instances_of_their_own() {
    let mut room = Room::new("open", "");
    let text = "a.example.org:\nb.example.org:\n  '/': { port: 9000 }\n";
    room.web("shop", &[("VIRTUAL_HOST_MULTIPORTS", text)]);
    let names = room.names();
    assert_eq!(names.len(), 2, "{names:?}");
    let ports: Vec<_> = names
        .iter()
        .map(|name| (room.domains(name), room.instance(name).services["web"].port))
        .collect();
    let expected = [
        (vec!["a.example.org".to_owned()], None),
        (vec!["b.example.org".to_owned()], Some(9000)),
    ];
    assert_eq!(ports, expected);
}

#[test]
fn services_that_serve_a_path_in_different_ways_are_not_mixed() {
    let mut room = Room::new("open", "");
    let with = |proto| [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PROTO", proto)];
    room.set("shop", "blue", vec![unit("b", &with("http"))]);
    room.set("shop", "green", vec![unit("g", &with("https"))]);
    assert_eq!(room.names(), ["shop-blue"]);
    assert!(!room.ruling.views.contains_key("shop-blue"), "blue alone");
    let told = room.told("shop-blue");
    assert!(told.contains("in different ways; b has it"), "{told}");
}

#[test]
fn several_services_share_a_host_by_their_paths() {
    let mut room = Room::new("open", "");
    room.web("shop", &host("shop.example.org"));
    let api = [
        ("VIRTUAL_HOST", "shop.example.org"),
        ("VIRTUAL_PATH", "/api/"),
    ];
    let api = [&api[..], &[("NETWORK_ACCESS", "internal")]].concat();
    room.set("shop", "api", vec![unit("shop_api_1", &api)]);
    assert_eq!(room.names(), ["shop"]);
    let routes = &room.instance("shop").routes;
    let prefixes: Vec<_> = routes.iter().map(|route| route.prefix.as_str()).collect();
    assert_eq!(prefixes, ["/", "/api/"]);
    assert!(routes[0].allow.is_empty());
    let admits = |address: &str| {
        let address = address.parse().expect("an address");
        routes[1]
            .allow
            .iter()
            .any(|net| net.contains(&std::net::IpAddr::V4(address)))
    };
    assert!(admits("192.168.1.9") && admits("172.31.0.1") && !admits("203.0.113.5"));
}

#[test]
fn services_with_hosts_of_their_own_become_instances_of_their_own() {
    let mut room = Room::new("open", "");
    room.set(
        "shop",
        "web",
        vec![unit("w", &host("shop.example.org,both.example.org"))],
    );
    room.set(
        "shop",
        "mail.ui",
        vec![unit("m", &host("mail.example.org"))],
    );
    assert_eq!(room.names(), ["shop", "shop-mail-ui"]);
    let before = Arc::clone(room.instance("shop"));
    room.set("shop", "mail.ui", Vec::new());
    assert_eq!(room.names(), ["shop"]);
    assert_eq!(
        *before,
        **room.instance("shop"),
        "nothing of it hangs on the other"
    );
}

#[test]
fn two_services_that_claim_the_same_take_turns() {
    let mut room = Room::new("open", "");
    let with = |port| [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PORT", port)];
    room.set("shop", "blue", vec![unit("b", &with("81"))]);
    room.set("shop", "green", vec![unit("g", &with("82"))]);
    assert_eq!(room.names(), ["shop-blue"]);
    let seen = &room.ruling.views["shop-blue"].services["blue"];
    let ports: Vec<_> = seen
        .iter()
        .map(|unit| (unit.name.as_str(), &unit.ports[..]))
        .collect();
    assert_eq!(ports, [("b", &[81][..]), ("g", &[82][..])]);
    assert_eq!(room.instance("shop-blue").services["blue"].port, None);
}

#[test]
fn replicas_of_one_stack_share_a_name_and_the_first_speaks_for_those_that_differ() {
    let mut room = Room::new("open", "");
    let one = unit("shop_web_1", &host("a.example.org"));
    let two = unit("shop_web_2", &host("a.example.org"));
    room.set("shop", "web", vec![two.clone(), one.clone()]);
    assert_eq!(
        (room.names(), room.told("shop").as_str()),
        (vec!["shop"], "")
    );
    assert!(room.ruling.views.is_empty(), "all of them serve");

    let port = [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PORT", "81")];
    room.set("shop", "web", vec![unit("shop_web_2", &port), one]);
    let told = room.told("shop");
    for word in ["shop_web_1", "shop_web_2", "VIRTUAL_PORT"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(room.instance("shop").services["web"].port, None);
    let seen = &room.ruling.views["shop"].services["web"];
    assert_eq!(
        seen.len(),
        1,
        "asked at a port of its own, the other would get what is not its"
    );
}

#[test]
fn one_bad_replica_is_not_routed_and_the_others_are() {
    let mut room = Room::new("open", "");
    let bad = [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PORT", "none")];
    let units = vec![
        unit("w1", &host("a.example.org")),
        unit("w2", &bad),
        unit("w3", &[]),
    ];
    room.set("shop", "web", units);
    let seen = &room.ruling.views["shop"].services["web"];
    let seen: Vec<_> = seen.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(seen, ["w1"]);
    let told = room.told("shop");
    assert!(
        told.contains("container w2") && told.contains("VIRTUAL_PORT `none`"),
        "{told}"
    );
}

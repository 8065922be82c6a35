//! Which certificates are ordered for what containers ask.

use crate::compat::conflicts;
use crate::compat::fixture::{CONGRESS, Room, host, unit};
use crate::config::model::Orders;

/// What is ordered for an instance.
fn ordered(room: &Room, name: &str) -> Vec<String> {
    match &room.instance(name).orders {
        Orders::Asked { names, .. } => names.iter().map(ToString::to_string).collect(),
        Orders::All => panic!("{name} orders everything"),
    }
}

#[test]
fn a_certificate_is_ordered_for_every_name_that_leads_to_the_stack_and_for_no_other() {
    let mut room = Room::new("open", "");
    room.web(
        "bank",
        &host("bank.slides.example.org,*.deep.slides.example.org"),
    );
    room.web("open", &host("www.slides.*"));
    let web = [
        (
            "VIRTUAL_HOST",
            r"*.slides.example.org,~^(www|api)\.slides\.net$",
        ),
        (
            "LETSENCRYPT_HOST",
            "a.slides.example.org,api.slides.net,admin.example.org,\
             bank.slides.example.org,x.deep.slides.example.org,www.slides.net,elsewhere.example.org",
        ),
        ("LETSENCRYPT_TEST", "true"),
    ];
    room.set(
        "slides",
        "admin",
        vec![unit("admin", &host("admin.example.org"))],
    );
    room.set("slides", "web", vec![unit("web", &web)]);
    let all: Vec<String> = ["slides", "slides-admin", "slides-web", "slides-slides"]
        .into_iter()
        .filter(|name| room.ruling.instances.contains_key(*name))
        .flat_map(|name| ordered(&room, name))
        .collect();
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "a.slides.example.org",
            "admin.example.org",
            "api.slides.net"
        ]
    );
    assert!(room.instance("slides-admin").staging, "as who asks for it");
    let told = room.told("slides") + &room.told("slides-admin");
    for name in [
        "bank.slides.example.org",
        "x.deep.slides.example.org",
        "www.slides.net",
        "elsewhere.example.org",
    ] {
        let words = format!("no certificate is ordered for `{name}`");
        assert!(told.contains(&words), "{name}: {told}");
    }
}

#[test]
fn a_name_below_a_wildcard_of_the_entry_is_named_by_the_order_for_it() {
    let mut room = Room::new("open", CONGRESS);
    let says = [
        ("VIRTUAL_HOST", "congress.example.org"),
        (
            "LETSENCRYPT_HOST",
            "congress.example.org,a.slides.example.org,elsewhere.example.org",
        ),
    ];
    room.web("congress", &says);
    let domains = room.domains("congress");
    assert!(domains.contains(&"a.slides.example.org".to_owned()));
    assert!(!domains.contains(&"elsewhere.example.org".to_owned()));
    let told = room.told("congress");
    assert!(told.contains("`elsewhere.example.org`"), "{told}");
    assert!(!told.contains("`a.slides.example.org`"), "{told}");
}

#[test]
fn an_order_goes_and_comes_with_whose_the_name_is_and_what_is_above_it() {
    let mut room = Room::new("open", "");
    let says = [
        ("VIRTUAL_HOST", "*.example.org"),
        ("LETSENCRYPT_HOST", "a.example.org,x.b.example.org"),
    ];
    room.web("shop", &says);
    let both = ["a.example.org", "x.b.example.org"];
    assert_eq!(ordered(&room, "shop"), both);
    room.web("other", &host("a.example.org"));
    assert_eq!(ordered(&room, "shop"), ["x.b.example.org"]);
    room.web("wild", &host("*.b.example.org"));
    assert_eq!(ordered(&room, "shop"), [""; 0]);
    for stack in ["other", "wild"] {
        room.inventory.stacks.remove(stack);
    }
    room.settle();
    assert_eq!(ordered(&room, "shop"), [""; 0], "they may come back");
    room.now += conflicts::KEPT_FOR;
    room.settle();
    assert_eq!(ordered(&room, "shop"), both);
}

#[test]
fn an_order_by_a_pattern_goes_and_comes_with_the_patterns_of_others() {
    let mut room = Room::new("open", "");
    let says = [
        ("VIRTUAL_HOST", "~^x"),
        ("LETSENCRYPT_HOST", "xy.example.org"),
    ];
    room.web("shop", &says);
    assert_eq!(ordered(&room, "shop"), ["xy.example.org"]);
    room.web("other", &host("~^xy"));
    assert_eq!(ordered(&room, "shop"), [""; 0]);
    room.web("other", &host("~^z"));
    assert_eq!(ordered(&room, "shop"), ["xy.example.org"]);
}

#[test]
fn who_takes_a_wildcard_in_the_place_of_a_name_orders_that_name_on() {
    let mut room = Room::new("open", "");
    for hosts in ["a.example.org", "*.example.org"] {
        let says = [
            ("VIRTUAL_HOST", hosts),
            ("LETSENCRYPT_HOST", "a.example.org"),
        ];
        room.web("shop", &says);
        assert_eq!(ordered(&room, "shop"), ["a.example.org"], "{hosts}");
    }
}

#[test]
fn a_pair_is_another_s_as_soon_as_somebody_has_the_wildcard_it_is_called_after() {
    let mut room = Room::new("open", "");
    let says = [
        ("VIRTUAL_HOST", "www.example.org"),
        ("CERT_NAME", "deep.example.org"),
    ];
    room.web("shop", &says);
    assert!(room.instance("shop").certificate.is_some());
    room.web("wild", &host("*.deep.example.org"));
    assert_eq!(room.instance("shop").certificate, None);
}

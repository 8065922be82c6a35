//! Who gets a name or a pair: the configuration before containers, and who has it before who comes.

use std::sync::Arc;

use crate::compat::conflicts;
use crate::compat::fixture::{CONGRESS, Room, host, unit};
use crate::config;
use crate::config::model::Orders;
use crate::plan::Https;

#[test]
fn a_containers_pattern_never_comes_before_what_an_operator_wrote() {
    let entry = "[[instance]]\nname = \"blog\"\ndomains = [\"blog.example.org\"]\n\
        [instance.service.web]\nrole = \"fixed\"\n";
    let mut room = Room::new("open", entry);
    let values = [
        ("VIRTUAL_HOST", "blog.example.org"),
        ("VIRTUAL_PATH", "~.*"),
    ];
    room.web("blog", &values);
    let told = room.told("blog");
    assert!(told.contains("the pattern ~.* is not followed"), "{told}");
}

#[test]
fn two_stacks_that_claim_one_name_do_not_mix_and_the_live_owner_keeps_it() {
    let mut room = Room::new("open", "");
    room.web("shop", &host("a.example.org"));
    let owner = Arc::clone(room.instance("shop"));
    room.web("attack", &host("a.example.org,own.example.org"));
    assert!(Arc::ptr_eq(&owner, room.instance("shop")));
    assert_eq!(room.domains("attack"), ["own.example.org"]);
    let told = room.told("attack");
    assert!(
        told.contains("attack_web_1") && told.contains("the stack shop has it"),
        "{told}"
    );
    assert_eq!(room.told("shop"), "");

    room.web("attack", &host("a.example.org"));
    assert_eq!(room.names(), ["shop"]);
    let refused = &room.ruling.refused["attack"];
    assert!(refused[0].contains("the stack shop has it"), "{refused:?}");

    // The owner is gone for good.
    room.inventory.stacks.remove("shop");
    room.settle();
    assert_eq!(room.names(), [""; 0]);
    room.now += conflicts::KEPT_FOR;
    assert!(room.compat.again_at().is_some_and(|at| at <= room.now));
    room.settle();
    assert_eq!(room.names(), ["attack"]);
}

#[test]
fn names_of_the_configuration_are_never_a_containers() {
    let mut room = Room::new("open", CONGRESS);
    room.web(
        "attack",
        &host("congress.example.org,a.slides.example.org,*.b.slides.example.org,ok.example.org"),
    );
    assert_eq!(room.domains("attack"), ["ok.example.org"]);
    let told = room.told("attack");
    assert_eq!(
        told.matches("belongs to the instance congress").count(),
        3,
        "{told}"
    );
}

#[test]
fn an_entry_wins_where_it_says_something_and_containers_say_the_rest() {
    let entry = CONGRESS.replace("[instance.service", "https = \"only\"\n[instance.service");
    let mut room = Room::new("open", &entry);
    let more = [
        (
            "VIRTUAL_HOST",
            "congress.example.org,a.slides.example.org,other.example.org",
        ),
        ("VIRTUAL_PORT", "9000"),
        ("HTTPS_METHOD", "noredirect"),
        ("HSTS", "max-age=7"),
    ];
    room.web("congress", &more);
    let congress = room.instance("congress");
    assert_eq!(congress.site.https, Https::Only, "said by the entry");
    assert_eq!(
        congress.services["web"].port,
        Some(9000),
        "said by the container"
    );
    assert!(matches!(
        congress.services["web"].role,
        config::model::Role::Sessions { .. }
    ));
    assert_eq!(congress.orders, Orders::All);
    let expected = [
        "congress.example.org",
        "*.slides.example.org",
        "a.slides.example.org",
    ];
    assert_eq!(room.domains("congress"), expected);
    let told = room.told("congress");
    assert!(
        told.contains("other.example.org") && told.contains("add it there"),
        "{told}"
    );

    // A service beside it that claims a path does not take the rest away.
    let api = [
        ("VIRTUAL_HOST", "congress.example.org"),
        ("VIRTUAL_PATH", "/api/"),
    ];
    room.set("congress", "api", vec![unit("api", &api)]);
    room.set("congress", "web", vec![unit("web", &[])]);
    let routes = &room.instance("congress").routes;
    assert_eq!(routes.len(), 2, "{routes:?}");
}

#[test]
fn listed_gives_only_what_the_entry_of_the_stack_has() {
    let mut room = Room::new("listed", CONGRESS);
    room.web("blog", &host("blog.example.org"));
    assert!(room.names().is_empty());
    let told = room.told("blog");
    assert!(
        told.contains("no entry grants it") && told.contains("[[instance]]"),
        "{told}"
    );
    room.web("congress", &host("a.slides.example.org,~^evil"));
    assert!(
        room.domains("congress")
            .contains(&"a.slides.example.org".to_owned())
    );
    assert!(room.told("congress").contains("~^evil"));
}

#[test]
fn a_pair_of_another_is_never_served() {
    let mut room = Room::new("open", CONGRESS);
    room.web("bank", &host("bank.example.org"));
    let with = |name: &'static str| [("VIRTUAL_HOST", "a.example.org"), ("CERT_NAME", name)];
    room.web("all", &host("*.shop.example.org"));
    for name in [
        "bank.example.org",
        "BANK.example.org.",
        "congress.example.org",
        "shop.example.org",
    ] {
        room.web("attack", &with(name));
        assert_eq!(room.instance("attack").certificate, None, "{name}");
        assert!(room.told("attack").contains("CERT_NAME"), "{name}");
    }
    for name in ["../secret", ".usher", "a/b", "a b"] {
        room.web("attack", &with(name));
        assert_eq!(room.instance("attack").certificate, None, "{name}");
    }
    // Whether one of these is for the name is seen where it is read.
    for name in ["a.example.org", "example.org", "shared", "Shared_2"] {
        room.web("attack", &with(name));
        assert_eq!(room.instance("attack").certificate.as_deref(), Some(name));
        assert_eq!(room.told("attack"), "");
    }
    // Below somebody's own name.
    let parent = [
        ("VIRTUAL_HOST", "x.bank.example.org"),
        ("CERT_NAME", "bank.example.org"),
    ];
    room.web("attack", &parent);
    assert_eq!(room.instance("attack").certificate, None);
}

#[test]
fn the_default_pair_is_nobodys_and_may_be_asked_for_where_it_is_trusted() {
    let says = [("VIRTUAL_HOST", "a.example.org"), ("CERT_NAME", "default")];
    for (trusted, expected) in [(true, Some("default")), (false, None)] {
        let mut room = Room::new(
            "open",
            &format!("[compat]\ntrust-default-cert = {trusted}\n"),
        );
        room.web("blog", &says);
        let instance = room.instance("blog");
        assert_eq!(instance.certificate.as_deref(), expected);
        assert_eq!(instance.trust_default_cert, trusted);
    }
}

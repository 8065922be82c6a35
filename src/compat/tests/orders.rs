//! Which certificates are ordered for what containers ask.

use super::*;

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

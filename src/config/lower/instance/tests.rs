use crate::config::fixture::{Files, SMALL, good, instance, issues};
use crate::config::model::ScaleMode;
use crate::plan::Https;

#[test]
fn the_smallest_instance_gets_every_default() {
    let config = good(SMALL);
    let congress = instance(&config, "congress");
    assert_eq!(congress.stack.as_str(), "congress");
    assert_eq!(congress.site.https, Https::Redirect);
    assert_eq!(congress.site.hsts.as_deref(), Some("max-age=31536000"));
    assert_eq!(congress.site.limits.max_body, Some(104_857_600));
    assert_eq!(congress.site.close_code, 1012);
    assert_eq!(congress.scale.sessions_per_replica, 150);
    assert_eq!(congress.scale.mode, ScaleMode::Auto);
    let routes: Vec<_> = congress
        .routes
        .iter()
        .map(|route| route.prefix.as_str())
        .collect();
    assert_eq!(routes, ["/"]);
}

#[test]
fn an_instance_may_consist_of_files_alone() {
    let text = "[[instance]]\nname = \"static\"\ndomains = [\"static.example.org\"]\n\
                [[instance.route]]\nprefix = \"/\"\nfiles = { dir = \"/srv\" }\n";
    let loaded = Files::new(text).load(None);
    assert!(loaded.issues.is_empty(), "{:?}", loaded.issues);
    let nothing = "[[instance]]\nname = \"static\"\ndomains = [\"static.example.org\"]\n";
    let loaded = Files::new(nothing).load(None);
    assert!(
        loaded.issues[0]
            .to_string()
            .contains("neither a service nor a route")
    );
}

#[test]
fn a_stack_may_rest_when_nobody_comes_and_outside_its_rental() {
    let text = "[scale]\nidle-to-zero = \"30m\"\nno-wake = [\"/backup/\"]\n\
                [[instance]]\nname = \"one\"\ndomains = [\"one.example.org\"]\n\
                [instance.scale]\nidle-to-zero = \"never\"\nno-wake = []\n\
                [instance.service.web]\nrole = \"sessions\"\n\
                [[instance]]\nname = \"two\"\ndomains = [\"two.example.org\"]\n\
                rental = { from = 2026-12-01, until = 2026-12-31 }\n\
                [instance.service.web]\nrole = \"sessions\"\n";
    // Not every machine that runs tests knows its time zone, which is worth a warning.
    let config = Files::new(text).load(None).config.expect("applied");
    let (one, two) = (instance(&config, "one"), instance(&config, "two"));
    assert_eq!((one.scale.idle_to_zero, one.rental), (None, None));
    assert!(one.site.no_wake.is_empty());
    let half_an_hour = std::time::Duration::from_secs(1_800);
    assert_eq!(two.scale.idle_to_zero, Some(half_an_hour));
    assert_eq!(two.site.no_wake, ["/backup/"]);
    let rental = two.rental.expect("rented");
    assert_eq!(rental.to_string(), "2026-12-01 to 2026-12-31");

    let told = |rental: &str| issues(&format!("{SMALL}\n[instance.rental]\n{rental}")).join("\n");
    assert!(told("from = 2026-12-01").contains("rental: missing field `until`"));
    assert!(told("from = 2026-12-02\nuntil = 2026-12-01").contains("ends on 2026-12-01"));
    assert!(told("from = 2026-12-01T00:00:00Z\nuntil = 2026-12-02").contains("is no day"));
}

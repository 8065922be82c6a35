use super::*;
use crate::config::fixture::{Files, SMALL, good, instance, issues};

#[test]
fn routes_have_one_target_and_never_a_ratio_service() {
    let route = |text: &str| {
        issues(&format!("{SMALL}[instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\n[[instance.route]]\n{text}"))
            .join("\n")
    };
    assert_eq!(route("prefix = \"/a\"\nto = \"web\""), "");
    assert!(route("prefix = \"/a\"").contains("exactly one"));
    assert!(route("to = \"web\"").contains("needs a `prefix`"));
    assert!(route("prefix = \"/a\"\nto = \"worker\"").contains("takes no traffic"));
    assert!(route("prefix = \"/a\"\nto = \"webb\"").contains("it has web, worker"));
    assert!(route("prefix = \"a\"\nto = \"web\"").contains("begins with `/`"));
    assert!(
        route("prefix = \"/a\"\nfiles = { volume = \"v\", path = \"../x\" }").contains("inside")
    );
    assert!(
        route("prefix = \"/a\"\nfiles = { path = \"x\" }").contains("either `dir` or `volume`")
    );
}

#[test]
fn a_listing_is_for_folders() {
    let route = |files: &str| {
        format!(
            "[[instance]]\nname = \"a\"\ndomains = [\"a.example.org\"]\n\
             [[instance.route]]\nprefix = \"/\"\n{files}\n"
        )
    };
    for (files, expected) in [
        ("files = { dir = \"/srv\", listing = true }", Listing::Shown),
        (
            "files = { dir = \"/srv\", listing = false }",
            Listing::Hidden,
        ),
        ("files = { dir = \"/srv\" }", Listing::Hidden),
    ] {
        let config = good(&route(files));
        let target = &instance(&config, "a").routes[0].target;
        assert!(
            matches!(target, RouteTarget::Files(_, listing) if *listing == expected),
            "{target:?}"
        );
    }
    let found = issues(&route(
        "file = { dir = \"/srv\", path = \"a\", listing = true }",
    ));
    let text = format!("{found:?}");
    assert!(
        text.contains("listing") && text.contains("single file"),
        "{text}"
    );
    let found = issues(&route("files = { dir = \"/srv\", listing = \"yes\" }"));
    assert!(format!("{found:?}").contains("listing"), "{found:?}");
}

#[test]
fn a_prefix_is_replaced_where_a_service_answers() {
    let route = |more: &str| {
        format!(
            "[[instance]]\nname = \"a\"\ndomains = [\"a.example.org\"]\n\
             [instance.service.web]\nrole = \"fixed\"\n\
             [[instance.route]]\nprefix = \"/app/\"\n{more}\n"
        )
    };
    let config = good(&route("to = \"web\"\nreplace-prefix = \"/\""));
    let found = &instance(&config, "a").routes[0];
    assert_eq!(found.replace_prefix.as_deref(), Some("/"));
    for wrong in [
        "to = \"web\"\nreplace-prefix = \"http://x/\"",
        "to = \"web\"\nreplace-prefix = \"/a b\"",
        "files = { dir = \"/srv\" }\nreplace-prefix = \"/\"",
    ] {
        let found = issues(&route(wrong));
        assert!(format!("{found:?}").contains("replace-prefix"), "{found:?}");
    }
}

#[test]
fn a_password_in_doubt_is_no_open_door() {
    let route = |auth: &str| {
        format!(
            "[[instance]]\nname = \"my_stack\"\ndomains = [\"a.example.org\"]\n\
             [[instance.route]]\nprefix = \"/\"\nfiles = {{ dir = \"/srv\" }}\nauth = {auth}\n"
        )
    };
    let config = good(&route("{ basic = \"/etc/usher/{stack}.htpasswd\" }"));
    let auth = instance(&config, "my_stack").routes[0].auth.clone();
    let auth = auth.expect("closed");
    assert_eq!(auth.file, PathBuf::from("/etc/usher/my-stack.htpasswd"));
    assert_eq!(auth.realm, "Restricted");
    for (wrong, says) in [
        ("{}", "needs `basic`"),
        ("{ realm = \"x\" }", "needs `basic`"),
        ("{ basic = \"x\", realm = 'a\"b' }", "quotation marks"),
        ("{ basic = \"x\", users = [] }", "unknown"),
        ("\"x\"", "is a table"),
    ] {
        let files = Files::new(&route(wrong));
        let loaded = files.load(None);
        let text = format!("{:?}", loaded.issues);
        assert!(text.contains(says), "{wrong}: {text}");
        let applied = loaded
            .config
            .is_some_and(|config| !config.instances.is_empty());
        assert!(!applied, "{wrong} is served");
    }
}

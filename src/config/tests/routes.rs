use super::*;
use crate::plan::Listing;

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

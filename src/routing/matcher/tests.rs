use proptest::prelude::*;

use super::*;
use crate::names::PathPattern;
use crate::plan::{Target, Upstream};

fn route(prefix: &str, loose: bool) -> Route {
    Route {
        prefix: prefix.to_owned(),
        pattern: PathPattern::parse(prefix).ok(),
        loose,
        allow: Vec::new(),
        auth: None,
        cache_control: None,
        replace_prefix: None,
        upstream: Upstream::default(),
        target: Target::StubStatus,
    }
}

fn found(routes: &[Route], path: &str) -> Option<String> {
    RouteList::new(routes)
        .find(path)
        .map(|route| route.prefix.clone())
}

#[test]
fn a_pattern_that_fits_is_before_every_prefix_and_patterns_are_in_their_alphabet() {
    let mut routes = vec![
        route("/", false),
        route("/static/deep/folder/", false),
        route(r"~\.php$", false),
        route("~^/static/(a|b)/", false),
    ];
    for _ in 0..routes.len() {
        routes.rotate_left(1);
        for (path, expected) in [
            ("/index.php", r"~\.php$"),
            ("/static/deep/folder/x.php", r"~\.php$"),
            ("/static/a/x.php", r"~\.php$"),
            ("/static/a/x", "~^/static/(a|b)/"),
            ("/static/deep/folder/x", "/static/deep/folder/"),
            ("/other", "/"),
        ] {
            assert_eq!(found(&routes, path).as_deref(), Some(expected), "{path}");
        }
    }
}

#[test]
fn the_longest_prefix_wins_whatever_the_order() {
    let mut routes = vec![
        route("/", false),
        route("/static/", false),
        route("/static/css/", false),
    ];
    for _ in 0..routes.len() {
        routes.rotate_left(1);
        assert_eq!(
            found(&routes, "/static/css/a.css").as_deref(),
            Some("/static/css/")
        );
        assert_eq!(found(&routes, "/static/a.js").as_deref(), Some("/static/"));
        assert_eq!(found(&routes, "/agenda").as_deref(), Some("/"));
    }
}

#[test]
fn a_prefix_ends_at_a_path_segment() {
    let routes = [route("/static", false)];
    for (path, fits) in [
        ("/static", true),
        ("/static/", true),
        ("/static/a", true),
        ("/static-backup", false),
        ("/statics", false),
        ("/Static", false),
        ("/stat", false),
        ("/", false),
    ] {
        assert_eq!(found(&routes, path).is_some(), fits, "{path}");
    }
    let folder = [route("/static/", false)];
    assert!(
        found(&folder, "/static").is_some(),
        "the folder without its slash"
    );
    assert!(found(&folder, "/static-backup").is_none());
}

#[test]
fn a_loose_prefix_takes_any_case_and_any_end() {
    let routes = [route("/projector", true)];
    for path in ["/projector", "/Projector/1", "/PROJECTORS"] {
        assert!(found(&routes, path).is_some(), "{path}");
    }
    assert!(found(&routes, "/project").is_none());
}

#[test]
fn without_a_fitting_route_there_is_none() {
    assert_eq!(found(&[route("/a", false)], "/b"), None);
}

#[test]
fn paths_are_decoded_once() {
    assert_eq!(decode("/a%20b").as_deref(), Some("/a b"));
    assert_eq!(decode("/%2541").as_deref(), Some("/%41"));
    assert_eq!(decode("/%C3%BC").as_deref(), Some("/ü"));
    for path in [
        "/%",
        "/%4",
        "/%zz",
        "/%00",
        "/a%0ab",
        "/..",
        "/../x",
        "/a/../b",
        "/%2e%2e/x",
        "/a/.",
        "/a\\b",
        "/%5c",
        "a",
        "",
        "/%ff",
        "/%c0%af",
    ] {
        assert_eq!(decode(path), None, "{path}");
    }
    assert!(decode("/a/..b").is_some() && decode("/...").is_some());
}

#[test]
fn slashes_in_a_row_are_one() {
    for path in [
        "//a/b",
        "/a//b",
        "/a///b",
        "/a%2f/b",
        "/%2Fa/b",
        "//a/%2f%2fb",
    ] {
        assert_eq!(decode(path).as_deref(), Some("/a/b"), "{path}");
    }
    assert_eq!(decode("//").as_deref(), Some("/"));
}

proptest! {
    #[test]
    fn decoding_never_panics_and_never_leaves_a_way_up(path in "\\PC*") {
        if let Some(decoded) = decode(&path) {
            prop_assert!(decoded.starts_with('/'));
            prop_assert!(!decoded.split('/').any(|segment| segment == ".."));
        }
    }

    #[test]
    fn the_order_of_declaration_does_not_matter(
        prefixes in proptest::collection::hash_set("/[a-c/]{0,4}", 1..6),
        path in "/[a-c/]{0,6}",
    ) {
        let mut routes: Vec<Route> = prefixes.iter().map(|prefix| route(prefix, false)).collect();
        let first = found(&routes, &path);
        routes.reverse();
        prop_assert_eq!(found(&routes, &path), first);
    }
}

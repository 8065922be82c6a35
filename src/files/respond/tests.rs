use std::time::{Duration, UNIX_EPOCH};

use http::Method;
use http::header::HeaderName;

use super::*;

fn entity(path: &str, version: &str) -> Entity {
    let modified = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Entity::new(path, 10, modified, version, |_| None)
}

fn conditions(method: &Method, fields: &[(&'static str, &str)]) -> Conditions {
    let fields = fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("value")))
        .collect();
    Conditions::parse(method, &fields)
}

fn ask(method: &Method, fields: &[(&'static str, &str)], entity: &Entity) -> Reply {
    reply(
        &conditions(method, fields),
        entity,
        |_| None,
        Some("no-cache"),
    )
}

fn get(fields: &[(&'static str, &str)]) -> Reply {
    ask(&Method::GET, fields, &entity("a.js", "v1"))
}

/// With these codings at hand, of three bytes each.
fn coded(fields: &[(&'static str, &str)], at_hand: &[Coding]) -> Reply {
    let there = |coding| at_hand.contains(&coding).then_some(3);
    let entity = entity("a.js", "v1");
    reply(&conditions(&Method::GET, fields), &entity, there, None)
}

fn field<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply
        .fields
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.as_str())
}

fn itself(offset: u64, length: u64) -> Option<Part> {
    Some(Part {
        coding: None,
        slice: Slice { offset, length },
    })
}

#[test]
fn a_whole_file_comes_with_everything_a_cache_needs() {
    let reply = get(&[]);
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.part, itself(0, 10));
    assert_eq!(field(&reply, "content-length"), Some("10"));
    assert_eq!(
        field(&reply, "content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(field(&reply, "cache-control"), Some("no-cache"));
    assert!(field(&reply, "etag").is_some_and(|tag| tag.starts_with('"')));
    assert!(field(&reply, "last-modified").is_some_and(|date| date.ends_with("GMT")));
}

#[test]
fn head_has_the_fields_and_no_body() {
    let reply = ask(&Method::HEAD, &[], &entity("a.js", "v1"));
    assert_eq!((reply.status, reply.part), (StatusCode::OK, None));
    assert_eq!(field(&reply, "content-length"), Some("10"));
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let file = entity("a.js", "v1");
    let first = ask(&Method::GET, &[], &file);
    let (etag, date) = (
        field(&first, "etag").expect("tag"),
        field(&first, "last-modified").expect("date"),
    );
    for fields in [
        vec![("if-none-match", etag.to_owned())],
        vec![("if-none-match", format!("W/{etag}"))],
        vec![("if-none-match", format!("\"x\", {etag}"))],
        vec![("if-none-match", "*".to_owned())],
        vec![("if-modified-since", date.to_owned())],
    ] {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let reply = ask(&Method::GET, &fields, &file);
        assert_eq!(
            (reply.status, reply.part),
            (StatusCode::NOT_MODIFIED, None),
            "{fields:?}"
        );
        assert_eq!(field(&reply, "etag"), Some(etag));
    }
    let changed = [("if-none-match", "\"other\""), ("if-modified-since", date)];
    assert_eq!(
        ask(&Method::GET, &changed, &file).status,
        StatusCode::OK,
        "the tag decides alone"
    );
    let old = [("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")];
    assert_eq!(ask(&Method::GET, &old, &file).status, StatusCode::OK);
}

#[test]
fn single_ranges_are_served() {
    for (range, offset, length, shown) in [
        ("bytes=0-3", 0, 4, "bytes 0-3/10"),
        ("bytes=4-", 4, 6, "bytes 4-9/10"),
        ("bytes=-3", 7, 3, "bytes 7-9/10"),
        ("bytes=5-99", 5, 5, "bytes 5-9/10"),
        ("bytes=-99", 0, 10, "bytes 0-9/10"),
    ] {
        let reply = get(&[("range", range)]);
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(reply.part, itself(offset, length), "{range}");
        assert_eq!(field(&reply, "content-range"), Some(shown));
    }
}

#[test]
fn a_range_beyond_the_end_is_416_and_a_strange_one_is_ignored() {
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let reply = get(&[("range", range)]);
        assert_eq!(reply.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(field(&reply, "content-range"), Some("bytes */10"));
        assert_eq!(reply.part, None);
    }
    for range in [
        "bytes=0-1,3-4",
        "bytes=3-1",
        "bytes=a-b",
        "lines=0-1",
        "bytes=",
        "bytes=-",
    ] {
        assert_eq!(get(&[("range", range)]).status, StatusCode::OK, "{range}");
    }
}

#[test]
fn if_range_keeps_the_parts_of_two_versions_apart() {
    let file = entity("a.js", "v1");
    let first = ask(&Method::GET, &[], &file);
    let etag = field(&first, "etag").expect("tag");
    let part = |condition: &str| {
        ask(
            &Method::GET,
            &[("range", "bytes=0-1"), ("if-range", condition)],
            &file,
        )
        .status
    };
    assert_eq!(part(etag), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part("\"other\""), StatusCode::OK);
    assert_eq!(part("Thu, 01 Jan 1970 00:00:00 GMT"), StatusCode::OK);
}

#[test]
fn an_empty_file_is_an_answer() {
    let mut empty = entity("a.js", "v1");
    empty.length = 0;
    let reply = ask(&Method::GET, &[], &empty);
    assert_eq!((reply.status, reply.part), (StatusCode::OK, None));
    assert_eq!(field(&reply, "content-length"), Some("0"));
}

#[test]
fn who_wants_another_version_gets_412() {
    let before = "Thu, 01 Jan 1970 00:00:00 GMT";
    let after = "Fri, 01 Jan 2100 00:00:00 GMT";
    for (fields, status) in [
        (vec![("if-match", "\"v1\"")], 200),
        (vec![("if-match", "\"x\", \"v1\"")], 200),
        (vec![("if-match", "*")], 200),
        (vec![("if-match", "\"x\"")], 412),
        // RFC 9110 §13.1.1: compared strongly.
        (vec![("if-match", "W/\"v1\"")], 412),
        (vec![("if-unmodified-since", after)], 200),
        (vec![("if-unmodified-since", before)], 412),
        (vec![("if-unmodified-since", "yesterday")], 200),
        // §13.2.2: a tag decides alone, and first.
        (
            vec![("if-match", "\"v1\""), ("if-unmodified-since", before)],
            200,
        ),
        (
            vec![("if-match", "\"x\""), ("if-none-match", "\"v1\"")],
            412,
        ),
        (
            vec![("if-match", "\"v1\""), ("if-none-match", "\"v1\"")],
            304,
        ),
        (vec![("if-match", "\"x\""), ("range", "bytes=0-1")], 412),
    ] {
        let reply = get(&fields);
        assert_eq!(reply.status.as_u16(), status, "{fields:?}");
        assert_eq!(reply.part.is_some(), status == 200, "{fields:?}");
    }
}

#[test]
fn hashed_names_are_kept_for_ever_and_others_as_the_route_says() {
    let hashed = ask(&Method::GET, &[], &entity("css/a.55e7cbb9ba48.css", "v1"));
    assert_eq!(field(&hashed, "cache-control"), Some(FOR_EVER));
    assert_eq!(field(&get(&[]), "cache-control"), Some("no-cache"));
    let silent = coded(&[], &[]);
    assert_eq!(field(&silent, "cache-control"), None);
}

#[test]
fn a_coding_at_hand_is_sent_with_its_own_tag_and_length() {
    let reply = coded(
        &[("accept-encoding", "gzip, br")],
        &[Coding::Gzip, Coding::Brotli],
    );
    assert_eq!(field(&reply, "content-encoding"), Some("br"));
    assert_eq!(field(&reply, "content-length"), Some("3"));
    assert_eq!(field(&reply, "etag"), Some("\"v1-br\""));
    assert_eq!(
        reply.part.and_then(|part| part.coding),
        Some(Coding::Brotli)
    );
    let other = coded(&[("accept-encoding", "gzip")], &[Coding::Gzip]);
    assert_eq!(field(&other, "etag"), Some("\"v1-gzip\""));
}

#[test]
fn every_answer_about_text_varies_and_none_about_pictures() {
    for fields in [
        vec![],
        vec![("accept-encoding", "br")],
        vec![("if-none-match", "*")],
        vec![("if-match", "\"x\"")],
        vec![("range", "bytes=0-1")],
        vec![("range", "bytes=99-")],
    ] {
        assert_eq!(
            field(&get(&fields), "vary"),
            Some("accept-encoding"),
            "{fields:?}"
        );
    }
    let fields = [("accept-encoding", "br")];
    let picture = reply(
        &conditions(&Method::GET, &fields),
        &entity("a.png", "v1"),
        |_| Some(3),
        None,
    );
    assert_eq!(field(&picture, "vary"), None);
    assert_eq!(field(&picture, "content-encoding"), None);
}

#[test]
fn whoever_has_any_form_that_is_good_for_it_has_the_file() {
    let accept = ("accept-encoding", "br");
    // From before the coding was made, and from before it was forgotten again.
    let itself = coded(&[accept, ("if-none-match", "\"v1\"")], &[Coding::Brotli]);
    assert_eq!(itself.status, StatusCode::NOT_MODIFIED);
    assert_eq!(field(&itself, "etag"), Some("\"v1\""));
    let forgotten = coded(&[accept, ("if-none-match", "\"v1-br\"")], &[]);
    assert_eq!(forgotten.status, StatusCode::NOT_MODIFIED);
    assert_eq!(field(&forgotten, "etag"), Some("\"v1-br\""));
    let not_for_it = coded(
        &[("accept-encoding", "gzip"), ("if-none-match", "\"v1-br\"")],
        &[Coding::Gzip],
    );
    assert_eq!(not_for_it.status, StatusCode::OK);
}

#[test]
fn parts_are_parts_of_the_file_itself() {
    let accept = ("accept-encoding", "br");
    let all = [Coding::Brotli];
    let part = coded(&[accept, ("range", "bytes=0-1")], &all);
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.part, itself(0, 2));
    assert_eq!(field(&part, "content-encoding"), None);
    assert_eq!(field(&part, "etag"), Some("\"v1\""));
    // Of a coding it has a part; the rest would be of something else.
    let rest = [accept, ("range", "bytes=2-"), ("if-range", "\"v1-br\"")];
    assert_eq!(coded(&rest, &all).status, StatusCode::OK);
    let refused = [
        ("accept-encoding", "br, identity;q=0"),
        ("range", "bytes=0-1"),
    ];
    let whole = coded(&refused, &all);
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(field(&whole, "content-encoding"), Some("br"));
}

#[test]
fn what_was_compressed_beforehand_has_the_tag_of_its_own_file() {
    let modified = UNIX_EPOCH;
    let entity = Entity::new("a.js", 10, modified, "v1", |coding| {
        (coding == Coding::Gzip).then(|| "v7".to_owned())
    });
    let asked = conditions(&Method::GET, &[("accept-encoding", "gzip")]);
    let reply = reply(&asked, &entity, |_| Some(3), None);
    assert_eq!(field(&reply, "etag"), Some("\"v7-gzip\""));
}

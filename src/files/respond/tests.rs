use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::files::{Found, open};

fn file(text: &str) -> OpenFile {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.js"), text).expect("written");
    match open(folder.path(), Path::new(""), Path::new("a.js")) {
        Ok(Found::File(file)) => file,
        other => panic!("{other:?}"),
    }
}

fn ask(method: &Method, fields: &[(&'static str, &str)], file: &OpenFile) -> Reply {
    let map = fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("value")))
        .collect();
    let conditions = Conditions {
        method,
        fields: &map,
    };
    reply(conditions, file, "a.js", Some("no-cache"))
}

fn get(fields: &[(&'static str, &str)]) -> Reply {
    ask(&Method::GET, fields, &file("0123456789"))
}

fn field<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply
        .fields
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn a_whole_file_comes_with_everything_a_cache_needs() {
    let reply = get(&[]);
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.body,
        Some(Slice {
            offset: 0,
            length: 10
        })
    );
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
    let reply = ask(&Method::HEAD, &[], &file("0123456789"));
    assert_eq!((reply.status, reply.body), (StatusCode::OK, None));
    assert_eq!(field(&reply, "content-length"), Some("10"));
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let file = file("0123456789");
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
            (reply.status, reply.body),
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
fn a_changed_file_has_another_tag() {
    let tag = |text: &str| field(&ask(&Method::GET, &[], &file(text)), "etag").map(str::to_owned);
    assert_ne!(tag("one"), tag("two"));
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
        assert_eq!(reply.body, Some(Slice { offset, length }), "{range}");
        assert_eq!(field(&reply, "content-range"), Some(shown));
    }
}

#[test]
fn a_range_beyond_the_end_is_416_and_a_strange_one_is_ignored() {
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let reply = get(&[("range", range)]);
        assert_eq!(reply.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(field(&reply, "content-range"), Some("bytes */10"));
        assert_eq!(reply.body, None);
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
    let file = file("0123456789");
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
    let reply = ask(&Method::GET, &[], &file(""));
    assert_eq!((reply.status, reply.body), (StatusCode::OK, None));
    assert_eq!(field(&reply, "content-length"), Some("0"));
}

proptest! {
    #[test]
    fn a_range_never_leaves_the_file(text in "[bytes=0-9 ,-]{0,24}", length in 0_u64..20) {
        if let Some(Ok(slice)) = parse_range(&text, length) {
            prop_assert!(slice.length > 0);
            prop_assert!(slice.offset + slice.length <= length);
        }
    }
}

//! Streams of HTTP/2 about framing and connections, lawful or not (RFC 9113 §8).

use super::heads;
use crate::harness::h2raw::Field;
use crate::smuggling::cases::{HOST, MARKER};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// 4xx or a reset, and nothing whole is forwarded.
    Refused,
    /// Forwarded, without what is not for replicas.
    Passed,
    /// One of the two: what is odd about it is harmless in HTTP/1.1, or never gets there.
    Either,
    /// Not forwarded, at the price of the whole connection: the codec (h2, `hpack::Header::new`)
    /// takes names and values that are none for an error of the compression, which RFC 9113 §5.4.1
    /// allows.
    Severed,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub fields: Vec<Field>,
    /// The frames of the body; `None` where the stream ends with its head.
    pub data: Option<Vec<u8>>,
    pub trailers: Vec<Field>,
    pub expect: Expect,
}

pub fn field(name: &str, value: &str) -> Field {
    // A character is a byte, so that a case can have any.
    let bytes = |text: &str| {
        text.chars()
            .map(|c| u8::try_from(c).expect("a byte"))
            .collect()
    };
    (bytes(name), bytes(value))
}

pub fn pseudo(method: &str, scheme: &str, path: &str, authority: &str) -> Vec<Field> {
    vec![
        field(":method", method),
        field(":scheme", scheme),
        field(":path", path),
        field(":authority", authority),
    ]
}

/// A request with these fields behind the usual ones.
pub fn with(name: &str, more: &[(&str, &str)], data: Option<&str>, expect: Expect) -> Case {
    let mut fields = pseudo("POST", "https", "/case", HOST);
    fields.extend(more.iter().map(|(name, value)| field(name, value)));
    Case {
        name: name.to_owned(),
        fields,
        data: data.map(|data| data.as_bytes().to_vec()),
        trailers: Vec::new(),
        expect,
    }
}

pub fn of(name: &str, fields: Vec<Field>, expect: Expect) -> Case {
    Case {
        name: name.to_owned(),
        fields,
        data: None,
        trailers: Vec::new(),
        expect,
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    [
        framing(),
        connection(),
        heads::bytes(),
        heads::paths(),
        heads::pseudos(),
        heads::authorities(),
        trailers(),
    ]
    .concat()
}
fn framing() -> Vec<Case> {
    use Expect::{Either, Passed, Refused};
    let length = |name: &str, values: &[&str], data: Option<&str>, expect| {
        let fields: Vec<_> = values
            .iter()
            .map(|value| ("content-length", *value))
            .collect();
        with(&format!("length: {name}"), &fields, data, expect)
    };
    vec![
        length("too long", &["5"], Some("abc"), Refused),
        length("too short", &["3"], Some("abcde"), Refused),
        length(
            "too short for a request",
            &["3"],
            Some(&format!("abc{MARKER}")),
            Refused,
        ),
        length("of no body", &["5"], None, Refused),
        // Whole with its head, so it may be answered before the surplus comes; that goes nowhere.
        length("zero of a body", &["0"], Some(MARKER), Either),
        length("twice", &["3", "3"], Some("abc"), Refused),
        length("two", &["3", "5"], Some("abc"), Refused),
        length(
            "two, the first too short",
            &["0", "3"],
            Some("abc"),
            Refused,
        ),
        length("a sign", &["+3"], Some("abc"), Refused),
        length("negative", &["-3"], Some("abc"), Refused),
        length("a list", &["3, 3"], Some("abc"), Refused),
        length("empty", &[""], Some("abc"), Refused),
        length("hexadecimal", &["0x3"], Some("abc"), Refused),
        length("a space", &["3 3"], Some("abc"), Refused),
        length("no number", &["abc"], Some("abc"), Refused),
        length(
            "over all bounds",
            &["18446744073709551619"],
            Some("abc"),
            Refused,
        ),
        length("right", &["3"], Some("abc"), Passed),
        length("none", &[], Some("abc"), Passed),
        length("none of a request", &[], Some(MARKER), Passed),
        length("zero", &["0"], None, Passed),
        with(
            "a coding",
            &[("transfer-encoding", "chunked")],
            Some("0\r\n\r\n"),
            Refused,
        ),
        with(
            "no coding",
            &[("transfer-encoding", "identity")],
            Some("abc"),
            Refused,
        ),
        with(
            "a coding and a length",
            &[("transfer-encoding", "chunked"), ("content-length", "3")],
            Some("abc"),
            Refused,
        ),
        with(
            "an alias of a length",
            &[("content_length", "3")],
            Some("abc"),
            Refused,
        ),
        with(
            "an alias of a coding",
            &[("transfer_encoding", "chunked")],
            Some("abc"),
            Refused,
        ),
        with(
            "an alias with a dot",
            &[("transfer.encoding", "chunked")],
            Some("abc"),
            Refused,
        ),
        with(
            "an expectation",
            &[("expect", "100-continue")],
            Some("abc"),
            Passed,
        ),
        with(
            "another expectation",
            &[("expect", "200-ok")],
            Some("abc"),
            Refused,
        ),
        with(
            "two expectations",
            &[("expect", "100-continue"), ("expect", "100-continue")],
            Some("abc"),
            Refused,
        ),
    ]
}

fn connection() -> Vec<Case> {
    let refused = [
        ("connection", "close"),
        ("connection", "keep-alive"),
        ("connection", "x-secret"),
        ("connection", "host"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("te", "chunked"),
    ];
    let mut all: Vec<Case> = refused
        .iter()
        .map(|(name, value)| {
            let told = format!("{name}: {value}");
            with(&told, &[(*name, *value)], Some("abc"), Expect::Refused)
        })
        .collect();
    for (name, value) in [
        ("te", "trailers"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("trailer", "x-sum"),
    ] {
        let told = format!("{name}: {value}");
        all.push(with(&told, &[(name, value)], Some("abc"), Expect::Passed));
    }
    all
}
fn trailers() -> Vec<Case> {
    let ends = |name: &str, fields: &[(&str, &str)], expect| {
        let case = with(name, &[], Some("abc"), expect);
        let trailers = fields
            .iter()
            .map(|(name, value)| field(name, value))
            .collect();
        Case { trailers, ..case }
    };
    vec![
        ends("trailers", &[("x-sum", "1")], Expect::Passed),
        ends(
            "an identity as a trailer",
            &[("x-forwarded-for", "1.2.3.4")],
            Expect::Passed,
        ),
        ends(
            "a length as a trailer",
            &[("content-length", "99")],
            Expect::Either,
        ),
        // The codec drops it, as everything that belongs to no trailer.
        ends(
            "a pseudo-header as a trailer",
            &[(":path", "/other")],
            Expect::Either,
        ),
        ends(
            "CR LF in a trailer",
            &[("x-sum", "1\r\nx-b: c")],
            Expect::Severed,
        ),
    ]
}

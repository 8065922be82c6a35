//! HTTP/2 in front, HTTP/1.1 behind: what a frame can say and a line cannot, reaches no replica.

use std::collections::HashMap;

use futures_util::StreamExt;

use super::cases::{HOST, MARKER};
use super::{both_ways, panics};
use crate::harness::h2raw::{Field, Outcome, RawH2};
use crate::harness::line::PATIENCE;
use crate::harness::{Installed, Recorder};

/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expect {
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
struct Case {
    name: String,
    fields: Vec<Field>,
    /// The frames of the body; `None` where the stream ends with its head.
    data: Option<Vec<u8>>,
    trailers: Vec<Field>,
    expect: Expect,
}

fn field(name: &str, value: &str) -> Field {
    // A character is a byte, so that a case can have any.
    let bytes = |text: &str| {
        text.chars()
            .map(|c| u8::try_from(c).expect("a byte"))
            .collect()
    };
    (bytes(name), bytes(value))
}

fn pseudo(method: &str, scheme: &str, path: &str, authority: &str) -> Vec<Field> {
    vec![
        field(":method", method),
        field(":scheme", scheme),
        field(":path", path),
        field(":authority", authority),
    ]
}

/// A request with these fields behind the usual ones.
fn with(name: &str, more: &[(&str, &str)], data: Option<&str>, expect: Expect) -> Case {
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

fn of(name: &str, fields: Vec<Field>, expect: Expect) -> Case {
    Case {
        name: name.to_owned(),
        fields,
        data: None,
        trailers: Vec::new(),
        expect,
    }
}

fn cases() -> Vec<Case> {
    [
        framing(),
        connection(),
        bytes(),
        paths(),
        pseudos(),
        authorities(),
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

fn bytes() -> Vec<Case> {
    use Expect::{Either, Refused, Severed};
    let mut all = Vec::new();
    for hostile in [
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\r\nx-b: c",
        "\r\n\r\nGET /marker HTTP/1.1\r\n\r\n",
    ] {
        let told = hostile.escape_default();
        let text = format!("b{hostile}c");
        let path = format!("/case{hostile}");
        let name = format!("x{hostile}a");
        all.extend([
            with(
                &format!("{told} in a value"),
                &[("x-a", &text)],
                None,
                Severed,
            ),
            with(&format!("{told} in a name"), &[(&name, "b")], None, Severed),
            of(
                &format!("{told} in the path"),
                pseudo("GET", "https", &path, HOST),
                Refused,
            ),
            of(
                &format!("{told} in the method"),
                pseudo(&format!("GET{hostile}"), "https", "/", HOST),
                Severed,
            ),
            of(
                &format!("{told} in the scheme"),
                pseudo("GET", &format!("https{hostile}"), "/", HOST),
                Refused,
            ),
            of(
                &format!("{told} in the authority"),
                pseudo("GET", "https", "/", &format!("{HOST}{hostile}")),
                Refused,
            ),
        ]);
    }
    for name in [
        "X-Upper",
        "Content-Length",
        "hOst",
        "x a",
        "x:a",
        "",
        "x\t",
        "x\u{7f}",
        "x\u{e4}",
        "(x)",
        "x\"",
    ] {
        // The codec takes this one for part of a name; usher does not.
        let expect = if name == "x\"" { Refused } else { Severed };
        all.push(with(
            &format!("name {name:?}"),
            &[(name, "3")],
            Some("abc"),
            expect,
        ));
    }
    for value in ["\u{1}", "b\u{b}c", "b\u{7f}c", "\u{1b}[2J"] {
        all.push(with(
            &format!("value {value:?}"),
            &[("x-a", value)],
            None,
            Severed,
        ));
    }
    for value in [" b", "b ", "\tb", "b\t", "\u{e4}", ""] {
        all.push(with(
            &format!("value {value:?}"),
            &[("x-a", value)],
            None,
            Either,
        ));
    }
    all
}

fn paths() -> Vec<Case> {
    use Expect::{Passed, Refused};
    let mut all = Vec::new();
    for path in [
        "",
        "case",
        "case/x",
        "?a=b",
        "https://congress.example.org/case",
        "http://evil.example/case",
        "/case#part",
        "#",
        "/case x",
        "/case HTTP/1.1",
        "/case\t",
        "/ca\u{7f}se",
        "/ca\u{1}se",
        "*",
        "/case/../x",
        "/%00",
        "/%zz",
        "/a\\b",
        "/case\u{b}",
        " /case",
        "congress.example.org:443",
        "//[::1",
        "/case/%2e%2e/x",
    ] {
        let told = format!("path {path:?}");
        // Two slashes are a path, if an odd one; and what is behind a `#` the codec's type of targets
        // drops (`http::uri::PathAndQuery`), so that nobody sees it.
        let expect = match path {
            "//[::1" | "/case#part" | "#" => Expect::Either,
            _ => Refused,
        };
        all.push(of(&told, pseudo("POST", "https", path, HOST), expect));
    }
    for path in [
        "/case?a=b",
        "//case",
        "/case?/../x",
        "/case/...",
        "/case;a=b",
        "/case?http://evil.example/",
    ] {
        all.push(of(
            &format!("path {path:?}"),
            pseudo("POST", "https", path, HOST),
            Passed,
        ));
    }
    all
}

fn pseudos() -> Vec<Case> {
    use Expect::{Either, Refused, Severed};
    let usual = || pseudo("GET", "https", "/case", HOST);
    let also = |name: &str, value: &str| {
        let mut fields = usual();
        fields.push(field(name, value));
        fields
    };
    let without = |name: &str| {
        let mut fields = usual();
        fields.retain(|(known, _)| known != name.as_bytes());
        fields
    };
    let mut late = vec![field("x-a", "b")];
    late.extend(usual());
    vec![
        of("an unknown pseudo-header", also(":foo", "bar"), Severed),
        of(
            "a pseudo-header of answers",
            also(":status", "200"),
            Refused,
        ),
        of("a protocol", also(":protocol", "websocket"), Refused),
        of(
            "an upper-case pseudo-header",
            also(":Path", "/other"),
            Severed,
        ),
        of("two methods", also(":method", "POST"), Refused),
        of("two paths", also(":path", "/other"), Refused),
        of("two schemes", also(":scheme", "http"), Refused),
        of(
            "two authorities",
            also(":authority", "evil.example"),
            Refused,
        ),
        of(
            "the same authority twice",
            also(":authority", HOST),
            Refused,
        ),
        of("no method", without(":method"), Refused),
        of("no path", without(":path"), Refused),
        of("no scheme", without(":scheme"), Refused),
        of("no authority", without(":authority"), Refused),
        of("pseudo-headers behind a field", late, Refused),
        of(
            "an empty method",
            pseudo("", "https", "/case", HOST),
            Severed,
        ),
        of(
            "a space in the method",
            pseudo("GET /x", "https", "/case", HOST),
            Severed,
        ),
        of(
            "CONNECT",
            pseudo("CONNECT", "https", "/case", HOST),
            Refused,
        ),
        of("TRACE", pseudo("TRACE", "https", "/case", HOST), Refused),
        of(
            "another scheme",
            pseudo("GET", "ftp", "/case", HOST),
            Either,
        ),
        of(
            "a scheme with a path",
            pseudo("GET", "https://evil.example/?", "/case", HOST),
            Refused,
        ),
    ]
}

fn authorities() -> Vec<Case> {
    use Expect::{Passed, Refused};
    let mut all = Vec::new();
    for authority in [
        "",
        "evil.example",
        "user@congress.example.org",
        "congress.example.org:abc",
        "congress.example.org:99999",
        "congress.example.org, evil.example",
        "congress.example.org/x",
        "congress.example.org?x",
        "congress.example.org#x",
        "congress..example.org",
        "[::1]",
        "congress.example.org evil.example",
        "congress.example.org\\",
        "https://congress.example.org",
        "*",
    ] {
        all.push(of(
            &format!("authority {authority:?}"),
            pseudo("GET", "https", "/case", authority),
            Refused,
        ));
    }
    for authority in [
        "CONGRESS.example.ORG",
        "congress.example.org.",
        "congress.example.org:443",
    ] {
        all.push(of(
            &format!("authority {authority:?}"),
            pseudo("GET", "https", "/case", authority),
            Passed,
        ));
    }
    for (name, hosts, expect) in [
        ("another host", &["evil.example"][..], Refused),
        ("the same host", &[HOST], Passed),
        ("two hosts", &[HOST, HOST], Refused),
        ("a second host", &[HOST, "evil.example"], Refused),
        ("an empty host", &[""], Refused),
    ] {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        all.push(with(name, &fields, None, expect));
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

/// Plays a case beside a sibling on the same connection; says what is wrong with what came back.
async fn play(edge: &Installed, id: usize, case: &Case) -> Result<(), String> {
    let connected = RawH2::connect(edge, HOST).await;
    let mut client = connected.map_err(|error| format!("no connection: {error}"))?;
    let mut sibling = pseudo("POST", "https", "/sibling", HOST);
    sibling.push(field("x-sibling", &id.to_string()));
    client.headers(1, &sibling, false).await;
    client.data(1, b"half ", false).await;

    let mut fields = case.fields.clone();
    fields.push(field("x-case", &id.to_string()));
    let trailed = !case.trailers.is_empty();
    client.headers(3, &fields, case.data.is_none()).await;
    if let Some(data) = &case.data {
        client.data(3, data, !trailed).await;
    }
    if trailed {
        client.headers(3, &case.trailers, true).await;
    }
    let outcome = client.outcome(3, PATIENCE).await;
    let refused = outcome.reset.is_some() || matches!(outcome.status, Some(400..=499));
    let served = outcome.status == Some(200) && outcome.ended && outcome.reset.is_none();
    let good = match case.expect {
        Expect::Refused => refused,
        Expect::Passed => served,
        Expect::Either => refused || served,
        Expect::Severed => refused || client.goaway == Some(PROTOCOL_ERROR),
    };
    if !good {
        return Err(format!("{outcome:?}, goaway {:?}", client.goaway));
    }
    if client.goaway.is_some() && case.expect == Expect::Severed {
        return Ok(());
    }
    client.data(1, b"a body", true).await;
    let sibling = client.outcome(1, PATIENCE).await;
    let whole = Outcome {
        status: Some(200),
        body: b"you asked for /sibling".to_vec(),
        reset: None,
        ended: true,
    };
    if sibling != whole {
        return Err(format!(
            "its sibling: {sibling:?}, goaway {:?}",
            client.goaway
        ));
    }
    Ok(())
}

#[tokio::test]
async fn what_only_frames_can_say_reaches_no_replica_and_costs_no_sibling() {
    let replica = Recorder::telling().await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let cases = cases();
    let mut wrong: Vec<String> = futures_util::stream::iter(cases.iter().enumerate())
        .map(|(id, case)| {
            let edge = &edge;
            async move {
                let result = play(edge, id, case).await;
                result.err().map(|why| format!("{}: {why}", case.name))
            }
        })
        .buffer_unordered(8)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;

    let mut forwarded: HashMap<usize, usize> = HashMap::new();
    for recorded in replica.requests() {
        let message = &recorded.message;
        let forbidden = [
            "te",
            "connection",
            "upgrade",
            "keep-alive",
            "proxy-connection",
            "expect",
            "http2-settings",
        ];
        if let Some(name) = forbidden
            .into_iter()
            .find(|name| message.value(name).is_some())
        {
            wrong.push(format!("{name} was forwarded: {message:?}"));
        }
        if message.target().contains("/marker") {
            wrong.push(format!("a marker came as a request: {message:?}"));
        }
        if let Some(id) = message.value("x-case").and_then(|id| id.parse().ok()) {
            *forwarded.entry(id).or_default() += 1;
            let data = cases[id].data.as_ref();
            let differs = data.is_some_and(|data| *data != message.body);
            // A surplus that goes nowhere leaves no body at all.
            let dropped = cases[id].expect == Expect::Either && message.body.is_empty();
            if differs && !dropped {
                wrong.push(format!("{}: another body: {message:?}", cases[id].name));
            }
        }
    }
    for (id, case) in cases.iter().enumerate() {
        let count = forwarded.remove(&id).unwrap_or(0);
        let good = match case.expect {
            Expect::Refused | Expect::Severed => count == 0,
            Expect::Passed => count == 1,
            Expect::Either => count <= 1,
        };
        if !good {
            wrong.push(format!("{}: {count} requests", case.name));
        }
    }
    wrong.extend(replica.broken());
    println!("{} cases over HTTP/2, each beside a sibling", cases.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(panics(&edge).await, "usher_panics_total 0");
}

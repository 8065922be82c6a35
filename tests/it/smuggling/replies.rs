//! A replica that lies about its answers: its client is told the truth or a 502, and nobody else hears
//! of it.

use std::fmt::Write;

use super::both_ways;
use super::cases::HOST;
use crate::harness::eventually::check;
use crate::harness::h2raw::RawH2;
use crate::harness::line::{Heard, Line, PATIENCE, Pace};
use crate::harness::recorder::{Reply, Then};
use crate::harness::{Installed, Recorder, eventually};

/// What nobody may ever hear: it is another answer, or part of one.
const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED";

#[derive(Clone, Debug, Eq, PartialEq)]
enum Expect {
    /// This status and body, and the end of the connection to the replica.
    Whole(u16, &'static str),
    /// As lawful as can be: the connection to the replica may serve on.
    Lawful(u16, &'static str),
    Gateway,
    /// A 502; or, where the head was good, an answer that visibly breaks off.
    NeverWhole,
    /// Lenience that changes no meaning: a 502 or this body.
    Harmless(&'static str),
}

struct Case {
    name: String,
    method: &'static str,
    reply: Reply,
    expect: Expect,
}

fn case(name: &str, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case {
        name: name.to_owned(),
        method: "GET",
        reply: Reply::bytes(bytes),
        expect,
    }
}

fn ok(fields: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{rest}")
}

fn closes(case: Case) -> Case {
    let reply = case.reply.then(Then::Close);
    Case { reply, ..case }
}

fn to_head(case: Case) -> Case {
    Case {
        method: "HEAD",
        ..case
    }
}

/// The same, with its second part a moment later.
fn in_parts(name: &str, parts: [String; 2], expect: Expect) -> Case {
    let mut case = case(name, "", expect);
    case.reply.parts = parts.map(String::into_bytes).to_vec();
    case
}

fn cases() -> Vec<Case> {
    let mut all = surplus();
    all.extend(bodiless());
    all.extend(framings());
    all.extend(chunks());
    all.extend(heads());
    all.extend(interims());
    all.extend(ends());
    all
}

fn surplus() -> Vec<Case> {
    let abc = || ok("Content-Length: 3\r\n", "abc");
    let chunked = || ok("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n");
    let whole = || Expect::Whole(200, "abc");
    vec![
        case("two answers", abc() + SMUGGLED, whole()),
        case("three answers", abc() + SMUGGLED + SMUGGLED, whole()),
        case("a byte too many", abc() + "x", whole()),
        case("an empty line too many", abc() + "\r\n", whole()),
        case(
            "two answers, the first in chunks",
            chunked() + SMUGGLED,
            whole(),
        ),
        case("a second last chunk", chunked() + "0\r\n\r\n", whole()),
        case(
            "an answer behind nothing",
            ok("Content-Length: 0\r\n", SMUGGLED),
            Expect::Whole(200, ""),
        ),
        in_parts(
            "a second answer later",
            [abc(), SMUGGLED.to_owned()],
            whole(),
        ),
        in_parts(
            "a second answer later, behind chunks",
            [chunked(), SMUGGLED.to_owned()],
            whole(),
        ),
        in_parts(
            "a timeout nobody asked about",
            [abc(), "HTTP/1.1 408 SMUGGLED\r\n\r\n".into()],
            whole(),
        ),
        closes(case("two answers and the end", abc() + SMUGGLED, whole())),
        case("one answer", abc(), Expect::Lawful(200, "abc")),
        case(
            "one answer in chunks",
            chunked(),
            Expect::Lawful(200, "abc"),
        ),
    ]
}

fn bodiless() -> Vec<Case> {
    let said = |status: &str, fields: &str| format!("HTTP/1.1 {status}\r\n{fields}\r\nSMUGGLED");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let in_chunks =
        |status: &str| format!("HTTP/1.1 {status}\r\n{chunked}\r\n8\r\nSMUGGLED\r\n0\r\n\r\n");
    vec![
        to_head(case(
            "a body for HEAD",
            said("200 OK", "Content-Length: 8\r\n"),
            Expect::Whole(200, ""),
        )),
        to_head(case(
            "chunks for HEAD",
            in_chunks("200 OK"),
            Expect::Whole(200, ""),
        )),
        to_head(case(
            "two answers to HEAD",
            format!("HTTP/1.1 200 OK\r\n\r\n{SMUGGLED}"),
            Expect::Whole(200, ""),
        )),
        case(
            "a body in 204",
            said("204 No Content", "Content-Length: 8\r\n"),
            Expect::Whole(204, ""),
        ),
        case(
            "a body in 204 without a length",
            said("204 No Content", ""),
            Expect::Whole(204, ""),
        ),
        case(
            "chunks in 204",
            in_chunks("204 No Content"),
            Expect::Whole(204, ""),
        ),
        case(
            "a body in 304",
            said("304 Not Modified", "Content-Length: 8\r\n"),
            Expect::Whole(304, ""),
        ),
        case(
            "chunks in 304",
            in_chunks("304 Not Modified"),
            Expect::Whole(304, ""),
        ),
        case(
            "an answer behind 204",
            format!("HTTP/1.1 204 No Content\r\n\r\n{SMUGGLED}"),
            Expect::Whole(204, ""),
        ),
        case(
            "an answer behind 304",
            format!("HTTP/1.1 304 Not Modified\r\n\r\n{SMUGGLED}"),
            Expect::Whole(304, ""),
        ),
    ]
}

fn framings() -> Vec<Case> {
    let chunked = "3\r\nabc\r\n0\r\n\r\n";
    let mut all = vec![
        // pingora takes the length away before anybody sees it (`v1/client.rs`, `read_response`), and
        // frames anew what it passes on, as RFC 9112 §6.3 wants it of a proxy.
        case(
            "CL.TE",
            ok(
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                chunked,
            ),
            Expect::Harmless("abc"),
        ),
        case(
            "TE.CL",
            ok(
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                chunked,
            ),
            Expect::Harmless("abc"),
        ),
        case(
            "CL.TE with another's answer",
            ok(
                "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n",
                &format!("{chunked}{SMUGGLED}"),
            ),
            Expect::Whole(200, "abc"),
        ),
        case(
            "two lengths",
            ok(
                "Content-Length: 3\r\nContent-Length: 40\r\n",
                &format!("abc{SMUGGLED}"),
            ),
            Expect::Gateway,
        ),
        case(
            "a list of lengths",
            ok("Content-Length: 3, 40\r\n", &format!("abc{SMUGGLED}")),
            Expect::Gateway,
        ),
        // RFC 9110 §8.6 lets a recipient take them for one.
        case(
            "one length twice",
            ok("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
            Expect::Harmless("abc"),
        ),
        case(
            "two codings",
            ok(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                chunked,
            ),
            Expect::Gateway,
        ),
        case(
            "a coding and a length of nothing",
            ok(
                "Transfer-Encoding: identity\r\nContent-Length: 3\r\n",
                "abc",
            ),
            Expect::Gateway,
        ),
    ];
    for length in [
        "+3",
        "-3",
        "0x3",
        "3 3",
        "",
        "abc",
        "3.0",
        "18446744073709551619",
        "3;",
        "\u{b}3",
    ] {
        let bytes = ok(
            &format!("Content-Length: {length}\r\n"),
            &format!("abc{SMUGGLED}"),
        );
        all.push(case(&format!("length {length:?}"), bytes, Expect::Gateway));
    }
    for coding in [
        "xchunked",
        "gzip",
        "identity",
        "chunked, identity",
        "chunked, chunked",
        "chunked;q=1",
        "",
        "\u{b}chunked",
    ] {
        let bytes = ok(
            &format!("Transfer-Encoding: {coding}\r\n"),
            &format!("{chunked}{SMUGGLED}"),
        );
        all.push(case(&format!("coding {coding:?}"), bytes, Expect::Gateway));
    }
    all
}

fn chunks() -> Vec<Case> {
    let coded = |rest: &str| ok("Transfer-Encoding: chunked\r\n", rest);
    let mut all = Vec::new();
    for rest in [
        "g\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        "abc",
        "3,\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\n",
        "3\r\nabc\r\n",
        "5\r\nabc",
        "3",
        "ffffffffffffffff\r\nabc",
    ] {
        all.push(closes(case(
            &format!("chunks {rest:?}"),
            coded(rest),
            Expect::NeverWhole,
        )));
    }
    // pingora's reader of sizes (`httparse::parse_chunk_size`) takes no digit for zero, and the rest for
    // trailers: its only reading, and the client is told that one.
    let empty = coded("\r\nabc\r\n0\r\n\r\n");
    all.push(case("no chunk size", empty, Expect::Harmless("")));
    for rest in [
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        "3;a=b\r\nabc\r\n0\r\n\r\n",
    ] {
        let mut harmless = closes(case(
            &format!("chunks {rest:?}"),
            coded(rest),
            Expect::Harmless("abc"),
        ));
        if rest.starts_with('+') || rest.contains("3\n") {
            harmless.expect = Expect::NeverWhole;
        }
        all.push(harmless);
    }
    all
}

fn heads() -> Vec<Case> {
    let mut all = Vec::new();
    let length = "Content-Length: 3\r\n";
    for (name, line) in [
        ("no code", "HTTP/1.1 OK"),
        ("a code of four", "HTTP/1.1 2000 OK"),
        ("a code of two", "HTTP/1.1 20 OK"),
        ("the code 000", "HTTP/1.1 000 OK"),
        ("two spaces", "HTTP/1.1  200 OK"),
        ("another protocol", "ICY 200 OK"),
        ("another version", "HTTP/2.0 200 OK"),
        ("lower case", "http/1.1 200 OK"),
        ("a negative code", "HTTP/1.1 -20 OK"),
        ("NUL in the reason", "HTTP/1.1 200 O\0K"),
        ("nothing", ""),
    ] {
        all.push(case(
            &format!("status line: {name}"),
            format!("{line}\r\n{length}\r\nabc"),
            Expect::Gateway,
        ));
    }
    for field in [
        "X Y: z",
        ": z",
        "X\0: z",
        "X: y\0z",
        "X: y\rz",
        "(x): y",
        "X",
        "\u{b}X: y",
        "X: \u{7f}",
    ] {
        let bytes = ok(&format!("{length}{field}\r\n"), "abc");
        all.push(case(&format!("field {field:?}"), bytes, Expect::Gateway));
    }
    // RFC 9112 §5.2 and §5.1: put right or refused, and never passed on as it is.
    for field in ["X: y\r\n z", "X: y\r\n\tz", "X : y"] {
        let bytes = ok(&format!("{length}{field}\r\n"), "abc");
        all.push(case(
            &format!("field {field:?}"),
            bytes,
            Expect::Harmless("abc"),
        ));
    }
    let folded = ok("Content-Length:\r\n 3\r\n", "abc");
    all.push(case("folded length", folded, Expect::Harmless("abc")));
    let folded = ok(
        "X: y\r\n Content-Length: 40\r\nContent-Length: 3\r\n",
        "abc",
    );
    all.push(case("a length in a fold", folded, Expect::Harmless("abc")));
    // RFC 9112 §2.2 lets a recipient take LF alone for the end of a line.
    let bare = ok(length, "abc").replace("\r\n", "\n");
    all.push(case("LF ends every line", bare, Expect::Harmless("abc")));
    let mut many = String::new();
    for number in 0..300 {
        let _ = write!(many, "X-{number}: y\r\n");
    }
    all.push(case(
        "300 fields",
        ok(&format!("{length}{many}"), "abc"),
        Expect::Gateway,
    ));
    let long = format!("{length}X: {}\r\n", "y".repeat(2 << 20));
    all.push(case("a field of 2 MiB", ok(&long, "abc"), Expect::Gateway));
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(2 << 20));
    all.push(case(
        "a head of 2 MiB without an end",
        endless,
        Expect::Gateway,
    ));
    all
}

fn interims() -> Vec<Case> {
    let abc = ok("Content-Length: 3\r\n", "abc");
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    vec![
        case(
            "an early hint",
            format!("{hint}{abc}"),
            Expect::Lawful(200, "abc"),
        ),
        case(
            "100 nobody waits for",
            format!("HTTP/1.1 100 Continue\r\n\r\n{abc}"),
            Expect::Lawful(200, "abc"),
        ),
        case(
            "1 000 early hints",
            hint.repeat(1000) + &abc,
            Expect::Harmless("abc"),
        ),
        case(
            "a hint with a body",
            format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 8\r\n\r\nSMUGGLED{abc}"),
            Expect::Gateway,
        ),
        case("101 unasked", switch, Expect::Gateway),
        case(
            "101 unasked, with an answer behind",
            format!("{switch}{SMUGGLED}"),
            Expect::Gateway,
        ),
        case(
            "an answer behind a hint and another",
            format!("{hint}{abc}{SMUGGLED}"),
            Expect::Whole(200, "abc"),
        ),
        closes(case("a hint and the end", hint, Expect::Gateway)),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        closes(case("nothing at all", "", Expect::Gateway)),
        closes(case("half a status line", "HTTP/1.1 20", Expect::Gateway)),
        closes(case(
            "half a head",
            "HTTP/1.1 200 OK\r\nContent-Le",
            Expect::Gateway,
        )),
        closes(case(
            "half a body",
            ok("Content-Length: 10\r\n", "abc"),
            Expect::NeverWhole,
        )),
        closes(case(
            "a body until the end",
            ok("", "abc"),
            Expect::Whole(200, "abc"),
        )),
        closes(case(
            "an old body until the end",
            "HTTP/1.0 200 OK\r\n\r\nabc",
            Expect::Whole(200, "abc"),
        )),
        closes(case(
            "an old answer with a length",
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Expect::Whole(200, "abc"),
        )),
        case(
            "chunks in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Expect::Gateway,
        ),
    ]
}

impl Case {
    /// What is wrong with a status and a body that came; `None` for a body that broke off.
    fn judge(&self, status: u16, body: Option<&str>) -> Result<(), String> {
        let good = match &self.expect {
            Expect::Whole(code, text) | Expect::Lawful(code, text) => {
                (status, body) == (*code, Some(text))
            }
            Expect::Gateway => status == 502 && body.is_some(),
            Expect::NeverWhole => status == 502 || body.is_none(),
            Expect::Harmless(text) => status == 502 || (status, body) == (200, Some(text)),
        };
        match good {
            true => Ok(()),
            false => Err(format!("{}: {status} {body:?}", self.name)),
        }
    }
}

/// Waits until usher has ended the connection over which this was asked.
async fn has_ended(replica: &Recorder, target: &str) {
    eventually("usher ends the connection", async || {
        let requests = replica.requests();
        let asked = requests
            .iter()
            .filter(|recorded| recorded.message.target() == target);
        let open: Vec<_> = asked
            .filter(|asked| !replica.has_ended(asked.connection))
            .collect();
        check(open.is_empty(), format!("{open:?}"))
    })
    .await;
}

async fn over_http1(
    edge: &Installed,
    replica: &Recorder,
    id: usize,
    case: &Case,
) -> Result<(), String> {
    let connect = || async {
        Line::secure(edge, HOST)
            .await
            .map_err(|error| error.to_string())
    };
    let (mut line, mut neighbour) = (connect().await?, connect().await?);
    let ask = |method: &str, target: String| {
        format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes()
    };
    let bad = ask(case.method, format!("/bad/{id}/1"));
    let heard = line.ask(&bad, Pace::AtOnce).await;
    match &heard {
        Heard::Answer(answer) => case.judge(answer.status(), Some(&answer.text()))?,
        Heard::End(_) | Heard::Broken(_) if line.heard.starts_with(b"HTTP/1.1 200") => {
            case.judge(200, None)?;
        }
        other => return Err(format!("{}: {other:?}", case.name)),
    }
    if case.reply.parts.len() > 1 {
        // A surplus that comes while nothing is asked ends the connection it came over. One that
        // comes behind the next request could be its answer, for all that HTTP/1.1 can tell.
        let target = format!("/bad/{id}/1");
        has_ended(replica, &target).await;
    }
    for (who, line) in [("itself", &mut line), ("a neighbour", &mut neighbour)] {
        let target = format!("/good/{id}/{}", who.len());
        let heard = line.ask(&ask("GET", target.clone()), Pace::AtOnce).await;
        let good = match &heard {
            Heard::Answer(answer) => answer.status() == 200 && answer.text().ends_with(&target),
            Heard::End(rest) => who == "itself" && rest.is_empty(),
            Heard::Broken(_) | Heard::Silence(_) => false,
        };
        if !good && !matches!(case.expect, Expect::NeverWhole) {
            return Err(format!("{}: then {who} heard {heard:?}", case.name));
        }
        let all = String::from_utf8_lossy(&line.heard);
        if all.contains("SMUGGLED") {
            return Err(format!(
                "{}: {who} heard another's answer: {all}",
                case.name
            ));
        }
    }
    Ok(())
}

async fn over_http2(
    edge: &Installed,
    replica: &Recorder,
    id: usize,
    case: &Case,
) -> Result<(), String> {
    let connected = RawH2::connect(edge, HOST).await;
    let mut client = connected.map_err(|error| error.to_string())?;
    let fields = |method: &str, path: String| {
        let path = path.into_bytes();
        vec![
            (b":method".to_vec(), method.as_bytes().to_vec()),
            (b":scheme".to_vec(), b"https".to_vec()),
            (b":path".to_vec(), path),
            (b":authority".to_vec(), HOST.as_bytes().to_vec()),
        ]
    };
    client
        .headers(1, &fields(case.method, format!("/bad/{id}/2")), true)
        .await;
    let bad = client.outcome(1, PATIENCE).await;
    let body = String::from_utf8_lossy(&bad.body).into_owned();
    let whole = bad.ended && bad.reset.is_none();
    case.judge(bad.status.unwrap_or(0), whole.then_some(&body))
        .map_err(|why| format!("{why} over HTTP/2: {bad:?}"))?;
    if case.reply.parts.len() > 1 {
        has_ended(replica, &format!("/bad/{id}/2")).await;
    }
    let target = format!("/good/{id}/2");
    client
        .headers(3, &fields("GET", target.clone()), true)
        .await;
    let good = client.outcome(3, PATIENCE).await;
    if good.status != Some(200) || !good.body.ends_with(target.as_bytes()) {
        return Err(format!(
            "{}: its sibling over HTTP/2 heard {good:?}",
            case.name
        ));
    }
    if body.contains("SMUGGLED") {
        return Err(format!(
            "{}: another's answer over HTTP/2: {body}",
            case.name
        ));
    }
    Ok(())
}

#[tokio::test]
async fn whatever_a_replica_says_nobody_hears_an_answer_to_somebody_else() {
    let replies: Vec<Reply> = cases().into_iter().map(|case| case.reply).collect();
    let replica = Recorder::start(move |message| {
        let mut parts = message.target().split('/').skip(1);
        match (
            parts.next(),
            parts.next().and_then(|id| id.parse::<usize>().ok()),
        ) {
            (Some("bad"), Some(id)) => replies[id].clone(),
            _ => Reply::text(&format!("you asked for {}", message.target())),
        }
    })
    .await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let cases = cases();
    let mut wrong = Vec::new();
    for (id, case) in cases.iter().enumerate() {
        wrong.extend(over_http1(&edge, &replica, id, case).await.err());
        wrong.extend(over_http2(&edge, &replica, id, case).await.err());
    }
    let requests = replica.requests();
    for (index, bad) in requests.iter().enumerate() {
        let mut parts = bad.message.target().split('/').skip(1);
        let (Some("bad"), Some(id)) = (parts.next(), parts.next()) else {
            continue;
        };
        let case = &cases[id.parse::<usize>().expect("a number")];
        let lawful = matches!(case.expect, Expect::Lawful(..) | Expect::Harmless(_));
        let mut later = requests[index + 1..].iter();
        if !lawful && later.any(|other| other.connection == bad.connection) {
            wrong.push(format!("{}: its connection was used again", case.name));
        }
    }
    // Every connection that an unlawful answer came over is ended, and not only unused.
    for (id, case) in cases.iter().enumerate() {
        if !matches!(case.expect, Expect::Lawful(..) | Expect::Harmless(_)) {
            has_ended(&replica, &format!("/bad/{id}/1")).await;
        }
    }
    wrong.extend(replica.broken());
    println!("{} answers, over HTTP/1.1 and HTTP/2", cases.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(super::panics(&edge).await, "usher_panics_total 0");
}

#[tokio::test]
async fn a_replica_that_dies_after_the_edge_said_go_on_is_a_502() {
    let replica = Recorder::start(|message| match message.target() {
        "/dies" => Reply::bytes("").then(Then::Close),
        _ => Reply::text("here"),
    })
    .await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let mut line = Line::secure(&edge, HOST).await.unwrap();
    let request = format!(
        "POST /dies HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    );
    let heard = line.ask(request.as_bytes(), Pace::AtOnce).await;
    assert_eq!(heard.status(), 502, "{heard:?}");
    assert!(line.heard.starts_with(b"HTTP/1.1 100 "), "{heard:?}");
}

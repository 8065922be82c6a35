//! Answers of a hostile replica: more than one, with bodies where none belong, framed in odd ways.

use super::heads;
use crate::harness::recorder::{Reply, Then};

/// What nobody may ever hear: it is another answer, or part of one.
pub const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED";
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expect {
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

pub struct Case {
    pub name: String,
    pub method: &'static str,
    pub reply: Reply,
    pub expect: Expect,
}

pub fn case(name: &str, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case {
        name: name.to_owned(),
        method: "GET",
        reply: Reply::bytes(bytes),
        expect,
    }
}

pub fn ok(fields: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{rest}")
}

pub fn closes(case: Case) -> Case {
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
impl Case {
    /// What is wrong with a status and a body that came; `None` for a body that broke off.
    pub fn judge(&self, status: u16, body: Option<&str>) -> Result<(), String> {
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
/// All of them.
pub fn cases() -> Vec<Case> {
    let mut all = surplus();
    all.extend(bodiless());
    all.extend(framings());
    all.extend(chunks());
    all.extend(heads::heads());
    all.extend(heads::interims());
    all.extend(heads::ends());
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

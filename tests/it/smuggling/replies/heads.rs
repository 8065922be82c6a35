//! Answers of a hostile replica: heads that are none, interim ones, and sudden ends.

use std::fmt::Write;

use super::cases::{Case, Expect, SMUGGLED, case, closes, ok};

/// Status lines and fields, malformed or endless.
pub fn heads() -> Vec<Case> {
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

/// Interim answers, and what hides behind them (RFC 9110 §15.2).
pub fn interims() -> Vec<Case> {
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

/// Answers that end early, or only with their connection.
pub fn ends() -> Vec<Case> {
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

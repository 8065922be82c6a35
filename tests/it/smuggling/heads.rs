//! Cases about lines, bytes, targets, hosts and versions (RFC 9112 §2, §3 and §5).

use super::cases::{Expect, Family, HOST, MARKER, lawful, passed};

/// Where a line ends, and what folds it.
pub fn lines(family: &mut Family) {
    for (name, lines) in [
        ("LF ends a field", "X-A: b\n"),
        ("LF hides a field", "X-A: b\nX-B: c\r\n"),
        ("CR ends a field", "X-A: b\rX-B: c\r\n"),
        ("CR CR LF", "X-A: b\r\r\n"),
        ("LF CR", "X-A: b\n\r"),
        ("NUL ends a field", "X-A: b\0X-B: c\r\n"),
        ("VT ends a field", "X-A: b\u{b}X-B: c\r\n"),
        ("FF ends a field", "X-A: b\u{c}X-B: c\r\n"),
        ("folded by a space", "X-A: b\r\n c\r\n"),
        ("folded by a tab", "X-A: b\r\n\tc\r\n"),
        ("folded to nothing", "X-A: b\r\n \r\n"),
        ("folded framing", "X-A: b\r\n Content-Length: 5\r\n"),
        ("space before a name", " X-A: b\r\n"),
        ("space behind a name", "X-A : b\r\n"),
        ("tab behind a name", "X-A\t: b\r\n"),
        ("no name", ": b\r\n"),
        ("no colon", "X-A\r\n"),
        ("a request as a field", "GET /marker/@ID@ HTTP/1.1\r\n"),
        ("a pseudo-header", ":authority: evil.example\r\n"),
        ("brackets in a name", "X[A]: b\r\n"),
        ("slash in a name", "X/A: b\r\n"),
        ("comma in a name", "X,A: b\r\n"),
        ("semicolon in a name", "X;A: b\r\n"),
        ("not ASCII in a name", "X-\u{e4}: b\r\n"),
        ("LF LF ends the head", "X-A: b\n\n"),
        ("LF CR LF ends the head", "X-A: b\n\r\n"),
    ] {
        family.fields(name, lines, MARKER, Expect::Refused);
    }
    let around = family.carrier.before.to_owned() + family.carrier.behind;
    let line = format!("{} /case/@ID@ HTTP/1.1", family.carrier.method);
    for (name, bytes) in [
        (
            "LF ends the first line",
            format!("{line}\nX-Case: @ID@\r\n{around}\r\n"),
        ),
        (
            "CR ends the first line",
            format!("{line}\rX-Case: @ID@\r\n{around}\r\n"),
        ),
        (
            "fold behind the first line",
            format!("{line}\r\n X-Case: @ID@\r\n{around}\r\n"),
        ),
        (
            "three empty lines",
            format!("\r\n\r\n\r\n{line}\r\n{around}\r\n"),
        ),
        ("an empty line of LF", format!("\n{line}\r\n{around}\r\n")),
        ("a space first", format!(" {line}\r\n{around}\r\n")),
        ("NUL first", format!("\0{line}\r\n{around}\r\n")),
        (
            "a byte order mark",
            format!("\u{feff}{line}\r\n{around}\r\n"),
        ),
    ] {
        family.bytes(name, bytes + MARKER, Expect::Refused);
    }
    for (name, empty) in [("an empty line", "\r\n"), ("two empty lines", "\r\n\r\n")] {
        family.bytes(name, empty.to_owned() + &lawful("", ""), passed(""));
    }
    // What has no end is no request yet.
    family.bytes(
        "a head without an end",
        format!("{line}\r\nX-Case: @ID@\r\n{around}"),
        Expect::Cut,
    );
}

/// Every byte that is none of a text, in every place of a head.
pub fn bytes(family: &mut Family) {
    let method = family.carrier.method.to_owned();
    let controls = (0..=0x1f).chain([0x7f]).map(char::from);
    for byte in controls.filter(|byte| !matches!(byte, '\t' | '\r' | '\n')) {
        let expect = || Expect::Refused;
        let code = u32::from(byte);
        family.fields(
            &format!("{code:#04x} in a value"),
            &format!("X-A: b{byte}c\r\n"),
            "",
            expect(),
        );
        family.fields(
            &format!("{code:#04x} in a name"),
            &format!("X-{byte}A: b\r\n"),
            "",
            expect(),
        );
        let line = format!("{method} /case{byte}/@ID@ HTTP/1.1\r\n");
        family.request(
            &format!("{code:#04x} in a target"),
            &line,
            "",
            MARKER,
            expect(),
        );
        let line = format!("{byte}{method} /case/@ID@ HTTP/1.1\r\n");
        family.request(
            &format!("{code:#04x} in a method"),
            &line,
            "",
            MARKER,
            expect(),
        );
    }
}

/// Forms of the request target (RFC 9112 §3.2).
pub fn targets(family: &mut Family) {
    let method = family.carrier.method.to_owned();
    for target in [
        "/case /@ID@",
        "/case/@ID@ HTTP/1.1 x",
        " /case/@ID@",
        "/case/@ID@\t",
        "\t/case/@ID@",
        "/a\u{b}b",
        "/case/@ID@#part",
        "#",
        "case/@ID@",
        "*",
        "",
        "?case=@ID@",
        "\\case\\@ID@",
        "congress.example.org",
        "congress.example.org:443",
        "http:/case/@ID@",
        "http:///case/@ID@",
        "ftp://congress.example.org/",
        "http://user@congress.example.org/",
        "http://congress.example.org@evil.example/",
        "http://evil.example/case/@ID@",
        "https://evil.example/",
        "http://congress.example.org:abc/",
        "http://congress.example.org:99999/",
        "//",
        "javascript:x",
        "/case/\u{e4}",
        "/case/\u{ff}",
        "http://congress.example.org\\@evil.example/",
        "HTTP/1.1",
        "/case/@ID@\r",
        "/ca\nse",
    ] {
        // A target that begins with two slashes is a path like any other.
        if target == "//" {
            continue;
        }
        let line = format!("{method} {target} HTTP/1.1\r\n");
        family.request(
            &format!("target {target:?}"),
            &line,
            "",
            MARKER,
            Expect::Refused,
        );
    }
    for target in [
        "/../@ID@",
        "/%2e%2e/@ID@",
        "/a/%2E/@ID@",
        "/%00/@ID@",
        "/%/@ID@",
        "/%zz/@ID@",
        "/a%5cb",
        "/a\\b",
    ] {
        let line = format!("{method} {target} HTTP/1.1\r\n");
        family.request(&format!("path {target:?}"), &line, "", "", Expect::Answered);
    }
    for target in [
        "/case/@ID@?a=b&c",
        "http://congress.example.org",
        "http://congress.example.org?a=@ID@",
        "https://congress.example.org/",
        "/case//@ID@",
        "//case/@ID@",
        "/case/%20/@ID@",
        "/case/@ID@?/../x",
        "/case;a=b/@ID@",
        "http://congress.example.org/case/@ID@",
        "/case/@ID@?http://evil.example/",
        "/case/@ID@/...",
        "HTTP://congress.example.org/case/@ID@",
    ] {
        let line = format!("{method} {target} HTTP/1.1\r\n");
        family.request(
            &format!("lawful target {target:?}"),
            &line,
            "",
            "",
            passed(""),
        );
    }
}

/// Forms of `Host` (RFC 9112 §3.2).
pub fn hosts(family: &mut Family) {
    let method = family.carrier.method.to_owned();
    let line = format!("{method} /case/@ID@ HTTP/1.1\r\nX-Case: @ID@\r\n");
    let long = format!("Host: {}.example.org", "a.".repeat(130));
    let label = format!("Host: {}.example.org", "a".repeat(64));
    for lines in [
        "X-No: host",
        "Host: congress.example.org\r\nHost: congress.example.org",
        "Host: congress.example.org\r\nhost: evil.example",
        "Host: evil.example\r\nHost: congress.example.org",
        "Host : congress.example.org",
        " Host: congress.example.org",
        "Host: congress.example.org\r\n x",
        "Host\u{b}: congress.example.org",
        "Host: congress.example.org\u{b}",
        "Host: congress\0.example.org",
    ] {
        let bytes = format!("{line}{lines}\r\n\r\n{MARKER}");
        family.bytes(&format!("host lines {lines:?}"), bytes, Expect::Refused);
    }
    for lines in [
        "Host:",
        "Host: ",
        "Host: congress.example.org evil.example",
        "Host: congress.example.org, evil.example",
        "Host: congress.example.org:80:80",
        "Host: congress.example.org:abc",
        "Host: congress.example.org:-1",
        "Host: congress.example.org:99999",
        "Host: congress.example.org: 80",
        "Host: congress.example.org:+80",
        "Host: user@congress.example.org",
        "Host: user:x@congress.example.org",
        "Host: congress.example.org/path",
        "Host: congress.example.org?x",
        "Host: congress.example.org#x",
        "Host: http://congress.example.org",
        "Host: [::1",
        "Host: [::1]x",
        "Host: [congress.example.org]",
        "Host: congress..example.org",
        "Host: .congress.example.org",
        "Host: congress.example.org..",
        "Host: congress%2eexample.org",
        "Host: congress.example.org%00",
        "Host: c\u{f6}ngress.example.org",
        "Host: \"congress.example.org\"",
        "Host: congress.example.org\\",
        "Host: congress.example.org;",
        "Host: congress.example.org'",
        "Host: <congress.example.org>",
        "Host: *",
        &long,
        &label,
    ] {
        let bytes = format!("{line}{lines}\r\n\r\n");
        family.bytes(&format!("host {lines:?}"), bytes, Expect::Answered);
    }
    for lines in [
        "Host: congress.example.org",
        "Host:congress.example.org",
        "Host: CONGRESS.Example.ORG",
        "Host: congress.example.org.",
        "Host: congress.example.org:80",
        "Host: congress.example.org:",
        "Host: congress.example.org \t",
        "hOsT:\tcongress.example.org",
        "Host: congress.example.org.:8443",
    ] {
        let bytes = format!("{line}{lines}\r\n\r\n");
        family.bytes(&format!("lawful host {lines:?}"), bytes, passed(""));
    }
    let bytes = format!("GET http://{HOST}/case/@ID@ HTTP/1.1\r\nX-Case: @ID@\r\n\r\n{MARKER}");
    family.bytes("a host in the target alone", bytes, Expect::Refused);
}

/// Versions and what is around them in the first line.
pub fn versions(family: &mut Family) {
    let method = family.carrier.method.to_owned();
    let length = format!("Content-Length: {}\r\n", MARKER.len());
    for version in [
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/3.0",
        "HTTP/1.10",
        "HTTP/11",
        "HTTP/1.1.1",
        "http/1.1",
        "HTTP/01.1",
        "HTTP/+1.1",
        "HTTP /1.1",
        "HTTPS/1.1",
        "ICY/1.0",
        "HTTP/1.1 ",
        "HTTP/1.1\t",
        " HTTP/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1,1",
        "HTTP\\1.1",
        "HTTP/1.1x",
        "xHTTP/1.1",
        "",
    ] {
        let line = format!("{method} /case/@ID@ {version}\r\n");
        family.request(
            &format!("version {version:?}"),
            &line,
            &length,
            MARKER,
            Expect::Refused,
        );
    }
    for (name, line) in [
        ("no version", "GET /case/@ID@\r\n"),
        ("tabs", "GET\t/case/@ID@\tHTTP/1.1\r\n"),
        ("two spaces", "GET  /case/@ID@ HTTP/1.1\r\n"),
        ("no method", "/case/@ID@ HTTP/1.1\r\n"),
        ("CONNECT", "CONNECT congress.example.org:443 HTTP/1.1\r\n"),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n"),
        ("a slash in the method", "GET/ /case/@ID@ HTTP/1.1\r\n"),
        ("a colon in the method", "GET: /case/@ID@ HTTP/1.1\r\n"),
        ("brackets in the method", "G(ET) /case/@ID@ HTTP/1.1\r\n"),
        (
            "not ASCII in the method",
            "G\u{e4}T /case/@ID@ HTTP/1.1\r\n",
        ),
    ] {
        family.request(name, line, &length, MARKER, Expect::Refused);
    }
    let line = format!("{method} /case/@ID@ HTTP/1.0\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let chunks = format!("0\r\n\r\n{MARKER}");
    family.request(
        "chunks in HTTP/1.0",
        &line,
        chunked,
        &chunks,
        Expect::Refused,
    );
    family.request(
        "a length in HTTP/1.0",
        &line,
        &length,
        MARKER,
        passed(MARKER),
    );
    let lines = format!("{length}Connection: keep-alive\r\n");
    family.request(
        "keep-alive in HTTP/1.0",
        &line,
        &lines,
        MARKER,
        passed(MARKER),
    );
    let lines = format!("{length}Expect: 100-continue\r\n");
    family.request("Expect in HTTP/1.0", &line, &lines, MARKER, passed(MARKER));
    family.request(
        "TRACE",
        "TRACE /case/@ID@ HTTP/1.1\r\n",
        "",
        "",
        Expect::Answered,
    );
}

//! Cases about chunks (RFC 9112 §7.1).

use super::cases::{Expect, Family, MARKER, passed};

/// Sizes, extensions, ends and trailers of chunks (RFC 9112 §7.1).
pub fn all(family: &mut Family) {
    let coded = "Transfer-Encoding: chunked\r\n";
    let size = format!("{:x}", MARKER.len());
    for before in [
        "+@",
        "-@",
        "0x@",
        "@h",
        "@ ",
        " @",
        "@\t",
        "\t@",
        "@\u{b}",
        "@\0",
        "\0@",
        "@,",
        "\"@\"",
        "g",
        "",
        "@_",
        "@.0",
        "00000000000000000@",
        "FFFFFFFFFFFFFFFFF",
        "@\n",
        "@\r",
        "@\r\r",
        "@;a\n",
        "@;a=\"x\ny\"",
        "@;a\rb",
        "@;a\0",
        "@;a=\"x\ry\"",
        "@ ;a",
        "@\u{a0}",
        "@\u{85}",
        "@:",
        "@#",
        "@=",
        "\r\n@",
        "@;a\u{b}",
        "@;\u{7f}",
    ] {
        let line = before.replace('@', &size);
        let rest = format!("{line}\r\n{MARKER}\r\n0\r\n\r\n");
        family.fields(&format!("chunk {before:?}"), coded, &rest, Expect::Refused);
    }
    let long = format!("@;{}", "a".repeat(2000));
    let rest = long.replace('@', &size) + "\r\n" + MARKER + "\r\n0\r\n\r\n";
    family.fields("an endless extension", coded, &rest, Expect::Refused);
    for before in [
        "@",
        "0@",
        "000@",
        "@;a",
        "@;a=b",
        "@;a=\"b\"",
        "@;a;b=c",
        "@;a=\";0\"",
        "@;",
    ] {
        let line = before.replace('@', &size);
        let rest = format!("{line}\r\n{MARKER}\r\n0\r\n\r\n");
        family.fields(
            &format!("lawful chunk {before:?}"),
            coded,
            &rest,
            passed(MARKER),
        );
    }
    for (name, rest) in [
        ("LF behind data", "3\r\nabc\n0\r\n\r\n"),
        ("CR behind data", "3\r\nabc\r0\r\n\r\n"),
        ("nothing behind data", "3\r\nabc0\r\n\r\n"),
        ("data too long", "3\r\nabcdef\r\n0\r\n\r\n"),
        ("two ends behind data", "3\r\nabc\r\n\r\n0\r\n\r\n"),
        ("data too short", "5\r\nabc\r\n0\r\n\r\n"),
        ("a length as an end", "0\n\r\n"),
        ("LF as the end of all", "0\r\n\n"),
        ("CR as the end of all", "0\r\n\rX"),
        ("LF in a trailer", "0\r\nX: y\n\r\n"),
        ("LF begins a trailer", "0\r\n\nX: y\r\n\r\n"),
        ("CR in a trailer", "0\r\nX: y\rz\r\n\r\n"),
        ("NUL in a trailer", "0\r\nX: y\0\r\n\r\n"),
        ("folded trailer", "0\r\nX: y\r\n z\r\n\r\n"),
        ("folded first trailer", "0\r\n X: y\r\n\r\n"),
        ("trailer without a colon", "0\r\nXyz\r\n\r\n"),
        ("trailer without a name", "0\r\n: y\r\n\r\n"),
        ("space behind a trailer's name", "0\r\nX : y\r\n\r\n"),
        (
            "a request as a trailer",
            "0\r\nGET /marker/@ID@ HTTP/1.1\r\n\r\n",
        ),
    ] {
        let rest = rest.to_owned() + MARKER;
        family.fields(name, coded, &rest, Expect::Refused);
    }
    for (name, rest) in [
        ("a trailer", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"),
        (
            "two trailers",
            "3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Other: GET / HTTP/1.1\r\n\r\n",
        ),
        (
            "an identity as a trailer",
            "3\r\nabc\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        ),
        (
            "length as a trailer",
            "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "coding as a trailer",
            "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "host as a trailer",
            "3\r\nabc\r\n0\r\nHost: evil.example\r\n\r\n",
        ),
        ("zeros as the last chunk", "3\r\nabc\r\n0000\r\n\r\n"),
        (
            "an extension of the last chunk",
            "3\r\nabc\r\n0;a=b\r\n\r\n",
        ),
        ("single bytes", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"),
    ] {
        family.fields(name, coded, rest, passed("abc"));
    }
    family.fields(
        "no last chunk",
        coded,
        &format!("{size}\r\n{MARKER}\r\n"),
        Expect::Cut,
    );
    family.fields(
        "no end",
        coded,
        &format!("{size}\r\n{MARKER}\r\n0\r\n"),
        Expect::Cut,
    );
}

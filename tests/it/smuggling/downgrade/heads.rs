//! Streams of HTTP/2 about names, values and pseudo-headers (RFC 9113 §8.2 and §8.3).

use super::cases::{Case, Expect, field, of, pseudo, with};
use crate::smuggling::cases::HOST;

/// Bytes that no line can hold, in every part of a head.
pub fn bytes() -> Vec<Case> {
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

/// Forms of `:path`.
pub fn paths() -> Vec<Case> {
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

/// Pseudo-headers that are too many, missing, or none (§8.3).
pub fn pseudos() -> Vec<Case> {
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

/// `:authority`, and `Host` beside it (§8.3.1).
pub fn authorities() -> Vec<Case> {
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

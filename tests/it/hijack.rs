//! What another site may not take over: the websockets of a visitor, and the paths of usher itself.

use crate::harness::line::{Line, Pace};
use crate::harness::{Installed, Recorder};
use crate::smuggling::both_ways;
use crate::smuggling::cases::HOST;

/// Pages that are none of the instance's own.
const FOREIGN: &[&str] = &[
    "https://evil.example",
    "http://evil.example",
    "https://evil.example:443",
    "https://example.org",
    "https://org",
    "https://other.example.org",
    "https://sub.congress.example.org",
    "https://congress.example.org.evil.example",
    "https://evilcongress.example.org",
    "https://congress-example.org",
    "https://congress.example.orgx",
    "https://congress.example.org@evil.example",
    "https://congress.example.org:x@evil.example",
    "https://evil.example/congress.example.org",
    "https://evil.example#congress.example.org",
    "https://evil.example?congress.example.org",
    "https://evil.example\\congress.example.org",
    "https://congress.example.org/",
    "https://congress.example.org/path",
    "https://congress.example.org?x",
    "https://congress.example.org#x",
    "https://congress.example.org\\",
    "https://congress.example.org:80:80",
    "https://congress.example.org:abc",
    "https://congress.example.org:99999",
    "https://congress..example.org",
    "https://.congress.example.org",
    "https://congress.example.org..",
    "https://congress%2eexample.org",
    "https://congress.example.org%00.evil.example",
    "https://congress.example.org, https://evil.example",
    "https://evil.example https://congress.example.org",
    "https://congress.example.org https://evil.example",
    "https://c\u{f6}ngress.example.org",
    "https://xn--cngress-90a.example.org",
    "https://127.0.0.1",
    "https://[::1]",
    "https://localhost",
    "null",
    "",
    "*",
    "congress.example.org",
    "//congress.example.org",
    "https:congress.example.org",
    "https:/congress.example.org",
    "https:///congress.example.org",
    "https://",
    "ftp://congress.example.org",
    "file://congress.example.org",
    "chrome-extension://congress.example.org",
    "ws://congress.example.org",
    "wss://congress.example.org",
    "javascript://congress.example.org",
    "data:text/html,congress.example.org",
];

/// The instance's own pages.
const OWN: &[&str] = &[
    "https://congress.example.org",
    "https://CONGRESS.example.org",
    "HTTPS://congress.example.org",
    "https://congress.example.org:443",
    "https://congress.example.org:8443",
    "http://congress.example.org",
    "https://congress.example.org.",
];

/// What else may be odd about a handshake: it must not open a way past its origin.
const DEFECTS: &[(&str, &str)] = &[
    ("", ""),
    ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"),
    (
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13",
    ),
    ("dGhlIHNhbXBsZSBub25jZQ==", "short"),
    ("dGhlIHNhbXBsZSBub25jZQ==", ""),
    ("Upgrade: websocket", "Upgrade: WebSocket, foo"),
    (
        "Connection: Upgrade",
        "Connection: keep-alive, upgrade, origin",
    ),
    ("Host: congress.example.org", "Host: CONGRESS.example.org."),
    (
        "Host: congress.example.org",
        "Host: congress.example.org\r\nCookie: session=secret",
    ),
    ("Origin:", "Origin: https://congress.example.org\r\nOrigin:"),
    (
        "Origin:",
        "Sec-WebSocket-Origin: https://congress.example.org\r\noRiGiN:",
    ),
    (
        "Origin:",
        "X-Forwarded-Host: evil.example\r\nReferer: https://congress.example.org/\r\nOrigin:",
    ),
];

fn handshake(origin: &str, (old, new): (&str, &str)) -> Vec<u8> {
    let text = format!(
        "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: @\r\n\r\n"
    );
    let text = match old {
        "" => text,
        old => text.replacen(old, new, 1),
    };
    text.replace('@', origin).into_bytes()
}

#[tokio::test]
async fn no_page_of_another_site_opens_a_websocket_however_it_asks() {
    let replica = Recorder::telling().await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;
    let before = replica.requests().len();

    let mut wrong = Vec::new();
    for origin in FOREIGN {
        for defect in DEFECTS {
            let mut line = Line::secure(&edge, HOST).await.unwrap();
            let heard = line.ask(&handshake(origin, *defect), Pace::AtOnce).await;
            if heard.status() != 403 {
                wrong.push(format!("{origin:?} with {defect:?}: {heard:?}"));
            }
        }
    }
    println!(
        "{} origins in {} handshakes each",
        FOREIGN.len(),
        DEFECTS.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(replica.requests().len(), before, "{:?}", replica.targets());

    // The same handshake of an own page is the replica's to answer.
    for (index, origin) in OWN.iter().enumerate() {
        let mut line = Line::secure(&edge, HOST).await.unwrap();
        let heard = line.ask(&handshake(origin, DEFECTS[0]), Pace::AtOnce).await;
        assert_eq!(heard.status(), 200, "{origin}: {heard:?}");
        assert_eq!(replica.requests().len(), before + index + 1, "{origin}");
    }
}

/// Spellings of a path below the challenges of ACME, and whether a server could read them as that.
fn spellings() -> Vec<(String, bool)> {
    let path = "/.well-known/acme-challenge/token";
    let mut all = vec![(path.to_owned(), true)];
    // Every character in hexadecimal, once and twice, and every slash more than once.
    for (at, letter) in path.char_indices() {
        let (before, behind) = (&path[..at], &path[at + 1..]);
        let code = u32::from(letter);
        if at > 0 {
            all.push((format!("{before}%{code:02x}{behind}"), true));
            all.push((format!("{before}%{code:02X}{behind}"), true));
            all.push((
                format!("{before}%25{code:02x}{behind}"),
                at >= path.len() - 5,
            ));
        }
        if letter == '/' {
            for many in [
                "//",
                "///",
                "/%2f",
                "/%2F/",
                "/./",
                "/x/../",
                "/%2e/",
                "/x/%2e%2e/",
                "\\",
                "/%5c",
                "/%00/",
            ] {
                all.push((format!("{before}{many}{behind}"), true));
            }
            for other in [
                ";/", ";a=b/", "%3b/", "%20/", "/%20", "%09/", "+/", "%/", "%2/", "%zz/", "%c0%af",
                "%u002f",
            ] {
                // The slash behind all of the prefix is part of the token's name then.
                all.push((format!("{before}{other}{behind}"), false));
            }
        }
        if letter.is_ascii_lowercase() && at < path.len() - 5 {
            let upper = letter.to_ascii_uppercase();
            all.push((format!("{before}{upper}{behind}"), false));
        }
    }
    for tail in [
        "?", "?a=b", "?/../", "/", "//", "/.", "/..", "/x", "%2f", "%20", ";a=b", "%3f", "%23",
        ".", "%00",
    ] {
        all.push((format!("{path}{tail}"), true));
    }
    for below in [
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge",
        "/.well-known/acme-challenge?a",
    ] {
        all.push((below.to_owned(), true));
    }
    for beside in [
        "/.well-known/",
        "/.well-known",
        "/.well-known/acme-challenges/token",
        "/.well-known/acme-challeng/token",
        "/x/.well-known/acme-challenge/token",
        "/.well-known/x/acme-challenge/token",
        "/well-known/acme-challenge/token",
        "/?/.well-known/acme-challenge/token",
        "/acme-challenge/token",
    ] {
        all.push((beside.to_owned(), false));
    }
    all.push((format!("http://{HOST}{path}"), true));
    all.push((format!("http://{HOST}/{path}"), true));
    all
}

#[tokio::test]
async fn no_spelling_of_a_challenge_reaches_a_tenant() {
    let replica = Recorder::telling().await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let spellings = spellings();
    let mut wrong = Vec::new();
    for (target, reserved) in &spellings {
        for secure in [false, true] {
            let before = replica.requests().len();
            let mut line = match secure {
                true => Line::secure(&edge, HOST).await.unwrap(),
                false => Line::plain(&edge).await.unwrap(),
            };
            let request = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            let heard = line.ask(request.as_bytes(), Pace::AtOnce).await;
            let reached = replica.requests().len() > before;
            let good = match heard.status() {
                400 | 404 => !reached,
                200 => reached && !reserved,
                _ => false,
            };
            if !good {
                wrong.push(format!("{target} (secure: {secure}): {heard:?}"));
            }
        }
    }
    println!("{} spellings of a challenge", spellings.len());
    assert!(spellings.len() >= 200, "{}", spellings.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(replica.broken(), Vec::<String>::new());
}

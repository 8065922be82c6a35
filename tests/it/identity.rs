//! Who asks is what usher saw: whatever a client writes about itself, in any spelling, no replica
//! reads.

use std::fmt::Write;

use crate::harness::h2raw::{Field, RawH2};
use crate::harness::line::{Line, PATIENCE, Pace};
use crate::harness::recorder::Recorded;
use crate::harness::{Front, Installed, Recorder};
use crate::smuggling::both_ways;
use crate::smuggling::cases::HOST;

const NAMES: [&str; 26] = [
    "Forwarded",
    "Forwarded-For",
    "X-Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Real-Ip",
    "X-Client-Ip",
    "X-Cluster-Client-Ip",
    "X-Original-Uri",
    "X-Original-Url",
    "X-Original-Host",
    "X-Rewrite-Url",
    "X-Originating-Ip",
    "X-Remote-Ip",
    "X-Remote-Addr",
    "X-Host",
    "True-Client-Ip",
    "Cf-Connecting-Ip",
    "Front-End-Https",
    "Proxy",
];

/// What a client lies. No field that reaches a replica may hold it.
const LIE: &str = "lie.example";

/// How a client writes one of the names: field lines for HTTP/1.
fn spellings(name: &str) -> Vec<(&'static str, String)> {
    let line = |name: &str| format!("{name}: {LIE}\r\n");
    let mixed: String = name
        .chars()
        .enumerate()
        .map(|(at, letter)| match at % 2 {
            0 => letter.to_ascii_lowercase(),
            _ => letter.to_ascii_uppercase(),
        })
        .collect();
    vec![
        ("as it is", line(name)),
        ("twice", line(name) + &line(name)),
        (
            "twice, differently",
            line(name) + &line(&name.to_ascii_lowercase()),
        ),
        ("with _", line(&name.replace('-', "_"))),
        ("with .", line(&name.replace('-', "."))),
        ("with both", line(&name.replacen('-', "_", 1))),
        ("with ~", line(&name.replace('-', "~"))),
        ("in mixed case", line(&mixed)),
        ("empty and again", format!("{name}:\r\n{}", line(name))),
        ("nominated", line(name) + &format!("Connection: {name}\r\n")),
        ("nominated alone", format!("Connection: {name}\r\n")),
        ("in a list", format!("{name}: 127.0.0.1, {LIE}\r\n")),
    ]
}

/// What is wrong with what a replica was told.
fn judge(recorded: &Recorded, secure: Option<u16>) -> Option<String> {
    let message = &recorded.message;
    let port;
    let (scheme, ssl) = match secure {
        Some(_) => ("https", "on"),
        None => ("http", "off"),
    };
    let mut expected = vec![
        ("host", HOST),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", scheme),
        ("x-forwarded-host", HOST),
        ("x-forwarded-ssl", ssl),
        ("x-original-uri", message.target()),
    ];
    if let Some(number) = secure {
        port = number.to_string();
        expected.push(("x-forwarded-port", port.as_str()));
    }
    for (name, value) in expected {
        let told: Vec<_> = message
            .fields
            .iter()
            .filter(|(known, _)| known == name)
            .collect();
        if told.len() != 1 || told[0].1 != value {
            return Some(format!("{name} is {told:?} instead of {value}"));
        }
    }
    let lie = message
        .fields
        .iter()
        .find(|(_, value)| value.contains("lie"));
    lie.map(|lie| format!("{lie:?} came through"))
}

fn handshake(lines: &str) -> String {
    format!(
        "GET /websocket HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

#[tokio::test]
async fn no_replica_reads_what_a_client_says_about_itself_over_http1() {
    let replica = Recorder::telling().await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let mut wrong = Vec::new();
    let mut asked = 0;
    let port = Some(edge.https().port());
    for name in NAMES {
        for (spelling, lines) in spellings(name) {
            let get = format!("GET /a?b HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n");
            let post = format!(
                "POST /trailers HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n{lines}\r\n"
            );
            for (secure, request) in [
                (true, get.clone()),
                (false, get),
                (true, post),
                (true, handshake(&lines)),
            ] {
                let before = replica.requests().len();
                let mut line = match secure {
                    true => Line::secure(&edge, HOST).await.unwrap(),
                    false => Line::plain(&edge).await.unwrap(),
                };
                let heard = line.ask(request.as_bytes(), Pace::AtOnce).await;
                asked += 1;
                let seen = replica.requests().split_off(before);
                // To nominate what every server on the way needs may be refused.
                let refused =
                    heard.status() == 400 && spelling.starts_with("nominated") && seen.is_empty();
                let mut told =
                    |why: String| wrong.push(format!("{name} {spelling} in {request:?}: {why}"));
                match &seen[..] {
                    [one] if heard.status() == 200 => {
                        if let Some(why) = judge(one, port.filter(|_| secure)) {
                            told(why);
                        }
                    }
                    _ if refused => {}
                    _ => told(format!("{heard:?}")),
                }
            }
        }
    }
    println!("{asked} lies over HTTP/1.1");
    wrong.extend(replica.broken());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn no_replica_reads_what_a_client_says_about_itself_over_http2() {
    let replica = Recorder::telling().await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let field = |name: &str, value: &str| -> Field {
        (name.as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    let usual = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/a?b"),
        (":authority", HOST),
    ]
    .map(|(name, value)| field(name, value));
    let mut client = RawH2::connect(&edge, HOST).await.unwrap();
    let mut wrong = String::new();
    let mut id = 1;
    for name in NAMES {
        let name = name.to_ascii_lowercase();
        let lie = |name: &str| field(name, LIE);
        for (head, trailers) in [
            (vec![lie(&name)], Vec::new()),
            (vec![lie(&name), lie(&name)], Vec::new()),
            (vec![lie(&name.replace('-', "_"))], Vec::new()),
            (vec![lie(&name.replace('-', "."))], Vec::new()),
            (vec![lie(&name.replace('-', "~"))], Vec::new()),
            (vec![field(&name, ""), lie(&name)], Vec::new()),
            (Vec::new(), vec![lie(&name)]),
            (vec![lie(&name)], vec![lie(&name), lie(&name)]),
        ] {
            let before = replica.requests().len();
            client
                .headers(id, &[&usual[..], &head].concat(), false)
                .await;
            client.data(id, b"abc", trailers.is_empty()).await;
            if !trailers.is_empty() {
                client.headers(id, &trailers, true).await;
            }
            let outcome = client.outcome(id, PATIENCE).await;
            let seen = replica.requests().split_off(before);
            let why = match &seen[..] {
                [one] if outcome.status == Some(200) => judge(one, Some(edge.https().port())),
                _ => Some(format!("{outcome:?}, {seen:?}")),
            };
            if let Some(why) = why {
                let _ = writeln!(wrong, "{name} in stream {id}: {why}");
            }
            id += 2;
        }
    }
    println!("{} lies over HTTP/2", id / 2);
    assert_eq!(replica.broken(), Vec::<String>::new());
    assert!(wrong.is_empty(), "{wrong}");
}

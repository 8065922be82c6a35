//! Bytes behind a handshake: they reach a replica when it has agreed, and never before or otherwise.

use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::both_ways;
use super::cases::HOST;
use crate::harness::eventually::check;
use crate::harness::line::{Heard, Line, Pace};
use crate::harness::recorder::{Reply, Then};
use crate::harness::wire::Message;
use crate::harness::{Installed, Recorder, eventually};

/// Hidden behind every handshake. To a server that took it for one, it would be a request.
const BEHIND: &str = "GET /marker HTTP/1.1\r\nHost: congress.example.org\r\n\r\n";
/// The same, as nobody could take it for one.
const NOISE: &str = "\u{1}\u{2} BEHIND \r\n\r\n";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expect {
    /// A websocket: what was behind the handshake arrives after the 101, and unchanged.
    Opens,
    /// Answered with this status and closed; what was behind the handshake goes nowhere.
    Closed(u16),
    /// No handshake. The replica sees a request without a word of an upgrade; its 101 is a 502.
    Ordinary,
    /// 4xx and closed, and the replica is not asked.
    Refused,
}

fn switch(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// What the replica answers, by the target.
fn script(message: &Message) -> Reply {
    let key = message.value("sec-websocket-key").unwrap_or(KEY);
    let agreed = switch(&derive_accept_key(key.as_bytes()));
    let refusal = |text: &str| Reply::bytes(text);
    let mut reply = match message.target() {
        "/101" => Reply::bytes(agreed).then(Then::Raw),
        "/twice" => Reply::bytes(agreed.repeat(2)).then(Then::Raw),
        "/wrong-accept" => Reply::bytes(switch("AAAAAAAAAAAAAAAAAAAAAAAAAAA=")).then(Then::Raw),
        "/two-accepts" => {
            let other = "Sec-WebSocket-Accept: AAAA\r\n\r\n";
            Reply::bytes(format!("{}{other}", &agreed[..agreed.len() - 2])).then(Then::Raw)
        }
        "/no-accept" => Reply::bytes(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .then(Then::Raw),
        "/other-protocol" => Reply::bytes(agreed.replace("websocket", "foo")).then(Then::Raw),
        "/no-connection" => {
            Reply::bytes(agreed.replace("Connection: Upgrade\r\n", "")).then(Then::Raw)
        }
        "/interim" => refusal("HTTP/1.1 103 Early Hints\r\n\r\n"),
        "/200" => Reply::text("no"),
        "/200-chunked" => {
            refusal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")
        }
        "/204" => refusal("HTTP/1.1 204 No Content\r\n\r\n"),
        "/426" => refusal("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"),
        "/surplus" => {
            refusal("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n")
        }
        "/surplus-chunked" => refusal(
            "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ),
        "/surplus-204" => {
            refusal("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n")
        }
        "/two-framings" => refusal(
            "HTTP/1.1 403 No\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        ),
        "/two-lengths" => {
            refusal("HTTP/1.1 403 No\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nnono")
        }
        "/bad-chunks" => refusal("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n"),
        // Whoever asks for nothing like it is told that the protocol has changed.
        "/unasked" => Reply::bytes(agreed).then(Then::Raw),
        _ => Reply::text(&format!("you asked for {}", message.target())),
    };
    if message.target() != "/next" && message.target() != "/ready" {
        reply.after = Duration::from_millis(30);
    }
    reply
}

/// How replicas answer a good handshake, and what the client hears of it.
const ANSWERS: &[(&str, Expect)] = &[
    ("/101", Expect::Opens),
    ("/twice", Expect::Opens),
    ("/wrong-accept", Expect::Closed(502)),
    ("/two-accepts", Expect::Closed(502)),
    ("/no-accept", Expect::Closed(502)),
    ("/other-protocol", Expect::Closed(502)),
    ("/no-connection", Expect::Closed(502)),
    ("/interim", Expect::Closed(502)),
    ("/200", Expect::Closed(200)),
    ("/200-chunked", Expect::Closed(200)),
    ("/204", Expect::Closed(204)),
    ("/426", Expect::Closed(426)),
    ("/surplus", Expect::Closed(403)),
    ("/surplus-chunked", Expect::Closed(403)),
    ("/surplus-204", Expect::Closed(204)),
    ("/two-framings", Expect::Closed(502)),
    ("/two-lengths", Expect::Closed(502)),
    ("/bad-chunks", Expect::Closed(502)),
];

/// Spellings of a handshake, and what is none; the replica agrees to all of them.
fn spellings() -> Vec<(String, Expect)> {
    use Expect::{Opens, Ordinary, Refused};
    let get = |lines: &str| format!("GET /unasked HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n");
    let but = |old: &str, new: &str| get(&HANDSHAKE.replace(old, new));
    let twice = |line: &str| get(&format!("{HANDSHAKE}{line}\r\n"));
    vec![
        (get(HANDSHAKE), Opens),
        (but("websocket", "WebSocket"), Opens),
        (but("websocket", "WEBSOCKET"), Opens),
        (but("Upgrade:", "uPGRADE:"), Opens),
        (but(": Upgrade", ": upgrade"), Opens),
        (but(": Upgrade", ": keep-alive, Upgrade"), Opens),
        (
            but(": Upgrade", ": Upgrade\r\nConnection: keep-alive"),
            Opens,
        ),
        // The replica is told of one protocol, whatever else was on offer.
        (but("websocket", "websocket, foo"), Opens),
        (twice("Upgrade: h2c"), Opens),
        (twice("X-Forwarded-For: 1.2.3.4"), Opens),
        (but("Upgrade: websocket", "Upgrade: foo"), Ordinary),
        (but("Upgrade: websocket", "Upgrade: h2c"), Ordinary),
        (
            get(
                "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            Ordinary,
        ),
        (but("Upgrade: websocket", "Upgrade: TLS/1.0"), Ordinary),
        (but("Upgrade: websocket", "Upgrade: websockets"), Ordinary),
        (but("Upgrade: websocket", "Upgrade: websocket/13"), Ordinary),
        (
            but("Upgrade: websocket", "Upgrade: \"websocket\""),
            Ordinary,
        ),
        (but("Upgrade: websocket", "Upgrade:"), Ordinary),
        (but("Upgrade: websocket\r\n", ""), Ordinary),
        (but("Connection: Upgrade\r\n", ""), Ordinary),
        (but(": Upgrade", ": close"), Ordinary),
        (but(": Upgrade", ": keep-alive"), Ordinary),
        (get(HANDSHAKE).replace("GET", "POST"), Ordinary),
        (get(HANDSHAKE).replace("GET", "OPTIONS"), Ordinary),
        (get(HANDSHAKE).replace("HTTP/1.1", "HTTP/1.0"), Ordinary),
        (get("Connection: Upgrade\r\n"), Ordinary),
        (get(""), Ordinary),
        (but("13", "8"), Refused),
        (but("13", "1 3"), Refused),
        (but("13", "13, 8"), Refused),
        (but("13", ""), Refused),
        (twice("Sec-WebSocket-Version: 13"), Refused),
        (twice("Sec-WebSocket-Version: 8"), Refused),
        (but("Sec-WebSocket-Version: 13\r\n", ""), Refused),
        (but(KEY, ""), Refused),
        (but(KEY, "short"), Refused),
        (but(KEY, "dGhlIHNhbXBsZSBub25jZQ"), Refused),
        (but(KEY, &format!("{KEY}{KEY}")), Refused),
        (but(KEY, "*****************nonce=="), Refused),
        (twice(&format!("Sec-WebSocket-Key: {KEY}")), Refused),
        (but(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""), Refused),
        (but("Upgrade: websocket", "Upgrade : websocket"), Refused),
        (but(": Upgrade", ":\r\n Upgrade"), Refused),
        (but(": Upgrade", ": Upgrade, host"), Refused),
        (but("websocket", "web\0socket"), Refused),
    ]
}

/// Asks with bytes behind the question. What the client hears is judged here.
async fn play(edge: &Installed, head: &str, behind: &str, expect: Expect) -> Result<(), String> {
    let connected = Line::secure(edge, HOST).await;
    let mut line = connected.map_err(|error| error.to_string())?;
    let heard = line
        .ask(format!("{head}{behind}").as_bytes(), Pace::AtOnce)
        .await;
    let good = match expect {
        Expect::Opens => heard.status() == 101,
        Expect::Closed(status) => heard.status() == status,
        Expect::Ordinary => heard.status() == 502,
        Expect::Refused => matches!(heard.status(), 400..=499),
    };
    if !good {
        return Err(format!("{head:?}: heard {heard:?}"));
    }
    if expect == Expect::Opens {
        // The replica writes down what it is sent until the end.
        line.finish().await;
        return Ok(());
    }
    let end = line.hear().await;
    match &end {
        Heard::End(rest) if rest.is_empty() => Ok(()),
        _ => Err(format!("{head:?}: not the end of it: {end:?}")),
    }
}

/// Waits until the replica has heard exactly this behind its answers, and never before one.
async fn hears(replica: &Recorder, behind: &str) {
    eventually("what was behind the handshakes", async || {
        let raw = replica.seen.raw.lock().unwrap().clone();
        check(raw == behind.as_bytes(), raw.escape_ascii().to_string())
    })
    .await;
    let early = replica
        .seen
        .early
        .lock()
        .unwrap()
        .escape_ascii()
        .to_string();
    assert_eq!(early, "", "before the answer");
}

/// No connection that carried a question about an upgrade carried anything else.
fn used_once(replica: &Recorder) {
    let requests = replica.requests();
    for (index, asked) in requests.iter().enumerate() {
        let target = asked.message.target();
        assert!(!target.contains("marker"), "{:?}", asked.message);
        if matches!(target, "/next" | "/ready") {
            continue;
        }
        let later = requests[index + 1..]
            .iter()
            .find(|other| other.connection == asked.connection);
        assert!(later.is_none(), "{:?} and then {later:?}", asked.message);
    }
}

#[tokio::test]
async fn nothing_passes_a_handshake_before_the_replica_has_agreed_to_it() {
    let replica = Recorder::start(script).await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let mut wrong = Vec::new();
    let mut arrived = String::new();
    for (target, expect) in ANSWERS {
        for behind in [BEHIND, NOISE] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{HANDSHAKE}\r\n");
            wrong.extend(play(&edge, &head, behind, *expect).await.err());
            if *expect == Expect::Opens {
                arrived += behind;
            }
            hears(&replica, &arrived).await;
            edge.answers(&format!("https://{HOST}/next"), 200).await;
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(replica.broken(), Vec::<String>::new());
    used_once(&replica);
}

#[tokio::test]
async fn a_replica_that_switches_unasked_switches_nothing() {
    let replica = Recorder::start(script).await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let mut wrong = Vec::new();
    let mut arrived = String::new();
    let spellings = spellings();
    for (head, expect) in &spellings {
        let before = replica.requests().len();
        wrong.extend(play(&edge, head, NOISE, *expect).await.err());
        if *expect == Expect::Opens {
            arrived += NOISE;
        }
        hears(&replica, &arrived).await;
        let asked = replica.requests().split_off(before);
        let words: Vec<_> = asked
            .iter()
            .flat_map(|asked| {
                ["upgrade", "connection", "http2-settings"].map(|name| asked.message.value(name))
            })
            .flatten()
            .collect();
        let good = match expect {
            Expect::Opens => words == ["websocket", "Upgrade"],
            Expect::Ordinary => asked.len() == 1 && words.is_empty(),
            Expect::Closed(_) | Expect::Refused => asked.is_empty(),
        };
        if !good {
            wrong.push(format!("{head:?}: the replica saw {asked:?}"));
        }
        edge.answers(&format!("https://{HOST}/next"), 200).await;
    }
    println!("{} spellings of a handshake", spellings.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(replica.broken(), Vec::<String>::new());
    used_once(&replica);
}

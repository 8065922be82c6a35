//! Websockets: opened, carried, counted, and ended only by whom they belong to.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::harness::client::{Socket, raw, tls};
use crate::harness::eventually::{eventually, within};
use crate::harness::{Edge, Front, Origin, instance};

const URL: &str = "wss://congress.example.org/ws/";
const HOST: &str = "congress.example.org";

async fn websockets(edge: &Edge) -> u64 {
    edge.instance("congress").await["websockets"]
        .as_u64()
        .unwrap_or(u64::MAX)
}

async fn counted(edge: &Edge, count: u64) {
    eventually("as many websockets as are open", async || {
        let open = websockets(edge).await;
        if open == count { Ok(()) } else { Err(open) }
    })
    .await;
}

/// Waits until so many sessions have been closed for this reason.
async fn closed_because(edge: &Edge, reason: &str, count: u64) {
    let labels = format!("instance=\"congress\",service=\"web\",reason=\"{reason}\"");
    let line = format!("usher_sessions_closed_total{{{labels}}} {count}");
    eventually(&line, async || {
        let metrics = edge.admin("/metrics").await.text();
        if metrics.lines().any(|found| found == line) {
            Ok(())
        } else {
            Err(metrics)
        }
    })
    .await;
}

#[tokio::test]
async fn messages_of_every_size_pass_both_ways_and_both_ends_hear_the_end() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let mut socket = edge.ask(URL).websocket().await.unwrap();
    counted(&edge, 1).await;

    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let text = "ä".repeat(length / 2);
        assert_eq!(socket.echo(&text).await, format!("one: {text}"), "{length}");
    }
    socket.close().await;

    counted(&edge, 0).await;
    assert_eq!(*origin.seen.closes.lock().unwrap(), [1005]);
    closed_because(&edge, "client", 1).await;
}

#[tokio::test]
async fn a_close_of_the_replica_reaches_the_client_with_its_code() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    let socket = edge
        .ask("wss://congress.example.org/ws/close")
        .websocket()
        .await
        .unwrap();
    assert_eq!(socket.closed().await, 4001);
    // A replica that goes without a word is heard as well.
    let socket = edge
        .ask("wss://congress.example.org/ws/drop")
        .websocket()
        .await
        .unwrap();
    assert_eq!(socket.closed().await, 1006);
    counted(&edge, 0).await;
    closed_because(&edge, "upstream", 2).await;
}

#[tokio::test]
async fn a_handshake_may_come_later_on_its_connection() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let mut stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
    let first = format!("GET /first HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    stream.write_all(first.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"));

    let request = format!("wss://{HOST}/ws/");
    let opened = tokio_tungstenite::client_async(request, Box::new(stream) as Box<_>).await;
    let mut socket = Socket(opened.unwrap().0);
    assert_eq!(socket.echo("still here").await, "one: still here");
    assert_eq!(origin.requests(), ["GET /first", "GET /ws/"]);
}

#[tokio::test]
async fn frames_that_come_with_the_handshake_are_not_lost() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let mut stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
    let mut bytes = format!(
        "GET /ws/ HTTP/1.1\r\nhost: {HOST}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes();
    // A masked text frame of two letters, mask zero (RFC 6455 §5.2).
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    stream.write_all(&bytes).await.unwrap();

    let mut seen = Vec::new();
    let (_, _) = within(Duration::from_secs(20), "the echo", async || {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "ended: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..length]);
        if seen.ends_with(b"one: hi") {
            Ok(())
        } else {
            Err(seen.len())
        }
    })
    .await;
    // RFC 6455 §1.3 has this very pair of key and answer.
    let head = String::from_utf8_lossy(&seen).to_lowercase();
    assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
}

#[tokio::test]
async fn sessions_spread_evenly_over_the_replicas() {
    let origins = [
        Origin::start("a").await,
        Origin::start("b").await,
        Origin::start("c").await,
    ];
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let edge = Edge::start(&instance("congress", &addresses)).await;

    let opening = (0..30).map(|_| edge.ask(URL).websocket());
    let mut sockets = futures_util::future::join_all(opening).await;
    counted(&edge, 30).await;
    let held = || -> Vec<u32> {
        let open = |origin: &Origin| {
            origin
                .seen
                .websockets
                .load(std::sync::atomic::Ordering::Relaxed)
        };
        origins.iter().map(open).collect()
    };
    eventually("ten each", async || {
        if held() == [10; 3] {
            Ok(())
        } else {
            Err(held())
        }
    })
    .await;

    // Where some leave, the next arrive.
    for (number, socket) in sockets.drain(..).enumerate() {
        if number % 3 != 0 {
            socket.unwrap().close().await;
        } else {
            std::mem::forget(socket);
        }
    }
    counted(&edge, 10).await;
}

#[tokio::test]
async fn nothing_a_reload_does_closes_a_session_of_an_instance_that_stays() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let before = instance("congress", &[one.address]) + &instance("other", &[two.address]);
    let edge = Edge::start(&before).await;
    let mut socket = edge.ask(URL).websocket().await.unwrap();
    let others = edge
        .ask("wss://other.example.org/ws/")
        .websocket()
        .await
        .unwrap();

    let changes = [
        // Its own table, field by field.
        before.replace(
            "domains = [\"congress.example.org\"]",
            "domains = [\"congress.example.org\", \"new.example.org\"]\nheaders = { x = \"y\" }",
        ),
        before.clone() + &instance("third", &[two.address]),
        // The neighbour goes.
        instance("congress", &[one.address]),
        // Another route, another limit.
        instance("congress", &[one.address])
            + "[instance.limits]\nsessions = 5\n[[instance.route]]\nprefix = \"/else/\"\nto = \"web\"\n",
    ];
    for text in changes {
        let outcome = edge.reload(&text).await;
        assert!(outcome.applied, "{outcome:?}");
        eventually("the reload is in force", async || {
            let (stats, applied) = (edge.stats().await, edge.running.reports.borrow().applied.0);
            if stats["generation"] == applied {
                Ok(())
            } else {
                Err(applied)
            }
        })
        .await;
        assert_eq!(socket.echo("still").await, "one: still");
    }
    // The removed neighbour's own session ended with the code that asks to come back.
    assert_eq!(others.closed().await, 1012);
    assert_eq!(socket.echo("still").await, "one: still");
}

#[tokio::test]
async fn a_replica_that_leaves_closes_its_sessions_after_the_drain_and_nobody_elses() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let limits = "[instance.limits]\nreplica-drain = \"2s\"\nclose-code = 1001\n";
    let both = instance("congress", &[one.address, two.address]) + limits;
    let edge = Edge::start(&both).await;
    let mut sockets = Vec::new();
    for _ in 0..6 {
        sockets.push(edge.ask(URL).websocket().await.unwrap());
    }
    let mut of_one = Vec::new();
    let mut of_two = Vec::new();
    for mut socket in sockets {
        let name = socket.echo("who").await;
        if name.starts_with("one") {
            of_one.push(socket)
        } else {
            of_two.push(socket)
        }
    }
    assert_eq!((of_one.len(), of_two.len()), (3, 3));

    let began = Instant::now();
    edge.reload(&(instance("congress", &[two.address]) + limits))
        .await;
    for mut socket in of_one {
        // During the drain it is carried as ever.
        if began.elapsed() < Duration::from_secs(1) {
            assert_eq!(socket.echo("who").await, "one: who");
        }
        assert_eq!(socket.closed().await, 1001);
    }
    let took = began.elapsed();
    println!("three sessions of a leaving replica were closed {took:?} after a drain of 2 s");
    assert!(took >= Duration::from_secs(2), "{took:?}");
    for socket in &mut of_two {
        assert_eq!(socket.echo("who").await, "two: who");
    }
    closed_because(&edge, "drain", 3).await;
}

#[tokio::test]
async fn a_session_that_says_nothing_for_too_long_is_closed() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]);
    let edge = Edge::start(&(text + "[instance.limits]\nwebsocket-idle = \"1s\"\n")).await;
    let mut busy = edge.ask(URL).websocket().await.unwrap();
    let quiet = edge.ask(URL).websocket().await.unwrap();

    let began = Instant::now();
    let chat = async {
        while began.elapsed() < Duration::from_secs(2) {
            assert_eq!(busy.echo("x").await, "one: x");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (code, ()) = tokio::join!(quiet.closed(), chat);
    println!("a silent session was closed with {code}, a busy one kept");
    assert_eq!(code, 1012);
    assert_eq!(busy.echo("still").await, "one: still");
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_websocket() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    let own = edge
        .ask(URL)
        .field("origin", "https://congress.example.org")
        .websocket()
        .await;
    assert!(own.is_ok());
    let error = edge
        .ask(URL)
        .field("origin", "https://evil.example.net")
        .websocket()
        .await;
    let error = error.err().expect("refused").to_string();
    assert!(error.contains("403"), "{error}");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_refusal_reaches_the_client_as_the_replica_wrote_it() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let handshake = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
    let answer = raw(stream, handshake("/ws/refuse").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.ends_with("not you"), "{answer}");

    // A 101 without the proof that it answers this handshake is none.
    let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
    let answer = raw(stream, handshake("/raw/unasked-101").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");

    // A version nobody speaks is answered with the one we do (RFC 6455 §4.4).
    let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
    let old = handshake("/ws/").replace("version: 13", "version: 8");
    let answer = raw(stream, old.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    assert!(answer.contains("sec-websocket-version: 13"), "{answer}");
}

#[tokio::test]
async fn a_replica_that_dies_in_the_handshake_is_passed_over() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let edge = Edge::start(&instance("congress", &[one.address, two.address])).await;
    drop(one);

    for _ in 0..4 {
        let mut socket = edge.ask(URL).websocket().await.unwrap();
        assert_eq!(socket.echo("x").await, "two: x");
    }
}

#[tokio::test]
async fn plain_http_carries_websockets_where_the_instance_allows_it() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]);
    let both = text.replace("[instance.service", "https = \"both\"\n[instance.service");
    let edge = Edge::start(&both).await;

    let mut socket = edge
        .ask("ws://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();
    assert_eq!(socket.echo("x").await, "one: x");
}

//! Near the end of what usher can hold: what it gives up, in which order, and what it never does.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, instance};

const MOST: usize = 40;

async fn edge(origin: SocketAddr) -> Edge {
    let text = format!("[listen]\nmax-connections = {MOST}\n")
        + &instance("congress", &[origin])
        + &instance("assembly", &[origin]);
    let text = text.replace("domains =", "https = \"both\"\ndomains =");
    Edge::start(&text).await
}

/// A connection of an instance, kept alive after one request; `None` when it was closed instead.
async fn kept(edge: &Edge, name: &str) -> Option<TcpStream> {
    let mut tcp = TcpStream::connect(edge.http()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: {name}.example.org\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        if tcp.read_buf(&mut answer).await.unwrap() == 0 {
            break;
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let closes = answer.to_ascii_lowercase().contains("connection: close");
    (!closes).then_some(tcp)
}

/// Idle connections of nobody yet, until so many are open in all.
async fn fill(edge: &Edge, held: &mut Vec<TcpStream>, open: usize) {
    while held.len() < open {
        held.push(TcpStream::connect(edge.http()).await.unwrap());
    }
    eventually(&format!("{open} are open"), async || {
        let known = edge.stats().await["totals"]["connections"].as_u64();
        check(known >= Some(open as u64), known)
    })
    .await;
}

async fn status(edge: &Edge, name: &str) -> u16 {
    let answer = edge.get(&format!("http://{name}.example.org/")).await;
    if answer.status == 503 {
        assert_ne!(answer.field("retry-after"), "");
    }
    answer.status
}

#[tokio::test]
async fn what_can_be_done_without_goes_first_and_sessions_never() {
    let origin = Origin::start("one").await;
    let edge = edge(origin.address).await;
    let url = "ws://congress.example.org/ws/";
    let mut socket = edge.ask(url).websocket().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..9 {
        held.push(kept(&edge, "congress").await.expect("kept"));
    }
    let assembly = kept(&edge, "assembly").await.expect("kept");

    // Four fifths: connections are not kept.
    fill(&edge, &mut held, MOST * 8 / 10).await;
    eventually("connections are not kept", async || {
        check(kept(&edge, "assembly").await.is_none(), ())
    })
    .await;

    // Nine tenths: who has most gets no more, the neighbour does.
    fill(&edge, &mut held, MOST * 9 / 10 - 1).await;
    eventually("the largest is sent away", async || {
        let status = status(&edge, "congress").await;
        check(status == 503, status)
    })
    .await;
    assert_eq!(status(&edge, "assembly").await, 200);
    assert!(edge.ask(url).websocket().await.is_err());
    assert_eq!(socket.echo("still").await, "one: still");

    // All: nobody is accepted, and what is open goes on.
    for _ in 0..3 {
        held.push(TcpStream::connect(edge.http()).await.unwrap());
    }
    assert_eq!(socket.echo("and still").await, "one: and still");
    eventually("the status says so", async || {
        let stats = edge.stats().await;
        let reasons = stats["reasons"].as_array().cloned().unwrap_or_default();
        let said = reasons.iter().any(|reason| reason["part"] == "listeners");
        check(
            said && stats["status"] != "healthy",
            stats["reasons"].clone(),
        )
    })
    .await;

    // It eases as soon as there is room.
    drop((held, assembly));
    eventually("everybody is served again", async || {
        let status = status(&edge, "congress").await;
        check(status == 200, status)
    })
    .await;
    assert_eq!(socket.echo("to the end").await, "one: to the end");
}

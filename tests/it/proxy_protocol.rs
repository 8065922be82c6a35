//! Connections that a load balancer passes on, and those of everybody who says so.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::client::{Socket, client_over, raw, tls_over, websocket_over};
use crate::harness::{Edge, Front, Kept, Origin, Setup, eventually, instance};

const HOST: &str = "congress.example.org";
const VISITOR: &str = "PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n";

/// An edge behind proxies in these networks.
async fn behind(proxies: &str, more: &str) -> (Origin, Edge) {
    let origin = Origin::start("one").await;
    let edge = Setup::new(&text(&origin, proxies, more)).start().await;
    edge.all_ready().await;
    (origin, edge)
}

fn text(origin: &Origin, proxies: &str, more: &str) -> String {
    format!(
        "[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
         trusted-proxies = [{proxies}]\nproxy-protocol = true\n{}",
        instance("congress", &[origin.address])
            .replace("[[instance]]", "[[instance]]\nhttps = \"both\"")
            + more
    )
}

/// Version 2 of [`VISITOR`], or of nobody, with something behind the addresses.
fn second(command: u8) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, 0x11, 0, 12 + 7]);
    bytes.extend([203, 0, 113, 9, 192, 0, 2, 1]);
    bytes.extend(56324_u16.to_be_bytes());
    bytes.extend(443_u16.to_be_bytes());
    bytes.extend(b"\x02\0\x04name");
    bytes
}

/// A connection that begins with these bytes.
async fn announced(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(header).await.unwrap();
    tcp
}

/// What the replica is told of a plain request behind this header, sent as one piece.
async fn told(edge: &Edge, header: &[u8], fields: &str) -> Value {
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n{fields}\r\n");
    let whole = [header, request.as_bytes()].concat();
    let tcp = TcpStream::connect(edge.http()).await.unwrap();
    let answer = raw(tcp, &whole).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    serde_json::from_str::<Value>(body).expect(body)["fields"].clone()
}

/// Closed by the edge without a word.
async fn closed(tcp: TcpStream, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    assert_eq!(raw(tcp, bytes).await, "");
    began.elapsed()
}

async fn refused(edge: &Edge) -> u64 {
    let page = edge.admin("/metrics").await.text();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("usher_proxy_headers_refused_total "));
    line.expect("the metric").parse().expect("a number")
}

#[tokio::test]
async fn both_versions_name_the_visitor_to_the_replica() {
    let (_origin, edge) = behind("\"127.0.0.0/8\"", "").await;
    for header in [VISITOR.as_bytes(), &second(0x21)] {
        let fields = told(&edge, header, "").await;
        assert_eq!(fields["x-real-ip"], json!(["203.0.113.9"]));
        assert_eq!(fields["x-forwarded-for"], json!(["203.0.113.9"]));
        assert_eq!(fields["x-forwarded-port"], json!(["443"]));
        assert_eq!(fields["x-forwarded-proto"], json!(["http"]));
    }
    let six = b"PROXY TCP6 2001:db8::9 2001:db8::1 56324 443\r\n";
    let fields = told(&edge, six, "").await;
    assert_eq!(fields["x-real-ip"], json!(["2001:db8::9"]));
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_keeps_its_address() {
    let (_origin, edge) = behind("\"127.0.0.0/8\"", "").await;
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), second(0x20)] {
        let fields = told(&edge, &header, "").await;
        assert_eq!(fields["x-real-ip"], json!(["127.0.0.1"]));
    }
}

#[tokio::test]
async fn a_header_stands_before_tls_and_before_websockets() {
    let (_origin, edge) = behind("\"127.0.0.0/8\"", "").await;
    for header in [VISITOR.as_bytes(), &second(0x21)] {
        let tcp = announced(edge.https(), header).await;
        let stream = tls_over(&edge, tcp, HOST, &["http/1.1"]).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
        let answer = raw(stream, request.as_bytes()).await;
        assert!(
            answer.contains("\"x-real-ip\":[\"203.0.113.9\"]"),
            "{answer}"
        );
        assert!(
            answer.contains("\"x-forwarded-proto\":[\"https\"]"),
            "{answer}"
        );

        let tcp = announced(edge.https(), header).await;
        let stream = tls_over(&edge, tcp, HOST, &["h2"]).await.unwrap();
        let answer = client_over(stream, &format!("https://{HOST}/")).await;
        assert_eq!(answer.json()["fields"]["x-real-ip"], json!(["203.0.113.9"]));

        let tcp = announced(edge.https(), header).await;
        let stream = tls_over(&edge, tcp, HOST, &["http/1.1"]).await.unwrap();
        let url = format!("wss://{HOST}/ws/");
        let mut socket: Socket = websocket_over(Box::new(stream), &url).await.unwrap();
        assert_eq!(socket.echo("a").await, "one: a");
        let tcp = announced(edge.http(), header).await;
        let url = format!("ws://{HOST}/ws/");
        let mut socket = websocket_over(Box::new(tcp), &url).await.unwrap();
        assert_eq!(socket.echo("b").await, "one: b");
    }
}

#[tokio::test]
async fn lists_and_log_see_the_visitor() {
    let origin = Origin::start("one").await;
    let log = Kept::default();
    let text = text(&origin, "\"127.0.0.0/8\"", "").replace(
        "https = \"both\"",
        "https = \"both\"\ndeny = [\"203.0.113.0/24\"]",
    );
    let edge = Setup::new(&text).access_log(log.clone()).start().await;
    edge.all_ready().await;

    let request = format!("GET /denied HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    let tcp = announced(edge.http(), VISITOR.as_bytes()).await;
    let answer = raw(tcp, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let other = VISITOR.replace("203.0.113.9", "198.51.100.7");
    told(&edge, other.as_bytes(), "").await;

    eventually("both are in the log", async || {
        let lines = log.text();
        let good = lines.contains("203.0.113.9") && lines.contains("198.51.100.7");
        if good { Ok(()) } else { Err(lines) }
    })
    .await;
    assert!(
        !log.text().contains("\"client\":\"127.0.0.1\""),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn fields_are_believed_from_a_named_proxy_and_not_from_a_named_visitor() {
    let (_origin, edge) = behind("\"127.0.0.0/8\", \"198.51.100.0/24\"", "").await;
    let fields = "x-forwarded-for: 192.0.2.77\r\nx-forwarded-proto: https\r\n";

    // The load balancer is trusted, but it did not write these: its visitor did.
    let seen = told(&edge, VISITOR.as_bytes(), fields).await;
    assert_eq!(seen["x-real-ip"], json!(["203.0.113.9"]));
    assert_eq!(seen["x-forwarded-for"], json!(["203.0.113.9"]));
    assert_eq!(seen["x-forwarded-proto"], json!(["http"]));

    // A trusted proxy behind a trusted load balancer.
    let header = VISITOR.replace("203.0.113.9", "198.51.100.7");
    let seen = told(&edge, header.as_bytes(), fields).await;
    assert_eq!(seen["x-real-ip"], json!(["192.0.2.77"]));
    assert_eq!(seen["x-forwarded-for"], json!(["192.0.2.77, 198.51.100.7"]));
    assert_eq!(seen["x-forwarded-proto"], json!(["https"]));

    // The load balancer for itself.
    let seen = told(&edge, b"PROXY UNKNOWN\r\n", fields).await;
    assert_eq!(seen["x-real-ip"], json!(["192.0.2.77"]));
}

#[tokio::test]
async fn nobody_else_may_name_a_visitor() {
    let (origin, edge) = behind("\"10.0.0.0/8\"", "").await;

    // Without a header, as if the protocol were off: over both ports.
    let seen = told(&edge, b"", "").await;
    assert_eq!(seen["x-real-ip"], json!(["127.0.0.1"]));
    assert_eq!(edge.get(&format!("https://{HOST}/")).await.status, 200);
    let served = origin.requests().len();

    // With one, it is no request, and no handshake either.
    for header in [VISITOR.as_bytes(), &second(0x21)] {
        let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
        let tcp = TcpStream::connect(edge.http()).await.unwrap();
        let answer = raw(tcp, &[header, request.as_bytes()].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let tcp = announced(edge.https(), header).await;
        assert!(tls_over(&edge, tcp, HOST, &["http/1.1"]).await.is_err());
    }
    assert_eq!(origin.requests().len(), served, "{:?}", origin.requests());
    assert_eq!(refused(&edge).await, 0, "they owed no header");
}

#[tokio::test]
async fn a_trusted_proxy_without_a_good_header_is_hung_up_on_and_counted() {
    let (origin, edge) = behind("\"127.0.0.0/8\"", "").await;
    let served = origin.requests().len();
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    let endless = "PROXY TCP4 ".to_owned() + &"1".repeat(200);
    let mut oversize = second(0x21);
    oversize[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    let garbage: [&[u8]; 6] = [
        b"",
        b"SSH-2.0-x\r\n",
        b"PROXY TCP4 203.0.113.9\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\n",
        endless.as_bytes(),
        &oversize,
    ];
    for header in garbage {
        for address in [edge.http(), edge.https()] {
            let tcp = TcpStream::connect(address).await.unwrap();
            let bytes = [header, request.as_bytes()].concat();
            closed(tcp, &bytes).await;
        }
    }
    assert_eq!(origin.requests().len(), served, "{:?}", origin.requests());
    eventually("twelve are counted", async || match refused(&edge).await {
        12 => Ok(()),
        other => Err(other),
    })
    .await;
    // The next one is served.
    assert_eq!(
        told(&edge, VISITOR.as_bytes(), "").await["x-real-ip"],
        json!(["203.0.113.9"])
    );
}

#[tokio::test]
async fn a_header_may_come_in_pieces_but_not_for_ever() {
    let (_origin, edge) = behind("\"127.0.0.0/8\"", "[limits]\nheader-timeout = \"1s\"\n").await;
    for header in [VISITOR.as_bytes(), &second(0x21)] {
        let mut tcp = TcpStream::connect(edge.http()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        for byte in header {
            tcp.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
        let answer = raw(tcp, request.as_bytes()).await;
        assert!(answer.contains("203.0.113.9"), "{answer}");

        // Half of one, and silence.
        let tcp = TcpStream::connect(edge.https()).await.unwrap();
        let spent = closed(tcp, &header[..header.len() / 2]).await;
        assert!(spent < Duration::from_secs(4), "{spent:?}");
        // Half of one, and goodbye.
        let mut tcp = TcpStream::connect(edge.https()).await.unwrap();
        tcp.write_all(&header[..header.len() / 2]).await.unwrap();
        tcp.shutdown().await.unwrap();
        timeout(Duration::from_millis(900), closed(tcp, b""))
            .await
            .expect("closed without a wait");
    }
}

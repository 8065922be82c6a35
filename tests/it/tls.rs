//! TLS: who is answered with which certificate, and how.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::client::{raw, tls};
use crate::harness::eventually::{eventually, within};
use crate::harness::{Edge, Front, Origin, Setup, instance};

async fn edge() -> (Origin, Edge) {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]) + &instance("other", &[origin.address]);
    let edge = Edge::start(&text).await;
    (origin, edge)
}

#[tokio::test]
async fn each_name_gets_its_own_certificate() {
    let (_origin, edge) = edge().await;
    for name in ["congress.example.org", "other.example.org"] {
        // The client of these tests checks the name.
        let stream = tls(&edge, name, &["h2", "http/1.1"]).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let chain = session.peer_certificates().unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert!(format!("{names:?}").contains(name), "{names:?}");
    }
}

#[tokio::test]
async fn a_handshake_without_a_known_name_gets_the_alert_and_no_certificate() {
    let (_origin, edge) = edge().await;
    let error = tls(&edge, "unknown.example.org", &["http/1.1"])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");

    let tcp = TcpStream::connect(edge.https()).await.unwrap();
    let nobody = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let error = edge
        .pki
        .connector(&["http/1.1"])
        .connect(nobody, tcp)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_session() {
    let (_origin, edge) = edge().await;
    let config = Arc::new(edge.pki.client(&["http/1.1"]));
    let connector = tokio_rustls::TlsConnector::from(config);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let tcp = TcpStream::connect(edge.https()).await.unwrap();
        let name = ServerName::try_from("congress.example.org").unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        // Tickets arrive with the first answer.
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: congress.example.org\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
    }
    assert_eq!(kinds[1], HandshakeKind::Resumed, "{kinds:?}");
    eventually("the resumption is counted", async || {
        let metrics = edge.admin("/metrics").await.text();
        let resumed =
            |line: &&str| line.contains("handshakes") && line.contains("resumed=\"true\"");
        let line = metrics.lines().find(resumed).unwrap_or_default().to_owned();
        if line.ends_with(" 1") {
            Ok(())
        } else {
            Err(line)
        }
    })
    .await;
}

#[tokio::test]
async fn noise_on_the_tls_port_costs_that_connection_only() {
    let (_origin, edge) = edge().await;
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff",
        b"\x00",
        &[0xff; 3000],
    ] {
        let mut stream = TcpStream::connect(edge.https()).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        let _ = ended.await.expect("the connection ends");
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(!text.contains("HTTP/"), "{text}");
    }
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
}

#[tokio::test]
async fn a_slow_handshake_does_not_hold_others_up() {
    let (_origin, edge) = edge().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(edge.https()).await.unwrap();
        stream.write_all(b"\x16").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
}

#[tokio::test]
async fn a_new_pair_is_served_without_cutting_anybody() {
    let (_origin, edge) = edge().await;
    let mut socket = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();
    let serial = async || {
        let stream = tls(&edge, "congress.example.org", &["http/1.1"])
            .await
            .unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = serial().await;
    edge.pki
        .write_pair(&edge.folder.path().join("certs"), &["congress.example.org"]);

    let (_, took) = within(Duration::from_secs(90), "the new pair", async || {
        let now = serial().await;
        if now == before {
            Err("the old one")
        } else {
            Ok(())
        }
    })
    .await;
    println!("a pair that somebody wrote was served after {took:?}");
    assert_eq!(socket.echo("x").await, "one: x");
}

#[tokio::test]
async fn a_pair_that_breaks_on_disk_does_not_end_what_is_served() {
    let (_origin, edge) = edge().await;
    fs::write(
        edge.folder.path().join("certs/congress.example.org.key"),
        "torn",
    )
    .unwrap();
    fs::remove_file(edge.folder.path().join("certs/other.example.org.crt")).unwrap();
    // A reload looks at the folder too.
    edge.reload(
        &(instance("congress", &["127.0.0.1:1".parse().unwrap()])
            + &instance("other", &["127.0.0.1:1".parse().unwrap()])),
    )
    .await;

    within(
        Duration::from_secs(90),
        "a warning about the pair",
        async || {
            let said = edge.instance("congress").await["certificates"].to_string();
            if said.contains("key") {
                Ok(())
            } else {
                Err(said)
            }
        },
    )
    .await;
    for name in ["congress.example.org", "other.example.org"] {
        tls(&edge, name, &["http/1.1"]).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_without_a_certificate_is_served_plain_and_not_redirected() {
    let origin = Origin::start("one").await;
    let edge = Setup::new(&instance("congress", &[origin.address]))
        .without_certificates()
        .start()
        .await;
    edge.all_ready().await;
    assert_eq!(edge.get("http://congress.example.org/").await.status, 200);
    let stream = TcpStream::connect(edge.http()).await.unwrap();
    let request = b"GET / HTTP/1.0\r\nhost: congress.example.org\r\n\r\n";
    assert!(raw(stream, request).await.starts_with("HTTP/1.1 200"));
    tls(&edge, "congress.example.org", &["http/1.1"])
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_wildcard_pair_serves_the_names_below_it() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address])
        .replace("[\"congress.example.org\"]", "[\"*.slides.example.org\"]");
    let edge = Edge::start(&text).await;
    for name in ["a.slides.example.org", "b.slides.example.org"] {
        let answer = edge.get(&format!("https://{name}/")).await;
        assert_eq!(answer.json()["fields"]["host"][0], name);
    }
}

#[tokio::test]
async fn the_host_that_stands_for_those_nobody_has_shows_its_own_certificate() {
    let origin = Origin::start("origin").await;
    let listen = "[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
                  default-host = \"congress.example.org\"\n";
    let text = format!("{listen}{}", instance("congress", &[origin.address]));
    let edge = Edge::start(&text).await;
    let other = "https://nobody.example.org/";
    let refused = edge.ask(other).try_send().await.expect_err("another name");
    assert!(
        refused.to_string().contains("not valid for name"),
        "{refused}"
    );
    // Whoever takes it all the same is served.
    let answer = edge
        .ask(other)
        .server_name("congress.example.org")
        .send()
        .await;
    assert_eq!(answer.status, 200);
}

//! Twenty tenants on one address: a connection that was made for one serves no other.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::client::{raw, tls};
use crate::harness::{Edge, Front, Origin, instance};

const TENANTS: usize = 20;

fn name(number: usize) -> String {
    format!("tenant-{number}")
}

fn host(number: usize) -> String {
    format!("{}.example.org", name(number))
}

/// Twenty instances with a replica each, which knows who has asked it for what.
async fn house() -> (Vec<Origin>, Edge) {
    let mut origins = Vec::new();
    let mut text = String::new();
    for number in 0..TENANTS {
        let origin = Origin::start(&name(number)).await;
        text += &instance(&name(number), &[origin.address]);
        origins.push(origin);
    }
    let edge = Edge::start(&text).await;
    (origins, edge)
}

/// A connection for one tenant on which something can be asked for any host.
enum Asks {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Asks {
    async fn connect(edge: &Edge, number: usize, protocol: &str) -> Self {
        let stream = tls(edge, &host(number), &[protocol]).await.unwrap();
        let chain = stream.get_ref().1.peer_certificates().unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        let names = format!("{:?}", names.value.general_names);
        assert_eq!(names, format!("[DNSName({:?})]", host(number)));
        let io = TokioIo::new(stream);
        if protocol == "h2" {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Self::Http1(sender)
        }
    }

    async fn ask(&mut self, host: &str, path: &str) -> u16 {
        let answer = match self {
            Self::Http1(sender) => {
                let request = Request::get(path).header("host", host);
                sender.ready().await.unwrap();
                sender.send_request(request.body(Full::default()).unwrap())
            }
            Self::Http2(sender) => {
                let request = Request::get(format!("https://{host}{path}"));
                let sent = sender.send_request(request.body(Full::default()).unwrap());
                return sent.await.unwrap().status().as_u16();
            }
        };
        answer.await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn what_was_made_for_one_tenant_serves_no_other() {
    let (origins, edge) = house().await;
    let mut wrong = Vec::new();
    for protocol in ["http/1.1", "h2"] {
        for made_for in 0..TENANTS {
            let mut connection = Asks::connect(&edge, made_for, protocol).await;
            for asked in 0..TENANTS {
                let path = format!("/{}-for-{made_for}", protocol.replace('/', "-"));
                if matches!(connection, Asks::Http1(ref sender) if sender.is_closed()) {
                    connection = Asks::connect(&edge, made_for, protocol).await;
                }
                let status = connection.ask(&host(asked), &path).await;
                let due = if asked == made_for { 200 } else { 421 };
                if status != due {
                    wrong.push((protocol, made_for, asked, status));
                }
            }
        }
    }
    assert_eq!(wrong, []);
    for (number, origin) in origins.iter().enumerate() {
        let mut seen = origin.requests();
        seen.retain(|line| line.contains("-for-"));
        let own = [
            format!("GET /http-1.1-for-{number}"),
            format!("GET /h2-for-{number}"),
        ];
        assert_eq!(seen, own, "what the replica of {number} was asked");
    }
}

#[tokio::test]
async fn a_handshake_for_nobody_ends_in_an_alert() {
    let (_origins, edge) = house().await;
    let unrecognized = |error: std::io::Error| {
        let text = error.to_string();
        assert!(text.contains("UnrecognisedName"), "{text}");
    };
    for stranger in [
        "tenant-20.example.org",
        "example.org",
        "x.tenant-1.example.org",
    ] {
        unrecognized(tls(&edge, stranger, &["h2"]).await.unwrap_err());
    }
    // An address is not sent as a name: this is a handshake without one.
    let tcp = TcpStream::connect(edge.https()).await.unwrap();
    let address = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let connector = TlsConnector::from(Arc::new(edge.trust(&["h2"])));
    unrecognized(connector.connect(address, tcp).await.unwrap_err());
    // One that says an address where the name belongs (RFC 6066 §3 forbids it).
    let hello = address_as_a_name(&edge);
    let tcp = TcpStream::connect(edge.https()).await.unwrap();
    let answer = raw(tcp, &hello).await;
    assert_eq!(answer.as_bytes(), [21, 3, 3, 0, 2, 2, 112], "{answer:?}");
}

/// A first message for a name as long as an address, with the address in its place.
fn address_as_a_name(edge: &Edge) -> Vec<u8> {
    const NAME: &[u8] = b"abc.d.e.f";
    const ADDRESS: &[u8] = b"127.0.0.1";
    let name = ServerName::try_from(std::str::from_utf8(NAME).unwrap()).unwrap();
    let config = Arc::new(edge.trust(&["http/1.1"]));
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let at = hello.windows(NAME.len()).position(|some| some == NAME);
    let at = at.expect("the name");
    hello[at..at + NAME.len()].copy_from_slice(ADDRESS);
    hello
}

use std::net::SocketAddr;

use super::*;
use crate::listener::{Connection, Secured};
use crate::names::Domain;
use crate::proxy::headers::Client;

const HEAD: &str = "GET /ws/?x=1 HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nCookie: a=b\r\nOrigin: https://a.example\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";

fn request(head: &str) -> Request {
    Request::parse(head.as_bytes()).expect("a request")
}

fn with(from: &str, to: &str) -> Request {
    request(&HEAD.replace(from, to))
}

#[test]
fn a_good_handshake_is_good() {
    assert_eq!(request(HEAD).check(), Ok(()));
    assert_eq!(
        (request(HEAD).path(), request(HEAD).query()),
        ("/ws/", Some("x=1"))
    );
}

#[test]
fn a_handshake_that_is_none_is_refused_for_its_reason() {
    assert_eq!(
        with("Version: 13", "Version: 8").check(),
        Err(Failure::HandshakeVersion)
    );
    let twice = with("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13");
    assert_eq!(twice.check(), Err(Failure::HandshakeVersion));
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ==x",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let broken = with("dGhlIHNhbXBsZSBub25jZQ==", key);
        assert_eq!(broken.check(), Err(Failure::HandshakeInvalid), "{key}");
    }
}

#[test]
fn pages_of_other_sites_may_not_open_it() {
    let domains: Vec<Domain> = ["a.example", "*.slides.example"]
        .map(|name| name.parse().expect("domain"))
        .into();
    let mut site = Site {
        domains,
        redirect_from: vec!["old.example".parse().expect("host")],
        ..Site::default()
    };
    let is_from = |origin: &str| with("https://a.example", origin).is_from(&site);
    for origin in [
        "https://a.example",
        "http://A.example:8080",
        "https://x.slides.example",
        "https://old.example",
    ] {
        assert!(is_from(origin), "{origin}");
    }
    for origin in [
        "https://evil.example",
        "https://a.example.evil",
        "https://slides.example",
        "https://evilslides.example",
        "null",
        "",
        "https://a.example@evil.example",
        "ftp://a.example",
        "https://a.example\r\nOrigin: https://a.example",
    ] {
        assert!(!is_from(origin), "{origin}");
    }
    let none = with("Origin: https://a.example\r\n", "");
    assert!(none.is_from(&site), "no page, no origin");
    site.strict_origin = true;
    assert!(!none.is_from(&site), "unless one is required");
    assert!(with("", "").is_from(&site));
}

#[test]
fn the_replica_gets_the_handshake_intact_and_the_truth_about_the_client() {
    let peer: SocketAddr = ([203, 0, 113, 5], 4000).into();
    let local: SocketAddr = ([192, 0, 2, 1], 443).into();
    let host: Hostname = "a.example".parse().expect("host");
    let connection = Connection::new(peer, local, Some(Secured::to(host.clone())));
    let request = request(HEAD);
    let client = Client::new(&connection, &request.fields, &[]);
    let origin = Origin {
        client: &client,
        peer,
        local,
        host: &host,
        port: None,
        target: &request.target,
    };
    let trace = Trace::of(&request.fields);
    let head = request
        .to_replica(&origin, &request.target, &trace, None)
        .expect("head");
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("GET /ws/?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"));
    for line in [
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol: chat",
        "sec-websocket-extensions: permessage-deflate",
        "cookie: a=b",
        "connection: Upgrade",
        "upgrade: websocket",
        "host: a.example",
        "x-forwarded-for: 203.0.113.5",
        "x-forwarded-proto: https",
    ] {
        assert_eq!(
            head.matches(&format!("\r\n{line}\r\n")).count(),
            1,
            "{line} in {head}"
        );
    }
    let parent = format!("\r\ntraceparent: 00-{}-", trace.id());
    assert_eq!(head.matches(&parent).count(), 1, "{parent} in {head}");
}

const YES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn reply(text: &str) -> Reply {
    Reply::parse(&mut BytesMut::from(text))
        .expect("an answer")
        .expect("whole")
}

#[test]
fn a_replica_agrees_only_with_the_right_proof() {
    assert!(reply(YES).agrees(&request(HEAD)));
    for (from, to) in [
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAA"),
        ("101 Switching Protocols", "200 OK"),
        ("Upgrade: WebSocket", "Upgrade: h2c"),
        ("Connection: Upgrade", "Connection: close"),
    ] {
        assert!(
            !reply(&YES.replace(from, to)).agrees(&request(HEAD)),
            "{to}"
        );
    }
}

#[test]
fn what_comes_behind_an_answer_belongs_to_the_websocket() {
    let reply = reply(&format!("{YES}frames"));
    assert_eq!(reply.rest, "frames");
    let mut half = BytesMut::from(&YES[..40]);
    assert!(Reply::parse(&mut half).expect("so far").is_none());
    assert!(Reply::parse(&mut BytesMut::from("SSH-2.0-OpenSSH\r\n\r\n")).is_err());
}

#[test]
fn the_client_gets_the_agreement_and_a_refusal_closes() {
    let head = String::from_utf8(reply(YES).to_client(std::iter::empty())).expect("text");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(head.contains("\r\nupgrade: websocket\r\n"));
    let refusal =
        reply("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno");
    let hsts = [("strict-transport-security", "max-age=1")];
    let head = String::from_utf8(refusal.to_client(hsts.into_iter())).expect("text");
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert!(
        head.contains("\r\nstrict-transport-security: max-age=1\r\n"),
        "{head}"
    );
    assert!(!head.contains("keep-alive"));
}

#[test]
fn a_refusal_ends_where_its_body_ends() {
    let taken = |framing, status: u16, parts: &[&str]| {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut body = Refusal::new(framing, status);
        let mut more = true;
        for part in parts {
            more = body.wants(part.as_bytes())?;
        }
        Ok((String::from_utf8(body.bytes).expect("text"), more))
    };
    let took = |text: &str, more| Ok((text.to_owned(), more));
    assert_eq!(
        taken(Framing::Length(3), 403, &["no", "!HTTP/1.1"]),
        took("no!", false)
    );
    assert_eq!(taken(Framing::Length(3), 403, &["no"]), took("no", true));
    assert_eq!(taken(Framing::Length(3), 304, &["no!"]), took("", false));
    assert_eq!(
        taken(Framing::UntilEnd, 403, &["no", "!"]),
        took("no!", true)
    );
    let chunks = ["2\r\nno\r\n0\r", "\n\r\nHTTP/1.1 200"];
    assert_eq!(
        taken(Framing::Chunked, 403, &chunks),
        took("2\r\nno\r\n0\r\n\r\n", false)
    );
    let broken = taken(Framing::Chunked, 403, &["no"]);
    assert_eq!(broken, Err(Failure::UpstreamFailed));
}

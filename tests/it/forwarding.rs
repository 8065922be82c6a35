//! What a replica is told of a request, and what a client is told of the answer.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::client::{raw, tls};
use crate::harness::{Edge, Front, Origin, eventually, instance};

#[tokio::test]
async fn replica_learns_who_asked_and_for_what() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    let answer = edge
        .ask("https://congress.example.org/rest/users?id=7")
        .field("x-forwarded-for", "203.0.113.9")
        .field("x-real-ip", "203.0.113.9")
        .field("proxy", "http://evil.example.org")
        .field("connection", "x-secret")
        .field("x-secret", "for the next hop only")
        .field("keep-alive", "5")
        .send()
        .await;

    assert_eq!(answer.status, 200);
    let told = answer.json();
    assert_eq!(told["target"], "/rest/users?id=7");
    let fields = &told["fields"];
    let port = edge.https().port();
    assert_eq!(fields["host"], json!(["congress.example.org"]));
    assert_eq!(fields["x-real-ip"], json!(["127.0.0.1"]));
    assert_eq!(fields["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(fields["x-forwarded-proto"], json!(["https"]));
    assert_eq!(fields["x-forwarded-host"], json!(["congress.example.org"]));
    assert_eq!(fields["x-forwarded-port"], json!([port.to_string()]));
    assert_eq!(fields["x-forwarded-ssl"], json!(["on"]));
    assert_eq!(fields["x-original-uri"], json!(["/rest/users?id=7"]));
    for gone in ["proxy", "x-secret", "keep-alive"] {
        assert_eq!(fields[gone], Value::Null, "{gone}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_may_say_who_asked() {
    let origin = Origin::start("one").await;
    let text = "[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
                trusted-proxies = [\"127.0.0.0/8\"]\n";
    let edge = Edge::start(&(text.to_owned() + &instance("congress", &[origin.address]))).await;

    let answer = edge
        .ask("https://congress.example.org/")
        .field("x-forwarded-for", "192.0.2.1, 203.0.113.9")
        .send()
        .await;

    let told = answer.json();
    // The last one the trusted proxy saw; what the client wrote before it is hearsay.
    assert_eq!(told["fields"]["x-real-ip"], json!(["203.0.113.9"]));
}

#[tokio::test]
async fn both_protocols_carry_bodies_both_ways() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let body = vec![b'x'; 300_000];

    for http2 in [false, true] {
        let ask = edge
            .ask("https://congress.example.org/upload")
            .method(Method::POST);
        let ask = if http2 { ask.http2() } else { ask };
        let told = ask.body(body.clone()).send().await.json();
        assert_eq!(told["body"], 300_000, "http2: {http2}");
        assert_eq!(told["method"], "POST");
        assert_eq!(
            told["fields"]["host"],
            json!(["congress.example.org"]),
            "http2: {http2}"
        );

        let ask = edge.ask("https://congress.example.org/big?bytes=2000000");
        let ask = if http2 { ask.http2() } else { ask };
        assert_eq!(ask.send().await.body.len(), 2_000_000, "http2: {http2}");
    }
}

#[tokio::test]
async fn host_reaches_the_replica_in_lower_case_and_with_its_port() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    let answer = edge
        .ask("https://congress.example.org/")
        .field("host", "CONGRESS.example.ORG:8443")
        .send()
        .await;

    assert_eq!(
        answer.json()["fields"]["host"],
        json!(["congress.example.org:8443"])
    );
}

#[tokio::test]
async fn hsts_and_own_fields_are_on_every_secure_answer_errors_included() {
    let origin = Origin::start("one").await;
    let text = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
                https = \"both\"\nheaders = { \"x-frame-options\" = \"DENY\" }\n\
                [instance.service.web]\nrole = \"sessions\"\naddresses = [\"ADDRESS\"]\n\
                [[instance.route]]\nprefix = \"/app/\"\nto = \"web\"\n";
    let edge = Edge::start(&text.replace("ADDRESS", &origin.address.to_string())).await;

    for (path, status) in [("/app/", 200), ("/elsewhere", 404)] {
        let answer = edge
            .get(&format!("https://congress.example.org{path}"))
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.field("strict-transport-security"),
            "max-age=31536000",
            "{path}"
        );
        assert_eq!(answer.field("x-frame-options"), "DENY", "{path}");
    }
    let plain = edge.get("http://congress.example.org/app/").await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.field("strict-transport-security"), "");
}

#[tokio::test]
async fn a_connection_carries_many_requests_and_each_is_judged_by_itself() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let mut stream = tls(&edge, "congress.example.org", &["http/1.1"])
        .await
        .unwrap();

    for number in 0..3 {
        let request = format!("GET /{number} HTTP/1.1\r\nhost: congress.example.org\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // The head guard sees the fourth head as it saw the first.
    let bad = b"GET / HTTP/1.1\r\nhost: congress.example.org\r\ncontent-length: 1\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let answer = raw(stream, bad).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn cookies_reach_the_replica_in_one_field() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    for http2 in [false, true] {
        let mut ask = edge.ask("https://congress.example.org/");
        // As browsers send them over HTTP/2.
        for crumb in ["sessionid=1", "csrftoken=2", "theme=\"a, b\""] {
            ask = ask.field("cookie", crumb);
        }
        let ask = if http2 { ask.http2() } else { ask };
        let told = ask.send().await.json();
        let whole = "sessionid=1; csrftoken=2; theme=\"a, b\"";
        assert_eq!(told["fields"]["cookie"], json!([whole]), "http2: {http2}");
    }
}

#[tokio::test]
async fn a_long_answer_arrives_part_by_part() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let mut stream = tls(&edge, "congress.example.org", &["http/1.1"])
        .await
        .unwrap();
    let request = b"GET /stream?ms=50 HTTP/1.1\r\nhost: congress.example.org\r\n\r\n";
    stream.write_all(request).await.unwrap();

    // The answer never ends: whatever comes has come before the end.
    let mut seen = String::new();
    while !seen.contains("data: 3") {
        let mut part = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut part)).await;
        let length = read.expect("in time").unwrap();
        assert!(length > 0, "ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    drop(stream);
    // Who has gone is not worked for any longer.
    eventually("the request has left the replica", async || {
        let open = edge.instance("congress").await["requests_in_flight"].clone();
        if open == 0 { Ok(()) } else { Err(open) }
    })
    .await;
}

#[tokio::test]
async fn plain_http_is_redirected_to_where_https_is() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let port = edge.https().port();

    let answer = edge.get("http://congress.example.org/a%20path?q=1").await;
    assert_eq!(answer.status, 301);
    let to = format!("https://congress.example.org:{port}/a%20path?q=1");
    assert_eq!(answer.field("location"), to);

    let answer = edge
        .ask("http://congress.example.org/form")
        .method(Method::POST)
        .send()
        .await;
    assert_eq!(answer.status, 308);
}

#[tokio::test]
async fn an_expectation_is_answered_by_the_edge_and_the_body_arrives() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let mut stream = tls(&edge, "congress.example.org", &["http/1.1"])
        .await
        .unwrap();
    let head = b"POST /upload HTTP/1.1\r\nhost: congress.example.org\r\n\
                 expect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut interim = [0; 256];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut interim)).await;
    let length = read.expect("an interim answer").unwrap();
    let interim = String::from_utf8_lossy(&interim[..length]).into_owned();
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    let answer = raw(stream, b"hello").await;
    assert!(answer.contains("\"body\":5"), "{answer}");
}

//! Answers of replicas, compressed on their way: smaller, the same, and never late.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Answer, Edge, Front, Origin, Setup, instance};

const URL: &str = "https://congress.example.org";

fn decode(answer: &Answer) -> String {
    let mut text = String::new();
    let bytes = answer.body.as_ref();
    match answer.field("content-encoding") {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        "zstd" => zstd::Decoder::new(bytes).unwrap().read_to_string(&mut text),
        "" => return answer.text(),
        other => panic!("{other}"),
    }
    .unwrap();
    text
}

#[tokio::test]
async fn text_is_compressed_on_its_way_and_arrives_as_it_was() {
    let origin = Origin::start("origin").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let page = edge.get(&format!("{URL}/page?bytes=60000")).await;
    assert_eq!(page.field("content-encoding"), "");
    assert_eq!(page.field("vary"), "accept-encoding");
    assert_eq!(page.body.len(), 60_000);

    for http2 in [false, true] {
        for (accept, coding) in [("gzip, deflate, br, zstd", "zstd"), ("gzip", "gzip")] {
            for path in ["/page?bytes=60000", "/page?bytes=60000&parts=7"] {
                let ask = edge
                    .ask(&format!("{URL}{path}"))
                    .field("accept-encoding", accept);
                let ask = if http2 { ask.http2() } else { ask };
                let answer = ask.send().await;
                let what = format!("{path} {accept} {http2} {:?}", answer.fields);
                assert_eq!(answer.field("content-encoding"), coding, "{what}");
                assert_eq!(decode(&answer), page.text(), "{what}");
                assert!(answer.body.len() < 20_000, "{what}");
                assert_eq!(answer.field("etag"), "W/\"v1\"", "{what}");
                assert_eq!(answer.field("vary"), "accept-encoding", "{what}");
                assert_eq!(answer.field("content-length"), "", "{what}");
            }
        }
        let head = edge.ask(&format!("{URL}/page?bytes=60000"));
        let head = head.field("accept-encoding", "gzip").method(Method::HEAD);
        let head = if http2 { head.http2() } else { head };
        let head = head.send().await;
        assert_eq!((head.status, head.field("vary")), (200, "accept-encoding"));
    }
}

#[tokio::test]
async fn what_is_small_or_no_text_or_secret_is_left_as_it_is() {
    let origin = Origin::start("origin").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let ask = |path: &str| {
        let ask = edge.ask(&format!("{URL}{path}"));
        ask.field("accept-encoding", "gzip")
    };
    let cookie = |path: &str| ask(path).field("cookie", "sessionid=1");
    let page = "/page?bytes=5000";
    for (ask, coding) in [
        (ask(page), "gzip"),
        (ask("/page?bytes=1000"), ""),
        (ask("/big?bytes=5000"), ""),
        (ask("/stream?ms=1&count=200"), ""),
        (cookie(page), ""),
        (cookie(page).field("sec-fetch-site", "cross-site"), ""),
        (cookie(page).field("sec-fetch-site", "same-origin"), "gzip"),
    ] {
        let answer = ask.send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("content-encoding"), coding, "{answer:?}");
    }
}

#[tokio::test]
async fn a_route_that_says_no_transform_is_left_alone() {
    let origin = Origin::start("origin").await;
    let text = instance("congress", &[origin.address]);
    let route =
        "[[instance.route]]\nprefix = \"/\"\nto = \"web\"\ncache-control = \"no-transform\"\n";
    let edge = Edge::start(&format!("{text}{route}")).await;
    let ask = edge.ask(&format!("{URL}/page?bytes=5000"));
    let answer = ask.field("accept-encoding", "gzip").send().await;
    assert_eq!(answer.field("content-encoding"), "");
    assert_eq!(answer.field("cache-control"), "no-transform");
    assert_eq!(answer.body.len(), 5_000);
}

#[tokio::test]
async fn a_part_arrives_while_the_next_is_not_there_yet() {
    let origin = Origin::start("origin").await;
    let setup = Setup::new(&instance("congress", &[origin.address]));
    let edge = setup.without_certificates().start().await;
    edge.all_ready().await;
    let tcp = TcpStream::connect(edge.http()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp))
        .await
        .unwrap();
    tokio::spawn(connection);
    // The second part comes after ten minutes.
    let request = Request::builder()
        .uri("/page?bytes=5000&parts=2&ms=600000")
        .header("host", "congress.example.org")
        .header("accept-encoding", "gzip")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let mut body = answer.into_body();
    let mut sent = Vec::new();
    let mut text = [0; 2_500];
    loop {
        let frame = timeout(Duration::from_secs(10), body.frame());
        let frame = frame.await.expect("the first part at once");
        sent.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
        if flate2::read::GzDecoder::new(&sent[..])
            .read_exact(&mut text)
            .is_ok()
        {
            break;
        }
    }
    assert!(text.starts_with(b"line 0\n"), "{text:?}");
}

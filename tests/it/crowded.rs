//! More who wait than a stack may hold: who has waited longest makes room.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::harness::client::{http2, tls};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Origin, instance};

const HOST: &str = "congress.example.org";
/// The promise.
const OF_STACK: usize = 10_000;
/// A request that accepts anything waits for 25 s, and then every one of them has gone by itself.
const PATIENCE: Duration = Duration::from_secs(25);
/// Streams of one connection: ten thousand connections would be all the handles of a process.
const STREAMS: usize = 100;

type Sender = SendRequest<Full<Bytes>>;

async fn connected(edge: &Edge) -> Sender {
    http2(tls(edge, HOST, &["h2"]).await.unwrap())
        .await
        .unwrap()
}

/// The status of the answer, when to come again, and the page.
async fn asks(mut sender: Sender) -> (u16, String, String) {
    let request = Request::get(format!("https://{HOST}/")).body(Full::default());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    let again = answer.headers().get("retry-after");
    let again = again.map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let page = answer.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8_lossy(&page).into_owned();
    (status, again.unwrap_or_default(), page)
}

async fn soon<T>(answer: JoinHandle<T>) -> T {
    timeout(PATIENCE, answer).await.expect("in time").unwrap()
}

async fn held(edge: &Edge, count: usize) {
    eventually(&format!("{count} are held"), async || {
        let held = edge.instance("congress").await["held"].clone();
        check(held == count, held)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_holds_ten_thousand_and_who_has_waited_longest_makes_room_for_one_more() {
    let origin = Origin::start("origin").await;
    let text = instance("congress", &[origin.address]);
    let edge = Edge::start(&(text + &instance("other", &[origin.address]))).await;
    let connections = OF_STACK.div_ceil(STREAMS);
    let senders = join_all((0..connections).map(|_| connected(&edge))).await;
    let (early, late) = (connected(&edge).await, connected(&edge).await);
    let pause = json!({"do": "pause", "instance": "congress"});
    edge.order(&pause).await;

    let began = Instant::now();
    let first = loop {
        let mut first = tokio::spawn(asks(early.clone()));
        tokio::select! {
            () = held(&edge, 1) => break first,
            // The pause is not in force yet.
            answer = &mut first => assert_eq!(answer.unwrap().0, 200),
        }
    };
    let mut others = JoinSet::new();
    for number in 1..OF_STACK {
        others.spawn(asks(senders[number % connections].clone()));
    }
    held(&edge, OF_STACK).await;
    println!("{OF_STACK} are held after {:?}", began.elapsed());
    assert!(!first.is_finished());

    let newcomer = tokio::spawn(asks(late));
    let (status, again, page) = soon(first).await;
    let waited = began.elapsed();
    println!("the first was sent away after {waited:?}, and would have been after {PATIENCE:?}");
    assert!(waited < PATIENCE, "{waited:?}");
    assert_eq!(status, 503, "{page}");
    assert_ne!(again, "");
    assert!(page.contains("being maintained"), "{page}");
    held(&edge, OF_STACK).await;
    let another = others.try_join_next();
    assert!(another.is_none(), "and nobody else: {another:?}");
    assert_eq!(edge.get("https://other.example.org/").await.status, 200);
    let failures = edge.admin("/stats/congress/errors").await.text();
    println!("{failures}");
    assert_eq!(failures.matches("\"crowded\"").count(), 1, "{failures}");

    // Who leaves is not waited for.
    drop(others);
    held(&edge, 1).await;
    let took = began.elapsed();
    println!("all the others came and had gone after {took:?}");
    assert!(took < PATIENCE, "{took:?}");
    let resume = json!({"do": "resume", "instance": "congress"});
    edge.order(&resume).await;
    let (status, _, page) = soon(newcomer).await;
    assert_eq!(status, 200, "{page}");
}

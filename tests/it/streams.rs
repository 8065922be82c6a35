//! Answers that stream for long are sessions: counted, told of, and ended one by one.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::harness::client::{http2, tls};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Kept, Origin, Setup, instance};

const HOST: &str = "congress.example.org";

async fn next(stream: &mut Incoming) -> Option<Bytes> {
    stream.frame().await?.ok()?.into_data().ok()
}

async fn counted(edge: &Edge, streams: u32) {
    eventually(&format!("{streams} streams"), async || {
        let counted = edge.instance("congress").await["streams"].clone();
        check(counted == streams, counted)
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_lasts_is_a_session_and_ends_without_its_neighbour() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let limits = "[instance.limits]\nreplica-drain = \"1s\"\nreplica-drain-max = \"1s\"\n";
    let both = instance("congress", &[one.address, two.address]) + limits;
    let log = Kept::default();
    let edge = Setup::new(&both).access_log(log.clone()).start().await;
    edge.all_ready().await;
    let connection = tls(&edge, HOST, &["h2"]).await.unwrap();
    let sender = http2(connection).await.unwrap();
    let open = async || {
        let request = Request::get(format!("https://{HOST}/stream?ms=200"));
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let answer = sender.clone().send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body()
    };
    // Each replica has one of them.
    let mut streams = [open().await, open().await];
    let mut heard = 0;
    while heard < 160 {
        // Thirty seconds and a little, by the replicas' own clocks.
        let [first, second] = &mut streams;
        let parts = tokio::join!(next(first), next(second));
        assert!(parts.0.is_some() && parts.1.is_some(), "after {heard}");
        heard += 1;
    }
    counted(&edge, 2).await;
    let list = edge.admin("/stats/congress/sessions").await.json();
    assert_eq!(list["open"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(list["open"][0]["kind"], "stream");
    assert!(list["open"][0]["bytes_out"].as_u64() > Some(1000), "{list}");

    let other = instance("congress", &[two.address]) + limits;
    assert!(edge.reload(&other).await.applied);
    let [first, second] = &mut streams;
    let ends = async |stream: &mut Incoming| while next(stream).await.is_some() {};
    // The one whose replica leaves; the other is carried by the same connection.
    let stays = tokio::select! {
        () = ends(&mut *first) => second,
        () = ends(&mut *second) => first,
    };
    for _ in 0..10 {
        assert!(next(stays).await.is_some());
    }
    counted(&edge, 1).await;
    eventually("the log tells of it", async || {
        let text = log.text();
        let of = |kind: &str| {
            let kind = format!("\"kind\":\"{kind}\"");
            text.lines().filter(|line| line.contains(&kind)).count()
        };
        let drained = text
            .lines()
            .any(|line| line.contains("\"kind\":\"close\"") && line.contains("\"drain\""));
        check(
            (of("open"), of("close"), drained) == (2, 1, true),
            text.clone(),
        )
    })
    .await;
}

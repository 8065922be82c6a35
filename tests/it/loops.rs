//! Requests that would go round: what is behind a name leads back to usher.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, instance};

/// Served over plain HTTP and TLS alike, so that a request is passed on and not redirected.
fn plain(name: &str, replica: std::net::SocketAddr) -> String {
    let both = format!("domains = [\"{name}.example.org\"]\nhttps = \"both\"");
    instance(name, &[replica]).replace(&format!("domains = [\"{name}.example.org\"]"), &both)
}

async fn says(edge: &Edge, words: &str) {
    eventually(&format!("a reason with {words}"), async || {
        let stats = edge.stats().await;
        let reasons = stats["instances"][0]["reasons"].to_string();
        check(reasons.contains(words), stats["instances"][0].to_string())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_comes_back_is_answered_508_over_every_protocol_and_the_status_says_why() {
    let origin = Origin::start("origin").await;
    let edge = Edge::start(&plain("congress", origin.address)).await;
    edge.reload(&plain("congress", edge.http())).await;
    edge.all_ready().await;

    for url in [
        "http://congress.example.org/",
        "https://congress.example.org/a",
    ] {
        assert_eq!(edge.get(url).await.status, 508, "{url}");
    }
    let answer = edge
        .ask("https://congress.example.org/")
        .http2()
        .send()
        .await;
    assert_eq!(answer.status, 508);
    let refused = edge.ask("wss://congress.example.org/ws/").websocket().await;
    let error = refused.err().expect("no websocket").to_string();
    assert!(error.contains("508"), "{error}");
    // Each went round once and not until something gave way: those of the client and their second way.
    let stats = edge.stats().await;
    let requests = stats["instances"][0]["requests_total"].as_u64();
    assert!(requests.is_some_and(|all| all <= 8), "{stats}");
    says(&edge, "comes back to usher").await;
    let errors = edge.admin("/stats/congress/errors").await.text();
    assert!(errors.contains("\"loop\""), "{errors}");
}

#[tokio::test]
async fn a_loop_is_found_before_the_redirect_that_would_send_the_client_round() {
    let origin = Origin::start("origin").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    edge.reload(&instance("congress", &[edge.http()])).await;
    edge.all_ready().await;
    assert_eq!(edge.get("https://congress.example.org/").await.status, 508);
}

#[tokio::test]
async fn two_usher_behind_each_other_are_a_chain_and_no_loop() {
    let origin = Origin::start("origin").await;
    let back = Edge::start(&plain("congress", origin.address)).await;
    let front = Edge::start(&plain("congress", back.http())).await;

    let answer = front
        .ask("https://congress.example.org/")
        .field("cdn-loop", "a-cdn; v=2")
        .send()
        .await;

    assert_eq!(answer.status, 200);
    // What others say of themselves is passed on (RFC 8586 §2), and each usher adds one name.
    let told = &answer.json()["fields"]["cdn-loop"];
    let told: Vec<&str> = told
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one.as_str())
        .collect();
    assert_eq!((told.len(), told[0]), (3, "a-cdn; v=2"), "{told:?}");
    assert_ne!(told[1], told[2]);
    let mut socket = front
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .expect("open");
    assert_eq!(socket.echo("through both").await, "origin: through both");

    // The other way round as well, and it is a loop that neither sees alone.
    back.reload(&plain("congress", front.http())).await;
    eventually("508", async || {
        let status = front.get("https://congress.example.org/").await.status;
        check(status == 508, status)
    })
    .await;
}

#[tokio::test]
async fn a_proxy_inside_a_stack_may_ask_for_another_name_through_usher() {
    let origin = Origin::start("origin").await;
    let tables = plain("congress", origin.address);
    let edge = Edge::start(&(tables.clone() + &plain("assembly", origin.address))).await;
    // What the replica of one was sent is sent on to the other, as a proxy does it.
    let told = edge.get("https://congress.example.org/").await.json();
    let marks: BTreeMap<String, serde_json::Value> =
        serde_json::from_value(told["fields"].clone()).expect("fields");
    let mark = marks["cdn-loop"][0].as_str().expect("a mark").to_owned();
    let ask = |host: &str| {
        edge.ask(&format!("https://{host}.example.org/"))
            .field("cdn-loop", &mark)
    };

    assert_eq!(ask("assembly").send().await.status, 200);
    assert_eq!(ask("congress").send().await.status, 508);
    let fields = ask("assembly").send().await.json()["fields"]["cdn-loop"].clone();
    assert_ne!(
        fields[1],
        json!(mark),
        "two stacks have nothing in common by it"
    );
}

//! Requests that come before there is a place for them: held, let in, or told why not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Setup, instance};

const URL: &str = "https://congress.example.org/";
const SOCKET: &str = "wss://congress.example.org/ws/";

/// A replica that is known and does not listen yet, and where it will.
async fn starting() -> (Arc<FakeEngine>, Edge, SocketAddr) {
    starting_with("").await
}

/// As [`starting`], with these limits.
async fn starting_with(limits: &str) -> (Arc<FakeEngine>, Edge, SocketAddr) {
    let port = Origin::start("port").await.address.port();
    let text = format!(
        "[engine]\nkind = \"docker\"\n[[instance]]\nname = \"congress\"\n\
         domains = [\"congress.example.org\"]\n\
         [instance.limits]\n{limits}\n\
         [instance.service.web]\nrole = \"sessions\"\nport = {port}\nprobe = \"/\"\n"
    );
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&text).engine(shared, false).start().await;
    let address = IpAddr::from([127, 0, 0, 1]);
    engine.set("congress", "web", vec![unit("one", 1, address)]);
    eventually("the replica is known", async || {
        let services = edge.instance("congress").await["services"].clone();
        check(services[0]["replicas"][0]["state"] == "starting", services)
    })
    .await;
    (engine, edge, SocketAddr::new(address, port))
}

async fn held(edge: &Edge, count: u32) {
    eventually(&format!("{count} are held"), async || {
        let held = edge.instance("congress").await["held"].clone();
        check(held == count, held)
    })
    .await;
}

async fn order(edge: &Edge, order: Value) -> String {
    edge.order(&order).await["lines"][0].to_string()
}

#[tokio::test]
async fn who_comes_while_a_replica_starts_is_let_in_when_it_is_ready() {
    let (_engine, edge, address) = starting().await;
    let requests = join_all((0..40).map(|_| edge.get(URL)));
    let writes = join_all((0..5).map(|_| {
        let ask = edge.ask(URL).method(Method::POST).body("a vote");
        ask.send()
    }));
    let sockets = join_all((0..20).map(|_| edge.ask(SOCKET).websocket()));
    let origin = async {
        held(&edge, 65).await;
        let totals = edge.stats().await["totals"]["held"].clone();
        assert_eq!(totals, 65);
        Origin::start_at("one", address).await
    };
    let (requests, writes, sockets, _origin) = tokio::join!(requests, writes, sockets, origin);

    assert!(requests.iter().all(|answer| answer.status == 200));
    for answer in writes {
        assert_eq!((answer.status, &answer.json()["body"]), (200, &json!(6)));
    }
    for socket in sockets {
        assert_eq!(socket.unwrap().echo("in").await, "one: in");
    }
    held(&edge, 0).await;
}

#[tokio::test]
async fn more_are_held_than_may_be_in_flight_and_all_are_served_when_a_replica_is_ready() {
    const MOST: u32 = 10;
    let limits = format!("requests-in-flight = {MOST}");
    let (_engine, edge, address) = starting_with(&limits).await;
    let slow = format!("{URL}slow?ms=100");
    let requests = join_all((0..30).map(|_| edge.get(&slow)));
    let sockets = join_all((0..10).map(|_| edge.ask(SOCKET).websocket()));
    let origin = async {
        held(&edge, 40).await;
        let in_flight = edge.stats().await["totals"]["requests_in_flight"].clone();
        assert_eq!(in_flight, 0, "nobody works on them");
        // Longer than anybody waits where the limit is reached.
        sleep(Duration::from_secs(4)).await;
        held(&edge, 40).await;
        Origin::start_at("one", address).await
    };
    let (requests, sockets, origin) = tokio::join!(requests, sockets, origin);

    let statuses: Vec<u16> = requests.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200; 30]);
    for socket in sockets {
        assert_eq!(socket.unwrap().echo("in").await, "one: in");
    }
    let most = origin.seen.most_slow.load(Ordering::Relaxed);
    println!("at most {most} of {MOST} at a time");
    assert!((1..=MOST).contains(&most), "{most}");
    eventually("nobody is held or in flight", async || {
        let totals = edge.stats().await["totals"].clone();
        let both = (&totals["held"], &totals["requests_in_flight"]);
        check(both == (&json!(0), &json!(0)), format!("{both:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_visitor_waits_eight_seconds_and_then_reads_why_in_their_language() {
    let (_engine, edge, _address) = starting().await;
    let ask = |language: &str| {
        let ask = edge.ask(URL).field("accept", "text/html,*/*;q=0.8");
        ask.field("accept-language", language).send()
    };
    let began = Instant::now();
    let (german, english) = tokio::join!(ask("de-DE,de;q=0.9"), ask("fr"));
    let waited = began.elapsed();
    println!("a page came after {waited:?}, promised 8 s");

    assert!(waited >= Duration::from_secs(8) && waited < Duration::from_secs(24));
    assert_eq!((german.status, english.status), (503, 503));
    assert_ne!(german.field("retry-after"), "");
    assert_eq!(german.field("content-language"), "de");
    assert!(
        german.text().contains("startet gerade"),
        "{}",
        german.text()
    );
    assert!(english.text().contains("is starting"), "{}", english.text());
    assert!(
        english.text().contains("congress"),
        "in the name of the site"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_stack_that_is_not_there() {
    let (engine, edge, _address) = starting().await;
    let early = edge.get(URL);
    let down = async {
        held(&edge, 1).await;
        engine.down("congress");
    };
    let began = Instant::now();
    let (early, ()) = tokio::join!(early, down);
    assert_eq!(early.status, 503);
    assert_eq!(edge.get(URL).await.status, 503);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn a_websocket_waits_for_a_seat_in_a_full_replica() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]) + "[instance.limits]\nsessions-hard = 2\n";
    let edge = Edge::start(&text).await;
    let mut one = edge.ask(SOCKET).websocket().await.unwrap();
    let two = edge.ask(SOCKET).websocket().await.unwrap();

    let third = edge.ask(SOCKET).websocket();
    let leaves = async {
        held(&edge, 1).await;
        // Whoever only reads is not behind those who wait for a seat.
        assert_eq!(edge.get(URL).await.status, 200);
        two.close().await;
    };
    let (third, ()) = tokio::join!(third, leaves);
    assert_eq!(third.unwrap().echo("in").await, "one: in");
    assert_eq!(one.echo("still").await, "one: still");
}

#[tokio::test]
async fn who_leaves_while_waiting_is_no_longer_in_the_line() {
    let (_engine, edge, _address) = starting().await;
    let waiting = tokio::select! {
        answered = edge.ask(SOCKET).websocket() => panic!("answered: {}", answered.is_ok()),
        () = held(&edge, 1) => Instant::now(),
    };
    held(&edge, 0).await;
    let took = waiting.elapsed();
    println!("noticed after {took:?}; patience would have ended after 18 s");
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn who_closes_a_page_while_it_waits_is_no_longer_in_the_line() {
    let (_engine, edge, _address) = starting().await;
    for http2 in [false, true] {
        let ask = || edge.ask(URL);
        let ask = if http2 { ask().http2() } else { ask() };
        let waiting = tokio::select! {
            answer = ask.send() => panic!("answered: {}", answer.status),
            () = held(&edge, 1) => Instant::now(),
        };
        held(&edge, 0).await;
        let took = waiting.elapsed();
        println!("http2: {http2}: noticed after {took:?}; patience would have ended after 25 s");
        assert!(took < Duration::from_secs(9), "{took:?}");
    }
}

#[tokio::test]
async fn a_storm_reaches_a_replica_a_few_handshakes_at_a_time_and_nobody_is_lost() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let url = format!("{SOCKET}late?ms=100");
    let sockets = join_all((0..200).map(|_| edge.ask(&url).websocket())).await;
    assert!(sockets.iter().all(Result::is_ok));
    let most = origin.seen.most_handshakes.load(Ordering::Relaxed);
    println!("most handshakes at a time: {most}");
    assert!((2..=16).contains(&most), "{most}");
}

#[tokio::test]
async fn a_paused_instance_keeps_what_is_open_and_holds_what_is_new() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]) + &instance("assembly", &[origin.address]);
    let edge = Edge::start(&text).await;
    let mut open = edge.ask(SOCKET).websocket().await.unwrap();

    let said = order(&edge, json!({"do": "pause", "instance": "congress"})).await;
    assert!(said.contains("paused"), "{said}");
    eventually("the pause is in force", async || {
        let instance = edge.instance("congress").await;
        check(instance["paused"] == true, instance["paused"].clone())
    })
    .await;
    let new = edge.get(URL);
    let resumed = async {
        held(&edge, 1).await;
        assert_eq!(open.echo("still").await, "one: still");
        assert_eq!(edge.get("https://assembly.example.org/").await.status, 200);
        order(&edge, json!({"do": "resume", "instance": "congress"})).await
    };
    let (new, said) = tokio::join!(new, resumed);
    assert!(said.contains("serves"), "{said}");
    assert_eq!(new.status, 200);

    order(&edge, json!({"do": "pause", "instance": "congress"})).await;
    let page = eventually("the page of the pause", async || {
        let ask = edge.ask(URL).field("accept", "text/html");
        let answer = ask.field("accept-language", "de").send().await;
        check(answer.status == 503, answer.status).map(|()| answer)
    })
    .await;
    assert!(page.text().contains("gewartet"), "{}", page.text());
    assert_eq!(open.echo("still").await, "one: still");
}

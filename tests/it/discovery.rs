//! Replicas that come, go and move, as an engine tells of them. What Docker itself does is in
//! `docker_*`; here are the moments that are hard to catch with a real one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use usher::engine::Action;
use usher::inventory::{Network, Origin as Made, Phase, Reach};

use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Setup};

const URL: &str = "https://congress.example.org/";

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// An origin where a container at this address would listen; ports are this test's own.
async fn origin_at(name: &str, last: u8, port: u16) -> Origin {
    Origin::start_at(name, SocketAddr::new(loopback(last), port)).await
}

async fn port() -> u16 {
    Origin::start("port").await.address.port()
}

const ENGINE: &str = "[engine]\nkind = \"docker\"\n";

fn configuration(port: u16) -> String {
    format!(
        "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nport = {port}\nprobe = \"/\"\n"
    )
}

async fn start(port: u16) -> (Arc<FakeEngine>, Edge) {
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&(ENGINE.to_owned() + &configuration(port)))
        .engine(shared, false)
        .start()
        .await;
    (engine, edge)
}

async fn answers(edge: &Edge, status: u16) -> String {
    eventually(&format!("{status} from {URL}"), async || {
        let answer = edge.get(URL).await;
        if answer.status == status {
            Ok(answer.text())
        } else {
            Err(answer.status)
        }
    })
    .await
}

/// Waits until usher knows whether its engine is there.
async fn engine_is(edge: &Edge, connected: bool) {
    eventually("the engine is noticed", async || {
        let engine = edge.stats().await["engine"].clone();
        check(engine["connected"] == connected, engine)
    })
    .await;
}

async fn replica_state(edge: &Edge) -> String {
    let instance = edge.instance("congress").await;
    instance["services"][0]["replicas"][0]["state"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

#[tokio::test]
async fn a_running_container_gets_traffic_only_after_its_probe() {
    let port = port().await;
    let (engine, edge) = start(port).await;
    // It runs, says the engine, and does not listen yet.
    engine.set("congress", "web", vec![unit("one", 1, loopback(1))]);
    eventually("it is known", async || {
        let state = replica_state(&edge).await;
        if state == "starting" {
            Ok(())
        } else {
            Err(state)
        }
    })
    .await;
    let early = edge.get(URL);
    let origin = async {
        eventually("who comes before is held", async || {
            let held = edge.instance("congress").await["held"].clone();
            check(held == 1, held)
        })
        .await;
        origin_at("one", 1, port).await
    };
    let (early, origin) = tokio::join!(early, origin);
    assert_eq!(early.status, 200);
    let requests = origin.requests();
    assert!(requests.len() >= 2, "the probe came first: {requests:?}");
}

#[tokio::test]
async fn an_engine_that_goes_away_takes_no_route_with_it() {
    let port = port().await;
    let (engine, edge) = start(port).await;
    let _origin = origin_at("one", 1, port).await;
    engine.set("congress", "web", vec![unit("one", 1, loopback(1))]);
    answers(&edge, 200).await;
    let mut socket = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();

    engine.go_away(true);
    engine_is(&edge, false).await;
    assert_eq!(edge.get(URL).await.status, 200);
    assert_eq!(socket.echo("still").await, "one: still");

    engine.go_away(false);
    engine_is(&edge, true).await;
    assert_eq!(edge.get(URL).await.status, 200);
    assert_eq!(socket.echo("still").await, "one: still");
}

#[tokio::test]
async fn a_listing_that_hangs_changes_nothing_and_the_next_answer_is_followed_at_once() {
    let port = port().await;
    let (engine, edge) = start(port).await;
    let _one = origin_at("one", 1, port).await;
    let _two = origin_at("two", 2, port).await;
    engine.set("congress", "web", vec![unit("one", 1, loopback(1))]);
    answers(&edge, 200).await;
    let mut socket = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();

    engine.hang(true);
    engine.set("congress", "web", vec![unit("two", 1, loopback(2))]);
    engine_is(&edge, false).await;
    assert!(
        edge.get(URL).await.text().contains("one"),
        "the last good table"
    );
    assert_eq!(socket.echo("still").await, "one: still");
    assert_eq!(
        *engine.actions.lock().expect("lock"),
        [],
        "nothing is torn down"
    );

    engine.hang(false);
    let back = Instant::now();
    engine_is(&edge, true).await;
    eventually("the new one", async || {
        let text = edge.get(URL).await.text();
        check(text.contains("two"), text)
    })
    .await;
    let took = back.elapsed();
    assert!(took <= 3 * Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn an_address_that_changes_hands_takes_no_pooled_connection_along() {
    let port = port().await;
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let congress = configuration(port);
    let text = ENGINE.to_owned() + &congress + &congress.replace("congress", "assembly");
    let edge = Setup::new(&text).engine(shared, false).start().await;
    let origin = origin_at("one", 1, port).await;
    engine.set("congress", "web", vec![unit("one", 1, loopback(1))]);
    answers(&edge, 200).await;
    // Several connections lie in the pool.
    futures_util::future::join_all((0..8).map(|_| edge.get(URL))).await;
    let before = origin
        .seen
        .connections
        .load(std::sync::atomic::Ordering::Relaxed);

    // The container is gone, and its address is another tenant's.
    engine.down("congress");
    engine.set("assembly", "web", vec![unit("two", 2, loopback(1))]);
    answers(&edge, 503).await;
    let other = "https://assembly.example.org/";
    eventually("the other tenant is served", async || {
        let status = edge.get(other).await.status;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    let probed = origin
        .requests()
        .iter()
        .filter(|line| *line == "GET /")
        .count();
    assert!(probed > 0);
    let after = origin
        .seen
        .connections
        .load(std::sync::atomic::Ordering::Relaxed);
    // At least one for the probe and one for the request: nothing was taken from the pool.
    assert!(after >= before + 2, "{before} then {after}");
    assert_eq!(edge.get(URL).await.status, 503);
}

#[tokio::test]
async fn a_container_that_leaves_drains_and_its_websockets_stay_until_it_is_gone() {
    let port = port().await;
    let (engine, edge) = start(port).await;
    let _one = origin_at("one", 1, port).await;
    let _two = origin_at("two", 2, port).await;
    engine.set("congress", "web", vec![unit("one", 1, loopback(1))]);
    answers(&edge, 200).await;
    let mut socket = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();
    assert_eq!(socket.echo("who").await, "one: who");

    // Somebody told it to stop, and it is still there.
    let mut leaving = unit("one", 1, loopback(1));
    leaving.phase = Phase::Leaving;
    engine.set(
        "congress",
        "web",
        vec![leaving, unit("two", 2, loopback(2))],
    );
    eventually("newcomers get the other", async || {
        let told = edge.get(URL).await;
        if told.text().contains("\"two\"") {
            Ok(())
        } else {
            Err(told.text())
        }
    })
    .await;
    for _ in 0..6 {
        let mut another = edge
            .ask("wss://congress.example.org/ws/")
            .websocket()
            .await
            .unwrap();
        assert_eq!(another.echo("who").await, "two: who");
    }
    assert_eq!(socket.echo("still").await, "one: still");
}

#[tokio::test]
async fn a_container_on_no_shared_network_is_never_asked_and_says_why() {
    let port = port().await;
    let (engine, edge) = start(port).await;
    let mut stranded = unit("one", 1, loopback(1));
    stranded.reach = Reach::Unreachable {
        why: "it is on congress_internal, and usher is not".to_owned(),
        joinable: Vec::new(),
    };
    let origin = origin_at("one", 1, port).await;
    engine.set("congress", "web", vec![stranded]);

    answers(&edge, 502).await;
    eventually("a reason", async || {
        let reasons = edge.instance("congress").await["reasons"].to_string();
        if reasons.contains("congress_internal") {
            Ok(())
        } else {
            Err(reasons)
        }
    })
    .await;
    assert!(origin.requests().is_empty());
    assert_eq!(
        origin
            .seen
            .connections
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[tokio::test]
async fn a_network_that_can_be_joined_is_joined() {
    let port = port().await;
    let (engine, edge) = start(port).await;
    let network = Network {
        id: "n1".to_owned(),
        name: "congress_default".to_owned(),
    };
    let mut far = unit("one", 1, loopback(1));
    far.reach = Reach::Unreachable {
        why: "not joined yet".to_owned(),
        joinable: vec![network.clone()],
    };
    engine.set("congress", "web", vec![far]);
    let join = Action::Join {
        stack: "congress".parse().unwrap(),
        network,
    };
    eventually("the join is ordered", async || {
        let actions = engine.actions.lock().unwrap().clone();
        if actions.contains(&join) {
            Ok(())
        } else {
            Err(actions)
        }
    })
    .await;
    drop(edge);
}

#[tokio::test]
async fn a_stack_that_nobody_named_becomes_an_instance_by_the_entry_for_all() {
    let port = port().await;
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let text = configuration(port);
    let text = ENGINE.to_owned()
        + &text
            .replace("name = \"congress\"", "name = \"*\"")
            .replace("congress.example.org", "{stack}.example.org");
    let edge = Setup::new(&text)
        .without_certificates()
        .engine(shared, false)
        .start()
        .await;
    let _origin = origin_at("one", 1, port).await;

    assert_eq!(
        edge.get("http://spring-2027.example.org/").await.status,
        503
    );
    let mut declared = unit("one", 1, loopback(1));
    declared.origin = Made::Declared { number: 1 };
    engine.set("spring-2027", "web", vec![declared]);
    eventually("the new stack is served", async || {
        let status = edge.get("http://spring-2027.example.org/").await.status;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
}

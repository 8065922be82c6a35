//! A host that has no room for another replica: who is there stays, who comes waits for a seat and is
//! turned away in the end, and the neighbours notice nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Error;
use usher::engine::Action;

use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Setup};

const SOCKET: &str = "wss://congress.example.org/ws/";
const NEIGHBOUR: &str = "wss://assembly.example.org/ws/";

/// Two stacks of one web each; one more of `congress` would need more memory than any machine has.
async fn full() -> (Arc<FakeEngine>, Vec<Origin>, Edge) {
    let origin = Origin::start("one").await;
    let port = origin.address.port();
    let table = |name: &str, memory: &str| {
        format!(
            "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
             [instance.limits]\nsessions-hard = 2\n[instance.scale]\nsessions-per-replica = 1\n\
             [instance.service.web]\nrole = \"sessions\"\nport = {port}\n{memory}\n"
        )
    };
    let text = format!(
        "[engine]\nkind = \"docker\"\n{}{}",
        table("congress", "memory = \"900000GiB\""),
        table("assembly", "max = 1")
    );
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&text).engine(shared, false).start().await;
    let here = IpAddr::from([127, 0, 0, 1]);
    for name in ["congress", "assembly"] {
        engine.set(name, "web", vec![unit(&format!("{name}_1"), 1, here)]);
    }
    for name in ["congress", "assembly"] {
        eventually(&format!("the web of {name}"), async || {
            let web = edge.instance(name).await["services"][0].clone();
            check(web["ready"] == 1, web)
        })
        .await;
    }
    // And what is known is in force.
    edge.all_ready().await;
    (engine, vec![origin], edge)
}

async fn held(edge: &Edge, count: u32) {
    eventually(&format!("{count} are held"), async || {
        let held = edge.instance("congress").await["held"].clone();
        check(held == count, held)
    })
    .await;
}

#[tokio::test]
async fn who_comes_to_a_full_host_waits_and_is_turned_away_and_nobody_else_is() {
    let (engine, _origins, edge) = full().await;
    let mut neighbour = edge.ask(NEIGHBOUR).websocket().await.unwrap();
    let mut one = edge.ask(SOCKET).websocket().await.unwrap();
    let two = edge.ask(SOCKET).websocket().await.unwrap();
    let began = Instant::now();
    let third = edge.ask(SOCKET).websocket();
    let fourth = async {
        held(&edge, 1).await;
        edge.ask(SOCKET).websocket().await
    };
    let meanwhile = async {
        held(&edge, 2).await;
        eventually("the limit is told", async || {
            let web = edge.instance("congress").await["services"][0].clone();
            check(web["limited_by"] == "host memory (full)", web)
        })
        .await;
        assert_eq!(one.echo("in").await, "one: in");
        assert_eq!(neighbour.echo("in").await, "one: in");
        // One leaves by itself, and the first who waits has its seat.
        two.close().await;
    };
    let (third, fourth, ()) = tokio::join!(third, fourth, meanwhile);
    let waited = began.elapsed();
    assert_eq!(third.unwrap().echo("in").await, "one: in");
    let refused = fourth.err().expect("it is full");
    let turned_away = matches!(&refused, Error::Http(answer) if answer.status() == 503);
    assert!(turned_away, "{refused}");
    println!("the last one was turned away after {waited:?}, promised 18 s");
    assert!(waited >= Duration::from_secs(18), "{waited:?}");
    assert_eq!(one.echo("still").await, "one: still");
    assert_eq!(neighbour.echo("still").await, "one: still");
    let actions = engine.actions.lock().expect("lock");
    let starts = |action: &&Action| matches!(action, Action::Start { .. });
    assert_eq!(actions.iter().find(starts), None);
}

//! What a network of a stack leads to: that stack, and nothing of the others. On the engine itself it is
//! `docker_networks`; here usher's own loopback is such a network.

use std::net::IpAddr;
use std::sync::Arc;

use usher::inventory::{Attached, Network};

use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Setup};

/// The loopback as a network that usher has joined. Its gateway is nobody here.
fn network() -> Attached {
    let address = |last: u8| IpAddr::from([127, 0, 0, last]);
    Attached {
        network: Network {
            id: "n1".to_owned(),
            name: "congress_default".to_owned(),
        },
        addresses: vec![address(1)],
        subnets: vec!["127.0.0.0/8".parse().unwrap()],
        gateways: vec![address(254)],
        joined: true,
        of_a_stack: true,
    }
}

/// Two stacks on networks of their own; usher is attached to neither yet.
async fn start(port: u16) -> (Arc<FakeEngine>, Edge) {
    let engine = FakeEngine::new();
    for (stack, id, network) in [("congress", "one", "n1"), ("assembly", "two", "n2")] {
        let mut unit = unit(id, 1, IpAddr::from([127, 0, 0, 1]));
        unit.networks = vec![network.to_owned()];
        engine.set(stack, "web", vec![unit]);
    }
    let instance = |name: &str| {
        format!(
            "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
             [instance.service.web]\nrole = \"sessions\"\nport = {port}\n"
        )
    };
    let engine_table = "[engine]\nkind = \"docker\"\n";
    let text = format!(
        "{engine_table}{}{}",
        instance("congress"),
        instance("assembly")
    );
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&text).engine(shared, false).start().await;
    (engine, edge)
}

#[tokio::test]
async fn who_comes_over_a_network_of_a_stack_gets_its_names_and_no_other() {
    let origin = Origin::start("origin").await;
    let (engine, edge) = start(origin.address.port()).await;
    let own = "https://congress.example.org/";
    let other = "https://assembly.example.org/";
    for url in [own, other] {
        eventually("both are served from anywhere", async || {
            let status = edge.get(url).await.status;
            check(status == 200, status)
        })
        .await;
    }
    let mut socket = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();

    engine.attach(vec![network()]);

    eventually(
        "the handshake for another stack's name is refused",
        async || {
            let answer = edge.ask(other).try_send().await;
            check(answer.is_err(), answer.map(|answer| answer.status).ok())
        },
    )
    .await;
    assert_eq!(edge.get(own).await.status, 200);
    // Over plain HTTP as well, and in words that do not tell that it exists.
    let plain = edge.ask("http://assembly.example.org/").send().await;
    let unknown = edge.ask("http://nobody.example.org/").send().await;
    assert_eq!((plain.status, plain.text()), (503, unknown.text()));
    // On a connection for the own name, the other one is nobody's either.
    let crossed = edge
        .ask(own)
        .field("host", "assembly.example.org")
        .send()
        .await;
    assert_eq!(crossed.status, 421);
    let websocket = edge.ask("ws://assembly.example.org/ws/").websocket().await;
    assert!(websocket.is_err(), "no websocket of another stack");
    assert!(
        socket.echo("still").await.ends_with("still"),
        "what was open goes on"
    );

    // When usher has left it, it is a way in like any other.
    engine.attach(Vec::new());
    eventually("both are served again", async || {
        let answer = edge.ask(other).try_send().await;
        let status = answer.map(|answer| answer.status).unwrap_or_default();
        check(status == 200, status)
    })
    .await;
}

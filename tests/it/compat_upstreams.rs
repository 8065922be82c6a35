//! How replicas are spoken to, as containers and the file say it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use http::Method;
use usher::inventory::Reach;

use crate::harness::claiming::{Container, answers, at, says, start};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Pki};

#[tokio::test]
async fn a_container_that_speaks_https_is_asked_so_whatever_its_certificate() {
    let (engine, edge) = start("open", "").await;
    let config = edge.pki.server(&["nobody-knows.test"]);
    let origin = Origin::start_tls("sealed", at(1), config).await;
    let values = [
        ("VIRTUAL_HOST", "a.example.org"),
        ("VIRTUAL_PROTO", "https"),
    ];
    let sealed = Container::of("sealed", origin, &values);
    engine.set("sealed", "web", vec![sealed.unit.clone()]);
    let url = "http://a.example.org/";
    answers(&edge, url, 200).await;
    let body = vec![b'x'; 300_000];
    let told = edge
        .ask(url)
        .method(Method::POST)
        .body(body)
        .send()
        .await
        .json();
    assert_eq!(
        (&told["body"], &told["method"]),
        (&300_000.into(), &"POST".into())
    );
    let big = edge.get("http://a.example.org/big?bytes=3000000").await;
    assert_eq!(big.body.len(), 3_000_000);
    let mut socket = edge
        .ask("ws://a.example.org/ws/")
        .websocket()
        .await
        .expect("open");
    for size in [1, 1000, 100_000] {
        let text = "y".repeat(size);
        assert_eq!(socket.echo(&text).await, format!("sealed: {text}"));
    }
    socket.close().await;
    eventually("the replica hears the end", async || {
        let open = sealed.origin.seen.websockets.load(Ordering::Relaxed);
        check(open == 0, open.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_container_that_says_https_and_speaks_none_is_a_502_and_the_status_says_why() {
    let (engine, edge) = start("open", "").await;
    let host = ("VIRTUAL_HOST", "a.example.org");
    let mut plain = Container::new("plain", 1, &[host]).await;
    engine.set("plain", "web", vec![plain.unit.clone()]);
    answers(&edge, "http://a.example.org/", 200).await;
    plain.say(&[host, ("VIRTUAL_PROTO", "https")]);
    engine.set("plain", "web", vec![plain.unit.clone()]);
    says(
        &edge,
        &["plain does not answer its probe: no TLS with 127.0.0.1"],
    )
    .await;
    let before = plain.origin.requests().len();
    assert_eq!(edge.get("http://a.example.org/").await.status, 502);
    assert!(
        edge.ask("ws://a.example.org/ws/")
            .websocket()
            .await
            .is_err()
    );
    assert_eq!(
        plain.origin.requests().len(),
        before,
        "nothing goes there in the clear"
    );
}

#[tokio::test]
async fn protocols_that_are_not_spoken_keep_that_container_out_and_say_what_to_do() {
    let (engine, edge) = start("open", "").await;
    for (last, (proto, remedy)) in (1..).zip([
        ("uwsgi", "http-socket"),
        ("fastcgi", "a server of HTTP beside it"),
        ("grpc", "publish its port"),
        ("grpcs", "publish its port"),
    ]) {
        let host = format!("{proto}.example.org");
        let values = [("VIRTUAL_HOST", host.as_str()), ("VIRTUAL_PROTO", proto)];
        let one = Container::new(proto, last, &values).await;
        engine.set(proto, "web", vec![one.unit.clone()]);
        let stack = format!("stack {proto} is not served");
        says(&edge, &[&stack, remedy]).await;
        assert_eq!(edge.get(&format!("http://{host}/")).await.status, 503);
    }
}

#[tokio::test]
async fn a_replica_is_verified_where_the_operator_says_how() {
    let (pki, other) = (Pki::new(), Pki::new());
    let origin = Origin::start_tls("sealed", at(1), pki.server(&["web.internal"])).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, pem: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).expect("written");
        path.display().to_string()
    };
    let own = file("own.pem", pki.root_pem());
    let foreign = file("foreign.pem", other.root_pem());
    let text = |ca: &str, name: &str| {
        format!(
            "[[instance]]\nname = \"a\"\ndomains = [\"a.example.org\"]\nhttps = \"both\"\n\
             [instance.service.web]\nrole = \"sessions\"\nprobe = \"/\"\naddresses = [\"{}\"]\n\
             tls = {{ ca = \"{ca}\", name = \"{name}\" }}\n",
            origin.address,
        )
    };
    let good = text(&own, "web.internal");
    let edge = Edge::start(&good).await;
    for bad in [text(&own, "other.internal"), text(&foreign, "web.internal")] {
        answers(&edge, "https://a.example.org/", 200).await;
        let socket = edge.ask("wss://a.example.org/ws/").websocket().await;
        assert_eq!(socket.expect("open").echo("hello").await, "sealed: hello");
        edge.reload(&bad).await;
        says(&edge, &["does not answer its probe: no TLS with 127.0.0.1"]).await;
        let before = origin.requests().len();
        assert_eq!(edge.get("https://a.example.org/").await.status, 502);
        assert_eq!(origin.requests().len(), before);
        edge.reload(&good).await;
    }
    // What cannot be read is said with its place, and what served before goes on serving.
    edge.reload(&text("/nowhere.pem", "web.internal")).await;
    says(&edge, &["/nowhere.pem", "the replicas' certificates"]).await;
    answers(&edge, "https://a.example.org/", 200).await;
}

#[tokio::test]
async fn a_connection_serves_many_requests_unless_the_container_wants_one_each() {
    let (engine, edge) = start("open", "").await;
    let label = "com.github.nginx-proxy.nginx-proxy.keepalive";
    for (last, (name, value)) in (1..).zip([("kept", "auto"), ("many", "16"), ("one", "disabled")])
    {
        let host = format!("{name}.example.org");
        let values = [("VIRTUAL_HOST", host.as_str()), (label, value)];
        let mut container = Container::new(name, last, &values).await;
        // Its own check: no probe opens connections.
        container.unit.health = Some(true);
        engine.set(name, "web", vec![container.unit.clone()]);
        let url = format!("http://{host}/");
        answers(&edge, &url, 200).await;
        let before = container.origin.seen.connections.load(Ordering::Relaxed);
        for _ in 0..5 {
            let told = edge.get(&url).await.json();
            let close = told["fields"]["connection"][0] == "close";
            assert_eq!(close, value == "disabled", "{name}: {told}");
        }
        let opened = container.origin.seen.connections.load(Ordering::Relaxed) - before;
        assert_eq!(opened, if value == "disabled" { 5 } else { 0 }, "{name}");
    }
}

#[tokio::test]
async fn the_load_is_spread_as_the_label_says() {
    let (engine, edge) = start("open", "").await;
    let label = "com.github.nginx-proxy.nginx-proxy.loadbalance";
    for (first, (name, value)) in [(1, ("least", "least_conn;")), (11, ("client", "ip_hash;"))] {
        let host = format!("{name}.example.org");
        let values = [("VIRTUAL_HOST", host.as_str()), (label, value)];
        let mut containers = Vec::new();
        for number in 0..3 {
            let one = Container::new(&format!("{name}-{number}"), first + number, &values).await;
            containers.push(one);
        }
        let units = containers.iter().map(|one| one.unit.clone()).collect();
        engine.set(name, "web", units);
        eventually("all are ready", async || {
            let instance = edge.instance(name).await;
            check(instance["services"][0]["ready"] == 3, instance)
        })
        .await;
        let mut who = BTreeSet::new();
        let mut open = Vec::new();
        for _ in 0..6 {
            let url = format!("ws://{host}/ws/");
            let mut socket = edge.ask(&url).websocket().await.expect("open");
            who.insert(socket.echo("who").await);
            open.push(socket);
        }
        assert_eq!(who.len(), if name == "least" { 3 } else { 1 }, "{who:?}");
    }
}

#[tokio::test]
async fn on_the_hosts_network_only_a_port_that_is_said_is_asked() {
    let (engine, edge) = start("open", "").await;
    let host = ("VIRTUAL_HOST", "a.example.org");
    let mut one = Container::new("one", 1, &[host]).await;
    let address = one.origin.address;
    one.unit.reach = Reach::Host(address.ip());
    one.unit.ports = Vec::new();
    engine.set("one", "web", vec![one.unit.clone()]);
    answers(&edge, "http://a.example.org/", 502).await;
    says(&edge, &["one cannot be reached", "VIRTUAL_PORT"]).await;
    let port = address.port().to_string();
    one.say(&[host, ("VIRTUAL_PORT", &port)]);
    engine.set("one", "web", vec![one.unit.clone()]);
    answers(&edge, "http://a.example.org/", 200).await;
}

//! What containers say about their paths and ports, from the listing to the answer.

use crate::harness::claiming::{Container, answers, at, says, start};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin};

/// Who answered, and what it was asked for.
async fn asked(edge: &Edge, url: &str) -> (String, String) {
    let text = answers(edge, url, 200).await;
    let told: serde_json::Value = serde_json::from_str(&text).expect("an echo");
    let word = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    (word("origin"), word("target"))
}

async fn expect(edge: &Edge, url: &str, origin: &str, target: &str) {
    let expected = (origin.to_owned(), target.to_owned());
    assert_eq!(asked(edge, url).await, expected, "{url}");
}

#[tokio::test]
async fn several_ports_of_a_container_are_served_by_host_and_path() {
    let (engine, edge) = start("open", "").await;
    let mut shop = Container::new("front", 1, &[]).await;
    let admin = Origin::start_at("admin", at(1)).await;
    let sealed = edge.pki.server(&["anything.test"]);
    let sealed = Origin::start_tls("sealed", at(1), sealed).await;
    let port = |origin: &Origin| origin.address.port();
    let text = format!(
        "www.example.org:\n  \"/\":\n    port: {front}\n  /admin:\n    port: {admin}\n    dest: /\n  \
         '~^/(old|older)/':\n    port: {admin}\n\
         tls.example.org:\n  /:\n    port: {sealed}\n    proto: https\n",
        front = port(&shop.origin),
        admin = port(&admin),
        sealed = port(&sealed),
    );
    shop.say(&[
        ("VIRTUAL_HOST", "passed-by.example.org"),
        ("VIRTUAL_PORT", "1"),
        ("VIRTUAL_HOST_MULTIPORTS", &text),
    ]);
    engine.set("shop", "web", vec![shop.unit.clone()]);
    expect(&edge, "http://www.example.org/a", "front", "/a").await;
    expect(&edge, "http://www.example.org/admin/b?c", "admin", "/b?c").await;
    expect(&edge, "http://www.example.org/older/b", "admin", "/older/b").await;
    expect(&edge, "http://tls.example.org/d", "sealed", "/d").await;
    let socket = edge.ask("ws://www.example.org/admin/ws/").websocket().await;
    assert_eq!(socket.expect("open").echo("hello").await, "admin: hello");
    let passed_by = edge.get("http://passed-by.example.org/").await;
    assert_eq!(passed_by.status, 503);
}

#[tokio::test]
async fn json_says_the_same_as_yaml_and_a_host_alone_means_its_only_port() {
    let (engine, edge) = start("open", "").await;
    let text = r#"{ "a.example.org": {}, "b.example.org": { "/b": { "dest": "/" } } }"#;
    let one = Container::new("one", 1, &[("VIRTUAL_HOST_MULTIPORTS", text)]).await;
    engine.set("one", "web", vec![one.unit.clone()]);
    expect(&edge, "http://a.example.org/x", "one", "/x").await;
    expect(&edge, "http://b.example.org/b/x", "one", "/x").await;
    // A known host, and no path of it.
    assert_eq!(edge.get("http://b.example.org/other").await.status, 404);
}

#[tokio::test]
async fn several_ports_that_are_no_yaml_cost_that_container_alone() {
    let (engine, edge) = start("open", "").await;
    let good = Container::new("good", 1, &[("VIRTUAL_HOST", "good.example.org")]).await;
    engine.set("good", "web", vec![good.unit.clone()]);
    answers(&edge, "http://good.example.org/", 200).await;
    let mut socket = edge
        .ask("ws://good.example.org/ws/")
        .websocket()
        .await
        .expect("open");
    let laughs = "a: &a {\"/\": {}}\nb: &b {\"/\": *a}\nc.example.org: *b\n";
    let deep = "{\"a\":".repeat(600);
    let mut bad = Container::new("bad", 2, &[]).await;
    for text in [
        "a.example.org: [",
        "- a.example.org",
        laughs,
        &deep,
        "\u{1}",
    ] {
        bad.say(&[
            ("VIRTUAL_HOST", "bad.example.org"),
            ("VIRTUAL_HOST_MULTIPORTS", text),
        ]);
        engine.set("bad", "web", vec![bad.unit.clone()]);
        says(
            &edge,
            &[
                "stack bad is not served",
                "VIRTUAL_HOST_MULTIPORTS is not hosts",
            ],
        )
        .await;
        assert_eq!(edge.get("http://bad.example.org/").await.status, 503);
        let reasons = edge.stats().await["reasons"].to_string();
        assert_eq!(
            reasons.matches("VIRTUAL_HOST_MULTIPORTS").count(),
            1,
            "{reasons}"
        );
    }
    assert_eq!(socket.echo("still").await, "good: still");
    bad.say(&[("VIRTUAL_HOST_MULTIPORTS", "bad.example.org:")]);
    engine.set("bad", "web", vec![bad.unit.clone()]);
    expect(&edge, "http://bad.example.org/", "bad", "/").await;
}

#[tokio::test]
async fn a_pattern_of_paths_is_before_every_prefix_and_counts_in_open_only() {
    let pattern = ("VIRTUAL_PATH", "~^/(app1|alternative1)/");
    let host = ("VIRTUAL_HOST", "a.example.org");
    let root = Container::new("root", 1, &[host]).await;
    let app = Container::new("app", 2, &[host, pattern]).await;
    let deep = Container::new("deep", 3, &[host, ("VIRTUAL_PATH", "/app1/deep/")]).await;
    let containers = [("web", &root), ("app", &app), ("deep", &deep)];
    let (engine, edge) = start("open", "").await;
    for (service, one) in containers {
        engine.set("shop", service, vec![one.unit.clone()]);
    }
    expect(&edge, "http://a.example.org/app1/x", "app", "/app1/x").await;
    expect(
        &edge,
        "http://a.example.org/alternative1/",
        "app",
        "/alternative1/",
    )
    .await;
    // As nginx has it, however long the prefix is.
    expect(
        &edge,
        "http://a.example.org/app1/deep/x",
        "app",
        "/app1/deep/x",
    )
    .await;
    // It is matched with what is meant, not with how it is spelled.
    expect(&edge, "http://a.example.org/%61pp1/x", "app", "/%61pp1/x").await;
    expect(&edge, "http://a.example.org/app1", "root", "/app1").await;

    let behind = Container::new("behind", 4, &[host, ("VIRTUAL_PATH", "~^/(?!admin)")]).await;
    engine.set("shop", "app", vec![behind.unit.clone()]);
    says(&edge, &["container behind", "look-around"]).await;
    expect(&edge, "http://a.example.org/app1/x", "root", "/app1/x").await;

    let granted = "[[instance]]\nname = \"shop\"\ndomains = [\"a.example.org\"]\nhttps = \"both\"\n\
        [instance.service.web]\nrole = \"fixed\"\n";
    let (engine, edge) = start("listed", granted).await;
    for (service, one) in [("web", &root), ("app", &app)] {
        engine.set("shop", service, vec![one.unit.clone()]);
    }
    says(&edge, &["container app", "VIRTUAL_PATH", "is a pattern"]).await;
    expect(&edge, "http://a.example.org/app1/x", "root", "/app1/x").await;
}

#[tokio::test]
async fn a_pattern_in_the_file_means_what_it_means_in_a_container() {
    let main = Origin::start("main").await;
    let scripts = Origin::start("scripts").await;
    let edge = Edge::start(&format!(
        "[[instance]]\nname = \"a\"\ndomains = [\"a.example.org\"]\nhttps = \"both\"\n\
         [instance.service.main]\nrole = \"fixed\"\naddresses = [\"{}\"]\n\
         [instance.service.scripts]\nrole = \"fixed\"\naddresses = [\"{}\"]\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"main\"\n\
         [[instance.route]]\nprefix = \"~*\\\\.php$\"\nto = \"scripts\"\n\
         [[instance.route]]\nprefix = \"/closed/\"\nto = \"main\"\nport = {}\n",
        main.address,
        scripts.address,
        scripts.address.port(),
    ))
    .await;
    expect(
        &edge,
        "http://a.example.org/deep/Index.PHP?x",
        "scripts",
        "/deep/Index.PHP?x",
    )
    .await;
    expect(
        &edge,
        "http://a.example.org/index.php/x",
        "main",
        "/index.php/x",
    )
    .await;
    // The same replica, at a port of its own for the route.
    expect(
        &edge,
        "http://a.example.org/closed/x",
        "scripts",
        "/closed/x",
    )
    .await;
}

#[tokio::test]
async fn a_path_that_nobody_claims_is_a_404_of_the_known_host() {
    let (engine, edge) = start("open", "").await;
    let values = [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PATH", "/app")];
    let app = Container::new("app", 1, &values).await;
    engine.set("app", "web", vec![app.unit.clone()]);
    expect(&edge, "http://a.example.org/app", "app", "/app").await;
    for path in ["/", "/other", "/apps"] {
        let answer = edge.get(&format!("http://a.example.org{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(
        edge.get("http://b.example.org/app").await.status,
        503,
        "nobody's host"
    );
}

#[tokio::test]
async fn the_whole_uri_reaches_a_replica_whose_path_is_replaced() {
    let (engine, edge) = start("open", "").await;
    let values = [
        ("VIRTUAL_HOST", "a.example.org"),
        ("VIRTUAL_PATH", "/app/"),
        ("VIRTUAL_DEST", "/"),
    ];
    let app = Container::new("app", 1, &values).await;
    engine.set("app", "web", vec![app.unit.clone()]);
    let text = answers(&edge, "http://a.example.org/app/a%20b?x=%2F", 200).await;
    let told: serde_json::Value = serde_json::from_str(&text).expect("an echo");
    assert_eq!(told["target"], "/a%20b?x=%2F");
    assert_eq!(told["fields"]["x-original-uri"][0], "/app/a%20b?x=%2F");
}

#[tokio::test]
async fn a_path_for_the_internal_network_is_a_403_for_everybody_else() {
    let listen = "[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
        trusted-proxies = [\"127.0.0.1\"]\n";
    let (engine, edge) = start("open", listen).await;
    let host = ("VIRTUAL_HOST", "a.example.org");
    let web = Container::new("web", 1, &[host]).await;
    let inner = [
        host,
        ("VIRTUAL_PATH", "/inner"),
        ("NETWORK_ACCESS", "internal"),
    ];
    let inner = Container::new("inner", 2, &inner).await;
    engine.set("shop", "web", vec![web.unit.clone()]);
    engine.set("shop", "inner", vec![inner.unit.clone()]);
    answers(&edge, "http://a.example.org/inner", 200).await;
    for (client, expected) in [
        ("10.1.2.3", 200),
        ("172.31.0.1", 200),
        ("192.168.7.7", 200),
        ("172.32.0.1", 403),
        ("203.0.113.5", 403),
        ("2001:db8::1", 403),
    ] {
        let ask = edge
            .ask("http://a.example.org/inner")
            .field("x-forwarded-for", client);
        assert_eq!(ask.send().await.status, expected, "{client}");
    }
    let ask = edge
        .ask("http://a.example.org/")
        .field("x-forwarded-for", "203.0.113.5");
    assert_eq!(ask.send().await.status, 200);
}

#[tokio::test]
async fn the_only_port_that_is_exposed_is_asked_else_the_one_that_is_said() {
    let (engine, edge) = start("open", "").await;
    let mut one = Container::new("one", 1, &[("VIRTUAL_HOST", "a.example.org")]).await;
    engine.set("one", "web", vec![one.unit.clone()]);
    expect(&edge, "http://a.example.org/", "one", "/").await;
    let port = one.unit.ports[0];
    one.unit.ports = vec![1, port, 2];
    engine.set("one", "web", vec![one.unit.clone()]);
    eventually("nobody is at port 80", async || {
        let answer = edge.get("http://a.example.org/").await;
        check(answer.status >= 500, answer.status.to_string())
    })
    .await;
    let said = port.to_string();
    one.say(&[("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PORT", &said)]);
    engine.set("one", "web", vec![one.unit.clone()]);
    expect(&edge, "http://a.example.org/", "one", "/").await;
}

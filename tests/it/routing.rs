//! Which request reaches which tenant and which of its services.

use crate::harness::{Edge, Front, Origin, Setup, eventually, instance};

#[tokio::test]
async fn each_name_reaches_its_own_tenant_and_nobody_elses() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let text = instance("congress", &[one.address]) + &instance("assembly", &[two.address]);
    let edge = Edge::start(&text).await;

    for (name, origin) in [("congress", "one"), ("assembly", "two")] {
        let answer = edge.get(&format!("https://{name}.example.org/")).await;
        assert_eq!(answer.json()["origin"], origin);
    }
    // A connection made for one tenant does not reach another's site.
    for http2 in [false, true] {
        let ask = edge
            .ask("https://assembly.example.org/")
            .server_name("congress.example.org");
        let ask = if http2 { ask.http2() } else { ask };
        assert_eq!(ask.send().await.status, 421, "http2: {http2}");
    }
    // Its own visitor, and nobody else: probes say nothing here.
    assert_eq!(two.requests(), ["GET /"]);
}

#[tokio::test]
async fn a_name_that_nobody_declared_is_nobodys() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    let answer = edge.get("http://elsewhere.example.org/").await;
    assert_eq!(answer.status, 503);
    assert_ne!(answer.field("retry-after"), "");
    let refused = edge
        .ask("https://elsewhere.example.org/")
        .try_send()
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("UnrecognisedName"),
        "{refused}"
    );
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn the_longest_prefix_wins_whatever_the_order() {
    let (web, other) = (Origin::start("web").await, Origin::start("other").await);
    let text = format!(
        "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\naddresses = [\"{}\"]\n\
         [instance.service.rest]\nrole = \"fixed\"\naddresses = [\"{}\"]\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
         [[instance.route]]\nprefix = \"/rest/deep/\"\nto = \"web\"\n\
         [[instance.route]]\nprefix = \"/rest/\"\nto = \"rest\"\n",
        web.address, other.address
    );
    let edge = Edge::start(&text).await;

    for (path, origin) in [
        ("/", "web"),
        ("/rest/users", "other"),
        ("/rest/deep/er", "web"),
        ("/restaurant", "web"),
        ("/%72est/users", "other"),
    ] {
        let answer = edge
            .get(&format!("https://congress.example.org{path}"))
            .await;
        assert_eq!(answer.json()["origin"], origin, "{path}");
        // Read once to be routed, passed on as it was written.
        assert_eq!(answer.json()["target"], path);
    }
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_reaches_no_replica() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    for path in ["/a/../b", "/a/%2e%2e/b", "/a%00b", "/%zz"] {
        let answer = edge
            .get(&format!("https://congress.example.org{path}"))
            .await;
        assert_eq!(answer.status, 400, "{path}");
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[tokio::test]
async fn a_known_instance_without_a_replica_answers_with_its_own_page() {
    let text = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
                [instance.service.web]\nrole = \"sessions\"\n";
    let edge = Setup::new(text).start().await;

    let answer = edge.get("https://congress.example.org/").await;
    assert_eq!(answer.status, 503);
    assert_ne!(answer.field("retry-after"), "");
    assert!(answer.text().contains("congress"), "{}", answer.text());
}

#[tokio::test]
async fn a_name_that_only_redirects_leads_to_the_first_domain() {
    let origin = Origin::start("one").await;
    let text = format!(
        "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         redirect-from = [\"old.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\naddresses = [\"{}\"]\n",
        origin.address
    );
    let edge = Edge::start(&text).await;

    let answer = edge.get("https://old.example.org/a?b=c").await;
    let port = edge.https().port();
    assert_eq!(answer.status, 301);
    assert_eq!(
        answer.field("location"),
        format!("https://congress.example.org:{port}/a?b=c")
    );
}

#[tokio::test]
async fn an_instance_on_standby_says_so_and_runs_nothing() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]);
    let text = text.replace("[instance.service", "standby = true\n[instance.service");
    let edge = Setup::new(&text).start().await;

    let answer = edge.get("https://congress.example.org/").await;
    assert_eq!(answer.status, 503);
    let stats = edge.instance("congress").await;
    assert_eq!(stats["standby"], true);
    // It is as it should be.
    eventually("a healthy status", async || {
        let status = edge.stats().await["status"].clone();
        if status == "critical" {
            Err(status)
        } else {
            Ok(())
        }
    })
    .await;
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn addresses_outside_the_list_are_refused() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]);
    let denied = text.replace(
        "[instance.service",
        "deny = [\"127.0.0.0/8\"]\n[instance.service",
    );
    let edge = Edge::start(&denied).await;

    assert_eq!(edge.get("https://congress.example.org/").await.status, 403);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn stub_status_is_the_instances_own() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address])
        + "[[instance.route]]\nprefix = \"/nginx_status\"\nstub-status = true\n\
           [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n";
    let edge = Edge::start(&text).await;

    let answer = edge.get("https://congress.example.org/nginx_status").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().starts_with("Active connections: "),
        "{}",
        answer.text()
    );
}

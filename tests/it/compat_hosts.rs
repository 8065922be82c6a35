//! What containers say about their hosts, from the listing to the answer.

use http::Method;

use crate::harness::Front;
use crate::harness::claiming::{Container, answers, says, start};

#[tokio::test]
async fn a_host_is_an_exact_name_then_a_wildcard_then_an_open_end_then_an_expression() {
    let (engine, edge) = start("open", "").await;
    let mut containers = Vec::new();
    for (last, (name, hosts)) in (1..).zip([
        ("exact", "www.example.org"),
        ("wild", "*.example.org"),
        ("wilder", "*.deep.example.org"),
        ("open", "www.example.*"),
        ("opener", "www.example.co.*"),
        ("shape", r"~^www\..*\.net$"),
        ("address", "127.0.0.9, Upper.Example.COM. ,"),
    ]) {
        let one = Container::new(name, last, &[("VIRTUAL_HOST", hosts)]).await;
        engine.set(name, "web", vec![one.unit.clone()]);
        containers.push(one);
    }
    for (host, expected) in [
        ("www.example.org", "exact"),
        ("WWW.Example.Org", "exact"),
        ("any.example.org", "wild"),
        ("a.deep.example.org", "wilder"),
        ("www.example.com", "open"),
        ("www.example.co.uk", "opener"),
        ("www.anything.net", "shape"),
        ("127.0.0.9", "address"),
        ("upper.example.com", "address"),
    ] {
        let page = answers(&edge, &format!("http://{host}/"), 200).await;
        assert!(page.contains(&format!("\"{expected}\"")), "{host}: {page}");
    }
    assert_eq!(edge.get("http://example.net/").await.status, 503);
}

#[tokio::test]
async fn replicas_that_disagree_are_told_and_the_first_by_name_counts() {
    let (engine, edge) = start("open", "").await;
    let host = ("VIRTUAL_HOST", "a.example.org");
    let first = Container::new("first", 1, &[host]).await;
    let second = Container::new("second", 2, &[host, ("VIRTUAL_PATH", "/other")]).await;
    engine.set("shop", "web", vec![second.unit.clone(), first.unit.clone()]);
    answers(&edge, "http://a.example.org/", 200).await;
    says(
        &edge,
        &["containers first and second", "disagree about VIRTUAL_PATH"],
    )
    .await;
    for _ in 0..10 {
        let page = edge.get("http://a.example.org/other").await.text();
        assert!(page.contains("\"first\""), "{page}");
    }
}

#[tokio::test]
async fn a_container_claims_an_address_as_a_host() {
    let (engine, edge) = start("open", "").await;
    let values = [("VIRTUAL_HOST", "[2001:DB8::0:1], 192.0.2.7")];
    let one = Container::new("addressed", 1, &values).await;
    engine.set("addressed", "web", vec![one.unit.clone()]);
    answers(&edge, "http://192.0.2.7/", 200).await;
    let ask = edge
        .ask("http://192.0.2.7/")
        .field("host", "[2001:db8::1]:8080");
    let told = ask.send().await.json();
    assert_eq!(told["fields"]["host"][0], "[2001:db8::1]:8080");
}

#[tokio::test]
async fn a_site_behind_ports_of_its_own_redirects_to_them_and_tells_its_replica() {
    let (engine, edge) = start("open", "").await;
    let folder = edge.folder.path().join("certs");
    let ports = [
        ("EXTERNAL_HTTP_PORT", "8080"),
        ("EXTERNAL_HTTPS_PORT", "8448"),
    ];
    let mut containers = Vec::new();
    for (last, (name, method)) in (1..).zip([("led", "redirect"), ("both", "noredirect")]) {
        let host = format!("{name}.example.org");
        edge.pki.write_pair(&folder, &[&host]);
        let values = [("VIRTUAL_HOST", host.as_str()), ("HTTPS_METHOD", method)];
        let one = Container::new(name, last, &[&values[..], &ports[..]].concat()).await;
        engine.set(name, "web", vec![one.unit.clone()]);
        containers.push(one);
    }
    answers(&edge, "http://led.example.org:8080/a?b", 301).await;
    let led = edge.get("http://led.example.org:8080/a?b").await;
    assert_eq!(led.field("location"), "https://led.example.org:8448/a?b");
    answers(&edge, "https://both.example.org/", 200).await;
    for (url, host, port) in [
        (
            "http://both.example.org:8080/",
            "both.example.org:8080",
            "8080",
        ),
        (
            "https://both.example.org:8448/",
            "both.example.org:8448",
            "8448",
        ),
        // Whatever a client writes into the field: the site knows where it is.
        ("https://both.example.org/", "both.example.org:8448", "8448"),
    ] {
        let told = edge.get(url).await.json();
        assert_eq!(told["fields"]["host"][0], host, "{url}");
        assert_eq!(told["fields"]["x-forwarded-port"][0], port, "{url}");
    }
}

#[tokio::test]
async fn a_redirect_that_is_no_get_keeps_its_method_by_the_status_that_is_asked_for() {
    let (engine, edge) = start("open", "").await;
    let folder = edge.folder.path().join("certs");
    let label = "com.github.nginx-proxy.nginx-proxy.non-get-redirect";
    let mut containers = Vec::new();
    for (last, (name, said)) in (1..).zip([
        ("usual", None),
        ("label", Some((label, "307"))),
        ("variable", Some(("NON_GET_REDIRECT", "307"))),
    ]) {
        let host = format!("{name}.example.org");
        edge.pki.write_pair(&folder, &[&host]);
        let mut values = vec![("VIRTUAL_HOST", host.as_str())];
        values.extend(said);
        let one = Container::new(name, last, &values).await;
        engine.set(name, "web", vec![one.unit.clone()]);
        containers.push(one);
    }
    for (name, expected) in [("usual", 308), ("label", 307), ("variable", 307)] {
        let url = format!("http://{name}.example.org/a");
        answers(&edge, &url, 301).await;
        for method in [
            Method::OPTIONS,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let status = edge.ask(&url).method(method.clone()).send().await.status;
            assert_eq!(status, expected, "{name} {method}");
        }
    }
}

#[tokio::test]
async fn http2_is_spoken_with_every_host_but_those_that_want_none() {
    let (engine, edge) = start("open", "").await;
    let folder = edge.folder.path().join("certs");
    let label = "com.github.nginx-proxy.nginx-proxy.http2.enable";
    let mut containers = Vec::new();
    for (last, (name, value)) in (1..).zip([("with", "true"), ("without", "false")]) {
        let host = format!("{name}.example.org");
        edge.pki.write_pair(&folder, &[&host]);
        let values = [("VIRTUAL_HOST", host.as_str()), (label, value)];
        let one = Container::new(name, last, &values).await;
        engine.set(name, "web", vec![one.unit.clone()]);
        containers.push(one);
        answers(&edge, &format!("https://{host}/"), 200).await;
    }
    let over_h2 = async |url: &str| edge.ask(url).http2().try_send().await;
    let with = over_h2("https://with.example.org/").await.expect("HTTP/2");
    assert_eq!(with.status, 200);
    assert!(over_h2("https://without.example.org/").await.is_err());
}

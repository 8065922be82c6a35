//! Names that containers give themselves, from the listing to the answer. What Docker itself tells is
//! in `docker_compat`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Method;
use usher::inventory::{Claims, Unit};

use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Setup};

pub fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// A container that listens, and says this of itself.
pub struct Container {
    pub origin: Origin,
    pub unit: Unit,
}

impl Container {
    pub async fn new(name: &str, last: u8, values: &[(&str, &str)]) -> Self {
        let origin = Origin::start_at(name, SocketAddr::new(loopback(last), 0)).await;
        let port = origin.address.port();
        let mut unit = unit(name, 1, loopback(last));
        unit.ports = vec![port];
        let mut container = Self { origin, unit };
        container.say(values);
        container
    }

    pub fn say(&mut self, values: &[(&str, &str)]) {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.unit.claims = Arc::new(Claims {
            values: values.iter().map(owned).collect(),
            left_out: Vec::new(),
        });
    }
}

pub fn text(mode: &str, tables: &str) -> String {
    format!("[engine]\nkind = \"docker\"\nnames-from-containers = \"{mode}\"\n{tables}")
}

async fn start(mode: &str, tables: &str) -> (Arc<FakeEngine>, Edge) {
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&text(mode, tables))
        .engine(shared, false)
        .start()
        .await;
    (engine, edge)
}

pub async fn answers(edge: &Edge, url: &str, status: u16) -> String {
    eventually(&format!("{status} from {url}"), async || {
        match edge.ask(url).try_send().await {
            Ok(answer) if answer.status == status => Ok(answer.text()),
            Ok(answer) => Err(answer.status.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// Everything that is not healthy, with the reasons.
pub async fn says(edge: &Edge, words: &[&str]) {
    eventually(&format!("a reason with {words:?}"), async || {
        let stats = edge.stats().await;
        let mut reasons = stats["reasons"].to_string();
        for instance in stats["instances"].as_array().expect("instances") {
            reasons.push_str(&instance["reasons"].to_string());
        }
        check(words.iter().all(|word| reasons.contains(word)), reasons)
    })
    .await;
}

#[tokio::test]
async fn a_container_with_a_name_is_routed_and_without_it_nobody_knows_it() {
    let (engine, edge) = start("open", "").await;
    let url = "http://blog.example.org/";
    assert_eq!(edge.get(url).await.status, 503);
    let blog = Container::new("blog", 1, &[("VIRTUAL_HOST", "blog.example.org")]).await;
    engine.set("blog", "web", vec![blog.unit.clone()]);
    let page = answers(&edge, url, 200).await;
    assert!(page.contains("\"blog\""), "{page}");
    // No certificate yet: served as it is, and not led to where nothing answers.
    let status = edge.ask(url).method(Method::POST).send().await.status;
    assert_eq!(status, 200);

    engine.down("blog");
    let page = answers(&edge, url, 503).await;
    assert!(!page.contains("blog.example.org"), "{page}");
    assert!(edge.instance("blog").await.is_null());
}

#[tokio::test]
async fn paths_lead_to_their_services_and_are_replaced_on_the_way() {
    let (engine, edge) = start("open", "").await;
    let host = ("VIRTUAL_HOST", "shop.example.org");
    let web = Container::new("web", 1, &[host]).await;
    let api = [host, ("VIRTUAL_PATH", "/api/"), ("VIRTUAL_DEST", "/v1/")];
    let api = Container::new("api", 2, &api).await;
    let inner = [
        host,
        ("VIRTUAL_PATH", "/inner"),
        ("NETWORK_ACCESS", "internal"),
    ];
    let inner = Container::new("inner", 3, &inner).await;
    let live = [host, ("VIRTUAL_PATH", "/live"), ("VIRTUAL_DEST", "/ws/")];
    let live = Container::new("live", 4, &live).await;
    let all = [
        ("web", &web),
        ("api", &api),
        ("inner", &inner),
        ("live", &live),
    ];
    for (service, one) in all {
        engine.set("shop", service, vec![one.unit.clone()]);
    }
    answers(&edge, "http://shop.example.org/", 200).await;
    answers(&edge, "http://shop.example.org/api/a%20b?x=1", 200).await;
    answers(&edge, "http://shop.example.org/inner/x", 200).await;
    answers(&edge, "http://shop.example.org/%61pi/spelled", 200).await;
    assert_eq!(edge.get("http://shop.example.org/apis").await.status, 200);

    let asked = api.origin.requests();
    assert!(asked.contains(&"GET /v1/a%20b".to_owned()), "{asked:?}");
    assert!(asked.contains(&"GET /v1/spelled".to_owned()), "{asked:?}");
    assert!(web.origin.requests().contains(&"GET /apis".to_owned()));
    assert!(inner.origin.requests().contains(&"GET /inner/x".to_owned()));

    // A websocket is asked for where a request would be.
    // What the origin says to a request where it expects a websocket.
    answers(&edge, "http://shop.example.org/live/x", 400).await;
    let socket = edge.ask("ws://shop.example.org/live/").websocket().await;
    assert_eq!(socket.expect("open").echo("hello").await, "live: hello");
    let asked = live.origin.requests();
    assert!(asked.contains(&"GET /ws/".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn a_container_that_its_own_health_check_calls_ill_gets_nothing() {
    let (engine, edge) = start("open", "").await;
    let mut blog = Container::new("blog", 1, &[("VIRTUAL_HOST", "blog.example.org")]).await;
    blog.unit.health = Some(false);
    engine.set("blog", "web", vec![blog.unit.clone()]);
    eventually("it is known, and not ready", async || {
        let blog = edge.instance("blog").await;
        check(
            blog["services"][0]["replicas"][0]["state"] == "starting",
            blog,
        )
    })
    .await;
    assert_eq!(blog.origin.requests(), Vec::<String>::new());
    blog.unit.health = Some(true);
    engine.set("blog", "web", vec![blog.unit.clone()]);
    answers(&edge, "http://blog.example.org/", 200).await;
}

#[tokio::test]
async fn two_stacks_that_claim_one_name_are_never_mixed() {
    let (engine, edge) = start("open", "").await;
    let host = [("VIRTUAL_HOST", "a.example.org")];
    let owner = Container::new("owner", 1, &host).await;
    engine.set("shop", "web", vec![owner.unit.clone()]);
    answers(&edge, "http://a.example.org/", 200).await;
    let other = [("VIRTUAL_HOST", "a.example.org,b.example.org")];
    let other = Container::new("other", 2, &other).await;
    engine.set("attack", "web", vec![other.unit.clone()]);
    answers(&edge, "http://b.example.org/", 200).await;
    for _ in 0..20 {
        assert!(
            edge.get("http://a.example.org/")
                .await
                .text()
                .contains("\"owner\"")
        );
    }
    says(
        &edge,
        &["container other", "a.example.org", "the stack shop has it"],
    )
    .await;
}

#[tokio::test]
async fn listed_gives_what_the_configuration_grants_and_off_gives_nothing() {
    let congress = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
        [instance.service.web]\nrole = \"fixed\"\n";
    let (engine, edge) = start("listed", congress).await;
    let host = [("VIRTUAL_HOST", "congress.example.org,more.example.org")];
    let granted = Container::new("granted", 1, &host).await;
    engine.set("congress", "web", vec![granted.unit.clone()]);
    let blog = Container::new("blog", 2, &[("VIRTUAL_HOST", "blog.example.org")]).await;
    engine.set("blog", "web", vec![blog.unit.clone()]);
    answers(&edge, "https://congress.example.org/", 200).await;
    says(
        &edge,
        &["more.example.org", "`domains` of the instance congress"],
    )
    .await;
    says(&edge, &["stack blog is not served", "no entry grants it"]).await;
    for name in ["more", "blog"] {
        assert_eq!(
            edge.get(&format!("http://{name}.example.org/"))
                .await
                .status,
            503
        );
    }

    edge.reload(&text("open", congress)).await;
    answers(&edge, "http://blog.example.org/", 200).await;
    edge.reload(&text("off", congress)).await;
    answers(&edge, "http://blog.example.org/", 503).await;
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
    let reasons = edge.stats().await["reasons"].to_string();
    assert!(!reasons.contains("blog"), "{reasons}");
}

#[tokio::test]
async fn with_a_pair_in_the_folder_the_four_methods_answer_as_they_did() {
    let (engine, edge) = start("open", "").await;
    let names = ["redirect", "noredirect", "nohttp", "nohttps"];
    let mut containers = Vec::new();
    for (last, name) in (1..).zip(names) {
        let host = format!("{name}.example.org");
        let folder = edge.folder.path().join("certs");
        edge.pki.write_pair(&folder, &[&host]);
        let values = [("VIRTUAL_HOST", host.as_str()), ("HTTPS_METHOD", name)];
        let container = Container::new(name, last, &values).await;
        engine.set(name, "web", vec![container.unit.clone()]);
        containers.push(container);
    }
    for name in ["redirect", "noredirect", "nohttp"] {
        answers(&edge, &format!("https://{name}.example.org/"), 200).await;
    }
    let redirect = "http://redirect.example.org/a?b=c";
    answers(&edge, redirect, 301).await;
    let told = edge.ask(redirect).method(Method::POST).send().await;
    assert_eq!(told.status, 308);
    let location = told.field("location");
    assert!(
        location.starts_with("https://redirect.example.org"),
        "{location}"
    );
    assert!(location.ends_with("/a?b=c"), "{location}");
    assert_eq!(edge.get("http://noredirect.example.org/").await.status, 200);
    answers(&edge, "http://nohttp.example.org/", 503).await;
    assert_eq!(edge.get("http://nohttps.example.org/").await.status, 200);
    let refused = edge.ask("https://nohttps.example.org/").try_send().await;
    assert!(refused.is_err(), "no certificate for it");

    let hsts = async |url: &str| {
        let answer = edge.get(url).await;
        (
            answer.status,
            answer.field("strict-transport-security").to_owned(),
        )
    };
    let always = "max-age=31536000".to_owned();
    assert_eq!(
        hsts("https://redirect.example.org/").await,
        (200, always.clone())
    );
    let reserved = "https://redirect.example.org/.well-known/acme-challenge/x";
    assert_eq!(hsts(reserved).await, (404, always), "on errors too");
    assert_eq!(
        hsts("https://noredirect.example.org/").await,
        (200, String::new())
    );
    let trace = edge
        .ask("https://redirect.example.org/")
        .method(Method::TRACE);
    assert_eq!(trace.send().await.status, 405);
}

#[tokio::test]
async fn three_hundred_hostile_values_cost_a_neighbour_nothing() {
    let (engine, edge) = start("open", "").await;
    let good = Container::new("good", 1, &[("VIRTUAL_HOST", "good.example.org")]).await;
    engine.set("good", "web", vec![good.unit.clone()]);
    answers(&edge, "http://good.example.org/", 200).await;
    let mut socket = edge
        .ask("ws://good.example.org/ws/")
        .websocket()
        .await
        .expect("open");
    let mut hostile = Container::new("hostile", 2, &[]).await;
    for (at, value) in [
        "",
        ",",
        "\r\nX: y",
        "~(((",
        "*",
        "good.example.org",
        "a b",
        "%00",
    ]
    .into_iter()
    .cycle()
    .take(300)
    .enumerate()
    {
        let values = [
            ("VIRTUAL_HOST", "good.example.org,~.*,mine.example.org"),
            ("VIRTUAL_PORT", value),
            ("VIRTUAL_PATH", value),
            ("HSTS", value),
            ("LETSENCRYPT_HOST", value),
        ];
        hostile.say(&values[..1 + at % values.len()]);
        engine.set("hostile", "web", vec![hostile.unit.clone()]);
    }
    hostile.say(&[
        ("VIRTUAL_HOST", "good.example.org,~.*"),
        ("CERT_NAME", "good.example.org"),
    ]);
    engine.set("hostile", "web", vec![hostile.unit.clone()]);
    says(&edge, &["container hostile", "the stack good has it"]).await;
    assert_eq!(socket.echo("still").await, "good: still");
    assert!(
        edge.get("http://good.example.org/")
            .await
            .text()
            .contains("\"good\"")
    );
}

#[tokio::test]
async fn an_entry_for_many_grants_names_and_its_containers_say_the_rest() {
    let all = "[[instance]]\nname = \"*\"\nmatch = { services = [\"web\"] }\n\
        domains = [\"{stack}.slides.example.org\"]\n\
        [instance.service.web]\nrole = \"fixed\"\n";
    let (engine, edge) = start("listed", all).await;
    let values = [
        (
            "VIRTUAL_HOST",
            "spring.slides.example.org,autumn.slides.example.org",
        ),
        ("VIRTUAL_PATH", "/app/"),
        ("VIRTUAL_DEST", "/"),
    ];
    let spring = Container::new("spring", 1, &values).await;
    engine.set("spring", "web", vec![spring.unit.clone()]);
    answers(&edge, "http://spring.slides.example.org/app/x", 200).await;
    let asked = spring.origin.requests();
    assert!(asked.contains(&"GET /x".to_owned()), "{asked:?}");
    let other = "http://autumn.slides.example.org/app/x";
    assert_eq!(edge.get(other).await.status, 503);
    says(
        &edge,
        &[
            "autumn.slides.example.org",
            "`domains` of the instance spring",
        ],
    )
    .await;
}

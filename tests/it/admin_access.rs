//! Who may look in from elsewhere: tokens, certificates of clients, and what nobody may.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Answer, Edge, Front, Origin, Pki, Setup, instance};

const ALL: &str = "3f1c7be05c2d4b0f9a55e1c0";
const ONE: &str = "90d2a8c77b2e4c1fb0c4d7aa";

/// usher with an admin listener that others reach, and two instances.
async fn open() -> (Edge, Pki, Origin) {
    let origin = Origin::start("one").await;
    let mut setup = Setup::new("");
    let clients = Pki::new();
    let folder = setup.path("");
    fs::write(
        folder.join("tokens"),
        format!("{ALL}\n{ONE} instance=congress\n"),
    )
    .unwrap();
    fs::write(folder.join("clients.pem"), clients.root_pem()).unwrap();
    let folder = folder.display();
    setup.text(&format!(
        "[admin]\nlisten = \"0.0.0.0:0\"\nsocket = \"{folder}control.sock\"\n\
         certificate = \"congress.example.org\"\ntoken-file = \"{folder}tokens\"\n\
         client-ca = \"{folder}clients.pem\"\n{}{}",
        instance("congress", &[origin.address]),
        instance("assembly", &[origin.address])
    ));
    (setup.start().await, clients, origin)
}

/// One request as a scraper sends it: by name, over TLS.
async fn ask(
    edge: &Edge,
    config: ClientConfig,
    method: Method,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Answer, Box<dyn std::error::Error>> {
    let address = SocketAddr::from(([127, 0, 0, 1], edge.running.admin.port()));
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("congress.example.org")?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "ops.example.org");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::new()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Answer {
        status: head.status.as_u16(),
        fields: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

async fn get(edge: &Edge, path: &str, fields: &[(&str, &str)]) -> Answer {
    let answer = ask(edge, edge.trust(&["http/1.1"]), Method::GET, path, fields).await;
    answer.unwrap_or_else(|error| panic!("{path}: {error}"))
}

const PATHS: [&str; 11] = [
    "/",
    "/decisions",
    "/events",
    "/instance/congress",
    "/livez",
    "/metrics",
    "/nginx_status",
    "/nowhere",
    "/stats",
    "/stats/congress",
    "/stats/nobody",
];

#[tokio::test]
async fn without_a_token_or_with_a_wrong_one_nothing_is_told() {
    let (edge, _, _origin) = open().await;
    let wrong = format!("Bearer {ALL}x");
    for fields in [&[][..], &[("authorization", wrong.as_str())]] {
        let mut seen = Vec::new();
        for path in PATHS {
            let answer = get(&edge, path, fields).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.text(), "", "{path}");
            let mut head = answer.fields.clone();
            head.remove("date");
            seen.push(format!("{head:?}"));
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "every refusal is the same: {seen:?}");
    }
    // Plain HTTP is no way around TLS.
    let address = SocketAddr::from(([127, 0, 0, 1], edge.running.admin.port()));
    let tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /stats HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ALL}\r\n\r\n");
    let answer = crate::harness::client::raw(tcp, request.as_bytes()).await;
    assert!(!answer.contains("version"), "{answer}");
}

#[tokio::test]
async fn a_token_opens_everything_and_changes_nothing() {
    let (edge, _, _origin) = open().await;
    edge_is_listed(&edge).await;
    let bearer = format!("Bearer {ALL}");
    let fields = [("authorization", bearer.as_str())];
    let stats = get(&edge, "/stats", &fields).await.json();
    assert_eq!(stats["instances"].as_array().unwrap().len(), 2);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        for path in ["/command", "/stats/congress", "/"] {
            let trust = edge.trust(&["http/1.1"]);
            let answer = ask(&edge, trust, method.clone(), path, &fields).await;
            assert_eq!(answer.unwrap().status, 405, "{method} {path}");
        }
    }
    let foreign = [fields[0], ("origin", "https://evil.example.net")];
    let answer = get(&edge, "/stats", &foreign).await;
    assert_eq!((answer.status, answer.text().as_str()), (403, ""));
}

/// Waits until both instances are in the statistics.
async fn edge_is_listed(edge: &Edge) {
    let bearer = format!("Bearer {ALL}");
    let fields = [("authorization", bearer.as_str())];
    crate::harness::eventually("both instances", async || {
        let stats = get(edge, "/stats", &fields).await.json();
        let count = stats["instances"].as_array().map_or(0, Vec::len);
        if count == 2 { Ok(()) } else { Err(stats) }
    })
    .await;
}

#[tokio::test]
async fn a_token_for_one_instance_sees_that_one_as_if_there_were_no_other() {
    let (edge, _, _origin) = open().await;
    edge_is_listed(&edge).await;
    edge.get("https://assembly.example.org/").await;
    let bearer = format!("Bearer {ONE}");
    let fields = [("authorization", bearer.as_str())];
    for path in PATHS.iter().filter(|path| **path != "/events") {
        let answer = get(&edge, path, &fields).await;
        let text = answer.text();
        assert!(!text.contains("assembly"), "{path}: {text}");
        if text.contains("not found") {
            assert_eq!(answer.status, 404, "{path}");
        }
    }
    for path in [
        "/",
        "/stats",
        "/metrics",
        "/instance/congress",
        "/stats/congress/errors",
    ] {
        assert_eq!(get(&edge, path, &fields).await.status, 200, "{path}");
    }
    let stats = get(&edge, "/stats", &fields).await.json();
    assert_eq!(stats["instances"].as_array().unwrap().len(), 1);
    assert_eq!(stats["totals"]["requests_total"], 0, "{stats}");
    assert_eq!(stats["nodes"], serde_json::json!([]));
    let metrics = get(&edge, "/metrics", &fields).await.text();
    assert!(metrics.contains("instance=\"congress\""), "{metrics}");
    assert!(!metrics.contains("process_"), "{metrics}");
    // Another's page and one that is not there are refused alike.
    for path in [
        "/stats/assembly",
        "/stats/nobody",
        "/stats/assembly/errors",
        "/instance/assembly",
        "/instance/nobody",
        "/events?view=page&instance=assembly",
        "/events?view=page&instance=nobody",
        "/instance/assembly?replica=assembly_web_1",
        "/events?view=output&instance=assembly",
        "/events?view=output&instance=nobody",
    ] {
        let answer = get(&edge, path, &fields).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""), "{path}");
    }
}

#[tokio::test]
async fn a_certificate_of_the_own_authority_opens_and_another_does_not() {
    let (edge, clients, _origin) = open().await;
    let with = |authority: &Pki| {
        let (chain, key) = authority.pair(&["ops"]);
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
        let chain = chain.map(|one| one.expect("PEM")).take(1).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(edge.pki.root_pem().as_bytes()) {
            roots.add(root.expect("PEM")).expect("a root");
        }
        let config = ClientConfig::builder().with_root_certificates(roots);
        config.with_client_auth_cert(chain, key).expect("a pair")
    };
    let answer = ask(&edge, with(&clients), Method::GET, "/stats", &[]).await;
    assert_eq!(answer.unwrap().status, 200);
    let refused = ask(&edge, with(&Pki::new()), Method::GET, "/stats", &[]).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn a_renewed_pair_is_shown_without_a_restart() {
    let (edge, _, _origin) = open().await;
    let bearer = format!("Bearer {ALL}");
    let fields = [("authorization", bearer.as_str())];
    let other = Pki::new();
    let ask_other = async || {
        let config = other.client(&["http/1.1"]);
        ask(&edge, config, Method::GET, "/livez", &fields).await
    };
    assert!(
        ask_other().await.is_err(),
        "the first authority's pair is shown"
    );
    other.write_pair(&edge.folder.path().join("certs"), &["congress.example.org"]);
    crate::harness::eventually("the new pair", async || {
        let answer = ask_other().await;
        answer
            .map(|answer| assert_eq!(answer.status, 200))
            .map_err(|error| error.to_string())
    })
    .await;
}

/// Whatever is asked, and with whatever, by somebody whose token is good or not.
fn odd_requests() -> impl Iterator<Item = (Method, String, Vec<(&'static str, String)>)> {
    const PARTS: [&str; 12] = [
        "/stats",
        "/congress",
        "/errors",
        "/sessions",
        "//",
        "/..",
        "/%2e%2e",
        "/%00",
        "?a=b",
        "?limit=-1",
        "/\u{202e}x",
        ";x",
    ];
    const METHODS: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::TRACE,
    ];
    const FIELDS: [(&str, &str); 8] = [
        ("host", "evil.example.net"),
        ("origin", "https://evil.example.net"),
        ("origin", "null"),
        ("accept", "\u{0}"),
        ("last-event-id", "-1"),
        ("range", "bytes=0-"),
        ("content-type", "application/json"),
        ("cookie", "token=x"),
    ];
    let mut state = 0x9e37_79b9_u32;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    std::iter::repeat_with(move || {
        let method = METHODS[next(METHODS.len())].clone();
        let parts = 1 + next(3);
        let path: String = (0..parts).map(|_| PARTS[next(PARTS.len())]).collect();
        let path = if path.starts_with('/') {
            path
        } else {
            format!("/{path}")
        };
        let path = path.replace('\u{202e}', "%E2%80%AE");
        let mut fields = Vec::new();
        for _ in 0..next(3) {
            let (name, value) = FIELDS[next(FIELDS.len())];
            if !value.contains('\0') {
                fields.push((name, value.to_owned()));
            }
        }
        (method, path, fields)
    })
}

#[tokio::test]
async fn no_odd_request_gets_in_breaks_anything_or_changes_it() {
    const COUNT: usize = 300;
    let (edge, _, _origin) = open().await;
    edge_is_listed(&edge).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let before = get(&edge, "/stats", &[("authorization", &bearer(ALL))])
        .await
        .json();
    for (method, path, fields) in odd_requests().take(COUNT) {
        for (token, good) in [(None, false), (Some("wrong"), false), (Some(ONE), true)] {
            let mut fields = fields.clone();
            if let Some(token) = token {
                fields.push(("authorization", bearer(token)));
            }
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let answer = ask(
                &edge,
                edge.trust(&["http/1.1"]),
                method.clone(),
                &path,
                &fields,
            )
            .await;
            let what = format!("{method} {path} {fields:?}");
            let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
            let allowed: &[u16] = match good {
                true => &[200, 400, 403, 404, 405, 414],
                false => &[400, 401, 403],
            };
            assert!(
                allowed.contains(&answer.status),
                "{what}: {}",
                answer.status
            );
            let text = answer.text();
            assert!(!text.contains("assembly"), "{what}: {text}");
            if !good {
                assert!(!text.contains("congress"), "{what}: {text}");
            }
        }
    }
    let after = get(&edge, "/stats", &[("authorization", &bearer(ALL))])
        .await
        .json();
    for fixed in ["generation", "started", "version"] {
        assert_eq!(before[fixed], after[fixed], "{fixed}");
    }
}

#[tokio::test]
async fn how_much_of_a_token_is_right_does_not_show_in_the_time() {
    const ROUNDS: usize = 200;
    let (edge, _, _origin) = open().await;
    let almost = format!("Bearer {}b", &ALL[..ALL.len() - 1]);
    let nothing = format!("Bearer {}", "z".repeat(ALL.len()));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (token, times) in [&almost, &nothing].into_iter().zip(&mut times) {
            let begun = tokio::time::Instant::now();
            let answer = get(&edge, "/stats", &[("authorization", token)]).await;
            times.push(begun.elapsed());
            assert_eq!(answer.status, 401);
        }
    }
    let median = |times: &mut Vec<std::time::Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let [almost, nothing] = times.each_mut().map(median);
    println!("a token that is almost right {almost:.3} ms, a wrong one {nothing:.3} ms");
    assert!(
        (0.7..1.4).contains(&(almost / nothing)),
        "{almost} and {nothing}"
    );
}

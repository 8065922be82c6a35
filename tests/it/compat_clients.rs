//! Certificates of clients, as nginx-proxy asked for them: authorities in the folder of certificates,
//! what they have revoked, and how containers want clients asked.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::CertificateParams;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind};

use crate::harness::claiming::{Container, answers, says, text};
use crate::harness::client::tls;
use crate::harness::engine::{FakeEngine, Shared};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Pki, Setup, instance};

const BLOG: &str = "blog.example.org";
const VERIFY: &str = "com.github.nginx-proxy.nginx-proxy.ssl_verify_client";

/// An edge as a client comes to it that has a certificate, or none.
struct Visitor<'e> {
    edge: &'e Edge,
    config: ClientConfig,
}

impl<'e> Visitor<'e> {
    fn nobody(edge: &'e Edge) -> Self {
        let config = edge.pki.client(&[]);
        Self { edge, config }
    }

    /// With the certificate of this number by this authority.
    fn signed(edge: &'e Edge, authority: &Pki, number: u64) -> Self {
        let mut params = CertificateParams::new(["somebody".to_owned()]).expect("a name");
        params.serial_number = Some(number.into());
        let (chain, key) = authority.sign(params);
        let chain = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let config = ClientConfig::builder()
            .with_root_certificates(edge.pki.roots())
            .with_client_auth_cert(vec![chain], key)
            .expect("a client");
        Self { edge, config }
    }

    /// The status of what a host answers, or none where the handshake comes to nothing.
    async fn status(&self, host: &str) -> Option<u16> {
        let answer = self.ask(&format!("https://{host}/")).try_send().await;
        answer.ok().map(|answer| answer.status)
    }

    async fn until(&self, host: &str, status: Option<u16>) {
        eventually(&format!("{status:?} from {host}"), async || {
            let now = self.status(host).await;
            check(now == status, now)
        })
        .await;
    }
}

impl Front for Visitor<'_> {
    fn http(&self) -> SocketAddr {
        self.edge.http()
    }

    fn https(&self) -> SocketAddr {
        self.edge.https()
    }

    fn trust(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = self.config.clone();
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        config
    }
}

/// An edge where containers name themselves, and a pair for each of these hosts.
async fn edge(hosts: &[&str], prepare: impl FnOnce(&Setup)) -> (Arc<FakeEngine>, Edge) {
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let setup = Setup::new(&text("open", "")).engine(shared, false);
    for host in hosts {
        setup.write_pair(&[host]);
    }
    prepare(&setup);
    (engine, setup.start().await)
}

fn certs(edge: &Edge, name: &str) -> PathBuf {
    edge.folder.path().join("certs").join(name)
}

async fn run(engine: &FakeEngine, stack: &str, last: u8, values: &[(&str, &str)]) -> Container {
    let container = Container::new(stack, last, values).await;
    engine.set(stack, "web", vec![container.unit.clone()]);
    container
}

#[tokio::test]
async fn the_authority_of_a_host_counts_for_it_and_the_one_for_all_for_the_others() {
    const WIKI: &str = "wiki.example.org";
    let (own, of_all) = (Pki::new(), Pki::new());
    let (engine, edge) = edge(&[BLOG, WIKI], |setup| {
        let write = |name: &str, pem: String| fs::write(setup.path("certs").join(name), pem);
        write("blog.example.org.ca.crt", own.root_pem()).unwrap();
        write("ca.crt", of_all.root_pem()).unwrap();
    })
    .await;
    let _blog = run(&engine, "blog", 1, &[("VIRTUAL_HOST", BLOG)]).await;
    let _wiki = run(&engine, "wiki", 2, &[("VIRTUAL_HOST", WIKI)]).await;
    let with_own = Visitor::signed(&edge, &own, 1);
    let with_other = Visitor::signed(&edge, &of_all, 1);
    let nobody = Visitor::nobody(&edge);
    with_own.until(BLOG, Some(200)).await;
    with_other.until(WIKI, Some(200)).await;
    for (visitor, host) in [
        (&with_other, BLOG),
        (&with_own, WIKI),
        (&nobody, BLOG),
        (&nobody, WIKI),
    ] {
        assert_eq!(visitor.status(host).await, Some(400), "{host}");
    }
    // Over plain HTTP it is led to where it is asked.
    let answer = edge.get(&format!("http://{BLOG}/")).await;
    assert_eq!(answer.status, 301);
    // Nobody is asked any more when the files are gone.
    fs::remove_file(certs(&edge, "blog.example.org.ca.crt")).unwrap();
    with_other.until(BLOG, Some(200)).await;
    fs::remove_file(certs(&edge, "ca.crt")).unwrap();
    nobody.until(BLOG, Some(200)).await;
}

#[tokio::test]
async fn a_container_says_how_its_clients_are_asked() {
    let people = Pki::new();
    let hosts = ["on", "optional", "optional_no_ca", "off", "perhaps"];
    let names = hosts.map(|name| format!("{}.example.org", name.replace('_', "-")));
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let (engine, edge) = edge(&all, |setup| {
        fs::write(setup.path("certs/ca.crt"), people.root_pem()).unwrap();
    })
    .await;
    let mut containers = Vec::new();
    for (last, (host, verify)) in (1..).zip(all.iter().zip(hosts)) {
        let stack = verify.replace('_', "-");
        let says = [("VIRTUAL_HOST", *host), (VERIFY, verify)];
        containers.push(run(&engine, &stack, last, &says).await);
    }
    let known = Visitor::signed(&edge, &people, 1);
    let stranger = Visitor::signed(&edge, &Pki::new(), 1);
    let nobody = Visitor::nobody(&edge);
    for (at, [of_known, of_stranger, of_nobody]) in [
        [Some(200), Some(400), Some(400)],
        [Some(200), Some(400), Some(200)],
        [Some(200), Some(200), Some(200)],
        [Some(200), Some(200), Some(200)],
        // What is not understood is as if it were not said.
        [Some(200), Some(400), Some(400)],
    ]
    .into_iter()
    .enumerate()
    {
        known.until(all[at], of_known).await;
        assert_eq!(stranger.status(all[at]).await, of_stranger, "{}", all[at]);
        assert_eq!(nobody.status(all[at]).await, of_nobody, "{}", all[at]);
    }
    says(&edge, &["ssl_verify_client", "perhaps"]).await;
}

#[tokio::test]
async fn what_is_revoked_comes_in_no_more_and_a_ticket_of_before_is_no_way_around_it() {
    let people = Pki::new();
    let (engine, edge) = edge(&[BLOG], |setup| {
        fs::write(
            setup.path("certs/blog.example.org.ca.crt"),
            people.root_pem(),
        )
        .unwrap();
    })
    .await;
    let _blog = run(&engine, "blog", 1, &[("VIRTUAL_HOST", BLOG)]).await;
    let (first, second) = (
        Visitor::signed(&edge, &people, 1),
        Visitor::signed(&edge, &people, 2),
    );
    first.until(BLOG, Some(200)).await;
    // It has a ticket now, and would be let in by it.
    let resumes = tls(&first, BLOG, &["http/1.1"]).await.expect("open");
    let kind = resumes.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));
    let list = certs(&edge, "blog.example.org.crl.pem");

    fs::write(&list, people.revoked(&[1], 4095)).unwrap();
    first.until(BLOG, Some(400)).await;
    assert_eq!(second.status(BLOG).await, Some(200));
    // Broken: what it said before holds on, and that is said.
    fs::write(&list, "torn").unwrap();
    says(&edge, &["blog.example.org.crl.pem", "holds on"]).await;
    assert_eq!(first.status(BLOG).await, Some(400));
    assert_eq!(second.status(BLOG).await, Some(200));
    // Out of date: it says nothing of today.
    fs::write(&list, people.revoked(&[], 2021)).unwrap();
    second.until(BLOG, Some(400)).await;
    fs::write(&list, people.revoked(&[2], 4095)).unwrap();
    first.until(BLOG, Some(200)).await;
    assert_eq!(second.status(BLOG).await, Some(400));
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_lets_nobody_in_and_plain_http_is_no_way_around_one() {
    let (engine, edge) = edge(&[BLOG], |setup| {
        fs::write(setup.path("certs/blog.example.org.ca.crt"), "torn").unwrap();
    })
    .await;
    let both = [("VIRTUAL_HOST", BLOG), ("HTTPS_METHOD", "noredirect")];
    let blog = run(&engine, "blog", 1, &both).await;
    says(&edge, &["blog.example.org.ca.crt", "nobody is let in"]).await;
    says(&edge, &["noredirect", "ssl_verify_client"]).await;
    answers(&edge, &format!("http://{BLOG}/"), 301).await;
    assert_eq!(Visitor::nobody(&edge).status(BLOG).await, Some(400));
    let stranger = Visitor::signed(&edge, &Pki::new(), 1);
    assert_eq!(stranger.status(BLOG).await, Some(400));
    let asked = blog.origin.requests();
    assert!(!asked.contains(&"GET /".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn where_plain_http_is_no_way_around_tls_clients_are_told_to_come_by_tls_only() {
    let people = Pki::new();
    let (engine, edge) = edge(&[BLOG], |setup| {
        let file = setup.path("certs/blog.example.org.ca.crt");
        fs::write(file, people.root_pem()).unwrap();
    })
    .await;
    let both = [("VIRTUAL_HOST", BLOG), ("HTTPS_METHOD", "noredirect")];
    let _blog = run(&engine, "blog", 1, &both).await;
    let known = Visitor::signed(&edge, &people, 1);
    known.until(BLOG, Some(200)).await;
    let answer = known.ask(&format!("https://{BLOG}/")).send().await;
    let told = answer.field("strict-transport-security");
    assert_eq!(told, "max-age=31536000");
}

#[tokio::test]
async fn an_entry_says_the_same_in_its_own_words() {
    let origin = Origin::start("one").await;
    let people = Pki::new();
    let mut setup = Setup::new("");
    fs::write(setup.path("clients.pem"), people.root_pem()).unwrap();
    fs::write(setup.path("revoked.pem"), people.revoked(&[1], 4095)).unwrap();
    for verify in ["on", "optional", "optional-no-ca", "off"] {
        let files = format!(
            "client-ca = {{ file = \"{}\", crl = \"{}\", verify = \"{verify}\" }}\n[instance.service",
            setup.path("clients.pem").display(),
            setup.path("revoked.pem").display()
        );
        let entry = instance(verify, &[origin.address]);
        setup.text(&entry.replace("[instance.service", &files));
    }
    let edge = setup.start().await;
    edge.all_ready().await;
    let revoked = Visitor::signed(&edge, &people, 1);
    let good = Visitor::signed(&edge, &people, 2);
    let nobody = Visitor::nobody(&edge);
    for (name, expected) in [
        ("on", [Some(400), Some(200), Some(400)]),
        ("optional", [Some(400), Some(200), Some(200)]),
        ("optional-no-ca", [Some(200), Some(200), Some(200)]),
        ("off", [Some(200), Some(200), Some(200)]),
    ] {
        let host = format!("{name}.example.org");
        let mut seen = [None; 3];
        for (seen, visitor) in seen.iter_mut().zip([&revoked, &good, &nobody]) {
            *seen = visitor.status(&host).await;
        }
        assert_eq!(seen, expected, "{name}");
    }
}

#[tokio::test]
async fn who_is_turned_away_is_so_over_every_protocol_and_from_everything_there_is() {
    let origin = Origin::start("one").await;
    let people = Pki::new();
    let mut setup = Setup::new("");
    fs::write(setup.path("clients.pem"), people.root_pem()).unwrap();
    fs::create_dir(setup.path("files")).unwrap();
    fs::write(setup.path("files/secret.txt"), "secret").unwrap();
    for (name, verify) in [("closed", "on"), ("polite", "optional")] {
        let own = format!(
            "redirect-from = [\"www.{name}.example.org\"]\n\
             client-ca = {{ file = \"{}\", verify = \"{verify}\" }}\n[instance.service",
            setup.path("clients.pem").display()
        );
        let route = format!(
            "[[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
             [[instance.route]]\nprefix = \"/files/\"\nfiles = {{ dir = \"{}\" }}\n",
            setup.path("files").display()
        );
        setup.write_pair(&[&format!("www.{name}.example.org")]);
        let entry = instance(name, &[origin.address]);
        setup.text(&(entry.replace("[instance.service", &own) + &route));
    }
    let edge = setup.start().await;
    edge.all_ready().await;
    let (known, stranger) = (
        Visitor::signed(&edge, &people, 1),
        Visitor::signed(&edge, &Pki::new(), 1),
    );
    let nobody = Visitor::nobody(&edge);
    let paths = [
        "/",
        "/files/secret.txt",
        "/nothing/%2e%2e/",
        "/.well-known/acme-challenge/x",
    ];
    for (visitor, name) in [
        (&stranger, "closed"),
        (&nobody, "closed"),
        (&stranger, "polite"),
    ] {
        for host in [
            format!("{name}.example.org"),
            format!("www.{name}.example.org"),
        ] {
            for path in paths {
                for http2 in [false, true] {
                    let ask = visitor.ask(&format!("https://{host}{path}"));
                    let ask = if http2 { ask.http2() } else { ask };
                    let answer = ask.send().await;
                    assert_eq!(
                        answer.status,
                        400,
                        "{host}{path} {http2}: {}",
                        answer.text()
                    );
                    assert_ne!(answer.text(), "secret");
                }
            }
        }
        let socket = visitor.ask(&format!("wss://{name}.example.org/ws/"));
        let refused = socket
            .websocket()
            .await
            .err()
            .expect("no websocket")
            .to_string();
        assert!(refused.contains("400"), "{refused}");
    }
    let seen = origin.requests();
    assert!(seen.iter().all(|line| !line.contains("/ws/")), "{seen:?}");
    // Who is let in gets all of it, and by one connection only what it was made for.
    for http2 in [false, true] {
        let ask = known.ask("https://closed.example.org/files/secret.txt");
        let ask = if http2 { ask.http2() } else { ask };
        assert_eq!(ask.send().await.text(), "secret");
        let ask = known.ask("https://closed.example.org/");
        let ask = if http2 { ask.http2() } else { ask };
        let over = ask.server_name("polite.example.org").send().await;
        assert_eq!(over.status, 421, "http2: {http2}");
    }
    let socket = known.ask("wss://closed.example.org/ws/").websocket().await;
    assert_eq!(socket.expect("open").echo("in").await, "one: in");
    let led = known.ask("https://www.closed.example.org/").send().await;
    assert_eq!(led.status, 301);
}

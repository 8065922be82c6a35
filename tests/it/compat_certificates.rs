//! Which certificate a name is served with where containers name themselves, and which one is ordered.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::acme::{Trusting, tree};
use crate::harness::claiming::{Container, answers, says, text};
use crate::harness::docker_api::DockerApi;
use crate::harness::engine::{FakeEngine, Shared};
use crate::harness::eventually::{check, eventually};
use crate::harness::pebble::Pebble;
use crate::harness::program::free_port;
use crate::harness::{Edge, Front, Installed, Setup};

const DEFAULT: &str = "com.github.nginx-proxy.nginx-proxy.trust-default-cert";

/// The names in the certificate that a name is answered with, or why there is none.
async fn shown(edge: &Edge, name: &str) -> Result<String, String> {
    let tcp = TcpStream::connect(edge.https()).await.unwrap();
    let mut config = edge.pki.client(&[]);
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Anything));
    config.resumption = rustls::client::Resumption::disabled();
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(server, tcp);
    let stream = stream.await.map_err(|error| error.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(names(&chain[0]))
}

fn names(leaf: &[u8]) -> String {
    let (_, leaf) = X509Certificate::from_der(leaf).expect("a certificate");
    let names = leaf.subject_alternative_name().expect("names");
    let names = names.map(|names| names.value.general_names.clone());
    let texts = names.unwrap_or_default().into_iter();
    texts
        .map(|name| name.to_string())
        .collect::<Vec<_>>()
        .join(",")
        .replace("DNSName(", "")
        .replace(')', "")
}

async fn until(edge: &Edge, name: &str, expected: &str) {
    eventually(&format!("{name} with {expected}"), async || {
        let shown = shown(edge, name).await;
        check(shown.as_deref() == Ok(expected), shown)
    })
    .await;
}

/// An edge with pairs under these names, and one container that says this.
async fn edge(pairs: &[&str], says: &[(&str, &str)]) -> (Edge, Arc<FakeEngine>, Container) {
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let setup = Setup::new(&text("open", "")).engine(shared, false);
    for name in pairs {
        setup.write_pair(&[name]);
    }
    let edge = setup.start().await;
    let container = Container::new("blog", 1, says).await;
    engine.set("blog", "web", vec![container.unit.clone()]);
    (edge, engine, container)
}

fn host(name: &str) -> (&str, &str) {
    ("VIRTUAL_HOST", name)
}

const ALL: [&str; 3] = ["a.b.example.org", "*.b.example.org", "default"];

#[tokio::test]
async fn the_pair_that_cert_name_names_is_served_before_the_hosts_own() {
    let says = [host("a.b.example.org"), ("CERT_NAME", "b.example.org")];
    let (edge, _engine, _blog) = edge(&ALL, &says).await;
    until(&edge, "a.b.example.org", "*.b.example.org").await;
}

/// An edge with one pair called `shared` for these names.
async fn shared(names: &[&str]) -> (Edge, Arc<FakeEngine>) {
    let engine = FakeEngine::new();
    let setup = Setup::new(&text("open", ""));
    let setup = setup.engine(Arc::new(Shared(Arc::clone(&engine))), false);
    setup.write_pair(&[&["shared"], names].concat());
    (setup.start().await, engine)
}

#[tokio::test]
async fn a_pair_of_any_name_is_served_for_the_hosts_it_is_for_and_the_status_tells_of_the_others() {
    let (edge, engine) = shared(&["a.example.org", "*.wild.example.org"]).await;
    let hosts = "a.example.org,x.wild.example.org,b.example.org";
    let says_so = [host(hosts), ("CERT_NAME", "shared")];
    let blog = Container::new("blog", 1, &says_so).await;
    engine.set("blog", "web", vec![blog.unit.clone()]);
    for name in ["a.example.org", "x.wild.example.org"] {
        until(&edge, name, "shared,a.example.org,*.wild.example.org").await;
        answers(&edge, &format!("http://{name}/"), 301).await;
    }
    answers(&edge, "http://b.example.org/", 200).await;
    let refused = shown(&edge, "b.example.org").await.unwrap_err();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
    says(&edge, &["shared.crt", "b.example.org"]).await;
}

#[tokio::test]
async fn a_pair_is_served_for_hosts_by_their_shape_that_it_is_for_and_for_no_neighbours() {
    let names = [
        "www.shop-1.example.org",
        "www.example.net",
        "a.shop.example.net",
    ];
    let (edge, engine) = shared(&names).await;
    let shapes = r"~^www\.(shop-\d+\.)?example\.(org|net)$,*.shop.example.net";
    let says_so = [host(shapes), ("CERT_NAME", "shared")];
    let shop = Container::new("shop", 1, &says_so).await;
    engine.set("shop", "web", vec![shop.unit.clone()]);
    // Asked before the expression, and for these it has no pair.
    let open = Container::new("open", 2, &[host("www.example.*")]).await;
    engine.set("open", "web", vec![open.unit.clone()]);

    let expected = ["shared", &names.join(",")].join(",");
    until(&edge, "www.shop-1.example.org", &expected).await;
    answers(&edge, "http://www.shop-1.example.org/", 301).await;
    let page = answers(&edge, "https://www.shop-1.example.org/", 200).await;
    assert!(page.contains("\"shop\""), "{page}");
    // A host of the shape that the pair is not for.
    answers(&edge, "http://www.shop-2.example.org/", 200).await;
    let page = answers(&edge, "http://www.example.net/", 200).await;
    assert!(page.contains("\"open\""), "{page}");
    for name in ["www.shop-2.example.org", "www.example.net"] {
        let refused = shown(&edge, name).await.unwrap_err();
        assert!(refused.contains("UnrecognisedName"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_pair_that_cert_name_names_and_that_is_not_there_is_replaced_by_none() {
    let says = [host("a.b.example.org"), ("CERT_NAME", "b.example.org")];
    let (edge, _engine, _blog) = edge(&["a.b.example.org", "default"], &says).await;
    answers(&edge, "http://a.b.example.org/", 200).await;
    let refused = shown(&edge, "a.b.example.org").await.unwrap_err();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
}

#[tokio::test]
async fn the_hosts_own_pair_is_served_before_that_of_the_domain_above() {
    let (edge, _engine, _blog) = edge(&ALL, &[host("a.b.example.org")]).await;
    until(&edge, "a.b.example.org", "a.b.example.org").await;
}

#[tokio::test]
async fn the_pair_of_the_domain_above_is_served_before_the_default() {
    let (edge, _engine, _blog) = edge(&ALL[1..], &[host("a.b.example.org")]).await;
    until(&edge, "a.b.example.org", "*.b.example.org").await;
}

#[tokio::test]
async fn the_default_is_served_before_none_and_leads_to_https() {
    let (edge, _engine, _blog) = edge(&["default"], &[host("a.b.example.org")]).await;
    until(&edge, "a.b.example.org", "default").await;
    answers(&edge, "http://a.b.example.org/", 301).await;
}

#[tokio::test]
async fn a_default_that_is_not_trusted_is_served_to_nobody_and_http_works() {
    let says = [host("a.b.example.org"), (DEFAULT, "false")];
    let (edge, _engine, _blog) = edge(&["default"], &says).await;
    answers(&edge, "http://a.b.example.org/", 200).await;
    let refused = shown(&edge, "a.b.example.org").await.unwrap_err();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
    // Its own pair would be.
    let certs = edge.folder.path().join("certs");
    edge.pki.write_pair(&certs, &["a.b.example.org"]);
    until(&edge, "a.b.example.org", "a.b.example.org").await;
}

#[tokio::test]
async fn the_default_can_be_asked_for_by_name_by_anybody() {
    let says = [host("a.b.example.org"), ("CERT_NAME", "default")];
    let (edge, _engine, _blog) = edge(&ALL, &says).await;
    until(&edge, "a.b.example.org", "default").await;
}

#[tokio::test]
async fn without_any_pair_http_is_served_and_the_handshake_gets_the_alert() {
    let (edge, _engine, _blog) = edge(&[], &[host("a.b.example.org")]).await;
    answers(&edge, "http://a.b.example.org/", 200).await;
    let refused = shown(&edge, "a.b.example.org").await.unwrap_err();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_answered_under_the_default_where_that_is_wished() {
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let folders = |setup: &Setup, trusted: bool| {
        format!(
            "[certs]\ndir = \"{}\"\nunknown-name = \"default\"\n[compat]\ntrust-default-cert = {trusted}\n",
            setup.path("certs").display()
        )
    };
    let mut setup = Setup::new(&text("open", "")).engine(shared, false);
    setup.write_pair(&["default"]);
    setup.text(&folders(&setup, false));
    let edge = setup.start().await;
    let blog = Container::new("blog", 1, &[host("a.b.example.org")]).await;
    engine.set("blog", "web", vec![blog.unit.clone()]);
    until(&edge, "unknown.example.org", "default").await;
    // Not even there for one that does not trust it.
    answers(&edge, "http://a.b.example.org/", 200).await;
    let refused = shown(&edge, "a.b.example.org").await.unwrap_err();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
}

#[tokio::test]
async fn a_pair_outlives_the_container_that_asked_for_it() {
    let (edge, engine, blog) = edge(&["a.b.example.org"], &[host("a.b.example.org")]).await;
    until(&edge, "a.b.example.org", "a.b.example.org").await;
    let before = tree(&edge.folder.path().join("certs"));
    engine.down("blog");
    answers(&edge, "http://a.b.example.org/", 503).await;
    assert_eq!(tree(&edge.folder.path().join("certs")), before);
    engine.set("blog", "web", vec![blog.unit.clone()]);
    until(&edge, "a.b.example.org", "a.b.example.org").await;
}

#[tokio::test]
async fn hsts_is_what_the_container_says() {
    let names = ["usual", "custom", "off"].map(|name| format!("{name}.example.org"));
    let pairs: Vec<&str> = names.iter().map(String::as_str).collect();
    let (edge, engine, _blog) = edge(&pairs, &[host("usual.example.org")]).await;
    let custom = "max-age=60; includeSubDomains";
    let custom = [host("custom.example.org"), ("HSTS", custom)];
    let custom = Container::new("custom", 2, &custom).await;
    let off = [host("off.example.org"), ("HSTS", "off")];
    let off = Container::new("off", 3, &off).await;
    engine.set("custom", "web", vec![custom.unit.clone()]);
    engine.set("off", "web", vec![off.unit.clone()]);
    for (name, expected) in [
        ("usual", "max-age=31536000"),
        ("custom", "max-age=60; includeSubDomains"),
        ("off", ""),
    ] {
        let url = format!("https://{name}.example.org/");
        answers(&edge, &url, 200).await;
        let told = edge.get(&url).await;
        assert_eq!(told.field("strict-transport-security"), expected, "{name}");
        let plain = edge.get(&format!("http://{name}.example.org/")).await;
        assert_eq!(plain.field("strict-transport-security"), "", "{name}");
    }
}

/// What a container says of its certificate, on the way to a real authority.
struct Ordered {
    docker: DockerApi,
    installed: Installed,
    pebble: Pebble,
}

impl Ordered {
    async fn new() -> Self {
        let docker = DockerApi::start();
        let installed = Installed::new("");
        let pebble = Pebble::start(installed.http().port()).await;
        let ordered = Self {
            docker,
            installed,
            pebble,
        };
        ordered.write();
        ordered
    }

    /// With an engine that knows nothing of what ran before.
    fn anew(&mut self) {
        self.docker = DockerApi::start();
        self.write();
    }

    fn write(&self) {
        let pebble = &self.pebble;
        let staging = pebble.directory("letsencrypt-staging", pebble.port());
        self.installed.write(&format!(
            "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
             names-from-containers = \"open\"\n{}{staging}",
            self.docker.socket().display(),
            pebble.tables()
        ));
    }

    async fn runs(&self, stack: &str, says: &[&str]) {
        self.docker.speaking(stack, "web", "app:1", says).await;
    }

    /// The kind of key that a PEM has: the curve, or the bits of RSA.
    fn kind(&self, base: &str) -> String {
        let path = self.installed.certs().join(base).join("cert.pem");
        kind(&path)
    }
}

fn kind(path: &Path) -> String {
    use x509_parser::public_key::PublicKey;
    let pem = fs::read(path).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let leaf = pem.parse_x509().unwrap();
    match leaf.public_key().parsed().unwrap() {
        PublicKey::RSA(key) => key.key_size().to_string(),
        PublicKey::EC(point) => format!("ec-{}", point.key_size().min(521)),
        _ => "?".to_owned(),
    }
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_container_chooses_the_names_and_the_key_of_its_certificate() {
    let ordered = Ordered::new().await;
    let all = "VIRTUAL_HOST=a.example.org,b.example.org,c.example.org";
    // Blanks, a comma and a dot too many, and a name that it does not serve.
    let list = "LETSENCRYPT_HOST= b.example.org ,a.example.org.,elsewhere.example.org,,";
    let says = [
        all,
        list,
        "LETSENCRYPT_EMAIL=tenant@example.org",
        "LETSENCRYPT_KEYSIZE=2048",
    ];
    ordered.runs("both", &says).await;
    let newer = [
        "VIRTUAL_HOST=d.example.org",
        "ACME_HOST=d.example.org",
        "LETSENCRYPT_HOST=x.example.org",
        "ACME_KEYSIZE=ec-384",
    ];
    ordered.runs("newer", &newer).await;
    let apart = "VIRTUAL_HOST=e.example.org,f.example.org";
    let each = "LETSENCRYPT_HOST=e.example.org,f.example.org";
    ordered
        .runs(
            "apart",
            &[
                apart,
                each,
                "LETSENCRYPT_SINGLE_DOMAIN_CERTS=true",
                "LETSENCRYPT_KEYSIZE=1024",
            ],
        )
        .await;
    let mut usher = ordered.installed.start().await;
    let front = Trusting(&ordered.installed, ordered.pebble.trusting().await);

    let both = front.issued("b.example.org").await;
    assert_eq!(
        front.issued("a.example.org").await,
        both,
        "one for both names"
    );
    assert_eq!(names(&both), "b.example.org,a.example.org");
    assert!(front.leaf("c.example.org").await.is_err(), "nobody asked");
    front.issued("d.example.org").await;
    let e = front.issued("e.example.org").await;
    let f = front.issued("f.example.org").await;
    assert_eq!(
        (names(&e), names(&f)),
        ("e.example.org".into(), "f.example.org".into())
    );
    for (base, expected) in [
        ("b.example.org", "2048"),
        ("d.example.org", "ec-384"),
        ("e.example.org", "ec-256"),
    ] {
        assert_eq!(ordered.kind(base), expected, "{base}");
    }
    let told = usher.says("LETSENCRYPT_KEYSIZE `1024`").await;
    assert!(told.contains("ec-521"), "{told}");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn replicas_that_ask_alike_have_one_order_and_the_account_of_their_address() {
    let ordered = Ordered::new().await;
    let says = [
        "VIRTUAL_HOST=a.example.org",
        "LETSENCRYPT_HOST=a.example.org",
        "LETSENCRYPT_EMAIL=tenant@example.org",
        "VIRTUAL_PORT=8000",
    ];
    for number in 1..=3 {
        ordered
            .docker
            .compose_with("blog", "web", number, &says)
            .await;
    }
    // Nobody on the internet has it.
    let local = ["VIRTUAL_HOST=localhost", "LETSENCRYPT_HOST=localhost"];
    ordered.runs("local", &local).await;
    let usher = ordered.installed.start().await;
    let front = Trusting(&ordered.installed, ordered.pebble.trusting().await);
    front.issued("a.example.org").await;
    let accounts = tree(&ordered.installed.folder.path().join("state/acme/accounts"));
    let paths: Vec<String> = accounts
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(
        paths.iter().any(|path| path.contains("tenant")),
        "{paths:?}"
    );
    let ordered = |name: &str| {
        let err = usher.err();
        let lines = err
            .lines()
            .filter(|line| line.contains("certificate ordered"));
        let names = format!("\"names\":\"{name}\"");
        lines.filter(|line| line.contains(&names)).count()
    };
    assert_eq!((ordered("a.example.org"), ordered("localhost")), (1, 0));
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_container_chooses_among_the_directories_that_are_declared_and_no_other() {
    let ordered = Ordered::new().await;
    let pebble = &ordered.pebble;
    let nobody = free_port();
    let tables = pebble.tables().replace("[\"pebble\"]", "[\"usual\"]");
    ordered.installed.write(&format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         names-from-containers = \"open\"\n{tables}{}",
        ordered.docker.socket().display(),
        // Where everybody is sent who says nothing, and nobody listens.
        pebble.directory("usual", nobody)
    ));
    let declared = format!("ACME_CA_URI=https://localhost:{}/dir", pebble.port());
    for (stack, uri) in [
        ("chooses", declared.as_str()),
        ("dreams", "ACME_CA_URI=https://ca.test/dir"),
        ("usual", "ACME_CA_URI="),
    ] {
        let (host, asks) = (
            format!("VIRTUAL_HOST={stack}.example.org"),
            format!("LETSENCRYPT_HOST={stack}.example.org"),
        );
        ordered.runs(stack, &[&host, &asks, uri]).await;
    }
    let _usher = ordered.installed.start().await;
    let front = Trusting(&ordered.installed, pebble.trusting().await);
    front.issued("chooses.example.org").await;
    eventually("the others are told why they have none", async || {
        let stats = ordered.installed.stats().await["instances"].to_string();
        let told = ["no directory `https://ca.test/dir` is declared", "usual"];
        check(told.iter().all(|text| stats.contains(text)), stats)
    })
    .await;
    for name in ["dreams", "usual"] {
        let folder = ordered
            .installed
            .certs()
            .join(format!("{name}.example.org"));
        assert!(!folder.exists(), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn staging_is_kept_apart_until_the_container_means_it() {
    let mut ordered = Ordered::new().await;
    let says = [
        "VIRTUAL_HOST=a.example.org",
        "LETSENCRYPT_HOST=a.example.org",
        "LETSENCRYPT_EMAIL=tenant@example.org",
        "LETSENCRYPT_TEST=True",
    ];
    ordered.runs("blog", &says).await;
    let mut usher = ordered.installed.start().await;
    let certs = ordered.installed.certs();
    eventually("a pair of staging", async || {
        let there = certs.join("_test_a.example.org/fullchain.pem").exists();
        check(there, there)
    })
    .await;
    assert!(!certs.join("a.example.org").exists());
    let contacts = || {
        let accounts = tree(&ordered.installed.folder.path().join("state/acme/accounts"));
        let files = accounts.iter().map(|(path, _)| path.display().to_string());
        files.collect::<Vec<_>>().join("\n")
    };
    assert!(contacts().contains("/default/"), "{}", contacts());
    assert!(!contacts().contains("tenant"), "{}", contacts());
    usher.signal(Signal::TERM);
    usher.ended().await;

    ordered.anew();
    ordered.runs("blog", &says[..3]).await;
    let _usher = ordered.installed.start().await;
    eventually("a pair that is meant", async || {
        let there = certs.join("a.example.org/fullchain.pem").exists();
        check(there, there)
    })
    .await;
    assert!(certs.join("_test_a.example.org").exists());
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_default_certificate_keeps_nobody_from_ordering_one() {
    let ordered = Ordered::new().await;
    let (installed, pebble) = (&ordered.installed, &ordered.pebble);
    installed.pki.write_pair(&installed.certs(), &["default"]);
    let says = [
        "VIRTUAL_HOST=a.example.org",
        "LETSENCRYPT_HOST=a.example.org",
    ];
    ordered.runs("blog", &says).await;
    let _usher = installed.start().await;
    let front = Trusting(installed, pebble.trusting().await);
    assert_eq!(names(&front.issued("a.example.org").await), "a.example.org");
}

/// Believes whatever it is shown.
#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

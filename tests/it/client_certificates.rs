//! Instances that only serve clients with a certificate.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::client::{raw, tls};
use crate::harness::eventually::{check, within};
use crate::harness::{Edge, Front, Origin, Pki, Setup, instance};

const HOST: &str = "congress.example.org";
const OTHER: &str = "other.example.org";

/// `congress` wants certificates of an authority, `other` wants none.
struct House {
    origin: Origin,
    edge: Edge,
    people: Pki,
    tables: String,
}

fn tables(origin: &Origin, folder: &Path) -> String {
    let closed = format!(
        "client-ca = \"{}\"\n[instance.service",
        ca(folder).display()
    );
    instance("congress", &[origin.address]).replace("[instance.service", &closed)
        + &instance("other", &[origin.address])
}

fn ca(folder: &Path) -> std::path::PathBuf {
    folder.join("clients.pem")
}

impl House {
    async fn open() -> Self {
        let origin = Origin::start("one").await;
        let people = Pki::new();
        let mut setup = Setup::new("");
        fs::write(ca(&setup.path("")), people.root_pem()).unwrap();
        let tables = tables(&origin, &setup.path(""));
        setup.text(&tables);
        let edge = setup.start().await;
        edge.all_ready().await;
        Self {
            origin,
            edge,
            people,
            tables,
        }
    }

    fn ca(&self) -> std::path::PathBuf {
        ca(self.edge.folder.path())
    }

    /// A client with a certificate that this authority has signed.
    fn client(
        &self,
        authority: &Pki,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let (chain, key) = authority.pair(&["somebody"]);
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(self.edge.pki.roots())
            .with_client_auth_cert(chain.unwrap(), key);
        Arc::new(config.unwrap())
    }

    async fn stream(&self, client: &Arc<ClientConfig>, name: &str) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.edge.https()).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        connector.connect(name, tcp).await.unwrap()
    }

    /// What a client with this certificate, if any, hears when it asks for a host.
    async fn ask(&self, client: &Arc<ClientConfig>, name: &str) -> Result<String, String> {
        let tcp = TcpStream::connect(self.edge.https()).await.unwrap();
        let server = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        let mut stream = connector
            .connect(server, tcp)
            .await
            .map_err(|error| error.to_string())?;
        get(&mut stream, name, "close").await
    }
}

/// The answer, until the end of the connection or of what there is for now.
async fn get(
    stream: &mut TlsStream<TcpStream>,
    host: &str,
    connection: &str,
) -> Result<String, String> {
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n\r\n");
    // With TLS 1.3 the client has finished before it hears that it may not come in.
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        if connection == "close" {
            stream.read_to_end(&mut answer).await?;
        } else {
            answer.resize(4096, 0);
            let read = stream.read(&mut answer).await?;
            answer.truncate(read);
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    asked
        .await
        .map_err(|error: std::io::Error| error.to_string())
}

fn is_ok(answer: &Result<String, String>) -> bool {
    answer
        .as_ref()
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

const BOTH: [&rustls::SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_authority_come_in() {
    let house = House::open().await;
    let strangers = Pki::new();
    for version in BOTH {
        let known = house.client(&house.people, &[version]);
        let answer = house.ask(&known, HOST).await;
        assert!(is_ok(&answer), "{version:?}: {answer:?}");

        let unknown = house.client(&strangers, &[version]);
        let none = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(house.edge.pki.roots())
            .with_no_client_auth();
        let none = Arc::new(none);
        for (why, client) in [
            ("The SSL certificate error", &unknown),
            ("No required SSL certificate was sent", &none),
        ] {
            let refused = house.ask(client, HOST).await.unwrap();
            assert!(
                refused.starts_with("HTTP/1.1 400"),
                "{version:?}: {refused}"
            );
            assert!(refused.contains(why), "{version:?}: {refused}");
            let who = why;
            let elsewhere = house.ask(client, OTHER).await;
            assert!(is_ok(&elsewhere), "{who}, {version:?}: {elsewhere:?}");
        }
    }
}

#[tokio::test]
async fn a_resumed_connection_is_judged_like_the_first() {
    let house = House::open().await;
    let strangers = Pki::new();
    for version in BOTH {
        let unknown = house.client(&strangers, &[version]);
        let none = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(house.edge.pki.roots())
            .with_no_client_auth();
        for client in [unknown, Arc::new(none)] {
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut stream = house.stream(&client, HOST).await;
                // More than one request, as the first may be what is looked at.
                for connection in ["keep-alive", "close"] {
                    let answer = get(&mut stream, HOST, connection).await;
                    let ended = answer.as_ref().is_ok_and(String::is_empty);
                    let refused = answer
                        .as_ref()
                        .map_or(true, |text| text.starts_with("HTTP/1.1 400"));
                    assert!(ended || refused, "{version:?}: {answer:?}");
                }
                kinds.push(stream.get_ref().1.handshake_kind());
            }
            assert_eq!(kinds[1], Some(HandshakeKind::Resumed), "{version:?}");
            // Nor is what was made there worth anything elsewhere, and the other way round.
            let mut stream = house.stream(&client, OTHER).await;
            let answer = get(&mut stream, HOST, "close").await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 421"), "{version:?}: {answer}");
        }
    }
    let asked = house.origin.requests();
    assert!(!asked.contains(&"GET /".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn no_other_way_leads_to_it() {
    let house = House::open().await;
    let known = house.client(&house.people, &BOTH);
    let ask = async |name: &str, host: &str| {
        let mut stream = house.stream(&known, name).await;
        get(&mut stream, host, "close").await.unwrap()
    };
    // Over a connection that was made for the other one, with a certificate or without.
    assert!(ask(OTHER, HOST).await.starts_with("HTTP/1.1 421"));
    assert!(ask(HOST, OTHER).await.starts_with("HTTP/1.1 421"));
    let url = format!("https://{HOST}/");
    for http2 in [false, true] {
        let mut asked = house.edge.ask(&url).server_name(OTHER);
        if http2 {
            asked = asked.http2();
        }
        assert_eq!(asked.send().await.status, 421);
    }
    // Over plain HTTP it is led to TLS.
    let answer = house.edge.get(&format!("http://{HOST}/path")).await;
    assert_eq!(answer.status, 301, "{}", answer.text());
    assert!(answer.field("location").starts_with("https://"));
}

#[tokio::test]
async fn without_a_certificate_of_its_own_it_is_not_served_in_the_clear() {
    let origin = Origin::start("one").await;
    let people = Pki::new();
    let mut setup = Setup::new("").without_certificates();
    fs::write(ca(&setup.path("")), people.root_pem()).unwrap();
    let tables = tables(&origin, &setup.path(""));
    setup.text(&tables);
    let edge = setup.start().await;
    edge.all_ready().await;
    let request = |host: &str| format!("GET / HTTP/1.0\r\nhost: {host}\r\n\r\n");
    let plain = async |host: &str| {
        let stream = TcpStream::connect(edge.http()).await.unwrap();
        raw(stream, request(host).as_bytes()).await
    };
    assert!(plain(OTHER).await.starts_with("HTTP/1.1 200"));
    assert!(plain(HOST).await.starts_with("HTTP/1.1 503"));
    assert_eq!(
        origin
            .requests()
            .iter()
            .filter(|line| *line == "GET /")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_new_authority_counts_at_once_and_a_broken_file_changes_nothing() {
    let house = House::open().await;
    let old = house.client(&house.people, &BOTH);
    assert!(is_ok(&house.ask(&old, HOST).await));
    let mut resumes = house.stream(&old, HOST).await;
    assert!(is_ok(&get(&mut resumes, HOST, "keep-alive").await));
    let kind = resumes.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));

    // Broken: the reload says which file and what to do, and nothing else changes.
    fs::write(house.ca(), "torn").unwrap();
    let outcome = house.edge.reload(&house.tables).await;
    let said = outcome.lines.join("\n");
    assert!(
        said.contains("clients.pem") && said.contains("client-ca"),
        "{said}"
    );
    assert!(said.contains("last good form"), "{said}");
    assert!(is_ok(&house.ask(&old, HOST).await));
    let mut nobody = tls(&house.edge, HOST, &["http/1.1"]).await.unwrap();
    let refused = get(&mut nobody, HOST, "close").await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");

    // Another one, which the file says before anybody asks for a reload.
    let successors = Pki::new();
    fs::write(house.ca(), successors.root_pem()).unwrap();
    let new = house.client(&successors, &BOTH);
    let spell = Duration::from_secs(20);
    within(spell, "the new authority counts", async || {
        let answer = house.ask(&new, HOST).await;
        check(is_ok(&answer), answer)
    })
    .await;
    // Neither a ticket of before nor a connection of before is worth anything now.
    let refused = house.ask(&old, HOST).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    let late = get(&mut resumes, HOST, "close").await.unwrap();
    assert!(late.starts_with("HTTP/1.1 421"), "{late}");
    assert!(is_ok(&house.ask(&new, HOST).await));
}

#[test]
fn plain_http_beside_it_is_a_contradiction() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(ca(folder.path()), Pki::new().root_pem()).unwrap();
    let file = folder.path().join("usher.toml");
    for (https, fits) in [
        ("both", false),
        ("off", false),
        ("only", true),
        ("redirect", true),
    ] {
        let text = instance("congress", &[([127, 0, 0, 1], 1).into()]).replace(
            "[instance.service",
            &format!(
                "https = \"{https}\"\nclient-ca = \"{}\"\n[instance.service",
                ca(folder.path()).display()
            ),
        );
        fs::write(&file, text).unwrap();
        let loaded = usher::config::load(&file, None);
        let said = format!("{:?}", loaded.issues);
        assert_eq!(!said.contains("client-ca"), fits, "{https}: {said}");
    }
}

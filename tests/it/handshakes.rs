//! What a handshake settles: versions, groups, sessions that are taken up again and those that are
//! not.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::client::tls;
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Installed, Origin, Setup, instance};

const HOST: &str = "congress.example.org";
const OTHER: &str = "other.example.org";

async fn connect(
    front: &impl Front,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(front.https()).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
}

/// One visit from the handshake to the end, with a request in between: tickets come with the answer.
async fn visit(front: &impl Front, config: &Arc<ClientConfig>, name: &str) -> HandshakeKind {
    let mut stream = connect(front, config, name).await.expect("a handshake");
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{name}");
    kind
}

/// How many handshakes of a kind the metrics count.
async fn counted(edge: &Edge, labels: &str) -> u64 {
    let metrics = edge.admin("/metrics").await.text();
    let wanted = format!("usher_tls_handshakes_total{{{labels}}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
    line.unwrap_or_else(|| panic!("no {wanted}"))
        .parse()
        .unwrap()
}

const RESUMED: &str = "outcome=\"ok\",resumed=\"true\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hall_that_comes_back_at_once_resumes_its_sessions() {
    const CLIENTS: usize = 500;
    /// As many as one thread of clients keeps up with, in a build without optimisation.
    const AT_ONCE: usize = 100;
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    // Each remembers its own tickets, as browsers do.
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| Arc::new(edge.trust(&["http/1.1"])))
        .collect();
    let everybody = || {
        let visits = clients.iter().map(|client| visit(&edge, client, HOST));
        stream::iter(visits).buffer_unordered(AT_ONCE).collect()
    };
    let _: Vec<HandshakeKind> = everybody().await;
    assert_eq!(counted(&edge, RESUMED).await, 0);

    let kinds: Vec<HandshakeKind> = everybody().await;

    let resumed = kinds
        .iter()
        .filter(|kind| **kind == HandshakeKind::Resumed)
        .count();
    println!("{resumed} of {CLIENTS} sessions resumed");
    assert!(resumed * 10 >= CLIENTS * 9, "{resumed}");
    eventually("they are counted", async || {
        let count = counted(&edge, RESUMED).await;
        check(count == resumed as u64, count)
    })
    .await;
}

/// Where a session of one host is looked for when another is asked for: what a client must not do,
/// and an attacker does.
#[derive(Debug)]
struct Confused(Arc<dyn rustls::client::ClientSessionStore>);

impl Confused {
    fn about() -> ServerName<'static> {
        ServerName::try_from(HOST).unwrap()
    }
}

impl rustls::client::ClientSessionStore for Confused {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::about(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::about())
    }

    fn set_tls12_session(
        &self,
        _: ServerName<'static>,
        value: rustls::client::Tls12ClientSessionValue,
    ) {
        self.0.set_tls12_session(Self::about(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::about())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::about());
    }

    fn insert_tls13_ticket(
        &self,
        _: ServerName<'static>,
        value: rustls::client::Tls13ClientSessionValue,
    ) {
        self.0.insert_tls13_ticket(Self::about(), value);
    }

    fn take_tls13_ticket(
        &self,
        _: &ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::about())
    }
}

#[tokio::test]
async fn a_session_of_one_instance_is_nothing_to_another() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]) + &instance("other", &[origin.address]);
    let edge = Edge::start(&text).await;
    for version in [&version::TLS13, &version::TLS12] {
        let mut config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(edge.pki.roots())
            .with_no_client_auth();
        let store = rustls::client::ClientSessionMemoryCache::new(16);
        config.resumption = rustls::client::Resumption::store(Arc::new(Confused(Arc::new(store))));
        let config = Arc::new(config);
        let mut kinds = Vec::new();
        // The last shows that the client does offer what it has.
        for name in [HOST, OTHER, HOST, OTHER, OTHER] {
            kinds.push((name, visit(&edge, &config, name).await));
        }
        let full = |name| (name, HandshakeKind::Full);
        assert_eq!(
            kinds[..4],
            [full(HOST), full(OTHER), full(HOST), full(OTHER)]
        );
        assert_eq!(kinds[4], (OTHER, HandshakeKind::Resumed), "{version:?}");
    }
}

#[tokio::test]
async fn no_session_is_taken_up_again_after_a_restart() {
    let origin = Origin::start("one").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let config = Arc::new(installed.trust(&["http/1.1"]));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut usher = installed.start().await;
        installed.answers(&format!("https://{HOST}/"), 200).await;
        for _ in 0..2 {
            kinds.push(visit(&installed, &config, HOST).await);
        }
        usher.signal(Signal::TERM);
        assert!(usher.ended().await.success());
    }
    use HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed, Full, Resumed]);
}

#[tokio::test]
async fn old_versions_are_spoken_unless_the_operator_wants_none() {
    for (least, older) in [("1.2", true), ("1.3", false)] {
        let origin = Origin::start("one").await;
        let mut setup = Setup::new(&instance("congress", &[origin.address]));
        let dir = setup.path("certs");
        setup.text(&format!(
            "[certs]\ndir = \"{}\"\nmin-version = \"{least}\"\n",
            dir.display()
        ));
        let edge = setup.start().await;
        edge.all_ready().await;
        for (version, spoken) in [(&version::TLS13, true), (&version::TLS12, older)] {
            let config = ClientConfig::builder_with_protocol_versions(&[version])
                .with_root_certificates(edge.pki.roots())
                .with_no_client_auth();
            let stream = connect(&edge, &Arc::new(config), HOST).await;
            match stream {
                Ok(stream) if spoken => {
                    let got = stream.get_ref().1.protocol_version();
                    assert_eq!(got, Some(version.version));
                }
                Err(error) if !spoken => {
                    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
                }
                other => panic!("{least} {version:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_key_exchange_is_safe_from_quantum_computers_where_the_client_offers_that() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let stream = tls(&edge, HOST, &["h2"]).await.unwrap();
    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    // And not at the price of another message: its share was in the first one.
    assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
}

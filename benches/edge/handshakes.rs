//! CPU time per TLS handshake, full and resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::harness::{Front, Pki};
use crate::process;
use crate::proxies::{NAME, Proxy, Stage};
use crate::report::Target;
use crate::turns::{Line, by_turns};

const ROUNDS: usize = 5;
const WARM_UP: u32 = 400;
const HANDSHAKES: u32 = 4_000;
/// Clients at a time.
const LANES: usize = 8;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Full,
    Resumed,
    /// With the key exchange that Debian's OpenSSL does not know: what that costs beside the first.
    PostQuantum,
}

const LINES: [Line<Way>; 3] = [
    Line {
        way: Way::Full,
        name: "full, X25519",
        limit: Some(1.0),
    },
    Line {
        way: Way::Resumed,
        name: "resumed, X25519",
        limit: Some(1.0),
    },
    Line {
        way: Way::PostQuantum,
        name: "full, X25519MLKEM768 where known",
        limit: None,
    },
];

impl Way {
    /// A client that remembers its own sessions, or none.
    fn client(self, pki: &Pki) -> Arc<ClientConfig> {
        let mut provider = default_provider();
        if self != Self::PostQuantum {
            provider.kx_groups = vec![kx_group::X25519];
        }
        let config = ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_safe_default_protocol_versions();
        let mut config = config
            .expect("versions")
            .with_root_certificates(pki.roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match self {
            Self::Resumed => Resumption::in_memory_sessions(8),
            Self::Full | Self::PostQuantum => Resumption::disabled(),
        };
        Arc::new(config)
    }
}

pub async fn measure(stage: &Stage) -> Vec<Target> {
    by_turns(
        stage,
        "CPU time per handshake of TLS 1.3 with a P-256 key",
        &format!("{HANDSHAKES} handshakes"),
        ROUNDS,
        &LINES,
        async |proxy, way| microseconds_each(stage, proxy, way).await,
    )
    .await
}

async fn microseconds_each(stage: &Stage, proxy: &Proxy, way: Way) -> f64 {
    let clients: Vec<_> = (0..LANES).map(|_| way.client(stage.pki())).collect();
    shake(proxy, &clients, way, WARM_UP).await;
    let before = process::cpu(&proxy.processes);
    shake(proxy, &clients, way, HANDSHAKES).await;
    // What it does after the last goodbye is its own.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let used = process::cpu(&proxy.processes) - before;
    used.as_secs_f64() * 1e6 / f64::from(HANDSHAKES)
}

/// So many handshakes, all clients at once, each one after the other.
async fn shake(proxy: &Proxy, clients: &[Arc<ClientConfig>], way: Way, count: u32) {
    let made = Arc::new(AtomicU32::new(0));
    let others = Arc::new(AtomicU32::new(0));
    let mut lanes = JoinSet::new();
    for client in clients {
        let (made, others) = (Arc::clone(&made), Arc::clone(&others));
        let (client, address) = (Arc::clone(client), proxy.https());
        lanes.spawn(async move {
            while made.fetch_add(1, Ordering::Relaxed) < count {
                let tcp = TcpStream::connect(address).await.expect("connected");
                tcp.set_nodelay(true).expect("no delay");
                let name = ServerName::try_from(NAME).expect("a name");
                let connector = TlsConnector::from(Arc::clone(&client));
                let mut stream = connector.connect(name, tcp).await.expect("a handshake");
                let kind = stream.get_ref().1.handshake_kind();
                if (kind == Some(HandshakeKind::Resumed)) != (way == Way::Resumed) {
                    others.fetch_add(1, Ordering::Relaxed);
                }
                // Tickets come with the goodbye; a request would be measured as well.
                stream.shutdown().await.expect("a goodbye");
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
    }
    lanes.join_all().await;
    let others = others.load(Ordering::Relaxed);
    let first = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    assert!(others <= first, "{others} of {count} were not {way:?}");
}

//! Simulated attendees: each one TLS websocket that says something now and then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// A browser waits about as long for a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(20);

/// What the attendees have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    opened: AtomicU64,
    refused: AtomicU64,
    /// Ended by the other side, with a goodbye or without.
    closed: AtomicU64,
    lost: AtomicU64,
    messages: AtomicU64,
}

impl Tally {
    pub(super) fn closing_line(&self) -> String {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} websockets opened, {} messages answered; {} refused, {} moved by a drain, {} lost",
            count(&self.opened),
            count(&self.messages),
            count(&self.refused),
            count(&self.closed),
            count(&self.lost)
        )
    }
}

/// The audience of one instance.
pub(super) struct Crowd {
    attendee: Attendee,
    /// One stop signal for each; dropping it sends an attendee home.
    there: Vec<watch::Sender<()>>,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Attendee {
    domain: &'static str,
    address: SocketAddr,
    client: Arc<ClientConfig>,
    tally: Arc<Tally>,
}

impl Crowd {
    pub(super) fn new(
        domain: &'static str,
        address: SocketAddr,
        client: Arc<ClientConfig>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            attendee: Attendee {
                domain,
                address,
                client,
                tally,
            },
            there: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Lets people come or go until so many are there.
    pub(super) fn become_many(&mut self, many: u32) {
        while self.tasks.try_join_next().is_some() {}
        let many = usize::try_from(many).unwrap_or(usize::MAX);
        self.there.truncate(many);
        while self.there.len() < many {
            let (stay, leave) = watch::channel(());
            self.tasks.spawn(self.attendee.clone().attend(leave));
            self.there.push(stay);
        }
    }

    pub(super) fn size(&self) -> usize {
        self.there.len()
    }
}

/// How a visit ended.
enum Ended {
    /// By the attendee.
    Home,
    Refused,
    Closed,
    Lost,
}

impl Attendee {
    /// Stays connected, and comes back after every end that was not its own, until sent home.
    async fn attend(self, mut leave: watch::Receiver<()>) {
        loop {
            let ended = tokio::select! {
                ended = self.visit(leave.clone()) => ended,
                // A closed channel is the way home before a connection is there.
                _ = leave.changed() => return,
            };
            let count = match ended {
                Ended::Home => return,
                Ended::Refused => &self.tally.refused,
                Ended::Closed => &self.tally.closed,
                Ended::Lost => &self.tally.lost,
            };
            count.fetch_add(1, Ordering::Relaxed);
            // As the clients of OpenSlides do: two to five seconds, for ever.
            let pause = rand::rng().random_range(2_000..5_000);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn visit(&self, mut leave: watch::Receiver<()>) -> Ended {
        let opened = timeout(HANDSHAKE_WITHIN, async {
            let tcp = TcpStream::connect(self.address).await.ok()?;
            let name = ServerName::try_from(self.domain).ok()?;
            let connector = TlsConnector::from(Arc::clone(&self.client));
            let tls = connector.connect(name, tcp).await.ok()?;
            let url = format!("wss://{}/ws", self.domain);
            Some(client_async(url, tls).await.ok()?.0)
        });
        let Ok(Some(mut socket)) = opened.await else {
            return Ended::Refused;
        };
        self.tally.opened.fetch_add(1, Ordering::Relaxed);
        loop {
            let pause = rand::rng().random_range(2_000..8_000);
            tokio::select! {
                _ = leave.changed() => {
                    // An error means that the other side was quicker.
                    let _ = socket.close(None).await;
                    return Ended::Home;
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Close(_))) => return Ended::Closed,
                    Some(Ok(_)) => {
                        self.tally.messages.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Err(_)) | None => return Ended::Lost,
                },
                () = sleep(Duration::from_millis(pause)) => {
                    if socket.send(Message::text("hello")).await.is_err() {
                        return Ended::Lost;
                    }
                }
            }
        }
    }
}

/// A client that trusts these roots and nobody else.
pub(super) fn trusting(roots: &str) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    let found = CertificateDer::pem_slice_iter(roots.as_bytes()).filter_map(Result::ok);
    // usher has made them itself a moment ago.
    store.add_parsable_certificates(found);
    let config = ClientConfig::builder()
        .with_root_certificates(store)
        .with_no_client_auth();
    Arc::new(config)
}

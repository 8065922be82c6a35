//! Somebody who only wants to be served, at a steady rate, whatever happens beside them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;

use super::Front;

/// Clients of one neighbour. Each asks once in `PAUSE`.
const CLIENTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);
/// Each connection is used so often before the next is opened.
const ASKED_PER_CONNECTION: usize = 10;
const PATIENCE: Duration = Duration::from_secs(20);

type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Fifty requests in a second, some of them over new connections.
pub struct Neighbour {
    enough: watch::Sender<bool>,
    clients: JoinSet<Seen>,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of every good answer, how long it took.
    pub took: Vec<Duration>,
    /// Everything else.
    pub wrong: Vec<String>,
}

impl Seen {
    /// The time within which so many of a thousand were answered.
    pub fn per_mille(&self, part: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let index = (took.len() * part / 1000).min(took.len().saturating_sub(1));
        took.get(index).copied().unwrap_or_default()
    }

    fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        self.wrong.extend(other.wrong);
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (half, most, all) = (
            self.per_mille(500),
            self.per_mille(990),
            self.per_mille(1000),
        );
        write!(
            f,
            "{} answers, {} errors, p50 {half:?}, p99 {most:?}, longest {all:?}",
            self.took.len(),
            self.wrong.len()
        )
    }
}

impl Neighbour {
    pub fn start(front: &impl Front, host: &str) -> Self {
        let (enough, _) = watch::channel(false);
        let connector = TlsConnector::from(Arc::new(front.trust(&["http/1.1"])));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let way = Way {
                connector: connector.clone(),
                address: front.https(),
                host: host.to_owned(),
            };
            clients.spawn(way.ask(enough.subscribe()));
        }
        Self { enough, clients }
    }

    pub async fn stop(self) -> Seen {
        self.enough.send_replace(true);
        let mut all = Seen::default();
        for seen in self.clients.join_all().await {
            all.add(seen);
        }
        all
    }
}

struct Way {
    connector: TlsConnector,
    address: SocketAddr,
    host: String,
}

impl Way {
    async fn ask(self, enough: watch::Receiver<bool>) -> Seen {
        let mut seen = Seen::default();
        let mut tick = interval(PAUSE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sender = None;
        let mut asked = 0;
        while !*enough.borrow() {
            tick.tick().await;
            if asked % ASKED_PER_CONNECTION == 0 {
                sender = None;
            }
            asked += 1;
            let began = Instant::now();
            match timeout(PATIENCE, self.once(&mut sender)).await {
                Ok(Ok(200)) => seen.took.push(began.elapsed()),
                Ok(Ok(status)) => seen.wrong.push(status.to_string()),
                Ok(Err(error)) => {
                    seen.wrong.push(format!("{error:?}"));
                    sender = None;
                }
                Err(_) => {
                    seen.wrong.push("no answer".to_owned());
                    sender = None;
                }
            }
        }
        seen
    }

    async fn once(&self, kept: &mut Option<SendRequest<Full<Bytes>>>) -> Result<u16, Trouble> {
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None => {
                let tcp = TcpStream::connect(self.address).await?;
                let name = ServerName::try_from(self.host.clone())?;
                let tls = self.connector.connect(name, tcp).await?;
                let (sender, connection) = handshake(TokioIo::new(tls)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        sender.ready().await?;
        let request = Request::get("/").header("host", &self.host);
        let answer = sender.send_request(request.body(Full::default())?).await?;
        let status = answer.status().as_u16();
        answer.into_body().collect().await?;
        *kept = Some(sender);
        Ok(status)
    }
}

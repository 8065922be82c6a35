//! A panic costs the connection it happened in, and is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use usher::certs::{Challenges, Store};
use usher::config::model::TlsVersion;
use usher::listener::{Acceptors, Admission, EdgeCounters, Offered, Tls, WebsocketRequest};
use usher::names::Hostname;
use usher::plan::ClientAuthorities;

use crate::harness::eventually::eventually;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Answers every connection, unless it is asked to panic.
struct Moody;

#[async_trait]
impl ServerApp for Moody {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        _shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let mut head = [0; 1024];
        loop {
            let read = stream.read(&mut head).await.ok()?;
            assert!(!head[..read].starts_with(b"GET /panic"), "as asked");
            if read == 0 {
                return None;
            }
            stream.write_all(b"here").await.ok()?;
            stream.flush().await.ok()?;
        }
    }
}

struct Open;

impl Admission for Open {
    fn header_timeout(&self, _host: Option<&Hostname>) -> Duration {
        Duration::from_secs(10)
    }

    fn client_ca(&self, _host: &Hostname) -> Option<Arc<ClientAuthorities>> {
        None
    }

    fn door(&self, _local: IpAddr, _peer: IpAddr) -> Option<Arc<str>> {
        None
    }

    fn leads_to(&self, _network: &str, _host: &Hostname) -> bool {
        true
    }

    fn default_host(&self) -> Option<Hostname> {
        None
    }

    fn http2(&self, _host: &Hostname) -> bool {
        true
    }

    fn expects_proxy_header(&self, _peer: IpAddr) -> bool {
        false
    }

    async fn websocket(self: &Arc<Self>, _request: WebsocketRequest) {}
}

async fn ask(stream: &mut TcpStream, path: &str) -> Vec<u8> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = vec![0; 64];
    let read = stream.read(&mut answer).await.unwrap_or(0);
    answer.truncate(read);
    answer
}

#[tokio::test]
async fn a_panic_costs_its_connection_and_is_counted() {
    crate::harness::prepare_process();
    usher::app::count_panics(&PANICS);
    let counters: Arc<EdgeCounters> = Arc::default();
    let store = Arc::new(Store::new(false));
    let offered = Offered {
        least: TlsVersion::Tls12,
        http2: true,
    };
    let tls = Tls::new(store, Challenges::default(), offered);
    let acceptors = Acceptors::new(
        Arc::new(Moody),
        Arc::new(Open),
        tls.unwrap(),
        Arc::clone(&counters),
        Arc::default(),
        16,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_going, stop) = usher::shutdown::channel();
    let (_uncut, cut) = usher::shutdown::channel();
    let _serving = tokio::spawn(acceptors.serve(listener, false, stop, cut));

    let mut neighbour = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut neighbour, "/").await, b"here");
    let before = PANICS.load(Ordering::Relaxed);
    let mut unlucky = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut unlucky, "/panic").await, b"", "cut");

    assert_eq!(PANICS.load(Ordering::Relaxed), before + 1);
    assert_eq!(ask(&mut neighbour, "/again").await, b"here");
    let mut newcomer = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut newcomer, "/").await, b"here");
    eventually(
        "the lost connection is not counted any more",
        async || match counters.open() {
            2 => Ok(()),
            other => Err(other),
        },
    )
    .await;
}

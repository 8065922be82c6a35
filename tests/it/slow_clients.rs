//! Clients that hold on and do next to nothing: each costs itself, and nobody else.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::TlsConnector;

use crate::harness::client::{Duplex, tls};
use crate::harness::eventually::{check, eventually};
use crate::harness::neighbour::Neighbour;
use crate::harness::numbers::numbers;
use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";
const NEIGHBOUR: &str = "other.example.org";
const HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first byte to the last of a TLS handshake, whatever is configured.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// However busy the machine is, a promise is kept within three times its time.
const BUSY: u32 = 3;
/// Attackers on their way at a time: what the handshakes cost is not what is measured.
const AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flavour {
    FirstHead,
    SecondHead,
    ClientHello,
    Preface,
    HeaderBlock,
}

use Flavour::{ClientHello, FirstHead, HeaderBlock, Preface, SecondHead};

impl Flavour {
    fn due(self) -> Duration {
        match self {
            ClientHello => HANDSHAKE_WITHIN,
            FirstHead | SecondHead | Preface | HeaderBlock => HEADER_TIMEOUT,
        }
    }

    /// What is sent, one byte in a second, and what is sent on when that is all.
    fn bytes(self, hello: &[u8]) -> Vec<u8> {
        match self {
            FirstHead | SecondHead => format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx: ").into(),
            ClientHello => hello.to_vec(),
            Preface => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            // The head of a HEADERS frame of 200 bytes (RFC 9113 §6.2).
            HeaderBlock => vec![0, 0, 200, 1, 4, 0, 0, 0, 1],
        }
    }
}

/// How the attackers get in.
struct Attack {
    to: SocketAddr,
    http1: TlsConnector,
    http2: TlsConnector,
    hello: Vec<u8>,
    doors: Semaphore,
}

impl Attack {
    fn new(front: &impl Front) -> Self {
        let connector = |protocol| TlsConnector::from(Arc::new(front.trust(&[protocol])));
        let name = ServerName::try_from(HOST).unwrap();
        let config = Arc::new(front.trust(&["http/1.1"]));
        let mut hello = Vec::new();
        ClientConnection::new(config, name)
            .unwrap()
            .write_tls(&mut hello)
            .unwrap();
        Self {
            to: front.https(),
            http1: connector("http/1.1"),
            http2: connector("h2"),
            hello,
            doors: Semaphore::new(AT_ONCE),
        }
    }

    /// Holds one connection in this way until usher ends it; how long that took.
    async fn hold(&self, flavour: Flavour, from: IpAddr) -> Duration {
        let stream = {
            let _door = self.doors.acquire().await.unwrap();
            self.open(flavour, from).await
        };
        dribble(stream, &flavour.bytes(&self.hello)).await
    }

    async fn open(&self, flavour: Flavour, from: IpAddr) -> Box<dyn Duplex> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let tcp = socket.connect(self.to).await.unwrap();
        let secure = async |connector: &TlsConnector, tcp: TcpStream| {
            let name = ServerName::try_from(HOST).unwrap();
            connector.connect(name, tcp).await.unwrap()
        };
        match flavour {
            ClientHello => Box::new(tcp),
            FirstHead => Box::new(secure(&self.http1, tcp).await),
            Preface => Box::new(secure(&self.http2, tcp).await),
            SecondHead => {
                let mut stream = secure(&self.http1, tcp).await;
                let request = format!("GET /first HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = [0; 4096];
                let length = stream.read(&mut answer).await.unwrap();
                assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
                Box::new(stream)
            }
            HeaderBlock => {
                let mut stream = secure(&self.http2, tcp).await;
                let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
                stream.write_all(&Preface.bytes(&[])).await.unwrap();
                stream.write_all(&settings).await.unwrap();
                stream.flush().await.unwrap();
                Box::new(stream)
            }
        }
    }
}

/// Sends one byte in a second until the connection ends; how long that took from the first byte.
async fn dribble(mut stream: Box<dyn Duplex>, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut bytes = bytes.iter().chain(std::iter::repeat(&b'a'));
    let mut answer = [0; 1024];
    loop {
        assert!(began.elapsed() < Duration::from_secs(60), "still open");
        tokio::select! {
            _ = tick.tick() => {
                let byte = [*bytes.next().expect("it repeats")];
                if stream.write_all(&byte).await.is_err() || stream.flush().await.is_err() {
                    return began.elapsed();
                }
            }
            read = stream.read(&mut answer) => match read {
                Ok(0) | Err(_) => return began.elapsed(),
                Ok(_) => {}
            }
        }
    }
}

async fn connections(installed: &Installed) -> u64 {
    let stats = installed.stats().await;
    stats["totals"]["connections"].as_u64().unwrap_or(u64::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_dribblers_are_cut_by_the_deadline_and_the_neighbour_notices_nothing() {
    let origin = Origin::start("origin").await;
    let seconds = HEADER_TIMEOUT.as_secs();
    let text = format!("[limits]\nheader-timeout = \"{seconds}s\"\n")
        + &instance("congress", &[origin.address])
        + &instance("other", &[origin.address]);
    let installed = Installed::new(&text);
    let _usher = installed.start().await;
    installed
        .answers(&format!("https://{NEIGHBOUR}/"), 200)
        .await;
    let alone = Neighbour::start(&installed, NEIGHBOUR);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let alone = alone.stop().await;
    eventually("nobody is there", async || {
        let open = connections(&installed).await;
        check(open == 0, open)
    })
    .await;

    let attack = Arc::new(Attack::new(&installed));
    let neighbour = Neighbour::start(&installed, NEIGHBOUR);
    let flavours = [FirstHead, SecondHead, ClientHello, Preface, HeaderBlock];
    let attackers = (0..numbers().dribblers).map(|number| {
        let flavour = flavours[number % flavours.len()];
        let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
        let from = IpAddr::from([127, 1, high + 1, low]);
        let attack = Arc::clone(&attack);
        tokio::spawn(async move { (flavour, attack.hold(flavour, from).await) })
    });
    let ends = join_all(attackers).await;
    let after = Instant::now();
    let beside = neighbour.stop().await;
    eventually("nobody is left", async || {
        let open = connections(&installed).await;
        check(open == 0, open)
    })
    .await;
    println!("nobody is left {:?} after the last end", after.elapsed());

    println!("alone:  {alone}\nbeside: {beside}");
    let ends: Vec<(Flavour, Duration)> = ends.into_iter().map(Result::unwrap).collect();
    for flavour in flavours {
        let mut ends: Vec<Duration> = ends
            .iter()
            .filter(|(other, _)| *other == flavour)
            .map(|(_, took)| *took)
            .collect();
        ends.sort();
        let (first, last) = (ends[0], ends[ends.len() - 1]);
        println!(
            "{} times {flavour:?}: ended after {first:?} to {last:?} of {:?}",
            ends.len(),
            flavour.due()
        );
        assert!(last < flavour.due() * BUSY, "{flavour:?}: {last:?}");
    }
    assert_eq!(beside.wrong, Vec::<String>::new());
    let most = beside.per_mille(990);
    assert!(most < Duration::from_secs(2), "p99 {most:?}");
}

#[tokio::test]
async fn the_rest_of_a_body_that_was_refused_is_not_waited_for() {
    let origin = Origin::start("origin").await;
    let text = instance("congress", &[origin.address]) + "[instance.limits]\nmax-body = \"1KiB\"\n";
    let installed = Installed::new(&text);
    let _usher = installed.start().await;
    installed.answers(&format!("https://{HOST}/"), 200).await;
    let mut stream = tls(&installed, HOST, &["http/1.1"]).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 100000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 413"));

    let took = dribble(Box::new(stream), b"").await;

    println!("a body that was refused was waited for {took:?}");
    assert!(took < Duration::from_secs(1) * BUSY, "{took:?}");
}

//! CPU time per request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{Front, client};
use crate::process;
use crate::proxies::{NAME, Proxy, Stage};
use crate::report::Target;
use crate::turns::{Line, by_turns};

const ROUNDS: usize = 5;
const WARM_UP: u32 = 2_000;
const REQUESTS: u32 = 20_000;
/// The upstream answers with as many bytes as are asked for, whatever a proxy added to the request.
const TARGET: &str = "/big?bytes=300";
const LENGTH: usize = 300;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Plain,
    Tls,
    Http2,
}

const LINES: [Line<Way>; 3] = [
    Line {
        way: Way::Plain,
        name: "HTTP/1.1",
        limit: None,
    },
    Line {
        way: Way::Tls,
        name: "HTTP/1.1 over TLS",
        limit: Some(1.1),
    },
    Line {
        way: Way::Http2,
        name: "HTTP/2 over TLS",
        limit: Some(1.1),
    },
];

impl Way {
    /// Connections, and requests in flight on each.
    fn shape(self) -> (usize, usize) {
        match self {
            Self::Plain | Self::Tls => (16, 1),
            Self::Http2 => (4, 8),
        }
    }

    fn url(self) -> String {
        match self {
            // Over one connection HTTP/1.1 names the host in a field.
            Self::Plain | Self::Tls => TARGET.to_owned(),
            Self::Http2 => format!("https://{NAME}{TARGET}"),
        }
    }
}

pub async fn measure(stage: &Stage) -> Vec<Target> {
    by_turns(
        stage,
        "CPU time per request",
        &format!("{REQUESTS} requests"),
        ROUNDS,
        &LINES,
        async |proxy, way| microseconds_per_request(proxy, way).await,
    )
    .await
}

async fn microseconds_per_request(proxy: &Proxy, way: Way) -> f64 {
    let (connections, streams) = way.shape();
    let mut lanes = Vec::new();
    for _ in 0..connections {
        lanes.extend(connect(proxy, way, streams).await);
    }
    let lanes = send(lanes, way, WARM_UP).await;
    let before = process::cpu(&proxy.processes);
    let lanes = send(lanes, way, REQUESTS).await;
    let used = process::cpu(&proxy.processes) - before;
    drop(lanes);
    // The proxy sees the connections go in its own time, and not in that of the next.
    tokio::time::sleep(Duration::from_millis(200)).await;
    used.as_secs_f64() * 1e6 / f64::from(REQUESTS)
}

/// What sends one request at a time.
enum Lane {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Lane {
    async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// One connection, as many lanes as it carries streams.
async fn connect(proxy: &Proxy, way: Way, streams: usize) -> Vec<Lane> {
    match way {
        Way::Plain => {
            let tcp = TcpStream::connect(proxy.http()).await.expect("connected");
            tcp.set_nodelay(true).expect("no delay");
            vec![http1_lane(tcp).await]
        }
        Way::Tls => {
            let tls = client::tls(proxy, NAME, &["http/1.1"]).await;
            let tls = tls.expect("a handshake");
            tls.get_ref().0.set_nodelay(true).expect("no delay");
            vec![http1_lane(tls).await]
        }
        Way::Http2 => {
            let tls = client::tls(proxy, NAME, &["h2"]).await;
            let tls = tls.expect("a handshake");
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            tls.get_ref().0.set_nodelay(true).expect("no delay");
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(tls));
            let (sender, connection) = handshake.await.expect("HTTP/2");
            tokio::spawn(connection);
            (0..streams).map(|_| Lane::Http2(sender.clone())).collect()
        }
    }
}

async fn http1_lane(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Lane {
    let handshake = http1::handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.expect("HTTP/1.1");
    tokio::spawn(connection);
    Lane::Http1(sender)
}

/// Sends this many requests, all lanes at once, and gives the lanes back.
async fn send(lanes: Vec<Lane>, way: Way, requests: u32) -> Vec<Lane> {
    let sent = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for mut lane in lanes {
        let sent = Arc::clone(&sent);
        tasks.spawn(async move {
            // Whoever is free takes the next, so that all are busy to the end.
            while sent.fetch_add(1, Ordering::Relaxed) < requests {
                ask(&mut lane, way).await;
            }
            lane
        });
    }
    tasks.join_all().await
}

async fn ask(lane: &mut Lane, way: Way) {
    let mut request = Request::builder().uri(way.url());
    if way != Way::Http2 {
        request = request.header("host", NAME);
    }
    let request = request
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)")
        .header("accept", "*/*");
    let request = request.body(Empty::new()).expect("a request");
    let answer = lane.send(request).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{answer:?}");
    let body = answer.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes().len(), LENGTH);
}

//! A scriptable upstream: what a replica does is in the path it is asked for.
//!
//! Serves in-process tests, and as a program of its own the containers of the Docker tests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::channel::Channel;

type Body = BoxBody<Bytes, Infallible>;

/// What an origin has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every request that came, as `METHOD path`.
    pub requests: Mutex<Vec<String>>,
    pub connections: AtomicU32,
    /// Requests below `/raw`.
    pub raw: AtomicU32,
    /// Handshakes under way on `/ws/late`, and the most there were at a time.
    pub handshakes: AtomicU32,
    pub most_handshakes: AtomicU32,
    /// Requests under way on `/slow`, and the most there were at a time.
    pub slow: AtomicU32,
    pub most_slow: AtomicU32,
    /// Where workers answer, if they do.
    pub channel: Option<Arc<Channel>>,
    /// Websockets open now.
    pub websockets: AtomicU32,
    /// True once the origin is to go: what is under way is finished, websockets are told.
    pub leaving: watch::Sender<bool>,
    /// Close codes that clients sent, 1005 for none and 1006 for no close frame.
    pub closes: Mutex<Vec<u16>>,
}

impl Seen {
    async fn told_to_leave(&self) {
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }
}

/// Serves until it leaves, and then finishes what is under way.
pub async fn serve(listener: TcpListener, name: String, seen: Arc<Seen>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            () = seen.told_to_leave() => break,
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                seen.connections.fetch_add(1, Ordering::Relaxed);
                open.spawn(connection(tcp, name.clone(), Arc::clone(&seen)));
            }
        }
    }
    drop(listener);
    open.join_all().await;
}

async fn connection(tcp: TcpStream, name: String, seen: Arc<Seen>) {
    // Some answers are none of HTTP, and need the socket itself.
    if let Some(raw) = raw_answer(&tcp).await {
        seen.raw.fetch_add(1, Ordering::Relaxed);
        let mut tcp = tcp;
        let mut sink = [0; 4096];
        let _ = tokio::io::AsyncReadExt::read(&mut tcp, &mut sink).await;
        let _ = tcp.write_all(raw).await;
        return;
    }
    http(tcp, name, seen).await;
}

async fn http(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    name: String,
    seen: Arc<Seen>,
) {
    let told = Arc::clone(&seen);
    let service = service_fn(move |request| answer(request, name.clone(), Arc::clone(&seen)));
    let serving = http1::Builder::new()
        .keep_alive(true)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        _ = &mut serving => return,
        () = told.told_to_leave() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// Answers that no HTTP library would give.
async fn raw_answer(tcp: &TcpStream) -> Option<&'static [u8]> {
    let mut head = [0; 64];
    let length = tcp.peek(&mut head).await.ok()?;
    let line = std::str::from_utf8(head.get(..length)?).ok()?;
    match line.split(' ').nth(1)?.split('?').next()? {
        "/raw/nothing" => Some(b""),
        "/raw/nonsense" => Some(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        "/raw/two-lengths" => {
            Some(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
        }
        "/raw/short" => Some(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
        "/raw/unasked-101" => Some(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        ),
        "/raw/two-answers" => Some(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo",
        ),
        _ => None,
    }
}

async fn answer(
    request: Request<Incoming>,
    name: String,
    seen: Arc<Seen>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let number = |key: &str| {
        let query = request.uri().query().unwrap_or_default();
        let found = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{key}=")));
        found.and_then(|value| value.parse::<u64>().ok())
    };
    let line = format!("{} {path}", request.method());
    seen.requests.lock().expect("lock").push(line);
    if let Some(channel) = &seen.channel {
        let handshake = request.headers().contains_key("sec-websocket-key");
        match channel.ask(handshake).await {
            Ok(true) => {}
            Ok(false) => return Ok(daphne_error("Request queue full.")),
            Err(error) => return Ok(text(StatusCode::BAD_GATEWAY, error.to_string())),
        }
    }
    Ok(match path.as_str() {
        "/slow" => {
            let now = seen.slow.fetch_add(1, Ordering::Relaxed) + 1;
            seen.most_slow.fetch_max(now, Ordering::Relaxed);
            sleep(Duration::from_millis(number("ms").unwrap_or(500))).await;
            seen.slow.fetch_sub(1, Ordering::Relaxed);
            text(StatusCode::OK, name)
        }
        "/late" => {
            // The body waits as well.
            sleep(Duration::from_millis(number("ms").unwrap_or(500))).await;
            echo(request, &name).await
        }
        "/silent" => std::future::pending().await,
        "/status" => {
            let code = number("code")
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(500);
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
            text(status, format!("{name} says {code}"))
        }
        "/stream" => {
            let pause = Duration::from_millis(number("ms").unwrap_or(100));
            let count = number("count").unwrap_or(u64::MAX);
            stream(pause, count)
        }
        "/big" => {
            let length = usize::try_from(number("bytes").unwrap_or(1 << 20)).unwrap_or(0);
            Response::new(Full::new(Bytes::from(vec![b'x'; length])).boxed())
        }
        "/ws/late" => {
            let now = seen.handshakes.fetch_add(1, Ordering::Relaxed) + 1;
            seen.most_handshakes.fetch_max(now, Ordering::Relaxed);
            sleep(Duration::from_millis(number("ms").unwrap_or(50))).await;
            seen.handshakes.fetch_sub(1, Ordering::Relaxed);
            upgrade(request, name, seen)
        }
        "/page" => {
            let length = usize::try_from(number("bytes").unwrap_or(100)).unwrap_or(0);
            let pause = Duration::from_millis(number("ms").unwrap_or(0));
            page(length, number("parts"), pause)
        }
        "/queue-full" => daphne_error("Request queue full."),
        "/worker-silent" => daphne_error("Worker server failed to respond within time limit."),
        "/ws/full" => text(StatusCode::SERVICE_UNAVAILABLE, String::new()),
        "/ws/unanswered" => {
            // The time that daphne gives a worker to accept.
            sleep(Duration::from_secs(20)).await;
            text(StatusCode::FORBIDDEN, String::new())
        }
        path if path.starts_with("/ws") => upgrade(request, name, seen),
        _ => echo(request, &name).await,
    })
}

/// An error of daphne's own, in a page as it makes one.
fn daphne_error(words: &str) -> Response<Body> {
    let style = "h1 { margin: 0; } ".repeat(40);
    let page = format!(
        "<html><head><title>503 Service Unavailable</title><style>{style}</style></head>\
         <body><h1>503 Service Unavailable</h1><p>{words}</p><footer>Daphne</footer></body></html>"
    );
    text(StatusCode::SERVICE_UNAVAILABLE, page)
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed());
    *answer.status_mut() = status;
    answer
}

/// What came, told back.
async fn echo(request: Request<Incoming>, name: &str) -> Response<Body> {
    let (head, body) = request.into_parts();
    let length = match body.collect().await {
        Ok(body) => body.to_bytes().len(),
        Err(_) => return text(StatusCode::BAD_REQUEST, "body".to_owned()),
    };
    let mut fields = Map::new();
    for (name, value) in &head.headers {
        let value = value.to_str().unwrap_or("?").to_owned();
        fields
            .entry(name.to_string())
            .or_insert_with(|| Value::Array(Vec::new()))
            .as_array_mut()
            .expect("an array")
            .push(Value::String(value));
    }
    let told = json!({
        "origin": name,
        "process": std::process::id(),
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "fields": fields,
        "body": length,
    });
    let mut answer = text(StatusCode::OK, told.to_string());
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert("content-type", json);
    answer
}

/// Lines of text with a tag, whole or in parts with a pause between them.
fn page(length: usize, parts: Option<u64>, pause: Duration) -> Response<Body> {
    let mut text: String = (0..length).map(|line| format!("line {line}\n")).collect();
    text.truncate(length);
    let body = match parts.and_then(|parts| usize::try_from(parts).ok()) {
        None => Full::new(Bytes::from(text)).boxed(),
        Some(parts) => {
            let mut left = Bytes::from(text);
            let size = length.div_ceil(parts.max(1)).max(1);
            let parts = std::iter::from_fn(move || {
                let part = left.split_to(size.min(left.len()));
                (!part.is_empty()).then_some(part)
            });
            let parts = futures_util::stream::iter(parts.enumerate()).then(move |(at, part)| {
                let pause = if at == 0 { Duration::ZERO } else { pause };
                async move {
                    sleep(pause).await;
                    Ok::<_, Infallible>(Frame::data(part))
                }
            });
            BodyExt::boxed(StreamBody::new(Box::pin(parts)))
        }
    };
    let mut answer = Response::new(body);
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert("content-type", kind);
    let tag = http::HeaderValue::from_static("\"v1\"");
    answer.headers_mut().insert("etag", tag);
    answer
}

fn stream(pause: Duration, count: u64) -> Response<Body> {
    let parts = futures_util::stream::unfold(0, move |sent| async move {
        if sent >= count {
            return None;
        }
        sleep(pause).await;
        let frame = Frame::data(Bytes::from(format!("data: {sent}\n\n")));
        Some((Ok::<_, Infallible>(frame), sent + 1))
    });
    let mut answer = Response::new(BodyExt::boxed(StreamBody::new(Box::pin(parts.map(sync)))));
    let kind = http::HeaderValue::from_static("text/event-stream");
    answer.headers_mut().insert("content-type", kind);
    answer
}

fn sync<T>(value: T) -> T {
    value
}

fn upgrade(mut request: Request<Incoming>, name: String, seen: Arc<Seen>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path == "/ws/refuse" {
        return text(StatusCode::FORBIDDEN, "not you".to_owned());
    }
    let Some(key) = request.headers().get("sec-websocket-key").cloned() else {
        return text(StatusCode::BAD_REQUEST, "no websocket".to_owned());
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        // A hall of thousands is held in one process, and frames of any size are taken.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_frame_size(None)
            .max_message_size(None);
        let io = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        seen.websockets.fetch_add(1, Ordering::Relaxed);
        let code = tokio::select! {
            code = websocket(&mut socket, &path, &name) => code,
            () = seen.told_to_leave() => {
                let frame = CloseFrame { code: 1001.into(), reason: "leaving".into() };
                let _ = socket.close(Some(frame)).await;
                while let Some(Ok(_)) = socket.next().await {}
                1001
            }
        };
        seen.closes.lock().expect("lock").push(code);
        seen.websockets.fetch_sub(1, Ordering::Relaxed);
    });
    let mut switch = text(StatusCode::SWITCHING_PROTOCOLS, String::new());
    let fields = switch.headers_mut();
    fields.insert("connection", http::HeaderValue::from_static("Upgrade"));
    fields.insert("upgrade", http::HeaderValue::from_static("websocket"));
    fields.insert("sec-websocket-accept", accept.parse().expect("a field"));
    switch
}

/// Echoes until the client closes; the code it gave.
async fn websocket(
    socket: &mut WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    path: &str,
    name: &str,
) -> u16 {
    match path {
        "/ws/close" => {
            let frame = CloseFrame {
                code: 4001.into(),
                reason: "enough".into(),
            };
            let _ = socket.close(Some(frame)).await;
        }
        "/ws/later" => {
            let frame = CloseFrame {
                code: 1013.into(),
                reason: "".into(),
            };
            let _ = socket.close(Some(frame)).await;
        }
        "/ws/drop" => return 1006,
        _ => {}
    }
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                if socket
                    .send(Message::text(format!("{name}: {text}")))
                    .await
                    .is_err()
                {
                    return 1006;
                }
            }
            Some(Ok(Message::Binary(bytes))) => {
                if socket.send(Message::Binary(bytes)).await.is_err() {
                    return 1006;
                }
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                // The answer to the close is sent by reading on.
                while let Some(Ok(_)) = socket.next().await {}
                return code;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return 1006,
        }
    }
}

/// An origin in this process, until it is dropped.
#[derive(Debug)]
pub struct Origin {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: JoinSet<()>,
}

impl Origin {
    pub async fn start(name: &str) -> Self {
        Self::start_at(name, ([127, 0, 0, 1], 0).into()).await
    }

    pub async fn start_at(name: &str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("bound");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Seen::default());
        let mut task = JoinSet::new();
        task.spawn(serve(listener, name.to_owned(), Arc::clone(&seen)));
        Self {
            address,
            seen,
            task,
        }
    }

    /// As [`Origin::start_at`], over TLS with the pair that this was made of and nothing else.
    pub async fn start_tls(name: &str, address: SocketAddr, config: ServerConfig) -> Self {
        let listener = TcpListener::bind(address).await.expect("bound");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Seen::default());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut task = JoinSet::new();
        let (name, told) = (name.to_owned(), Arc::clone(&seen));
        task.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, name) = (acceptor.clone(), name.clone());
                let seen = Arc::clone(&told);
                open.spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        seen.connections.fetch_add(1, Ordering::Relaxed);
                        http(tls, name, seen).await;
                    }
                });
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    /// Goes as a server goes that was told to: it accepts nobody, finishes, and closes.
    pub async fn leave(self) {
        self.seen.leaving.send_replace(true);
        self.task.join_all().await;
    }

    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().expect("lock").clone()
    }
}

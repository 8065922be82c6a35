//! Clients: requests over HTTP/1.1 and HTTP/2, raw bytes, and websockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

/// No answer takes longer, unless a test says so.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running usher as clients know it.
pub trait Front: Sync {
    fn http(&self) -> SocketAddr;
    fn https(&self) -> SocketAddr;
    /// A TLS client that trusts its certificates and offers these protocols.
    fn trust(&self, protocols: &[&str]) -> ClientConfig;

    /// Begins a request, for example `edge.ask("https://congress.example.org/path")`.
    fn ask(&self, url: &str) -> Ask<'_>
    where
        Self: Sized,
    {
        Ask::new(self, url)
    }
}

/// A request that is being put together.
pub struct Ask<'e> {
    edge: &'e dyn Front,
    secure: bool,
    host: String,
    server_name: String,
    target: String,
    method: Method,
    fields: Vec<(String, String)>,
    body: Option<Bytes>,
    http2: bool,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or("?"))
    }
}

impl<'e> Ask<'e> {
    pub fn new(edge: &'e dyn Front, url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let target = if target.is_empty() { "/" } else { target };
        Self {
            edge,
            secure: matches!(scheme, "https" | "wss"),
            host: host.to_owned(),
            server_name: host.split(':').next().unwrap_or_default().to_owned(),
            target: target.to_owned(),
            method: Method::GET,
            fields: Vec::new(),
            body: None,
            http2: false,
        }
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A name in the handshake that is not the host's.
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = name.to_owned();
        self
    }

    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    pub async fn send(self) -> Answer {
        let what = format!("{} {}{}", self.method, self.host, self.target);
        match timeout(PATIENCE, self.try_send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => panic!("{what}: {error}"),
            Err(_) => panic!("{what}: no answer within {PATIENCE:?}"),
        }
    }

    /// As `send`, where a failure is an expected result.
    pub async fn try_send(self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut uri = self.target.clone();
        if self.http2 {
            uri = format!("https://{}{}", self.host, self.target);
        }
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        if !self.http2 && !self.fields.iter().any(|(name, _)| name == "host") {
            request = request.header("host", &self.host);
        }
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body.clone().unwrap_or_default()))?;
        let answer = if self.secure {
            let protocol = if self.http2 { "h2" } else { "http/1.1" };
            let stream = tls(self.edge, &self.server_name, &[protocol]).await?;
            if self.http2 {
                http2(stream).await?.send_request(request).await?
            } else {
                return exchange(stream, request).await;
            }
        } else {
            return exchange(TcpStream::connect(self.edge.http()).await?, request).await;
        };
        whole(answer).await
    }

    /// Opens a websocket.
    pub async fn websocket(self) -> Result<Socket, tungstenite::Error> {
        let stream: Box<dyn Duplex> = if self.secure {
            let stream = tls(self.edge, &self.server_name, &["http/1.1"]).await;
            Box::new(stream.map_err(|error| tungstenite::Error::Io(std::io::Error::other(error)))?)
        } else {
            Box::new(TcpStream::connect(self.edge.http()).await?)
        };
        let scheme = if self.secure { "wss" } else { "ws" };
        let url = format!("{scheme}://{}{}", self.host, self.target);
        let mut request = tungstenite::client::IntoClientRequest::into_client_request(url)?;
        for (name, value) in &self.fields {
            let name: http::HeaderName = name.parse().expect("a name");
            request
                .headers_mut()
                .insert(name, value.parse().expect("a value"));
        }
        open(request, stream).await
    }
}

/// Opens a websocket on a connection that is there already.
pub async fn websocket_over(
    stream: Box<dyn Duplex>,
    url: &str,
) -> Result<Socket, tungstenite::Error> {
    let request = tungstenite::client::IntoClientRequest::into_client_request(url)?;
    open(request, stream).await
}

async fn open(request: Request<()>, stream: Box<dyn Duplex>) -> Result<Socket, tungstenite::Error> {
    let opening = tokio_tungstenite::client_async(request, stream);
    let (socket, _) = timeout(PATIENCE, opening)
        .await
        .expect("a handshake in time")?;
    Ok(Socket(socket))
}

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open websocket.
pub struct Socket(pub WebSocketStream<Box<dyn Duplex>>);

impl Socket {
    /// Says something and gives the answer.
    pub async fn echo(&mut self, text: &str) -> String {
        self.0.send(Message::text(text)).await.expect("sent");
        self.hear().await
    }

    /// The next text.
    pub async fn hear(&mut self) -> String {
        match timeout(PATIENCE, self.0.next())
            .await
            .expect("a message in time")
        {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end: the code of the close frame, or 1006 where there is none.
    pub async fn closed(mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("an end in time")
            {
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame: CloseFrame| frame.code.into());
                    // Reading on sends the answer.
                    while let Some(Ok(_)) = self.0.next().await {}
                    return code;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 1006,
            }
        }
    }

    /// Waits for the end, or until `enough`: then gives the socket back.
    pub async fn closed_unless(mut self, enough: impl Future<Output = ()>) -> Option<Self> {
        let ended = async {
            while let Some(Ok(message)) = self.0.next().await {
                if message.is_close() {
                    while let Some(Ok(_)) = self.0.next().await {}
                }
            }
        };
        tokio::select! {
            () = ended => return None,
            () = enough => {}
        }
        Some(self)
    }

    /// Says goodbye and waits until it has been heard.
    pub async fn close(mut self) {
        self.0.close(None).await.expect("closed");
        while let Some(Ok(_)) = self.0.next().await {}
    }
}

/// A TLS connection to the edge.
pub async fn tls(
    edge: &dyn Front,
    server_name: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(edge.https()).await?;
    // As browsers do; a part of a window would wait for an acknowledgement otherwise.
    tcp.set_nodelay(true)?;
    tls_over(edge, tcp, server_name, protocols).await
}

/// TLS on a connection that is there already.
pub async fn tls_over(
    edge: &dyn Front,
    tcp: TcpStream,
    server_name: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(server_name.to_owned()).expect("a name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(edge.trust(protocols)));
    connector.connect(name, tcp).await
}

/// One request over a plain connection to anywhere.
pub async fn plain(address: SocketAddr, host: &str, target: &str) -> Answer {
    let request = Request::builder()
        .uri(target)
        .header("host", host)
        .body(Full::new(Bytes::new()))
        .expect("a request");
    let stream = TcpStream::connect(address).await.expect("connected");
    timeout(PATIENCE, exchange(stream, request))
        .await
        .expect("in time")
        .expect("an answer")
}

/// One request over TLS to anywhere.
pub async fn secure(address: SocketAddr, config: ClientConfig, host: &str, target: &str) -> Answer {
    let tcp = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, tcp).await.expect("a handshake");
    let request = Request::builder().uri(target).header("host", host);
    let request = request.body(Full::new(Bytes::new())).expect("a request");
    timeout(PATIENCE, exchange(stream, request))
        .await
        .expect("in time")
        .expect("an answer")
}

/// One GET over an HTTP/2 connection that is there already.
pub async fn client_over(stream: impl Duplex + 'static, url: &str) -> Answer {
    let request = Request::get(url)
        .body(Full::new(Bytes::new()))
        .expect("a request");
    let answer = async {
        let mut sender = http2(stream).await?;
        whole(sender.send_request(request).await?).await
    };
    timeout(PATIENCE, answer)
        .await
        .expect("an answer in time")
        .expect("an answer")
}

/// Begins HTTP/2.
pub async fn http2(
    stream: impl Duplex + 'static,
) -> hyper::Result<hyper::client::conn::http2::SendRequest<Full<Bytes>>> {
    let io = TokioIo::new(stream);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A command over the control socket at this path.
pub async fn order(socket: &Path, order: &serde_json::Value) -> serde_json::Value {
    let stream = UnixStream::connect(socket).await;
    let stream = stream.expect("the control socket");
    let request = Request::post("/command").header("host", "usher");
    let request = request
        .body(Full::from(order.to_string()))
        .expect("a request");
    exchange(stream, request).await.expect("an answer").json()
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    whole(sender.send_request(request).await?).await
}

async fn whole(
    answer: http::Response<hyper::body::Incoming>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = answer.into_parts();
    Ok(Answer {
        status: StatusCode::as_u16(&head.status),
        fields: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

/// Sends bytes as they are and gives everything that comes back until the end.
pub async fn raw(mut stream: impl Duplex, bytes: &[u8]) -> String {
    // The other side may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time");
    String::from_utf8_lossy(&answer).into_owned()
}

//! A proxy in front of pebble: it counts what is asked, adds what pebble 2.4 lacks (RFC 9773), and
//! breaks what a test wants broken. It keeps the client's `Host`, so that every URL that pebble
//! makes leads through here again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::CertificateSigningRequestParams;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::pebble::Pebble;

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    Account,
    Authorization,
    Certificate,
    Challenge,
    Directory,
    Finalize,
    NewOrder,
    Nonce,
    Order,
    RenewalInfo,
}

/// What happens instead of the answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with `Retry-After`, and nothing that could be read as a problem document.
    Bare(StatusCode, String),
    /// This status with `Retry-After` in a problem document, before pebble hears of the request.
    Busy(StatusCode, String),
    /// The answer of pebble, but only its first bytes.
    Cut,
    /// The answer of pebble with a certificate from another authority, that begins and ends so many
    /// days from now.
    Dates(i64, i64),
    /// Pebble hears the request, and nobody the answer.
    Lost,
    /// Nothing at all.
    Stall,
    /// The certificate of somebody else.
    WrongCertificate,
}

#[derive(Debug)]
pub struct AcmeFault {
    port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    pebble: u16,
    tls: TlsConnectorDebug,
    pki_pair: (String, String),
    state: Mutex<State>,
}

struct TlsConnectorDebug(TlsConnector);

impl std::fmt::Debug for TlsConnectorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<(Step, tokio::time::Instant)>,
    /// What every new order said it replaces.
    replaced: Vec<Option<String>>,
    /// Every signing request, as DER.
    requests: Vec<Vec<u8>>,
    faults: Vec<(Step, Fault, u32)>,
    /// The tokens for HTTP that were handed out.
    tokens: Vec<String>,
    renewal_info: Option<(String, String)>,
    echoes_replaces: bool,
}

impl AcmeFault {
    pub async fn start(pebble: &Pebble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let pki = pebble.pki();
        let (chain, key) = pki.pair(&["localhost"]);
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = Arc::new(Shared {
            pebble: pebble.port(),
            tls: TlsConnectorDebug(pki.connector(&[])),
            pki_pair: pki.pair(&["elsewhere.example.net"]),
            state: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&all));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let serve = service_fn(|request| answer(Arc::clone(&shared), request));
                    // Ends with an error whenever a fault wants it to.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), serve)
                        .await;
                });
            }
        });
        Self {
            port,
            shared,
            _tasks: tasks,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        self.shared.with(look)
    }

    /// Breaks the next answers to this step.
    pub fn inject(&self, step: Step, fault: Fault, times: u32) {
        self.with(|state| state.faults.push((step, fault, times)));
    }

    /// Breaks nothing any more.
    pub fn heal(&self) {
        self.with(|state| state.faults.clear());
    }

    /// From now on it says when to renew: between these moments of RFC 3339.
    pub fn renew_between(&self, start: &str, end: &str) {
        self.with(|state| state.renewal_info = Some((start.to_owned(), end.to_owned())));
    }

    /// Whether answers to new orders say what is replaced (RFC 9773 §5).
    pub fn echo_replaces(&self, on: bool) {
        self.with(|state| state.echoes_replaces = on);
    }

    /// How often something was asked for.
    pub fn count(&self, step: Step) -> usize {
        self.with(|state| {
            state
                .asked
                .iter()
                .filter(|(asked, _)| *asked == step)
                .count()
        })
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<(Step, tokio::time::Instant)> {
        self.with(|state| state.asked.clone())
    }

    /// What every new order said it replaces.
    pub fn replaced(&self) -> Vec<Option<String>> {
        self.with(|state| state.replaced.clone())
    }

    /// The tokens that are to be shown over HTTP.
    pub fn tokens(&self) -> Vec<String> {
        self.with(|state| state.tokens.clone())
    }

    /// The public keys that certificates were asked for with, as they stand in their certificates.
    pub fn requested_keys(&self) -> Vec<Vec<u8>> {
        let requests = self.with(|state| state.requests.clone());
        let key = |request: Vec<u8>| {
            use x509_parser::certification_request::X509CertificationRequest;
            use x509_parser::prelude::FromDer;
            let (_, request) = X509CertificationRequest::from_der(&request).expect("a request");
            request.certification_request_info.subject_pki.raw.to_vec()
        };
        requests.into_iter().map(key).collect()
    }
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn step(path: &str) -> Step {
    let first = path.trim_start_matches('/').split('/').next();
    match first.unwrap_or_default() {
        "dir" => Step::Directory,
        "nonce-plz" => Step::Nonce,
        "order-plz" => Step::NewOrder,
        "my-order" => Step::Order,
        "authZ" => Step::Authorization,
        "chalZ" => Step::Challenge,
        "finalize-order" => Step::Finalize,
        "certZ" => Step::Certificate,
        "renewal-info" => Step::RenewalInfo,
        _ => Step::Account,
    }
}

type Body = BoxBody<Bytes, io::Error>;

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed()
}

/// An answer, or the end of the connection.
async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let step = step(parts.uri.path());
    let payload = signed(&body);
    let fault = shared.with(|state| {
        state.asked.push((step, tokio::time::Instant::now()));
        let at = state
            .faults
            .iter()
            .position(|(of, _, left)| *of == step && *left > 0)?;
        state.faults[at].2 -= 1;
        Some(state.faults[at].1.clone())
    });
    let host = parts.headers[HOST].to_str().unwrap_or_default().to_owned();
    match &fault {
        Some(Fault::Stall) => std::future::pending::<()>().await,
        Some(Fault::Busy(status, after)) => {
            let problem = json!({
                "type": "urn:ietf:params:acme:error:rateLimited",
                "detail": "the fault proxy is busy",
            });
            return Ok(refusal(*status, after, problem.to_string()));
        }
        Some(Fault::Bare(status, after)) => {
            return Ok(refusal(*status, after, "<h1>busy</h1>".to_owned()));
        }
        _ => {}
    }
    if step == Step::RenewalInfo {
        return Ok(renewal_info(&shared));
    }
    let forwarded = forward(
        &shared,
        parts.method,
        parts.uri.path(),
        &parts.headers,
        body,
    );
    let (mut head, mut body) = forwarded.await.map_err(io::Error::other)?;
    // A nonce that was refused is no order and no request.
    if head.status.is_success() {
        shared.with(|state| match step {
            Step::NewOrder => {
                let replaces = payload["replaces"].as_str();
                state.replaced.push(replaces.map(ToOwned::to_owned));
            }
            Step::Authorization => {
                let shown: Value = serde_json::from_slice(&body).unwrap_or_default();
                let challenges = shown["challenges"].as_array().into_iter().flatten();
                let over_http = challenges.filter(|challenge| challenge["type"] == "http-01");
                let tokens = over_http.filter_map(|challenge| challenge["token"].as_str());
                state.tokens.extend(tokens.map(ToOwned::to_owned));
            }
            Step::Finalize => {
                let request = payload["csr"].as_str().unwrap_or_default();
                state
                    .requests
                    .push(URL_SAFE_NO_PAD.decode(request).expect("base64"));
            }
            _ => {}
        });
    }
    match (&fault, head.status.is_success()) {
        (Some(Fault::Lost), true) => return Err(io::Error::other("lost")),
        (Some(Fault::WrongCertificate), true) => body = shared.pki_pair.0.clone().into(),
        (Some(Fault::Dates(start, end)), true) => body = dated(&shared, *start, *end),
        _ => body = amended(&shared, step, &host, &payload, body),
    }
    head.headers.remove(CONTENT_LENGTH);
    let body = if matches!(fault, Some(Fault::Cut)) {
        body.truncate(body.len() / 3);
        let first = stream::iter([Ok(Frame::data(body))]);
        // Later, so that what came before has left.
        let last = stream::once(async {
            sleep(Duration::from_millis(200)).await;
            Err(io::Error::other("cut"))
        });
        BodyExt::boxed(StreamBody::new(Box::pin(first.chain(last))))
    } else {
        whole(body)
    };
    Ok(Response::from_parts(head, body))
}

/// What a JSON Web Signature is about.
fn signed(body: &[u8]) -> Value {
    let outer: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = outer["payload"].as_str().unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

fn refusal(status: StatusCode, after: &str, body: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(RETRY_AFTER, after)
        .body(whole(body))
        .expect("an answer")
}

fn renewal_info(shared: &Shared) -> Response<Body> {
    let window = shared.with(|state| state.renewal_info.clone());
    let Some((start, end)) = window else {
        return refusal(StatusCode::NOT_FOUND, "0", String::new());
    };
    let body = json!({ "suggestedWindow": { "start": start, "end": end } });
    Response::builder()
        .header(RETRY_AFTER, "60")
        .body(whole(body.to_string()))
        .expect("an answer")
}

/// With what pebble does not say.
fn amended(shared: &Shared, step: Step, host: &str, payload: &Value, body: Bytes) -> Bytes {
    let (ari, echoes) = shared.with(|state| (state.renewal_info.is_some(), state.echoes_replaces));
    let replaces = &payload["replaces"];
    let change = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&body).unwrap_or_default();
        change(&mut value);
        Bytes::from(value.to_string())
    };
    match step {
        Step::Directory if ari => change(&|directory| {
            directory["renewalInfo"] = json!(format!("https://{host}/renewal-info"));
        }),
        Step::NewOrder if echoes && replaces.is_string() => {
            change(&|order| order["replaces"] = replaces.clone())
        }
        _ => body,
    }
}

/// A certificate for what was asked for last, that begins and ends so many days from now.
fn dated(shared: &Shared, start: i64, end: i64) -> Bytes {
    let request = shared.with(|state| state.requests.last().cloned());
    let request = CertificateSigningRequestDer::from(request.expect("a request"));
    let mut request = CertificateSigningRequestParams::from_der(&request).expect("a request");
    let now = std::time::SystemTime::now();
    let day = |days: i64| {
        let days_off = Duration::from_secs(days.unsigned_abs() * 86_400);
        if days < 0 {
            now - days_off
        } else {
            now + days_off
        }
    };
    request.params.not_before = day(start).into();
    request.params.not_after = day(end).into();
    let key = rcgen::KeyPair::generate().expect("a key");
    let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), key);
    let certificate = request.signed_by(&issuer).expect("signed");
    certificate.pem().into()
}

async fn forward(
    shared: &Shared,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(http::response::Parts, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(("127.0.0.1", shared.pebble)).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = shared.tls.0.connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let exchange = async {
        let answer = sender.send_request(request.body(Full::new(body))?).await?;
        let (parts, body) = answer.into_parts();
        Ok((parts, body.collect().await?.to_bytes()))
    };
    tokio::select! {
        answered = exchange => answered,
        // It carries the exchange and ends after it.
        ended = connection => Err(format!("{ended:?}").into()),
    }
}

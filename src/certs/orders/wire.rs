//! One exchange with an authority: in time, at its pace, and with what instant-acme does not hand
//! on noted down.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tracing::warn;

use super::authorities::Way;
use super::journal::Journal;
use super::why::Why;
use crate::cause::chain;
use crate::config::model::Directory;
use crate::moment;

/// From the first byte sent to the last received.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(30);
/// A long chain is a few kilobytes.
const BODY_AT_MOST: usize = 256 << 10;
/// An authority that asks for more is asked again all the same.
const WAIT_AT_MOST: Duration = Duration::from_secs(7 * 86_400);
/// Certificates are of no use to a clock that is further off.
const CLOCK_OFF_BY: Duration = Duration::from_secs(86_400);

type Sender = Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>;

/// The way to one directory, for one order. Clones share everything.
#[derive(Clone)]
pub(super) struct Wire {
    sender: Sender,
    way: Arc<Way>,
    notes: Arc<Notes>,
}

/// What the answers of one order said beside their bodies.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    status: Option<StatusCode>,
    retry_at: Option<SystemTime>,
    clock: Option<ClockOff>,
    /// Where the URL of the order under way is to be written.
    journal: Option<Journal>,
    /// The URL that came, or why it is not written.
    came: Option<io::Result<String>>,
    /// The authority made a new order, or may have.
    ordered: bool,
}

/// This machine's clock beside the authority's.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockOff {
    here: SystemTime,
    there: SystemTime,
}

impl fmt::Display for ClockOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the clock of this machine says {}, the authority's {}: set this one right",
            moment::text(self.here),
            moment::text(self.there)
        )
    }
}

/// Why there was no answer to make anything of.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("it asked to be left alone")]
    Blocked,
    #[error("the answer broke off: {0}")]
    Cut(String),
    #[error("{0}")]
    Connect(String),
    #[error("the answer is longer than {BODY_AT_MOST} bytes")]
    Long,
    #[error("no answer within {} s", EXCHANGE_WITHIN.as_secs())]
    Slow,
    #[error("it answered {status}{}", excerpt(text))]
    Status { status: StatusCode, text: String },
}

/// The beginning of what a server says instead of a problem document, fit for a log.
fn excerpt(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect();
    match line.trim() {
        "" => String::new(),
        line => format!(" `{line}`"),
    }
}

impl Notes {
    fn with<T>(&self, look: impl FnOnce(&mut Noted) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The `Retry-After` of the last answer.
    pub(super) fn retry_at(&self) -> Option<SystemTime> {
        self.with(|noted| noted.retry_at)
    }

    pub(super) fn clock(&self) -> Option<ClockOff> {
        self.with(|noted| noted.clock)
    }

    /// Whether the authority made a new order, or may have.
    pub(super) fn was_ordered(&self) -> bool {
        self.with(|noted| noted.ordered)
    }

    pub(super) fn is_server_error(&self) -> bool {
        self.with(|noted| noted.status.is_some_and(|status| status.is_server_error()))
    }

    /// The next URL of a thing created is an order's: it is written there before anybody hears of
    /// it, whatever becomes of the rest of the answer.
    pub(super) fn expect_order(&self, journal: &Journal) {
        self.with(|noted| {
            noted.journal = Some(journal.clone());
            noted.came = None;
        });
    }

    /// The URL of the order that came, if one did. No more is expected.
    ///
    /// # Errors
    /// It is not on the disk.
    pub(super) fn order_came(&self) -> io::Result<Option<String>> {
        self.with(|noted| {
            noted.journal = None;
            noted.came.take().transpose()
        })
    }
}

impl Wire {
    /// # Errors
    /// The directory's `ca-bundle` cannot be used.
    pub(super) fn new(
        directory: &Directory,
        way: Arc<Way>,
        notes: Arc<Notes>,
    ) -> Result<Self, Why> {
        let builder = HttpsConnectorBuilder::new();
        let builder = match &directory.ca_bundle {
            Some(path) => builder.with_tls_config(
                ClientConfig::builder()
                    .with_root_certificates(roots(path)?)
                    .with_no_client_auth(),
            ),
            None => builder
                .try_with_platform_verifier()
                .map_err(|error| Why::Unreachable {
                    url: directory.url.clone(),
                    step: "the trust in public authorities",
                    reason: format!("{}; install ca-certificates", chain(&error)),
                })?,
        };
        let connector = builder.https_only().enable_http1().build();
        Ok(Self {
            sender: Client::builder(TokioExecutor::new()).build(connector),
            way,
            notes,
        })
    }

    pub(super) fn notes(&self) -> &Arc<Notes> {
        &self.notes
    }

    /// A plain `GET`, for what needs no account.
    ///
    /// # Errors
    /// No answer, or one that is not a success.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, Error> {
        let request = Request::builder()
            .uri(url)
            .header(USER_AGENT, concat!("usher/", env!("CARGO_PKG_VERSION")))
            .body(BodyWrapper::default())
            .map_err(Error::from)?;
        let (parts, body) = self.clone().exchange(request).await?;
        if parts.status.is_success() {
            return Ok(body);
        }
        Err(serde_json::from_slice::<Problem>(&body)?.into())
    }

    async fn exchange(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<(http::response::Parts, Bytes), Error> {
        self.notes.with(|noted| noted.status = None);
        if let Some(until) = self.way.blocked_until() {
            self.notes.with(|noted| noted.retry_at = Some(until));
            return Err(wire(WireError::Blocked));
        }
        self.notes.with(|noted| noted.retry_at = None);
        self.way.turn().await;
        let may_order = request.method() == Method::POST;
        let answered = timeout(EXCHANGE_WITHIN, self.exchange_at_once(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(wire(WireError::Slow)));
        self.notes.with(|noted| {
            // What was sent and not answered may have been done.
            let done = answered
                .as_ref()
                .map_or(true, |(parts, _)| parts.status.is_success());
            noted.ordered |= noted.journal.is_some() && may_order && done;
        });
        let (parts, body) = answered?;
        let plain = !parts.status.is_success() && !is_problem_document(&body);
        if plain {
            return Err(wire(WireError::Status {
                status: parts.status,
                text: String::from_utf8_lossy(&body).into_owned(),
            }));
        }
        Ok((parts, body))
    }

    async fn exchange_at_once(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<(http::response::Parts, Bytes), Error> {
        let answer = self.sender.request(request).await;
        let answer = answer.map_err(|error| wire(WireError::Connect(connect_reason(&error))))?;
        let (parts, body) = answer.into_parts();
        self.note(&parts).await;
        let body = Limited::new(body, BODY_AT_MOST).collect().await;
        let body = body.map_err(|error| {
            wire(if error.is::<LengthLimitError>() {
                WireError::Long
            } else {
                WireError::Cut(chain(&*error))
            })
        })?;
        Ok((parts, body.to_bytes()))
    }

    /// Takes from the head of an answer what would be lost, before the rest has come.
    async fn note(&self, parts: &http::response::Parts) {
        let now = self.way.now();
        let retry_at = retry_after(&parts.headers, now);
        let clock = clock_off(&parts.headers, now);
        if parts.status == StatusCode::SERVICE_UNAVAILABLE {
            // The whole service asks for peace, not only for this order.
            self.way.block(retry_at);
        }
        let created = parts
            .headers
            .get(LOCATION)
            .and_then(|url| url.to_str().ok());
        let created = created.filter(|_| parts.status == StatusCode::CREATED);
        let (journal, fresh_clock) = self.notes.with(|noted| {
            noted.status = Some(parts.status);
            noted.retry_at = retry_at;
            let fresh = noted.clock.is_none();
            noted.clock = clock;
            (noted.journal.clone(), fresh)
        });
        if let Some(clock) = clock.filter(|_| fresh_clock) {
            warn!(reason = %clock, "the clock is far from the authority's");
        }
        if let (Some(journal), Some(url)) = (journal, created) {
            let written = journal.ordered(url.to_owned()).await;
            let came = written.map(|()| url.to_owned());
            self.notes.with(|noted| noted.came = Some(came));
        }
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let wire = self.clone();
        Box::pin(async move {
            let (parts, body) = wire.exchange(request).await?;
            Ok(Response::from_parts(parts, Full::new(body)).into())
        })
    }
}

fn wire(error: WireError) -> Error {
    Error::Other(Box::new(error))
}

/// What can be read as RFC 7807: an object that says what it is about.
fn is_problem_document(body: &[u8]) -> bool {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    problem.is_some_and(|problem| problem["type"].is_string() || problem["detail"].is_string())
}

fn connect_reason(error: &hyper_util::client::legacy::Error) -> String {
    let reason = chain(error);
    let of_time = ["Expired", "NotValidYet", "expired", "not valid yet"];
    if of_time.iter().any(|word| reason.contains(word)) {
        format!("{reason}; is the clock of this machine right?")
    } else {
        reason
    }
}

/// When the answer asks for the next attempt (RFC 9110 §10.2.3): seconds or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let at = match text.parse::<u64>() {
        Ok(seconds) => now + Duration::from_secs(seconds.min(WAIT_AT_MOST.as_secs())),
        Err(_) => httpdate::parse_http_date(text).ok()?,
    };
    (at > now).then(|| at.min(now + WAIT_AT_MOST))
}

fn clock_off(headers: &HeaderMap, now: SystemTime) -> Option<ClockOff> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let there = httpdate::parse_http_date(date).ok()?;
    let apart = now
        .duration_since(there)
        .unwrap_or_else(|later| later.duration());
    (apart > CLOCK_OFF_BY).then_some(ClockOff { here: now, there })
}

fn roots(path: &Path) -> Result<RootCertStore, Why> {
    let unusable = |reason: String| Why::File {
        path: path.to_owned(),
        reason: format!(
            "{reason}; `ca-bundle` is a file of PEM certificates, of those that sign the \
             directory's own TLS"
        ),
    };
    let pem = fs::read(path).map_err(|error| unusable(format!("cannot be read ({error})")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(format!("is no PEM ({error})")))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(format!("holds an unusable certificate ({error})")))?;
    }
    if roots.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn an_authority_is_left_alone_as_long_as_it_asks_for_but_not_for_ever() {
        let now = at(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let week = WAIT_AT_MOST;
        for (value, expected) in [
            ("120", Some(now + Duration::from_secs(120))),
            ("0", None),
            (
                "Sun, 06 Nov 1994 09:49:37 GMT",
                Some(now + Duration::from_secs(3_600)),
            ),
            ("Sun, 06 Nov 1994 07:49:37 GMT", None),
            ("99999999999999999999", None),
            ("18446744073709551615", Some(now + week)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(now + week)),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                retry_after(&headers(RETRY_AFTER, value), now),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_clock_is_off_when_it_is_more_than_a_day_from_the_authoritys() {
        let date = headers(DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
        let there = at(784_111_777);
        for (here, off) in [
            (there, false),
            (there + Duration::from_secs(86_000), false),
            (there - Duration::from_secs(86_000), false),
            (there + Duration::from_secs(87_000), true),
            (there - Duration::from_secs(87_000), true),
        ] {
            assert_eq!(clock_off(&date, here).is_some(), off, "{here:?}");
        }
    }

    #[test]
    fn only_what_says_what_is_wrong_is_a_problem_document() {
        for (body, expected) in [
            (
                &br#"{"type":"urn:ietf:params:acme:error:malformed"}"#[..],
                true,
            ),
            (br#"{"detail":"no"}"#, true),
            (b"{}", false),
            (b"<html>Bad Gateway</html>", false),
            (b"", false),
            (b"null", false),
        ] {
            assert_eq!(is_problem_document(body), expected);
        }
    }
}

//! The gateway: every request of every client, from the head to the log line.
//!
//! Two doors, one set of decisions. Ordinary requests go through pingora and [`Gateway`]'s callbacks,
//! in the order pingora calls them; websockets never enter pingora and are relayed by `tunnel`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Result;
use pingora::proxy::Session;
use tokio::time::Instant;

mod access_log;
mod admit;
mod authorize;
mod ctx;
mod decide;
mod dial;
mod door;
mod encode;
mod exchange;
mod failed;
mod failure;
mod frames;
mod handshake;
mod headers;
mod hold;
mod local;
mod outgoing;
mod pace;
mod pages;
mod passage;
mod pushback;
mod queue;
mod static_files;
mod strict;
mod stub_status;
mod token;
mod trace;
mod tunnel;
mod upgrade;
mod visit;
mod webroot;
mod websocket;

pub use self::access_log::AccessLog;
pub use self::ctx::Ctx;
pub use self::door::Door;

use self::access_log::Line;
use self::decide::{Asked, Decision, Known, service_at};
use self::dial::Dial;
use self::exchange::Exchanges;
use self::failure::Failure;
use self::local::Answer;
use self::pages::Reader;
use self::passage::Passages;
use self::trace::Trace;
use crate::certs::{Challenges, Store};
use crate::failures::Failures;
use crate::files::{Editions, Library};
use crate::listener::{EdgeCounters, Pressure};
use crate::passwords::Passwords;
use crate::plan::{Signal, Site};
use crate::routing::{InstanceTable, Routes};
use crate::sessions::Sessions;
use crate::shutdown::Shutdown;

/// What every request needs.
#[derive(Debug)]
pub struct Gateway {
    routes: Routes,
    sessions: Arc<Sessions>,
    exchanges: Arc<Exchanges>,
    store: Arc<Store>,
    challenges: Challenges,
    counters: Arc<EdgeCounters>,
    pressure: Arc<Pressure>,
    log: Arc<AccessLog>,
    failures: Arc<Failures>,
    https_port: u16,
    files: Arc<Library>,
    editions: Arc<Editions>,
    passwords: Passwords,
    passages: Passages,
    dial: Arc<Dial>,
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub routes: Routes,
    pub sessions: Arc<Sessions>,
    pub store: Arc<Store>,
    pub challenges: Challenges,
    pub counters: Arc<EdgeCounters>,
    pub pressure: Arc<Pressure>,
    pub log: Arc<AccessLog>,
    pub failures: Arc<Failures>,
    /// Where https is served, for redirects.
    pub https_port: u16,
    pub files: Arc<Library>,
    pub editions: Arc<Editions>,
}

impl Gateway {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            routes,
            sessions,
            store,
            challenges,
            counters,
            pressure,
            log,
            failures,
            https_port,
            files,
            editions,
        } = parts;
        Self {
            exchanges: Exchanges::new(Arc::clone(&sessions)),
            routes,
            sessions,
            store,
            challenges,
            counters,
            pressure,
            log,
            failures,
            https_port,
            files,
            editions,
            passwords: Passwords::default(),
            passages: Passages::default(),
            dial: Arc::new(Dial {
                sealer: Arc::default(),
                tls: None,
            }),
        }
    }

    /// Hangs up on replicas that are silent for too long, until shutdown.
    pub async fn sweep(self: Arc<Self>, shutdown: Shutdown) {
        Arc::clone(&self.exchanges).sweep(shutdown).await;
    }

    fn decide(&self, asked: &Asked<'_>) -> Decision {
        let table = self.routes.load();
        let known = Known {
            table: &table,
            store: &self.store,
            challenges: &self.challenges,
            passages: &self.passages,
            https_port: self.https_port,
        };
        let decision = known.decide(asked);
        if let Decision::Answer { answer, instance } = &decision
            && answer.reason == Some(Failure::Loop)
            && let Some(instance) = instance
            && let Some(pool) = service_at(instance, asked.path).and_then(|to| instance.pool(&to))
        {
            pool.looped();
        }
        decision
    }

    /// Answers by itself.
    async fn answer(&self, session: &mut Session, ctx: &mut Ctx, answer: Answer) -> Result<bool> {
        ctx.failure = answer.reason;
        ctx.answered = Some(answer.status);
        let mut head = ResponseHeader::build(answer.status, Some(answer.fields.len() + 4))?;
        for (name, value) in &answer.fields {
            head.insert_header(*name, value.as_str())?;
        }
        head.insert_header("content-length", answer.body.len())?;
        decorate(&mut head, ctx)?;
        let with_body = session.req_header().method != http::Method::HEAD;
        let body = answer.body.clone();
        let ends = body.is_empty() || !with_body;
        session.write_response_header(Box::new(head), ends).await?;
        if !ends {
            ctx.body_out += body.len() as u64;
            session.write_response_body(Some(body), true).await?;
        }
        Ok(true)
    }

    /// Answers with the page of a failure.
    async fn fail(&self, session: &mut Session, ctx: &mut Ctx, failure: Failure) -> Result<bool> {
        let fields = &session.req_header().headers;
        let reader = match &ctx.instance {
            Some(instance) => Reader::of(instance, fields),
            None => Reader::new(None, fields),
        };
        let answer = Answer::failure(failure, reader);
        self.answer(session, ctx, answer).await
    }

    fn log(
        &self,
        session: &Session,
        ctx: &Ctx,
        kind: &'static str,
        status: StatusCode,
        ending: Option<&'static str>,
    ) {
        let request = session.req_header();
        let served = ctx.served.as_deref();
        let client = served.map(|served| served.client.ip).or_else(|| {
            ctx.connection
                .as_ref()
                .map(|connection| connection.peer.ip())
        });
        let host = served.map(|served| served.host.as_str());
        let took = ctx.began.elapsed();
        let text = |name: &str| request.headers.get(name)?.to_str().ok();
        self.tell(&Line {
            kind,
            instance: ctx
                .instance
                .as_ref()
                .map(|instance| instance.name().as_str()),
            replica: ctx.replica(),
            client,
            host: host.or_else(|| authority(request)),
            method: Some(request.method.as_str()),
            path: Some(request.uri.path()),
            query: self.log.shown_query(request.uri.query()),
            protocol: Some(protocol(request.version)),
            status: Some(status.as_u16()),
            duration_ms: Some(millis(took)),
            bytes_in: Some(ctx.body_in),
            bytes_out: Some(ctx.body_out),
            reason: ctx.failure.map(Failure::word).or(ending),
            signal: ctx.signal.map(Signal::word),
            trace: ctx.trace.as_ref().map(Trace::id),
            peer: ctx
                .connection
                .as_ref()
                .map(|connection| connection.peer.ip()),
            forwarded_for: text("x-forwarded-for"),
            referrer: text("referer"),
            agent: text("user-agent"),
            upstream: ctx.with.as_ref().map(|with| with.endpoint.address),
            upstream_ms: ctx.with.as_ref().map(|with| millis(with.asked.elapsed())),
            ..Line::EMPTY
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of the access log")]
fn wall() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "the clock of request durations")]
fn now() -> Instant {
    Instant::now()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What the field writes for a client that left before the answer: 499.
fn client_left() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// Whether a replica says with its status that it cannot keep up.
fn is_too_much(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
    )
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "h2",
        Version::HTTP_10 => "http/1.0",
        _ => "http/1.1",
    }
}

/// `Host`, or `:authority`, as the client sent it.
fn authority(request: &RequestHeader) -> Option<&str> {
    let host = request
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok());
    host.or_else(|| request.uri.authority().map(http::uri::Authority::as_str))
}

/// Adds what the instance adds to every answer.
fn decorate(head: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    let Some(instance) = &ctx.instance else {
        return Ok(());
    };
    let strict = ctx.served.as_ref().map_or_else(
        || {
            ctx.connection
                .as_ref()
                .is_some_and(|connection| connection.is_tls() && connection.is_believed)
        },
        |served| served.client.strict,
    );
    for (name, value) in additions(&instance.plan().site, strict) {
        head.insert_header(name.to_owned(), value)?;
    }
    Ok(())
}

/// `Strict-Transport-Security` belongs on secure answers only (RFC 6797 §7.2), errors included, and
/// only under a certificate that every client believes.
fn additions(site: &Site, strict: bool) -> impl Iterator<Item = (&str, &str)> {
    let hsts = site.hsts.as_deref().filter(|_| strict);
    let hsts = hsts.map(|value| ("strict-transport-security", value));
    let own = site
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    hsts.into_iter().chain(own)
}

/// What the websocket door shares with this one.
impl Gateway {
    fn instance_of(&self, host: &crate::names::Hostname) -> Option<Arc<InstanceTable>> {
        let table = self.routes.load();
        table
            .find_or_default(host)
            .map(|host| Arc::clone(&host.instance))
    }
}

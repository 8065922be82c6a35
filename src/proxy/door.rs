//! The door of ordinary requests: pingora's callbacks, in the order pingora calls them.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{EXPECT, HeaderValue};
use http::{StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorSource, ErrorType, HttpPeer, OrErr, Result};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::{H1UpgradePolicy, HttpUpstreamRequestPolicy};

use super::admit::Limit;
use super::ctx::{With, Work};
use super::decide::{Asked, Decision};
use super::dial::{Dial, hangup_of};
use super::exchange::Deadlines;
use super::failure::Failure;
use super::hold::{Placed, TRIES, Way};
use super::local::Answer;
use super::outgoing::to_replica;
use super::pace::{LEAST_RATE, PATIENCE};
use super::pushback::Ear;
use super::queue::Patience;
use super::trace::Trace;
use super::{
    Ctx, Gateway, authority, client_left, decorate, encode, is_too_much, now, strict, stub_status,
};
use crate::listener::Connection;
use crate::plan::{Ending, Level, Target};
use crate::routing::{Pick, Pool, SessionCounter};

/// Pooled connections to replicas close after this; below the timeouts of the servers behind.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// An idle client connection, on HTTP/1.1.
const KEEP_ALIVE_SECONDS: u64 = 60;
/// For each part of an answer, over HTTP/2.
const WRITE_WITHIN: Duration = PATIENCE;

/// The gateway as pingora owns it.
#[derive(Debug)]
pub struct Door(pub Arc<Gateway>);

impl Deref for Door {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.0
    }
}

#[async_trait]
impl ProxyHttp for Door {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::new(now())
    }

    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {
        // What is compressed on the way is so by `encode`: pingora's module does not weigh what a
        // client accepts, and holds back parts of answers that stream.
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        // Only where pingora found that the client keeps its connection (RFC 9112 §9.3).
        if self.pressure.level() >= Level::Tight {
            session.set_keepalive(None);
        } else if session.get_keepalive().is_some() {
            session.set_keepalive(Some(KEEP_ALIVE_SECONDS));
        }
        session.set_min_send_rate(usize::try_from(LEAST_RATE).ok());
        if session.is_http2() {
            session.set_write_timeout(Some(WRITE_WITHIN));
        }
        let Some(connection) = connection(session) else {
            return Err(Error::explain(
                ErrorType::InternalError,
                "a stream not of ours",
            ));
        };
        ctx.connection = Some(Arc::clone(&connection));
        let request = session.req_header();
        ctx.trace = Some(Trace::of(&request.headers));
        // What came in lines has passed the listener's guard.
        if request.version == Version::HTTP_2
            && let Err(failure) = strict::check_request(request)
        {
            return self.fail(session, ctx, failure).await;
        }
        let decision = self.decide(&Asked {
            method: &request.method,
            authority: authority(request),
            path: request.uri.path(),
            query: request.uri.query(),
            fields: &request.headers,
            connection: &connection,
        });
        let served = match decision {
            Decision::Answer { answer, instance } => {
                if instance.is_none() {
                    self.counters.unrouted();
                }
                ctx.instance = instance;
                return self.answer(session, ctx, *answer).await;
            }
            Decision::Webroot { token, instance } => {
                ctx.instance = Some(instance);
                return self.answer_from_webroot(session, ctx, token).await;
            }
            Decision::Serve(served) => served,
        };
        let instance = Arc::clone(&served.instance);
        let route = Arc::clone(&served.route);
        ctx.instance = Some(Arc::clone(&instance));
        ctx.served = Some(served);
        let request = session.req_header();
        let patience = Patience::of_request(ctx.began, &request.method, &request.headers);
        let admitted = tokio::select! {
            biased;
            admitted = self.admit(&instance, &connection, patience) => admitted,
            () = left(session) => return Err(Error::new_down(ErrorType::ConnectionClosed)),
        };
        match admitted {
            Ok(turn) => {
                ctx.patience = Some(patience);
                ctx.turns.extend(turn);
            }
            Err(failure) => return self.fail(session, ctx, failure).await,
        }
        let request = session.req_header();
        if let Err(answer) = self.authorize(&instance, &route, &request.headers).await {
            return self.answer(session, ctx, *answer).await;
        }
        let limits = &instance.plan().site.limits;
        if let Some(most) = limits.max_body
            && declared_length(session.req_header()).is_some_and(|length| length > most)
        {
            return self.fail(session, ctx, Failure::BodyTooLarge).await;
        }
        if !matches!(route.target, Target::Service(_)) {
            // What goes to a replica is counted when it does.
            let counted = tokio::select! {
                biased;
                counted = Limit::of(&instance).admit(patience) => counted,
                () = left(session) => return Err(Error::new_down(ErrorType::ConnectionClosed)),
            };
            match counted {
                Ok(in_flight) => ctx.in_flight = Some(in_flight),
                Err(failure) => return self.fail(session, ctx, failure).await,
            }
        }
        match &route.target {
            Target::Service(service) => {
                let pool = instance.pool(service).cloned();
                let asleep = pool.as_ref().is_some_and(|pool| pool.is_asleep());
                let request = session.req_header();
                let path = ctx.served.as_ref().map_or("", |served| &served.path);
                ctx.visit = self.visit(&instance, &request.method, path, &request.headers);
                if ctx.visit.is_none() && asleep {
                    return self.fail(session, ctx, Failure::Asleep).await;
                }
                ctx.pool = pool;
                if is_awaiting(session) {
                    // Here and not by the replica, which then cannot answer before the body has come
                    // and leave it to be taken for a request.
                    session.write_continue_response().await?;
                }
                Ok(false)
            }
            Target::File(_) | Target::Files(..) => self.serve_file(session, ctx, &route).await,
            Target::Nothing => self.fail(session, ctx, Failure::NoRoute).await,
            Target::StubStatus => {
                let answer = Answer::text(stub_status::text(&instance));
                self.answer(session, ctx, answer).await
            }
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let length = body.as_ref().map_or(0, |body| body.len() as u64);
        ctx.body_in += length;
        let most = ctx
            .instance
            .as_ref()
            .and_then(|instance| instance.plan().site.limits.max_body);
        if most.is_some_and(|most| ctx.body_in > most) {
            // The surplus is in hand and goes no further.
            *body = None;
            ctx.failure = Some(Failure::BodyTooLarge);
            return Err(Error::new_down(ErrorType::HTTPStatus(
                Failure::BodyTooLarge.status().as_u16(),
            )));
        }
        if let Some(with) = &mut ctx.with {
            with.watched.sent(now(), ctx.body_in, end);
            if let (true, Work::Coming, Some(pool)) = (end, &with.work, &ctx.pool) {
                with.work = Work::Begun {
                    _counted: pool.counts_request(),
                };
            }
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        ctx.with = None;
        let in_flight = ctx.in_flight.take();
        let whole = session.as_mut().is_body_done();
        let (Some(instance), Some(served), Some(pool), Some(patience)) =
            (&ctx.instance, &ctx.served, &ctx.pool, ctx.patience)
        else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let way = Way {
            host: &served.host,
            pool,
            limit: Limit::of(instance),
            patience,
        };
        let pick = |pool: &Pool| pool.pick(served.client.ip, &ctx.tried, whole);
        let placed = self.place(way, in_flight, pick);
        let placed = tokio::select! {
            biased;
            placed = placed => placed,
            () = left(session) => return Err(Error::new_down(ErrorType::ConnectionClosed)),
        };
        let Pick {
            endpoint,
            inside,
            working,
        } = match placed {
            Ok(placed) => {
                let Placed {
                    pick,
                    in_flight,
                    turn,
                } = placed;
                ctx.in_flight = Some(in_flight);
                ctx.turns.extend(turn);
                pick
            }
            Err(failure) => {
                ctx.failure = Some(failure);
                return Err(Error::new_up(ErrorType::HTTPStatus(
                    failure.status().as_u16(),
                )));
            }
        };
        let limits = &instance.plan().site.limits;
        let deadlines = Deadlines {
            first_byte: limits.request_timeout,
            idle: limits.websocket_idle,
        };
        let counter = SessionCounter::new(instance, pool, &endpoint);
        let client = self.log.shown(served.client.ip);
        let watched = self.exchanges.open(ctx.began, deadlines, counter, client);
        let upstream = &served.route.upstream;
        let dial = match &upstream.tls {
            None => Arc::clone(&self.dial),
            Some(tls) => Arc::new(Dial {
                sealer: Arc::clone(&self.dial.sealer),
                tls: Some(tls.clone()),
            }),
        };
        let mut peer = HttpPeer::new(upstream.at(endpoint.address), false, String::new());
        // What is sealed is never asked for in the pool, and so gets nothing that is not.
        peer.group_key = endpoint.pool_key ^ u64::from(upstream.tls.is_some());
        peer.options.idle_timeout = Some(POOL_IDLE);
        peer.options.custom_l4 = Some(dial as _);
        // Websockets do not come this way, and nothing else is upgraded.
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy {
            h1_upgrade: H1UpgradePolicy::Deny,
            ..HttpUpstreamRequestPolicy::default()
        };
        ctx.with = Some(With {
            endpoint,
            asked: now(),
            watched,
            work: if whole {
                Work::Begun { _counted: working }
            } else {
                Work::Coming
            },
            _inside: inside,
        });
        Ok(Box::new(peer))
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let (Some(with), Some(hangup)) = (&ctx.with, hangup_of(digest)) {
            with.watched.over(hangup);
            let all = session.as_mut().is_body_done();
            with.watched.sent(now(), ctx.body_in, all);
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let (Some(served), Some(connection), Some(trace)) =
            (&ctx.served, &ctx.connection, &ctx.trace)
        else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        to_replica(request, served, connection, trace)
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody asked: what follows would be no HTTP, on a connection that is to be reused.
            return Err(Error::explain(
                ErrorType::InvalidHTTPHeader,
                "a 101 that nobody asked for",
            )
            .into_up());
        }
        if strict::check_answer(response.version, &response.headers).is_err() {
            return Err(
                Error::explain(ErrorType::InvalidHTTPHeader, "an ambiguous answer").into_up(),
            );
        }
        if let (Some(with), false) = (&mut ctx.with, response.status.is_informational()) {
            with.watched.answered(now());
            with.work = Work::Answered;
            ctx.turns.clear();
        }
        if let (Some(pool), true) = (&ctx.pool, is_too_much(response.status)) {
            pool.overloaded();
        }
        ctx.ear = Ear::of(response.status);
        let reason = response.get_reason_phrase().unwrap_or_default();
        heard(ctx, reason.as_bytes());
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        let length = body.as_ref().map_or(0, |body| body.len() as u64);
        heard(ctx, body.as_deref().unwrap_or_default());
        let Some(with) = &ctx.with else {
            return Ok(None);
        };
        with.watched.received(now(), length);
        if with.watched.is_session() && !ctx.told_open {
            ctx.told_open = true;
            self.log(
                session,
                ctx,
                "open",
                answered(session).unwrap_or_default(),
                None,
            );
        }
        Ok(None)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        ends: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        if let Some(encoding) = &mut ctx.encoding {
            let part = body.take().unwrap_or_default();
            if ends || !part.is_empty() {
                let encoded = encoding.push(&part, ends);
                *body = encoded.or_err(ErrorType::InternalError, "compressing an answer")?;
            }
        }
        ctx.body_out += body.as_ref().map_or(0, |body| body.len() as u64);
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let Some(served) = &ctx.served {
            let value = served.route.cache_control.as_deref();
            let request = session.req_header();
            let asked = encode::Asked {
                version: request.version,
                method: &request.method,
                fields: &request.headers,
                path: &served.path,
                cache_control: value,
            };
            // What the replica says about transforming counts, even where the route overrules it.
            ctx.encoding = encode::begin(asked, response)?;
            if let Some(value) = value {
                response.insert_header("cache-control", value)?;
            }
        }
        decorate(response, ctx)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent, so any request may be tried elsewhere.
        ctx.refused();
        if let Some(pool) = &ctx.pool {
            pool.refused();
        }
        error.set_retry(true);
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Ctx,
        reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("replica: {peer}"));
        let overdue = ctx.with.as_ref().and_then(|with| with.watched.overdue());
        if let Some(pool) = &ctx.pool {
            if overdue == Some(Failure::UpstreamTimedOut) {
                pool.overloaded();
            } else if *error.esource() == ErrorSource::Upstream && !reused {
                pool.refused();
            }
        }
        let repeatable = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated();
        if overdue.is_some() {
            ctx.failure = overdue;
            error.set_retry(false);
        } else if repeatable && reused {
            // A connection from the pool may have died unseen.
            error.retry.decide_reuse(reused);
        } else if repeatable
            && has_ended(&error)
            && ctx.is_unanswered()
            && ctx.tried.len() + 1 < TRIES
        {
            // The replica has gone, and took the request with it: another one is asked, or this one
            // once it is back. What it made of it does not matter (RFC 9110 §9.2.2).
            ctx.refused();
            error.set_retry(true);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Ctx,
    ) -> FailToProxy {
        let refused = *error.etype() == ErrorType::InvalidHTTPHeader;
        let client_is_gone = *error.esource() == ErrorSource::Downstream
            && !refused
            && !matches!(error.etype(), ErrorType::HTTPStatus(_));
        if client_is_gone || answered(session).is_some() {
            return FailToProxy {
                error_code: 0,
                can_reuse_downstream: false,
            };
        }
        let failure = ctx.failure.unwrap_or_else(|| match error.esource() {
            ErrorSource::Upstream => Failure::UpstreamFailed,
            // pingora refuses heads as well, on the way from one form to the other.
            ErrorSource::Downstream if refused => Failure::Ambiguous,
            ErrorSource::Downstream | ErrorSource::Internal | ErrorSource::Unset => {
                Failure::Internal
            }
        });
        // An error means that the client did not wait for the answer.
        let _ = self.fail(session, ctx, failure).await;
        FailToProxy {
            error_code: failure.status().as_u16(),
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        let ending = match error.map(Error::esource) {
            None => Ending::Upstream,
            Some(ErrorSource::Downstream) => Ending::Client,
            Some(_) => Ending::Error,
        };
        let closes = ctx
            .with
            .as_ref()
            .and_then(|with| with.watched.closes(ending));
        let written = answered(session);
        let status = ctx.answered.or(written).unwrap_or_else(client_left);
        if let Some(instance) = &ctx.instance {
            let took = closes.is_none().then(|| ctx.began.elapsed());
            instance.counters().answered(status, took);
            instance.counters().bytes(ctx.body_in, ctx.body_out);
        }
        match closes {
            Some(ending) => self.log(session, ctx, "close", status, Some(ending.word())),
            None => self.log(session, ctx, "request", status, None),
        }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, _error: &Error) -> bool {
        // The access log has the reason; a line per failed request at error level would let any
        // client fill the disk.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Ctx,
        _error: &Error,
        _context: pingora::proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Listens to a part of an answer for a word of back-pressure.
fn heard(ctx: &mut Ctx, part: &[u8]) {
    if let (Some(ear), Some(pool)) = (&mut ctx.ear, &ctx.pool)
        && let Some(signal) = ear.hear(part)
    {
        pool.pushed_back(signal);
        ctx.signal = Some(signal);
        ctx.ear = None;
    }
}

/// Whether the client holds its body back until it is told to go on (RFC 9110 §10.1.1).
fn is_awaiting(session: &mut Session) -> bool {
    let request = session.req_header();
    let expects = request.headers.contains_key(EXPECT);
    expects && request.version == Version::HTTP_11 && !session.is_body_empty()
}

/// Waits until the client has gone: nobody is left to be answered, and its place is the next one's.
///
/// What is behind a body that nobody has read yet cannot be seen, so such a client is waited for.
/// Cancel safe: what else it says stays with the connection.
async fn left(session: &mut Session) {
    if session.as_mut().is_body_done() {
        let probe = session.as_downstream_mut().read_body_or_idle(true);
        if probe.await.is_err() {
            return;
        }
    }
    std::future::pending().await
}

/// Whether the connection to the replica has ended, for whatever reason of its own.
fn has_ended(error: &Error) -> bool {
    use ErrorType::{ConnectionClosed, ReadError, WriteError};
    *error.esource() == ErrorSource::Upstream
        && matches!(error.etype(), ConnectionClosed | ReadError | WriteError)
}

/// The status the client has been told. An interim answer is none (RFC 9110 §15.2).
fn answered(session: &Session) -> Option<StatusCode> {
    let status = session.response_written()?.status;
    (!status.is_informational()).then_some(status)
}

fn declared_length(request: &RequestHeader) -> Option<u64> {
    let value: &HeaderValue = request.headers.get("content-length")?;
    value.to_str().ok()?.parse().ok()
}

/// The client connection a request came over, which the listener put into its digest.
fn connection(session: &Session) -> Option<Arc<Connection>> {
    let digest = session.as_downstream().digest()?.proxy_digest.as_ref()?;
    digest
        .user_data
        .as_ref()?
        .downcast_ref::<Arc<Connection>>()
        .cloned()
}

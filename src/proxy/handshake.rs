//! A websocket's handshake, both ways: from a request to a replica's agreement.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::admit::Limit;
use super::decide::{Asked, Decision, Served};
use super::dial::dial_as;
use super::failure::Failure;
use super::hold::{Placed, TRIES, Way};
use super::pages::Reader;
use super::pushback::in_handshake;
use super::queue::Patience;
use super::trace::Trace;
use super::upgrade::{Refusal, Reply, Request, refusal};
use super::{Gateway, additions, is_too_much, now, strict};
use crate::listener::Connection;
use crate::names::ReplicaId;
use crate::plan::{Signal, Target};
use crate::routing::{
    Counted, Endpoint, Inside, InstanceTable, Pending, Pool, SessionCounter, SessionPick, Turn,
};
use crate::sealed::Wire;

/// A handshake on its way.
pub(super) struct Visit {
    pub(super) began: Instant,
    pub(super) request: Request,
    pub(super) trace: Trace,
    pub(super) connection: Arc<Connection>,
    pub(super) served: Option<Box<Served>>,
    pub(super) replica: Option<Arc<Endpoint>>,
    /// The word of back-pressure that it was answered with.
    pub(super) signal: Option<Signal>,
}

/// A handshake that a replica agreed to.
pub(super) struct Opened {
    pub(super) upstream: Wire,
    pub(super) reply: Reply,
    pub(super) counter: SessionCounter,
    pub(super) inside: Inside,
    /// To be dropped when the session is counted.
    pub(super) until_counted: (Counted, Pending),
}

/// A replica that has answered a handshake.
struct Answered {
    upstream: Wire,
    reply: Reply,
    endpoint: Arc<Endpoint>,
    inside: Inside,
    pending: Pending,
    in_flight: Counted,
    signal: Option<Signal>,
    /// The next who waits is let through when this one has been answered.
    _turn: Option<Turn>,
}

/// A handshake that came to nothing, and the whole answer for the client.
pub(super) struct Refused {
    pub(super) answer: Vec<u8>,
    pub(super) status: StatusCode,
    pub(super) failure: Option<Failure>,
}

impl Refused {
    fn because(failure: Failure, visit: &Visit) -> Self {
        let fields = &visit.request.fields;
        let reader = match &visit.served {
            Some(served) => Reader::of(&served.instance, fields),
            None => Reader::new(None, fields),
        };
        Self {
            answer: refusal(failure, reader),
            status: failure.status(),
            failure: Some(failure),
        }
    }
}

impl Gateway {
    /// From the request to a replica's agreement.
    pub(super) async fn open(&self, visit: &mut Visit) -> Result<Opened, Refused> {
        let request = &visit.request;
        let host = request
            .fields
            .get("host")
            .and_then(|host| host.to_str().ok());
        let decision = self.decide(&Asked {
            method: &Method::GET,
            authority: host,
            path: request.path(),
            query: request.query(),
            fields: &request.fields,
            connection: &visit.connection,
        });
        let served = match decision {
            Decision::Serve(served) => served,
            Decision::Webroot { .. } => return Err(Refused::because(Failure::NotFound, visit)),
            Decision::Answer { answer, .. } => {
                return Err(Refused {
                    answer: answer.to_last_bytes(),
                    status: answer.status,
                    failure: answer.reason,
                });
            }
        };
        let instance = Arc::clone(&served.instance);
        let route = Arc::clone(&served.route);
        visit.served = Some(served);
        let site = &instance.plan().site;
        let limits = &site.limits;
        let Target::Service(service) = &route.target else {
            // A file is no websocket.
            return Err(Refused::because(Failure::HandshakeInvalid, visit));
        };
        // First of all: a page of another site learns nothing about what would be wrong otherwise.
        if !visit.request.is_from(site) {
            return Err(Refused::because(Failure::OriginRefused, visit));
        }
        if let Err(failure) = visit.request.check() {
            return Err(Refused::because(failure, visit));
        }
        let Some(pool) = instance.pool(service).cloned() else {
            return Err(Refused::because(Failure::Internal, visit));
        };
        let patience = Patience::of_upgrade(visit.began);
        let admitted = self.admit(&instance, &visit.connection, patience).await;
        let _waited = match admitted {
            Ok(turn) => turn,
            Err(failure) => return Err(Refused::because(failure, visit)),
        };
        let fields = &visit.request.fields;
        if let Err(answer) = self.authorize(&instance, &route, fields).await {
            return Err(Refused {
                answer: answer.to_last_bytes(),
                status: answer.status,
                failure: answer.reason,
            });
        }
        if instance.counters().sessions() >= limits.sessions {
            return Err(Refused::because(Failure::OverLimit, visit));
        }
        let path = visit.served.as_ref().map_or("", |served| &served.path);
        let fields = &visit.request.fields;
        // Until its session is counted, or there is none.
        let counted = self.visit(&instance, &Method::GET, path, fields);
        if counted.is_none() && pool.is_asleep() {
            return Err(Refused::because(Failure::Asleep, visit));
        }
        let handshake = self
            .with_some_replica(visit, &pool, &instance, patience)
            .await;
        let Answered {
            upstream,
            reply,
            endpoint,
            inside,
            pending,
            in_flight,
            signal,
            _turn,
        } = match handshake {
            Ok(answered) => answered,
            Err(failure) => return Err(Refused::because(failure, visit)),
        };
        visit.replica = Some(Arc::clone(&endpoint));
        visit.signal = signal;
        if !reply.agrees(&visit.request) {
            return Err(self.refused_by_replica(visit, upstream, reply).await);
        }
        Ok(Opened {
            upstream,
            reply,
            counter: SessionCounter::new(&instance, &pool, &endpoint),
            inside,
            until_counted: (in_flight, pending),
        })
    }

    /// Asks replicas until one answers. Who refuses a connection, or ends it without a byte of an
    /// answer, is passed over; an answer of any kind counts.
    async fn with_some_replica(
        &self,
        visit: &Visit,
        pool: &Arc<Pool>,
        instance: &InstanceTable,
        patience: Patience,
    ) -> Result<Answered, Failure> {
        let Some(served) = visit.served.as_deref() else {
            return Err(Failure::Internal);
        };
        let origin = served.origin(&visit.connection, &visit.request.target);
        let asked = &visit.request.target;
        let target = served.route.rewritten(asked, &served.path);
        let head = visit.request.to_replica(
            &origin,
            target.as_deref().unwrap_or(asked),
            &visit.trace,
            served.passage,
        )?;
        let limits = &instance.plan().site.limits;
        let way = Way {
            host: &served.host,
            pool,
            limit: Limit::of(instance),
            patience,
        };
        let mut tried: Vec<ReplicaId> = Vec::new();
        let mut counted = None;
        loop {
            let pick =
                |pool: &Pool| pool.pick_session(served.client.ip, &tried, limits.sessions_hard);
            let Placed {
                pick,
                in_flight,
                turn,
            } = self.seat(way, counted.take(), pick).await?;
            let SessionPick {
                endpoint,
                inside,
                pending,
            } = pick;
            let asked = now();
            let upstream = &served.route.upstream;
            let connecting = dial_as(&self.dial.sealer, upstream, upstream.at(endpoint.address));
            let answer = timeout(limits.request_timeout, ask(connecting, &head));
            let Ok(answer) = answer.await else {
                pool.overloaded();
                return Err(Failure::UpstreamTimedOut);
            };
            match answer {
                Ok((upstream, reply)) => {
                    let took = asked.elapsed();
                    pool.answered_handshake(took);
                    if is_too_much(reply.status) {
                        pool.overloaded();
                    }
                    let signal = in_handshake(reply.status, took);
                    if let Some(signal) = signal {
                        pool.pushed_back(signal);
                    }
                    return Ok(Answered {
                        upstream,
                        reply,
                        endpoint,
                        inside,
                        pending,
                        in_flight,
                        signal,
                        _turn: turn,
                    });
                }
                Err(Unanswered::Silence(error)) => {
                    debug!(replica = %endpoint.name, %error, "replica does not answer a handshake");
                    pool.refused();
                    drop(pending);
                    counted = Some(in_flight);
                    tried.push(endpoint.id.clone());
                    if tried.len() >= TRIES {
                        return Err(Failure::UpstreamFailed);
                    }
                }
                Err(Unanswered::Nonsense(failure)) => return Err(failure),
            }
        }
    }

    /// Passes a replica's refusal on, body included, and ends the connection with it.
    async fn refused_by_replica(&self, visit: &Visit, mut upstream: Wire, reply: Reply) -> Refused {
        let framing = strict::check_answer(reply.version, &reply.fields);
        let (false, Ok(framing)) = (reply.status.is_informational(), framing) else {
            // A 101 without the proof that it is ours, or an answer that could be read in two ways.
            return Refused::because(Failure::UpstreamFailed, visit);
        };
        let mut body = Refusal::new(framing, reply.status);
        let read = async {
            let mut part = BytesMut::from(&reply.rest[..]);
            while body.wants(&part)? {
                part.clear();
                if upstream.read_buf(&mut part).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            Ok(())
        };
        // What did not come in time is cut; the client sees the end of the connection.
        if let Ok(Err(failure)) = timeout(Duration::from_secs(10), read).await {
            return Refused::because(failure, visit);
        }
        let mut answer = match &visit.served {
            Some(served) => {
                let site = &served.instance.plan().site;
                reply.to_client(additions(site, served.client.strict))
            }
            None => reply.to_client(std::iter::empty()),
        };
        answer.extend_from_slice(&body.bytes);
        Refused {
            answer,
            status: reply.status,
            failure: None,
        }
    }
}

/// Why there is no answer to a handshake.
enum Unanswered {
    /// Not a byte came: another replica may be asked the same.
    Silence(io::Error),
    Nonsense(Failure),
}

/// Sends a head and reads the head of the answer.
async fn ask(
    connecting: impl Future<Output = io::Result<Wire>>,
    head: &[u8],
) -> Result<(Wire, Reply), Unanswered> {
    let mut upstream = connecting.await.map_err(Unanswered::Silence)?;
    let sent = async {
        upstream.write_all(head).await?;
        upstream.flush().await
    };
    sent.await.map_err(Unanswered::Silence)?;
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        let read = match upstream.read_buf(&mut bytes).await {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        match read {
            Ok(_) => {}
            Err(error) if bytes.is_empty() => return Err(Unanswered::Silence(error)),
            Err(_) => return Err(Unanswered::Nonsense(Failure::UpstreamFailed)),
        }
        if let Some(reply) = Reply::parse(&mut bytes).map_err(Unanswered::Nonsense)? {
            return Ok((upstream, reply));
        }
    }
}

//! The door for websockets: from a checked handshake to a relay.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::access_log::Line;
use super::decide::{Asked, Decision, Served};
use super::dial::dial;
use super::failure::Failure;
use super::headers::Origin;
use super::hold::{Patience, Way, in_flight};
use super::pages::Reader;
use super::tunnel::{Relay, Relayed};
use super::upgrade::{Refusal, Reply, Request, refusal};
use super::{Gateway, additions, now, strict, wall};
use crate::listener::{Admission, Connection, Io, WebsocketRequest};
use crate::names::{Hostname, InstanceName, ReplicaId};
use crate::plan::{Ending, Target};
use crate::routing::{
    Counted, Counters, Endpoint, Inside, InstanceTable, Pending, Pool, Rank, SessionCounter,
    SessionKind, SessionPick, Turn,
};
use crate::sessions::Session;

/// How many replicas are tried when connections are refused.
const TRIES: usize = 4;
/// Telling a client that it is over must not wait for that client.
const FAREWELL: Duration = Duration::from_secs(2);

impl Admission for Gateway {
    fn header_timeout(&self, host: Option<&Hostname>) -> Duration {
        let instance = host.and_then(|host| self.instance_of(host));
        match instance {
            Some(instance) => instance.plan().site.limits.header_timeout,
            None => self.routes.load().edge().header_timeout,
        }
    }

    fn expects_proxy_header(&self, peer: IpAddr) -> bool {
        let table = self.routes.load();
        table.edge().proxy_protocol && table.edge().trusts(peer)
    }

    async fn websocket(self: &Arc<Self>, request: WebsocketRequest) {
        // On the heap by itself, so that nothing a handshake needs is kept while a websocket idles.
        let Some(live) = Box::pin(self.handshake(request)).await else {
            return;
        };
        let Live {
            relay,
            from_client,
            from_replica,
            mut session,
            inside,
            visitor,
        } = *live;
        let relayed = match relay {
            Some(relay) => relay.run(from_client, from_replica).await,
            None => Relayed::nothing(Ending::Client),
        };
        session.ends(relayed.ending);
        drop((session, inside));
        let counters = &visitor.counters;
        counters.bytes(relayed.from_client, relayed.to_client);
        self.log_visitor(&visitor.told, "close", |line| Line {
            duration_ms: Some(millis(visitor.began.elapsed())),
            bytes_in: Some(relayed.from_client),
            bytes_out: Some(relayed.to_client),
            reason: Some(relayed.ending.word()),
            ..line
        });
    }
}

/// An open websocket: what is kept of it while it idles. No table, no plan, no request.
struct Live {
    /// `None`: the client left before it heard of it.
    relay: Option<Box<Relay>>,
    from_client: Bytes,
    from_replica: Bytes,
    session: Session,
    inside: Inside,
    visitor: Visitor,
}

/// Who holds an open websocket.
struct Visitor {
    began: Instant,
    /// Keeps the connection counted.
    _connection: Arc<Connection>,
    counters: Arc<Counters>,
    told: Told,
}

/// What the access log says about every line of one visit.
struct Told {
    instance: Option<InstanceName>,
    replica: Option<Arc<Endpoint>>,
    client: IpAddr,
    host: Option<String>,
    path: String,
}

/// A handshake on its way.
struct Visit {
    began: Instant,
    request: Request,
    connection: Arc<Connection>,
    served: Option<Box<Served>>,
    replica: Option<Arc<Endpoint>>,
}

/// A handshake that a replica agreed to.
struct Opened {
    upstream: TcpStream,
    reply: Reply,
    counter: SessionCounter,
    inside: Inside,
    /// To be dropped when the session is counted.
    until_counted: (Counted, Pending),
}

/// A replica that has answered a handshake.
struct Answered {
    upstream: TcpStream,
    reply: Reply,
    endpoint: Arc<Endpoint>,
    inside: Inside,
    pending: Pending,
    /// The next who waits is let through when this one has been answered.
    _turn: Option<Turn>,
}

/// A handshake that came to nothing, and the whole answer for the client.
struct Refused {
    answer: Vec<u8>,
    status: StatusCode,
    failure: Option<Failure>,
}

impl Refused {
    fn because(failure: Failure, visit: &Visit) -> Self {
        let site = visit
            .served
            .as_ref()
            .map(|served| served.instance.name().as_str());
        Self {
            answer: refusal(failure, Reader::new(site, &visit.request.fields)),
            status: failure.status(),
            failure: Some(failure),
        }
    }
}

impl Visit {
    fn told(&self) -> Told {
        let served = self.served.as_deref();
        let asked = || {
            let host = self.request.fields.get("host")?;
            host.to_str().ok().map(ToOwned::to_owned)
        };
        Told {
            instance: served.map(|served| served.instance.name().clone()),
            replica: self.replica.clone(),
            client: served.map_or_else(|| self.connection.peer.ip(), |served| served.client.ip),
            host: served.map_or_else(asked, |served| Some(served.host.to_string())),
            path: self.request.path().to_owned(),
        }
    }
}

impl Gateway {
    /// From the head of a request to an open websocket, or to the last answer on its connection.
    async fn handshake(&self, request: WebsocketRequest) -> Option<Box<Live>> {
        let began = now();
        let WebsocketRequest {
            mut io,
            head,
            rest,
            connection,
        } = request;
        let Some(parsed) = Request::parse(&head) else {
            send_last(
                &mut io,
                &refusal(Failure::HandshakeInvalid, Reader::default()),
            )
            .await;
            return None;
        };
        drop(head);
        let mut visit = Visit {
            began,
            request: parsed,
            connection,
            served: None,
            replica: None,
        };
        match self.open(&mut visit).await {
            Ok(opened) => self.welcome(visit, io, rest, opened).await,
            Err(Refused {
                answer,
                status,
                failure,
            }) => {
                send_last(&mut io, &answer).await;
                if let Some(served) = &visit.served {
                    let counters = served.instance.counters();
                    counters.answered(status, Some(began.elapsed()));
                } else {
                    self.counters.unrouted();
                }
                self.log_visitor(&visit.told(), "request", |line| Line {
                    status: Some(status.as_u16()),
                    duration_ms: Some(millis(began.elapsed())),
                    reason: failure.map(Failure::word),
                    ..line
                });
                None
            }
        }
    }

    /// From the request to a replica's agreement.
    async fn open(&self, visit: &mut Visit) -> Result<Opened, Refused> {
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
        let counters = instance.counters();
        if self.pressure.sheds(counters.connections()) {
            return Err(Refused::because(Failure::Overload, visit));
        }
        let connected = visit
            .connection
            .count(|| counters.connect(limits.connections));
        if connected.is_none() {
            return Err(Refused::because(Failure::OverLimit, visit));
        }
        let in_flight = in_flight(counters, limits.requests_in_flight, Rank::Upgrade).await;
        let Some(in_flight) = in_flight else {
            return Err(Refused::because(Failure::OverLimit, visit));
        };
        if counters.sessions() >= limits.sessions {
            return Err(Refused::because(Failure::OverLimit, visit));
        }
        let Some(pool) = instance.pool(service).cloned() else {
            return Err(Refused::because(Failure::Internal, visit));
        };
        let patience = Patience::of_upgrade(visit.began);
        if let Err(failure) = self.while_paused(&instance, patience).await {
            return Err(Refused::because(failure, visit));
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
            _turn,
        } = match handshake {
            Ok(answered) => answered,
            Err(failure) => return Err(Refused::because(failure, visit)),
        };
        visit.replica = Some(Arc::clone(&endpoint));
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
        let origin = Origin {
            client: &served.client,
            peer: visit.connection.peer,
            local: visit.connection.local,
            host: &served.host,
            port: served.port,
            target: &visit.request.target,
        };
        let head = visit.request.to_replica(&origin)?;
        let limits = &instance.plan().site.limits;
        let way = Way {
            host: &served.host,
            pool,
            patience,
        };
        let mut tried: Vec<ReplicaId> = Vec::new();
        loop {
            let (pick, turn) = self
                .seat(way, |pool| {
                    pool.pick_session(served.client.ip, &tried, limits.sessions_hard)
                })
                .await?;
            let SessionPick {
                endpoint,
                inside,
                pending,
            } = pick;
            let answer = timeout(limits.request_timeout, ask(endpoint.address, &head));
            let Ok(answer) = answer.await else {
                return Err(Failure::UpstreamTimedOut);
            };
            match answer {
                Ok((upstream, reply)) => {
                    return Ok(Answered {
                        upstream,
                        reply,
                        endpoint,
                        inside,
                        pending,
                        _turn: turn,
                    });
                }
                Err(Unanswered::Silence(error)) => {
                    debug!(replica = %endpoint.name, %error, "replica does not answer a handshake");
                    drop(pending);
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
    async fn refused_by_replica(
        &self,
        visit: &Visit,
        mut upstream: TcpStream,
        reply: Reply,
    ) -> Refused {
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
        let secure = visit
            .served
            .as_ref()
            .is_some_and(|served| served.client.secure);
        let mut answer = match &visit.served {
            Some(served) => reply.to_client(additions(&served.instance.plan().site, secure)),
            None => reply.to_client(std::iter::empty()),
        };
        answer.extend_from_slice(&body.bytes);
        Refused {
            answer,
            status: reply.status,
            failure: None,
        }
    }

    /// Tells the client, and counts the session from here on.
    async fn welcome(
        &self,
        visit: Visit,
        mut io: Io,
        from_client: Bytes,
        opened: Opened,
    ) -> Option<Box<Live>> {
        let Opened {
            upstream,
            reply,
            counter,
            inside,
            until_counted,
        } = opened;
        let served = visit.served.as_ref()?;
        let site = &served.instance.plan().site;
        let counters = Arc::clone(served.instance.counters());
        let shown = self.log.shown(served.client.ip);
        let (session, orders) = self
            .sessions
            .open(Arc::new(counter).open(SessionKind::Websocket), shown);
        // From here it is a session and no request any more.
        drop(until_counted);
        counters.answered(StatusCode::SWITCHING_PROTOCOLS, None);
        let head = reply.to_client(additions(site, served.client.secure));
        let told = visit.told();
        self.log_visitor(&told, "open", |line| Line {
            status: Some(StatusCode::SWITCHING_PROTOCOLS.as_u16()),
            ..line
        });
        let greeted = timeout(FAREWELL, async {
            io.write_all(&head).await?;
            io.flush().await
        });
        let relay = match greeted.await {
            Ok(Ok(())) => {
                let idle = site.limits.websocket_idle;
                let relay = Relay::new(io, upstream, site.close_code, idle, orders, &session);
                Some(Box::new(relay))
            }
            _ => None,
        };
        Some(Box::new(Live {
            relay,
            from_client,
            from_replica: reply.rest,
            session,
            inside,
            visitor: Visitor {
                began: visit.began,
                _connection: visit.connection,
                counters,
                told,
            },
        }))
    }

    fn log_visitor(
        &self,
        told: &Told,
        kind: &'static str,
        more: impl for<'a> FnOnce(Line<'a>) -> Line<'a>,
    ) {
        self.log.write(
            wall(),
            &more(Line {
                kind,
                instance: told.instance.as_ref().map(InstanceName::as_str),
                replica: told.replica.as_ref().map(|replica| &*replica.name),
                client: Some(told.client),
                host: told.host.as_deref(),
                method: Some("GET"),
                path: Some(&told.path),
                protocol: Some("websocket"),
                ..Line::EMPTY
            }),
        );
    }
}

/// Why there is no answer to a handshake.
enum Unanswered {
    /// Not a byte came: another replica may be asked the same.
    Silence(io::Error),
    Nonsense(Failure),
}

/// Sends a head and reads the head of the answer.
async fn ask(address: SocketAddr, head: &[u8]) -> Result<(TcpStream, Reply), Unanswered> {
    let mut upstream = dial(address).await.map_err(Unanswered::Silence)?;
    upstream
        .write_all(head)
        .await
        .map_err(Unanswered::Silence)?;
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

async fn send_last(io: &mut Io, answer: &[u8]) {
    let sent = async {
        io.write_all(answer).await?;
        io.flush().await?;
        io.shutdown().await
    };
    // An error means that the client did not wait for the answer.
    let _ = timeout(FAREWELL, sent).await;
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

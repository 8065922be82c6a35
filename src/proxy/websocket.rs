//! The door for websockets: from a checked handshake to a relay.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::access_log::{AccessLog, Line};
use super::failure::Failure;
use super::handshake::{Opened, Refused, Visit};
use super::pages::Reader;
use super::pushback::in_close;
use super::trace::Trace;
use super::tunnel::{Relay, Relayed};
use super::upgrade::{Request, refusal};
use super::{Gateway, additions, client_left, millis, now};
use crate::listener::{Admission, Connection, Io, WebsocketRequest};
use crate::names::{Hostname, InstanceName};
use crate::plan::{ClientAuthorities, Ending, ProxyProtocol, Signal};
use crate::routing::{Counters, Endpoint, Inside, SessionKind};
use crate::sessions::Session;

/// Telling a client that it is over must not wait for that client.
const FAREWELL: Duration = Duration::from_secs(2);
/// Frames that come before the handshake is answered, in bytes.
const EARLY: usize = 16 * 1024;

impl Admission for Gateway {
    fn header_timeout(&self, host: Option<&Hostname>) -> Duration {
        let instance = host.and_then(|host| self.instance_of(host));
        match instance {
            Some(instance) => instance.plan().site.limits.header_timeout,
            None => self.routes.load().edge().header_timeout,
        }
    }

    fn client_ca(&self, host: &Hostname) -> Option<Arc<ClientAuthorities>> {
        self.instance_of(host)?.plan().site.client_ca.clone()
    }

    fn door(&self, local: IpAddr, peer: IpAddr) -> Option<Arc<str>> {
        self.routes.load().edge().door(local, peer)
    }

    fn leads_to(&self, network: &str, host: &Hostname) -> bool {
        let table = self.routes.load();
        let found = table.find_or_default(host);
        found.is_some_and(|found| table.edge().leads_to(network, found.instance.name()))
    }

    fn default_host(&self) -> Option<Hostname> {
        self.routes.load().edge().default_host.clone()
    }

    fn http2(&self, host: &Hostname) -> bool {
        let instance = self.instance_of(host);
        instance.is_none_or(|instance| instance.plan().site.http2)
    }

    fn expects_proxy_header(&self, peer: IpAddr) -> bool {
        let table = self.routes.load();
        let edge = table.edge();
        match edge.proxy_protocol {
            ProxyProtocol::All => true,
            ProxyProtocol::Off => false,
            ProxyProtocol::Trusted => edge.trusts(peer),
        }
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
        let signal = relayed.code.and_then(in_close);
        if let Some(signal) = signal {
            session.pushed_back(signal);
        }
        drop((session, inside));
        let counters = &visitor.counters;
        counters.bytes(relayed.from_client, relayed.to_client);
        self.log_visitor(&visitor.told, "close", |line| Line {
            duration_ms: Some(millis(visitor.began.elapsed())),
            bytes_in: Some(relayed.from_client),
            bytes_out: Some(relayed.to_client),
            reason: Some(relayed.ending.word()),
            signal: signal.map(Signal::word),
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
    peer: IpAddr,
    host: Option<String>,
    path: String,
    query: Option<String>,
    trace: Trace,
}

impl Visit {
    fn told(&self, log: &AccessLog) -> Told {
        let served = self.served.as_deref();
        let asked = || {
            let host = self.request.fields.get("host")?;
            host.to_str().ok().map(ToOwned::to_owned)
        };
        Told {
            instance: served.map(|served| served.instance.name().clone()),
            replica: self.replica.clone(),
            peer: self.connection.peer.ip(),
            client: served.map_or_else(|| self.connection.peer.ip(), |served| served.client.ip),
            host: served.map_or_else(asked, |served| Some(served.host.to_string())),
            path: self.request.path().to_owned(),
            query: log.shown_query(self.request.query()).map(ToOwned::to_owned),
            trace: self.trace,
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
            trace: Trace::of(&parsed.fields),
            request: parsed,
            connection,
            served: None,
            replica: None,
            signal: None,
        };
        let mut early = BytesMut::from(rest);
        let opened = tokio::select! {
            biased;
            opened = self.open(&mut visit) => Some(opened),
            () = left(&mut io, &mut early) => None,
        };
        match opened {
            Some(Ok(opened)) => self.welcome(visit, io, early.freeze(), opened).await,
            None => {
                self.gave_up(&visit);
                None
            }
            Some(Err(Refused {
                answer,
                status,
                failure,
            })) => {
                send_last(&mut io, &answer).await;
                if let Some(served) = &visit.served {
                    let counters = served.instance.counters();
                    counters.answered(status, Some(began.elapsed()));
                } else {
                    self.counters.unrouted();
                }
                self.log_visitor(&visit.told(&self.log), "request", |line| Line {
                    status: Some(status.as_u16()),
                    duration_ms: Some(millis(began.elapsed())),
                    reason: failure.map(Failure::word),
                    signal: visit.signal.map(Signal::word),
                    ..line
                });
                None
            }
        }
    }

    /// Nobody is left to be answered: what was waited for is the next one's.
    fn gave_up(&self, visit: &Visit) {
        let status = client_left();
        if let Some(served) = &visit.served {
            let counters = served.instance.counters();
            counters.answered(status, Some(visit.began.elapsed()));
        }
        self.log_visitor(&visit.told(&self.log), "request", |line| Line {
            status: Some(status.as_u16()),
            duration_ms: Some(millis(visit.began.elapsed())),
            reason: Some(Ending::Client.word()),
            ..line
        });
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
        let head = reply.to_client(additions(site, served.client.strict));
        let told = visit.told(&self.log);
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
        self.tell(&more(Line {
            kind,
            instance: told.instance.as_ref().map(InstanceName::as_str),
            replica: told.replica.as_ref().map(|replica| &*replica.name),
            client: Some(told.client),
            host: told.host.as_deref(),
            method: Some("GET"),
            path: Some(&told.path),
            query: told.query.as_deref(),
            protocol: Some("websocket"),
            trace: Some(told.trace.id()),
            peer: Some(told.peer),
            upstream: told.replica.as_ref().map(|replica| replica.address),
            ..Line::EMPTY
        }));
    }
}

/// Waits until the client has gone. What it says before it was answered is kept for the replica.
///
/// Cancel safe: what was read is in `early`.
async fn left(io: &mut Io, early: &mut BytesMut) {
    // A client that says this much too early is read on when somebody listens.
    while early.len() < EARLY {
        match io.read_buf(early).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
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

//! The TLS handshake: the name first, then a certificate for exactly that name, or an alert.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::server::{Acceptor, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::arrival::Ends;
use super::challenge;
use super::clients::{Unvouched, Vouching};
use super::counters::EdgeCounters;
use super::settings::{self, Offered, Settings, Terms, builder};
use super::settings_error::SettingsError;
use super::turnstile::{Place, Turnstile};
use crate::certs::{Challenges, Store};
use crate::names::Hostname;
use crate::plan::{ClientAuthorities, Handshake};
use crate::shutdown::Shutdown;

/// From the first byte to the last of a handshake, the wait for a place included.
const WITHIN: Duration = Duration::from_secs(10);
/// Of that, until the first message is complete: three losses of a packet on the way (RFC 6298 §2
/// waits 1, 2 and 4 s), and time for the rest.
const HELLO_WITHIN: Duration = Duration::from_secs(8);
/// How soon a key whose time has come is gone from memory.
const ROTATE_EVERY: Duration = Duration::from_secs(60);
/// A fatal alert with the description `unrecognized_name` (RFC 8446 §6, RFC 6066 §3), as one
/// record. rustls would say `access_denied`, and browsers explain that worse.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Answers handshakes from a store.
#[derive(Debug)]
pub struct Tls {
    store: Arc<Store>,
    challenges: Challenges,
    offered: Offered,
    settings: Settings,
    turnstile: Arc<Turnstile>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TlsError(#[from] SettingsError);

/// A handshake that succeeded.
pub(super) struct Greeted {
    pub(super) stream: Box<TlsStream<TcpStream>>,
    pub(super) secured: Secured,
    pub(super) kind: Handshake,
}

/// What a handshake has settled about its connection.
#[derive(Clone, Debug)]
pub struct Secured {
    /// The name the client asked for, or the address it came to if it asked for none.
    pub server_name: Hostname,
    /// Who vouches for the client, if that was asked.
    pub vouching: Vouching,
    /// Whether every client believes the certificate, and not only who was told.
    pub is_believed: bool,
}

#[cfg(test)]
impl Secured {
    /// A connection to this name, by a client without a certificate.
    pub(crate) fn to(server_name: Hostname) -> Self {
        Self {
            server_name,
            vouching: Vouching::NotAsked,
            is_believed: true,
        }
    }
}

/// A client as far as it is known before its handshake.
pub(super) struct Visitor<'a> {
    pub(super) ends: &'a Ends,
    pub(super) counters: &'a EdgeCounters,
    /// Who has to vouch for the clients of a host.
    pub(super) client_ca: &'a (dyn Fn(&Hostname) -> Option<Arc<ClientAuthorities>> + Sync),
    /// Whether it may ask for a host where it came in.
    pub(super) may_ask: &'a (dyn Fn(&Hostname) -> bool + Sync),
    /// The host that stands for those nobody has.
    pub(super) default_host: Option<Hostname>,
    /// Whether HTTP/2 may be spoken with a host.
    pub(super) http2: &'a (dyn Fn(&Hostname) -> bool + Sync),
}

impl Tls {
    /// # Errors
    /// When the random source of the ticket keys fails.
    pub fn new(
        store: Arc<Store>,
        challenges: Challenges,
        offered: Offered,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            settings: Settings::new(Arc::clone(&store), offered)?,
            store,
            challenges,
            offered,
            turnstile: Turnstile::new(),
        })
    }

    /// Lets go of ticket keys whose time has come, until shutdown.
    pub(super) async fn rotate(&self, mut shutdown: Shutdown) {
        let mut tick = interval(ROTATE_EVERY);
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                _ = tick.tick() => self.settings.rotate(),
            }
        }
    }

    /// Performs the handshake. The error says how it counts.
    ///
    /// # Errors
    /// A name nobody declared, a peer that is slow, gone or speaks something else.
    pub(super) async fn greet(
        &self,
        tcp: TcpStream,
        visitor: Visitor<'_>,
    ) -> Result<Greeted, Handshake> {
        timeout(WITHIN, self.handshake(tcp, visitor))
            .await
            .unwrap_or(Err(Handshake::Failed))
    }

    async fn handshake(&self, tcp: TcpStream, visitor: Visitor<'_>) -> Result<Greeted, Handshake> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp);
        let hello = timeout(HELLO_WITHIN, hello).await;
        let mut start = hello.map_err(|_| Handshake::Failed)?.map_err(failed)?;
        let named = start
            .client_hello()
            .server_name()
            .map(str::parse::<Hostname>);
        if challenge::is_asked(&start.client_hello())
            && let Some(Ok(host)) = &named
            && let Some(digest) = self.challenges.digest(host)
        {
            // Before anything else: the name may have no certificate yet, that is why it is asked.
            return Err(self.answer_challenge(start, host, digest).await);
        }
        let found = match named {
            Some(Ok(name)) if self.store.covers(&name) => Some((name, None)),
            Some(Ok(name)) => self.in_place_of(name, visitor.default_host.as_ref()),
            Some(Err(_)) => None,
            None => self.by_address(visitor.ends),
        };
        let found = found.filter(|(name, _)| (visitor.may_ask)(name));
        let Some((server_name, pair)) = found else {
            // An error means that the peer did not wait for the answer.
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
            return Err(Handshake::UnknownName);
        };
        let client_ca = (visitor.client_ca)(&server_name);
        let terms = match pair {
            Some(pair) => self.settings.of_address(client_ca.as_deref(), pair),
            None => self.settings.of(client_ca.as_ref()),
        };
        let Terms { config, judge } = terms.map_err(|error| {
            tracing::error!(%server_name, %error, "no TLS for a name");
            Handshake::Failed
        })?;
        let now = || config.time_provider.current_time();
        let config = match (visitor.http2)(&server_name) {
            true => Arc::clone(&config),
            false => settings::without_http2(&config),
        };
        let stream = self.work(start, config, &visitor).await.map_err(failed)?;
        let kind = match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            _ => Handshake::Full,
        };
        let vouching = match (client_ca, judge) {
            (None, _) => Vouching::NotAsked,
            // Nobody has looked at what it has shown.
            (Some(authorities), None) => Vouching::Failed(authorities, Unvouched::Refused),
            (Some(authorities), Some(judge)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let _place = match shown {
                    Some(_) => Some(self.place(&visitor).await),
                    None => None,
                };
                match judge.judge(shown, now()) {
                    Ok(()) => Vouching::By(authorities),
                    Err(why) => Vouching::Failed(authorities, why),
                }
            }
        };
        Ok(Greeted {
            stream: Box::new(stream),
            secured: Secured {
                is_believed: !self.store.is_local(&server_name),
                server_name,
                vouching,
            },
            kind,
        })
    }

    /// A name without a certificate of its own: that of the host which stands for it, or the default.
    fn in_place_of(
        &self,
        name: Hostname,
        default_host: Option<&Hostname>,
    ) -> Option<(Hostname, Option<Arc<CertifiedKey>>)> {
        let known = self.store.knows(&name);
        let pair = default_host.filter(|_| !known);
        match pair.and_then(|host| self.store.found(host)) {
            Some(pair) => Some((name, Some(pair))),
            None => self.store.has(&name).then_some((name, None)),
        }
    }

    /// Addresses are not asked for by name (RFC 6066 §3): who asks for none means the one they came
    /// to.
    fn by_address(&self, ends: &Ends) -> Option<(Hostname, Option<Arc<CertifiedKey>>)> {
        let name = Hostname::of_address(ends.local.ip());
        let pair = self.store.pair(&name)?;
        Some((name, Some(pair)))
    }

    /// Completes the handshake. A place is taken for each part that there is something to do for, and
    /// given back while the client is silent: those who dribble hold nothing but their connection.
    async fn work(
        &self,
        start: StartHandshake<TcpStream>,
        config: Arc<ServerConfig>,
        visitor: &Visitor<'_>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut place = self.place(visitor).await;
        // The key exchange and the signature are made in here.
        let mut accept = start.into_stream(config);
        loop {
            let done = poll_fn(|cx| Poll::Ready(Pin::new(&mut accept).poll(cx))).await;
            drop(place);
            if let Poll::Ready(done) = done {
                return done;
            }
            // It has said what would wake it.
            woken().await;
            place = self.place(visitor).await;
        }
    }

    async fn place(&self, visitor: &Visitor<'_>) -> Place {
        let _waiting = visitor.counters.waits_for_handshake();
        self.turnstile.enter(visitor.ends.peer.ip()).await
    }

    /// How the handshake counts; there is nothing to serve after it.
    async fn answer_challenge(
        &self,
        start: StartHandshake<TcpStream>,
        host: &Hostname,
        digest: [u8; 32],
    ) -> Handshake {
        let builder = builder(self.offered.least).map_err(challenge::Unanswered::Tls);
        let answered = match builder {
            Ok(builder) => challenge::answer(start, builder, host, digest).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(()) => Handshake::Challenge,
            Err(error) => {
                tracing::debug!(%host, %error, "an authority that asked got no answer");
                Handshake::Failed
            }
        }
    }
}

/// Until this task is woken.
async fn woken() {
    let mut waited = false;
    poll_fn(|_| {
        if std::mem::replace(&mut waited, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

fn failed(error: io::Error) -> Handshake {
    tracing::debug!(%error, "TLS handshake failed");
    Handshake::Failed
}

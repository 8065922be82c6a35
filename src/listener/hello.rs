//! The TLS handshake: the name first, then a certificate for exactly that name, or an alert.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Acceptor, NoServerSessionStorage, ServerConfig};
use rustls::{HandshakeKind, SupportedProtocolVersion, version};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certs::Store;
use crate::config::model::TlsVersion;
use crate::names::Hostname;
use crate::plan::Handshake;

/// From the first byte to the last of a handshake.
const WITHIN: Duration = Duration::from_secs(10);
/// A fatal alert with the description `unrecognized_name` (RFC 8446 §6, RFC 6066 §3), as one
/// record. rustls would say `access_denied`, and browsers explain that worse.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Answers handshakes from a store.
#[derive(Debug)]
pub(super) struct Tls {
    config: Arc<ServerConfig>,
    store: Arc<Store>,
}

/// A handshake that succeeded.
pub(super) struct Greeted {
    pub(super) stream: Box<TlsStream<TcpStream>>,
    pub(super) server_name: Hostname,
    pub(super) kind: Handshake,
}

impl Tls {
    /// # Errors
    /// When the random source of the ticket keys fails.
    pub(super) fn new(store: Arc<Store>, least: TlsVersion) -> Result<Self, rustls::Error> {
        let versions: &[&SupportedProtocolVersion] = match least {
            TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&store) as Arc<dyn rustls::server::ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets let a hall come back without a thousand full handshakes. Their keys change every
        // six hours, are good for twelve, and never touch a disk.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            store,
        })
    }

    /// Performs the handshake. The error says how it counts.
    ///
    /// # Errors
    /// A name nobody declared, a peer that is slow, gone or speaks something else.
    pub(super) async fn greet(&self, tcp: TcpStream) -> Result<Greeted, Handshake> {
        timeout(WITHIN, self.handshake(tcp))
            .await
            .unwrap_or(Err(Handshake::Failed))
    }

    async fn handshake(&self, tcp: TcpStream) -> Result<Greeted, Handshake> {
        let acceptor = LazyConfigAcceptor::new(Acceptor::default(), tcp);
        let mut start = acceptor.await.map_err(failed)?;
        let name = start
            .client_hello()
            .server_name()
            .and_then(|name| name.parse::<Hostname>().ok());
        let Some(server_name) = name.filter(|name| self.store.has(name)) else {
            // An error means that the peer did not wait for the answer.
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
            return Err(Handshake::UnknownName);
        };
        let stream = start
            .into_stream(Arc::clone(&self.config))
            .await
            .map_err(failed)?;
        let kind = match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            _ => Handshake::Full,
        };
        Ok(Greeted {
            stream: Box::new(stream),
            server_name,
            kind,
        })
    }
}

fn failed(error: io::Error) -> Handshake {
    tracing::debug!(%error, "TLS handshake failed");
    Handshake::Failed
}

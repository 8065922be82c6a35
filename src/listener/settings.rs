//! What a handshake may settle: versions, protocols, tickets, and who vouches for the client.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{
    NoServerSessionStorage, ResolvesServerCert, ServerConfig, VerifierBuilderError,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ConfigBuilder, SupportedProtocolVersion, WantsVerifier, version};

use super::clients::verifier;
use super::tickets::Tickets;
use crate::certs::Store;
use crate::config::model::TlsVersion;
use crate::plan::ClientAuthorities;

/// What every handshake offers.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    /// The oldest version.
    pub least: TlsVersion,
    pub http2: bool,
}
/// RFC 7301 §6.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Makes the settings of handshakes, and remembers them.
///
/// Tickets of one instance's clients are worth nothing elsewhere: rustls resumes a session only
/// under the name it was made for (`can_resume` in 0.23.46, `server/hs.rs`; RFC 6066 §3), and for
/// each set of client authorities the tickets are sealed with keys of their own.
#[derive(Debug)]
pub(super) struct Settings {
    offered: Offered,
    store: Arc<Store>,
    /// For everybody who needs no certificate.
    open: Arsenal,
    /// By who vouches.
    vouched: Mutex<Vec<(Arc<ClientAuthorities>, Arsenal)>>,
}

#[derive(Clone, Debug)]
struct Arsenal {
    config: Arc<ServerConfig>,
    tickets: Arc<Tickets>,
}

/// Why there are no settings for the clients of an instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("the client authorities cannot be used")]
    Verifier(#[from] VerifierBuilderError),
}

impl Settings {
    /// # Errors
    /// When the random source of the ticket keys fails.
    pub(super) fn new(store: Arc<Store>, offered: Offered) -> Result<Self, SettingsError> {
        let open = config(offered, None, Arc::clone(&store) as _)?;
        let open = Arsenal::new(open)?;
        Ok(Self {
            offered,
            store,
            open,
            vouched: Mutex::default(),
        })
    }

    /// For a host whose clients these vouch for; `None`: it asks for no certificate.
    ///
    /// # Errors
    /// Authorities that are none, which their reader has checked.
    pub(super) fn of(
        &self,
        authorities: Option<&Arc<ClientAuthorities>>,
    ) -> Result<Arc<ServerConfig>, SettingsError> {
        let Some(authorities) = authorities else {
            return Ok(Arc::clone(&self.open.config));
        };
        let mut vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        // What a reload has read again is the same while it says the same.
        if let Some((known, arsenal)) = vouched.iter_mut().find(|(known, _)| known == authorities) {
            *known = Arc::clone(authorities);
            return Ok(Arc::clone(&arsenal.config));
        }
        let resolver = Arc::clone(&self.store) as _;
        let arsenal = Arsenal::new(config(self.offered, Some(authorities), resolver)?)?;
        let config = Arc::clone(&arsenal.config);
        // Only this list still knows those that were replaced.
        vouched.retain(|(known, _)| Arc::strong_count(known) > 1);
        vouched.push((Arc::clone(authorities), arsenal));
        Ok(config)
    }

    /// For a client that names no host, with the certificate of the address it came to. Without
    /// tickets: they are bound to a name.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn of_address(
        &self,
        authorities: Option<&ClientAuthorities>,
        pair: Arc<CertifiedKey>,
    ) -> Result<Arc<ServerConfig>, SettingsError> {
        let resolver = SingleCertAndKey::from((*pair).clone());
        config(self.offered, authorities, Arc::new(resolver)).map(Arc::new)
    }

    /// Lets go of ticket keys whose time has come.
    pub(super) fn rotate(&self) {
        self.open.tickets.rotate();
        let vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, arsenal) in vouched.iter() {
            arsenal.tickets.rotate();
        }
    }
}

impl Arsenal {
    fn new(mut config: ServerConfig) -> Result<Self, rustls::Error> {
        let tickets = Arc::new(Tickets::new()?);
        // Tickets let a hall come back without a thousand full handshakes.
        config.ticketer = Arc::clone(&tickets) as _;
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            tickets,
        })
    }
}

/// Settings without tickets.
fn config(
    offered: Offered,
    authorities: Option<&ClientAuthorities>,
    resolver: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, SettingsError> {
    let builder = builder(offered.least)?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let provider = Arc::clone(builder.crypto_provider());
            builder.with_client_cert_verifier(verifier(authorities, provider)?)
        }
    };
    let mut config = builder.with_cert_resolver(resolver);
    let http2 = offered.http2.then(|| b"h2".to_vec());
    config.alpn_protocols = http2.into_iter().chain([HTTP_1_1.to_vec()]).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // Every suite is a good one; that the server's order counts is what auditors look for.
    config.ignore_client_order = true;
    Ok(config)
}

/// The same, tickets included, for a host that is not served over HTTP/2.
pub(super) fn without_http2(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Arc::new(config)
}

/// Settings that are not complete yet, with the versions that may be spoken.
pub(super) fn builder(
    least: TlsVersion,
) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match least {
        TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        TlsVersion::Tls13 => &[&version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)
}

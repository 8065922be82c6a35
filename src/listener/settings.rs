//! What a handshake may settle: versions, protocols, tickets, and who vouches for the client.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ConfigBuilder, SupportedProtocolVersion, WantsVerifier, version};

use super::clients::{Judge, asking};
use super::settings_error::SettingsError;
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
    terms: Terms,
    tickets: Arc<Tickets>,
}

/// What a handshake is made with.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) config: Arc<ServerConfig>,
    /// Who has the say afterwards, where a certificate was asked for. Of the same authorities, always: a
    /// handshake by itself turns nobody away.
    pub(super) judge: Option<Arc<Judge>>,
}

impl Settings {
    /// # Errors
    /// When the random source of the ticket keys fails.
    pub(super) fn new(store: Arc<Store>, offered: Offered) -> Result<Self, SettingsError> {
        let open = Arsenal::new(offered, None, Arc::clone(&store) as _)?;
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
    ) -> Result<Terms, SettingsError> {
        let Some(authorities) = authorities else {
            return Ok(self.open.terms.clone());
        };
        let mut vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        // What a reload has read again is the same while it says the same.
        if let Some((known, arsenal)) = vouched.iter_mut().find(|(known, _)| known == authorities) {
            *known = Arc::clone(authorities);
            return Ok(arsenal.terms.clone());
        }
        let resolver = Arc::clone(&self.store) as _;
        let arsenal = Arsenal::new(self.offered, Some(authorities), resolver)?;
        let terms = arsenal.terms.clone();
        // Only this list still knows those that were replaced.
        vouched.retain(|(known, _)| Arc::strong_count(known) > 1);
        vouched.push((Arc::clone(authorities), arsenal));
        Ok(terms)
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
    ) -> Result<Terms, SettingsError> {
        let resolver = SingleCertAndKey::from((*pair).clone());
        let (config, judge) = config(self.offered, authorities, Arc::new(resolver))?;
        Ok(Terms {
            config: Arc::new(config),
            judge,
        })
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
    fn new(
        offered: Offered,
        authorities: Option<&ClientAuthorities>,
        resolver: Arc<dyn ResolvesServerCert>,
    ) -> Result<Self, SettingsError> {
        let (mut config, judge) = config(offered, authorities, resolver)?;
        let tickets = Arc::new(Tickets::new()?);
        // Tickets let a hall come back without a thousand full handshakes.
        config.ticketer = Arc::clone(&tickets) as _;
        config.send_tls13_tickets = 1;
        Ok(Self {
            terms: Terms {
                config: Arc::new(config),
                judge,
            },
            tickets,
        })
    }
}

/// Settings without tickets, and who has the say after a handshake by them.
fn config(
    offered: Offered,
    authorities: Option<&ClientAuthorities>,
    resolver: Arc<dyn ResolvesServerCert>,
) -> Result<(ServerConfig, Option<Arc<Judge>>), SettingsError> {
    let builder = builder(offered.least)?;
    let (builder, judge) = match authorities {
        None => (builder.with_no_client_auth(), None),
        Some(authorities) => {
            let provider = Arc::clone(builder.crypto_provider());
            let asks = asking(authorities, &provider)?;
            let judge = Judge::new(authorities, provider)?;
            let builder = builder.with_client_cert_verifier(asks);
            (builder, Some(Arc::new(judge)))
        }
    };
    let mut config = builder.with_cert_resolver(resolver);
    let http2 = offered.http2.then(|| b"h2".to_vec());
    config.alpn_protocols = http2.into_iter().chain([HTTP_1_1.to_vec()]).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // Every suite is a good one; that the server's order counts is what auditors look for.
    config.ignore_client_order = true;
    Ok((config, judge))
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

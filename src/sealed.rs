//! TLS to replicas: any certificate will do, or one that has to fit.
//!
//! Whoever speaks to a replica goes through here, so that what proves a replica to a probe proves it to
//! a request as well.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::plan::UpstreamTls;

/// From the first byte of a handshake with a replica to its last.
const WITHIN: Duration = Duration::from_secs(5);
/// Settings that are remembered; of more the oldest are made anew.
const MOST_KNOWN: usize = 64;

/// A connection to a replica: plain, or sealed.
pub type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Seals connections, and remembers what to resume.
#[derive(Debug, Default)]
pub struct Sealer {
    known: Mutex<VecDeque<(UpstreamTls, Arc<ClientConfig>)>>,
}

impl Sealer {
    /// A fresh connection to a replica as it is to be spoken over.
    ///
    /// # Errors
    /// As [`Self::seal`], where it is to be sealed.
    pub async fn wire(
        &self,
        tcp: TcpStream,
        tls: Option<&UpstreamTls>,
        replica: SocketAddr,
    ) -> io::Result<Wire> {
        match tls {
            None => Ok(Wire::Left(tcp)),
            Some(tls) => self.seal(tcp, tls, replica).await.map(Wire::Right),
        }
    }

    /// Performs the handshake on a fresh connection to a replica.
    ///
    /// # Errors
    /// A replica that speaks no TLS, or none in time, or whose certificate does not fit.
    pub async fn seal(
        &self,
        tcp: TcpStream,
        tls: &UpstreamTls,
        replica: SocketAddr,
    ) -> io::Result<Box<TlsStream<TcpStream>>> {
        let name = match tls {
            // An address: no name is sent, as nobody has said one (RFC 6066 §3).
            UpstreamTls::Unverified => ServerName::from(replica.ip()),
            UpstreamTls::Verified(verified) => {
                ServerName::try_from(verified.name.as_str().to_owned()).map_err(io::Error::other)?
            }
        };
        let config = self.config(tls).map_err(io::Error::other)?;
        let handshake = TlsConnector::from(config).connect(name, tcp);
        let stream = timeout(WITHIN, handshake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Box::new(stream))
    }

    fn config(&self, tls: &UpstreamTls) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = known.iter().find(|(known, _)| known == tls) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(config(tls)?);
        if known.len() == MOST_KNOWN {
            known.pop_front();
        }
        known.push_back((tls.clone(), Arc::clone(&config)));
        Ok(config)
    }
}

fn config(tls: &UpstreamTls) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut config = match tls {
        UpstreamTls::Unverified => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth(),
        UpstreamTls::Verified(verified) => {
            let mut roots = RootCertStore::empty();
            for authority in &verified.authorities {
                roots.add(CertificateDer::from(authority.as_slice()))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes whatever certificate it is shown, those that no library would read included: it proves
/// nothing, and neither would a signature with its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Whether the certificate of a client will do.
//!
//! A handshake takes any certificate, and none, as nginx does it: whoever is turned away is told why in a
//! page and not by an alert that no browser explains. So nothing is judged in the handshake but that the
//! client has the key of what it shows. Afterwards, and anew for each connection that resumes an older one,
//! the judge says whether that will do, and what it says goes with the connection to every request.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::settings_error::SettingsError;
use crate::plan::{ClientAuthorities, ClientVerify};

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unvouched {
    /// It has shown no certificate.
    Missing,
    /// Nobody vouches for what it has shown.
    Refused,
}

/// What was found out about a client in its handshake.
#[derive(Clone, Debug, Default)]
pub enum Vouching {
    /// These were asked, and it may come in.
    By(Arc<ClientAuthorities>),
    /// These were asked, and it may not.
    Failed(Arc<ClientAuthorities>, Unvouched),
    /// Over plain HTTP, or where no certificate is asked for.
    #[default]
    NotAsked,
}

/// Says which clients may come in that were asked for a certificate.
#[derive(Debug)]
pub(super) struct Judge {
    verify: ClientVerify,
    /// `None`: nobody can be vouched for.
    vouches: Option<Arc<dyn ClientCertVerifier>>,
}

impl Judge {
    /// Of clients that these vouch for.
    ///
    /// # Errors
    /// Authorities that are none, which their reader has checked.
    pub(super) fn new(
        authorities: &ClientAuthorities,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, SettingsError> {
        let verify = authorities.verify();
        let roots = roots(authorities)?;
        if roots.is_empty() {
            let vouches = None;
            return Ok(Self { verify, vouches });
        }
        let lists = authorities
            .revocations()
            .map(|list| CertificateRevocationListDer::from(list.to_vec()));
        let vouches = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(lists)
            // A list that is out of date says nothing about today (RFC 5280 §6.3.3).
            .enforce_revocation_expiration()
            .build()?;
        let vouches = Some(vouches);
        Ok(Self { verify, vouches })
    }

    /// Whether a client may come in that has shown this chain. `now`: as the handshake sees it.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn judge(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        now: Option<UnixTime>,
    ) -> Result<(), Unvouched> {
        let chain = match (self.verify, shown) {
            (ClientVerify::Any, _) | (ClientVerify::Optional, None) => return Ok(()),
            (ClientVerify::Required, None) => return Err(Unvouched::Missing),
            (ClientVerify::Optional | ClientVerify::Required, Some(chain)) => chain,
        };
        let (Some(vouches), Some((own, others)), Some(now)) =
            (&self.vouches, chain.split_first(), now)
        else {
            return Err(Unvouched::Refused);
        };
        let verified = vouches.verify_client_cert(own, others, now);
        verified.map(drop).map_err(|_| Unvouched::Refused)
    }
}

fn roots(authorities: &ClientAuthorities) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities.certificates() {
        roots.add(CertificateDer::from(certificate))?;
    }
    Ok(roots)
}

/// Asks for a certificate of these and has nothing against any, or none.
///
/// # Errors
/// As [`Judge::new`].
pub(super) fn asking(
    authorities: &ClientAuthorities,
    provider: &CryptoProvider,
) -> Result<Arc<dyn ClientCertVerifier>, SettingsError> {
    Ok(Arc::new(Asking {
        hints: roots(authorities)?.subjects(),
        known: provider.signature_verification_algorithms,
    }))
}

#[derive(Debug)]
struct Asking {
    hints: Vec<DistinguishedName>,
    known: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The judge has the say, for resumed connections as well.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}

//! Whether the certificate of a client will do.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::settings::SettingsError;
use crate::plan::{ClientAuthorities, ClientVerify};

/// Who judges the certificates of clients that these vouch for.
///
/// # Errors
/// Authorities that are none, which their reader has checked.
pub(super) fn verifier(
    authorities: &ClientAuthorities,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities.certificates() {
        roots.add(CertificateDer::from(certificate))?;
    }
    let verify = authorities.verify();
    if verify == ClientVerify::Any || roots.is_empty() {
        return Ok(Arc::new(Unvouched {
            hints: roots.subjects(),
            known: provider.signature_verification_algorithms,
            verify,
        }));
    }
    let lists = authorities
        .revocations()
        .map(|list| CertificateRevocationListDer::from(list.to_vec()));
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(lists)
        // A list that is out of date says nothing about today (RFC 5280 §6.3.3).
        .enforce_revocation_expiration();
    Ok(match verify {
        ClientVerify::Any | ClientVerify::Required => builder.build()?,
        ClientVerify::Optional => builder.allow_unauthenticated().build()?,
    })
}

/// Asks for a certificate and looks at none: all will do, or, where nobody can vouch, none will.
#[derive(Debug)]
struct Unvouched {
    hints: Vec<DistinguishedName>,
    known: WebPkiSupportedAlgorithms,
    verify: ClientVerify,
}

impl ClientCertVerifier for Unvouched {
    fn client_auth_mandatory(&self) -> bool {
        self.verify == ClientVerify::Required
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
        match self.verify {
            ClientVerify::Any => Ok(ClientCertVerified::assertion()),
            ClientVerify::Optional | ClientVerify::Required => {
                Err(CertificateError::UnknownIssuer.into())
            }
        }
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

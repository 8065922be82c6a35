//! A certificate and its key, believed only after they were looked at.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::names::Domain;

/// A pair that can be served.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) domains: Vec<Domain>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// Why a pair is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum PairError {
    #[error("holds no certificate")]
    NoCertificate,
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    #[error("the key cannot be read: {0}")]
    Key(String),
    #[error("the key does not belong to the certificate")]
    Mismatch,
    #[error("has expired")]
    Expired,
    #[error("is not valid yet; is the clock right?")]
    NotYetValid,
}

impl Pair {
    /// Reads a chain and a key, and checks that they belong together and hold at this moment.
    pub(super) fn read(chain: &[u8], key: &[u8], now: SystemTime) -> Result<Self, PairError> {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| PairError::Certificate(error.to_string()))?;
        let leaf = certificates.first().ok_or(PairError::NoCertificate)?;
        let (domains, not_before, not_after) = facts(leaf)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| PairError::Key(error.to_string()))?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|error| PairError::Key(error.to_string()))?;
        let key = CertifiedKey::new(certificates, key);
        // `Unknown` would mean that the key cannot tell; aws-lc keys can.
        if key.keys_match().is_err() {
            return Err(PairError::Mismatch);
        }
        if not_after <= now {
            return Err(PairError::Expired);
        }
        if not_before > now {
            return Err(PairError::NotYetValid);
        }
        Ok(Self {
            key: Arc::new(key),
            domains,
            not_before,
            not_after,
        })
    }

    pub(super) fn covers(&self, domain: &Domain) -> bool {
        self.domains.iter().any(|own| match (own, domain) {
            (Domain::Below(suffix), Domain::Exact(host)) => host.parent() == Some(suffix.as_str()),
            (own, domain) => own == domain,
        })
    }

    /// When to ask for the next one: with a third of the life left, with half of a short one.
    pub(super) fn renew_at(&self) -> SystemTime {
        let life = self
            .not_after
            .duration_since(self.not_before)
            .unwrap_or_default();
        let ten_days = Duration::from_secs(10 * 86_400);
        let left = if life < ten_days { life / 2 } else { life / 3 };
        self.not_after.checked_sub(left).unwrap_or(self.not_after)
    }
}

type Facts = (Vec<Domain>, SystemTime, SystemTime);

fn facts(certificate: &CertificateDer<'_>) -> Result<Facts, PairError> {
    let wrong = |error: String| PairError::Certificate(error);
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| wrong(error.to_string()))?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| wrong(error.to_string()))?;
    let domains = names
        .into_iter()
        .flat_map(|names| names.value.general_names.iter())
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => name.parse().ok(),
            _ => None,
        })
        .collect();
    let moment =
        |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    Ok((
        domains,
        moment(parsed.validity().not_before.timestamp()),
        moment(parsed.validity().not_after.timestamp()),
    ))
}

#[cfg(test)]
pub(super) mod tests;

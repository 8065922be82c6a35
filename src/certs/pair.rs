//! A certificate and its key, believed only after they were looked at.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::names::{Domain, Hostname};

/// A pair that can be served.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) domains: Vec<Domain>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// Why a pair is not served, and what to do. Completes the name of the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum PairError {
    #[error("holds no certificate that can be read ({0}); copy the PEM file again")]
    Certificate(String),
    #[error("has expired on {}; put a newer pair there or let usher order one", crate::moment::text(*at))]
    Expired { at: SystemTime },
    #[error("holds no key that can be read ({0}); copy the PEM file again")]
    Key(String),
    #[error("does not belong to the certificate beside it; put the key there that it was made for")]
    Mismatch,
    #[error("holds no certificate; put the certificate and its chain there as PEM")]
    NoCertificate,
    #[error(
        "is not valid before {}; look whether the clock of this machine is right, else wait or put \
         another pair there",
        crate::moment::text(*from)
    )]
    NotYetValid { from: SystemTime },
}

impl PairError {
    /// Whether the file to look at is that of the key.
    pub(super) fn is_about_the_key(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Mismatch)
    }
}

impl Pair {
    /// Reads a chain and a key, and checks that they belong together.
    pub(super) fn parse(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
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
        Ok(Self {
            key: Arc::new(key),
            domains,
            not_before,
            not_after,
        })
    }

    /// The pair itself, if it holds at this moment.
    pub(super) fn holding(self, now: SystemTime) -> Result<Self, PairError> {
        if self.not_after <= now {
            return Err(PairError::Expired { at: self.not_after });
        }
        if self.not_before > now {
            return Err(PairError::NotYetValid {
                from: self.not_before,
            });
        }
        Ok(self)
    }

    pub(super) fn covers(&self, domain: &Domain) -> bool {
        self.domains.iter().any(|own| match (own, domain) {
            (Domain::Below(suffix), Domain::Exact(host)) => host.parent() == Some(suffix.as_str()),
            (own, domain) => own == domain,
        })
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
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let sixteen = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                let address = four.or_else(|_| sixteen()).ok()?;
                Some(Domain::Exact(Hostname::of_address(address)))
            }
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

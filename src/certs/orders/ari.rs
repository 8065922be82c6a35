//! When an authority wants a certificate renewed (RFC 9773).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use instant_acme::{CertificateIdentifier, Error};
use serde::Deserialize;
use serde::de::value::BorrowedStrDeserializer;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::why::Why;
use super::wire::{Notes, Wire};
use super::{Authorities, Refusal};
use crate::config::model::Directory;

/// RFC 9773 §4.3.2: what an authority says about the next look is believed between these.
const ASK_AGAIN_AT_LEAST: Duration = Duration::from_secs(60);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(86_400);
/// RFC 9773 §4.3.3: where it says nothing.
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3_600);

/// A certificate as its authority calls it: key identifier and serial number (RFC 9773 §4.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::certs) struct CertificateId(String);

impl CertificateId {
    /// `None`: it is no certificate, or it does not say which key signed it.
    pub(in crate::certs) fn of_leaf(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let authority = certificate.extensions().iter().find_map(|extension| {
            let ParsedExtension::AuthorityKeyIdentifier(identifier) = extension.parsed_extension()
            else {
                return None;
            };
            identifier.key_identifier.as_ref()
        })?;
        // The bytes of the DER integer, a leading zero included.
        let serial = certificate.raw_serial();
        Some(Self(format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(authority.0),
            URL_SAFE_NO_PAD.encode(serial)
        )))
    }

    /// As an order says it.
    pub(super) fn for_order(&self) -> Option<CertificateIdentifier<'_>> {
        let text: BorrowedStrDeserializer<'_, serde::de::value::Error> =
            BorrowedStrDeserializer::new(&self.0);
        CertificateIdentifier::deserialize(text).ok()
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a certificate should be renewed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::certs) struct RenewalWindow {
    pub(in crate::certs) start: SystemTime,
    pub(in crate::certs) end: SystemTime,
    /// Not before then should the authority be asked again.
    pub(in crate::certs) ask_again: SystemTime,
}

/// What of a directory matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    renewal_info: Option<String>,
    /// Every directory has it (RFC 8555 §7.1.1): what lacks it is none.
    #[serde(rename = "newOrder")]
    _new_order: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: SuggestedWindow,
}

#[derive(Deserialize)]
struct SuggestedWindow {
    start: jiff::Timestamp,
    end: jiff::Timestamp,
}

/// Asks the directory when it wants this certificate renewed. `None`: it does not say such things.
pub(in crate::certs) async fn renewal_window(
    authorities: &Authorities,
    directory: &Directory,
    id: &CertificateId,
) -> Result<Option<RenewalWindow>, Refusal> {
    let notes = Arc::new(Notes::default());
    let refused = |why| Refusal::new(&directory.name, why, &notes);
    let failed = |error: Error| {
        refused(Why::of(
            &directory.url,
            "the renewal window",
            &error,
            &notes,
        ))
    };
    let way = authorities.way(directory);
    let wire = Wire::new(directory, way, Arc::clone(&notes)).map_err(refused)?;
    let listed = wire.get(&directory.url).await.map_err(failed)?;
    let listed: Listed = serde_json::from_slice(&listed).map_err(|error| failed(error.into()))?;
    let Some(url) = listed.renewal_info else {
        return Ok(None);
    };
    let told = wire.get(&format!("{url}/{id}")).await.map_err(failed)?;
    let now = authorities.now();
    let window = window(&told, notes.retry_at(), now).map_err(|reason| {
        refused(Why::Refused {
            step: "the renewal window",
            reason,
        })
    })?;
    Ok(Some(window))
}

fn window(
    body: &Bytes,
    retry_at: Option<SystemTime>,
    now: SystemTime,
) -> Result<RenewalWindow, String> {
    let told: RenewalInfo = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let SuggestedWindow { start, end } = told.suggested_window;
    if end <= start {
        // RFC 9773 §4.2: such a window is no window.
        return Err(format!("it ends ({end}) before it begins ({start})"));
    }
    let wait = retry_at.and_then(|at| at.duration_since(now).ok());
    let wait = wait
        .unwrap_or(ASK_AGAIN)
        .clamp(ASK_AGAIN_AT_LEAST, ASK_AGAIN_AT_MOST);
    Ok(RenewalWindow {
        start: start.into(),
        end: end.into(),
        ask_again: now + wait,
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber,
    };

    use super::*;

    #[test]
    fn a_certificate_is_called_as_the_standard_calls_it() {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // RFC 9773 §4.1: these bytes and this serial give that name.
        authority.key_identifier_method = KeyIdMethod::PreSpecified(vec![
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
            0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
        ]);
        let authority = Issuer::new(authority, KeyPair::generate().expect("a key"));
        let mut leaf = CertificateParams::new(["example.org".to_owned()]).expect("a name");
        leaf.serial_number = Some(SerialNumber::from_slice(&[0x00, 0x87, 0x65, 0x43, 0x21]));
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let leaf = leaf.signed_by(&key, &authority).expect("signed");
        let id = CertificateId::of_leaf(leaf.der()).expect("an identifier");
        assert_eq!(id.to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
        let ordered = id.for_order().expect("an identifier");
        assert_eq!(ordered.to_string(), id.to_string());
        assert_eq!(CertificateId::of_leaf(b"no certificate"), None);
    }

    #[test]
    fn a_window_is_believed_as_far_as_the_standard_says() {
        let now = UNIX_EPOCH + Duration::from_secs(1_735_776_000); // 2025-01-02T00:00:00Z
        let body = |start: &str, end: &str| {
            Bytes::from(format!(
                r#"{{"suggestedWindow":{{"start":"{start}","end":"{end}"}},"explanationURL":"x"}}"#
            ))
        };
        let good = body("2025-01-02T04:00:00Z", "2025-01-03T04:00:00.5Z");
        for (retry, expected) in [
            (None, ASK_AGAIN),
            (Some(1), ASK_AGAIN_AT_LEAST),
            (Some(7_200), Duration::from_secs(7_200)),
            (Some(86_400 * 6), ASK_AGAIN_AT_MOST),
        ] {
            let retry_at = retry.map(|seconds| now + Duration::from_secs(seconds));
            let window = window(&good, retry_at, now).expect("a window");
            assert_eq!(window.ask_again, now + expected);
            assert_eq!(window.start, now + Duration::from_secs(4 * 3_600));
            assert!(window.end > window.start);
        }
        for bad in [
            body("2025-01-03T04:00:00Z", "2025-01-02T04:00:00Z"),
            body("2025-01-03T04:00:00Z", "2025-01-03T04:00:00Z"),
            body("yesterday", "today"),
            Bytes::from_static(b"{}"),
        ] {
            window(&bad, None, now).expect_err("no window");
        }
    }
}

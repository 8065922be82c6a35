//! TLS to replicas, from what was written to what has to be proven.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::client_ca::anchors;
use super::issue::{Issue, Issues, report};
use super::reader::Field;
use crate::fingerprint::Fingerprint;
use crate::names::Hostname;
use crate::plan::{UpstreamTls, Verified};

/// `true`, `false`, or what the certificate has to show.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be true, false or { ca = \"FILE.pem\", name = \"NAME\" }"
)]
pub(super) enum RawTls {
    Whether(bool),
    Verified(RawVerified),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVerified {
    ca: PathBuf,
    name: String,
    /// What the file held when the configuration was read. `None`: it could not be used, and that
    /// has been said.
    #[serde(skip)]
    authorities: Option<Vec<Vec<u8>>>,
}

/// Reads the file that a service or a route names, if it names one.
pub(super) fn read(field: &mut Field<RawTls>, issues: &mut Vec<Issue>, seen: &mut Fingerprint) {
    let RawTls::Verified(verified) = &mut field.value else {
        return;
    };
    seen.note(&verified.ca);
    match anchors(&verified.ca, "the replicas' certificates") {
        Ok(found) => verified.authorities = Some(found),
        Err(why) => issues.push(field.at.error(why)),
    }
}

/// `None`: plain HTTP.
pub(super) fn lower_tls(field: Field<RawTls>, issues: &Issues) -> Option<UpstreamTls> {
    match field.value {
        RawTls::Whether(secure) => secure.then_some(UpstreamTls::Unverified),
        RawTls::Verified(verified) => {
            let RawVerified {
                ca: _,
                name,
                authorities,
            } = verified;
            let parsed: Result<Hostname, _> = name.parse();
            if let Err(error) = &parsed {
                report(issues, field.at.error(format!("`{name}` {error}")));
            }
            Some(UpstreamTls::Verified(Arc::new(Verified {
                name: parsed.ok()?,
                authorities: authorities?,
            })))
        }
    }
}

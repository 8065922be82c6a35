//! The authorities of an instance's clients, read from the file that the entry names.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::issue::Issue;
use super::raw::RawInstance;
use crate::fingerprint::Fingerprint;
use crate::plan::ClientAuthorities;

/// The file, and what it held when the configuration was read: entries for many stacks are applied
/// much later, and then no file is opened.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "PathBuf")]
pub(super) struct ClientCa {
    path: PathBuf,
    /// `None`: it could not be used, and that has been said.
    pub(super) authorities: Option<Arc<ClientAuthorities>>,
}

impl From<PathBuf> for ClientCa {
    fn from(path: PathBuf) -> Self {
        Self {
            path,
            authorities: None,
        }
    }
}

/// Reads what an entry names. What is wrong with it is an issue of that entry, which keeps its last
/// good form.
pub(super) fn read(raw: &mut RawInstance, issues: &mut Vec<Issue>, seen: &mut Fingerprint) {
    let Some(field) = &mut raw.client_ca else {
        return;
    };
    seen.note(&field.value.path);
    match anchors(&field.value.path, "the clients' certificates") {
        Ok(found) => field.value.authorities = Some(Arc::new(ClientAuthorities::new(found))),
        Err(why) => issues.push(field.at.error(why)),
    }
}

/// The certificates of a file, in DER, each fit to be a trust anchor. `what` they sign, for the
/// remedy.
///
/// # Errors
/// What is wrong with the file, as a sentence.
pub(super) fn anchors(file: &Path, what: &str) -> Result<Vec<Vec<u8>>, String> {
    let path = file.display();
    let remedy = format!("put the PEM of the authorities there that sign {what}");
    let bytes = fs::read(file).map_err(|error| format!("cannot read {path}: {error}; {remedy}"))?;
    let found: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| format!("{path} is no PEM: {error}; {remedy}"))?;
    if found.is_empty() {
        return Err(format!("{path} holds no certificate; {remedy}"));
    }
    let mut anchors = RootCertStore::empty();
    for (index, certificate) in found.iter().enumerate() {
        anchors.add(certificate.clone()).map_err(|error| {
            let number = index + 1;
            format!("certificate {number} of {path} cannot be used: {error}; {remedy}")
        })?;
    }
    Ok(found.into_iter().map(|der| der.to_vec()).collect())
}

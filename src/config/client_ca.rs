//! The authorities of an instance's clients, and what they have revoked, read from files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;

use super::issue::Issue;
use super::reader::Field;
use crate::fingerprint::Fingerprint;
use crate::plan::{ClientAuthorities, ClientVerify};

/// The files, and what they held when the configuration was read: entries for many stacks are applied
/// much later, and then no file is opened.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Written")]
pub(super) struct ClientCa {
    path: PathBuf,
    revoked: Option<PathBuf>,
    /// `None`: nobody is asked.
    verify: Option<ClientVerify>,
    /// `None`: nobody is asked, or it could not be used, and that has been said.
    pub(super) authorities: Option<Arc<ClientAuthorities>>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "neither a file nor { file = \"…\", crl = \"…\", verify = \"on\" | \"optional\" | \
                 \"optional-no-ca\" | \"off\" }"
)]
enum Written {
    File(PathBuf),
    Files(Files),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    file: PathBuf,
    crl: Option<PathBuf>,
    #[serde(default)]
    verify: WrittenVerify,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenVerify {
    Off,
    #[default]
    On,
    Optional,
    OptionalNoCa,
}

impl From<Written> for ClientCa {
    fn from(written: Written) -> Self {
        let (path, revoked, verify) = match written {
            Written::File(path) => (path, None, WrittenVerify::On),
            Written::Files(Files { file, crl, verify }) => (file, crl, verify),
        };
        Self {
            path,
            revoked,
            verify: match verify {
                WrittenVerify::Off => None,
                WrittenVerify::On => Some(ClientVerify::Required),
                WrittenVerify::Optional => Some(ClientVerify::Optional),
                WrittenVerify::OptionalNoCa => Some(ClientVerify::Any),
            },
            authorities: None,
        }
    }
}

impl ClientCa {
    /// What was read already.
    pub(super) fn of(path: PathBuf, authorities: Arc<ClientAuthorities>) -> Self {
        Self {
            path,
            revoked: None,
            verify: Some(authorities.verify()),
            authorities: Some(authorities),
        }
    }

    /// Whether a client without a certificate is turned away.
    pub(super) fn is_required(&self) -> bool {
        self.verify == Some(ClientVerify::Required)
    }
}

/// Reads what an entry names. What is wrong with it is an issue of that entry, which keeps its last
/// good form.
pub(super) fn read(field: &mut Field<ClientCa>, issues: &mut Vec<Issue>, seen: &mut Fingerprint) {
    let ClientCa {
        path,
        revoked,
        verify,
        authorities: _,
    } = &field.value;
    let Some(verify) = *verify else {
        return;
    };
    for file in [Some(path), revoked.as_ref()].into_iter().flatten() {
        seen.note(file);
    }
    match authorities(path, revoked.as_deref()) {
        Ok(found) => field.value.authorities = Some(Arc::new(found.verifying(verify))),
        Err(why) => issues.push(field.at.error(why)),
    }
}

/// The authorities of a file, and what those of another one have revoked.
///
/// # Errors
/// What cannot be used, with the remedy.
pub(super) fn authorities(
    path: &Path,
    revoked: Option<&Path>,
) -> Result<ClientAuthorities, String> {
    let (found, anchors) = trusted(path, "the clients' certificates")?;
    let mut lists = Vec::new();
    if let Some(revoked) = revoked {
        let remedy = "put the PEM of a list of version 2 there (RFC 5280 §5; `crl_extensions` of \
                      openssl makes such a one)";
        lists = pem::<CertificateRevocationListDer<'static>>(revoked, remedy)?;
        let revoked = revoked.display();
        if lists.is_empty() {
            return Err(format!("{revoked} holds no list; {remedy}"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider)
            .with_crls(lists.clone())
            .build()
            .map_err(|error| format!("{revoked} cannot be used: {error}; {remedy}"))?;
    }
    let lists = lists.into_iter().map(|der| der.to_vec()).collect();
    Ok(ClientAuthorities::new(found, lists, ClientVerify::Required))
}

/// The certificates of a file, in DER, each fit to be a trust anchor. `what` they sign, for the
/// remedy.
///
/// # Errors
/// What is wrong with the file, as a sentence.
pub(super) fn anchors(file: &Path, what: &str) -> Result<Vec<Vec<u8>>, String> {
    trusted(file, what).map(|(found, _)| found)
}

fn trusted(file: &Path, what: &str) -> Result<(Vec<Vec<u8>>, RootCertStore), String> {
    let remedy = format!("put the PEM of the authorities there that sign {what}");
    let found: Vec<CertificateDer<'static>> = pem(file, &remedy)?;
    let path = file.display();
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
    Ok((found.into_iter().map(|der| der.to_vec()).collect(), anchors))
}

fn pem<T: PemObject>(path: &Path, remedy: &str) -> Result<Vec<T>, String> {
    let path_shown = path.display();
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {path_shown}: {error}; {remedy}"))?;
    let found: Result<Vec<T>, _> = T::pem_slice_iter(&bytes).collect();
    found.map_err(|error| format!("{path_shown} is no PEM: {error}; {remedy}"))
}

//! The account with an authority: registered once, and never a second time unasked.
//!
//! ```text
//! <state>/acme/accounts/<directory URL>/<contact>/{account.key,account.json,registration.json}
//! ```
//!
//! The key is on the disk before the registration, and `registration.json` remembers that there was
//! one: a key that is lost afterwards is a fault to be told, not a reason for a new account, which
//! would be a new identity for CAA (RFC 8657) and for every limit.
//!
//! With an external account binding the key cannot be saved first: instant-acme makes it within the
//! registration. A crash between the authority's answer and the file costs that binding's account.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, Key, NewAccount};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::refusal::is_problem;
use super::retried;
use super::why::Why;
use super::wire::Wire;
use crate::config::model::{Directory, ExternalAccount, ExternalKey};
use crate::durable::{keep, kept, set_aside};

/// Whose account: one for each directory's URL and contact.
pub(super) struct Contact<'a> {
    pub(super) directory: &'a Directory,
    pub(super) email: Option<&'a str>,
    pub(super) state_dir: &'a Path,
    pub(super) wire: &'a Wire,
}

/// What is known of the registration.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Registration {
    /// Its URL, once the authority has answered.
    account: Option<String>,
    /// As the authority has it.
    contact: Option<String>,
}

/// Where an account is kept. It is known to one server: another URL under the old name is another
/// one.
pub(super) fn folder(state_dir: &Path, directory: &Directory, email: Option<&str>) -> PathBuf {
    state_dir
        .join("accounts")
        .join(file_name(&directory.url))
        .join(file_name(email.unwrap_or("default")))
}

/// Whether there was a registration, so that there will be no other. Blocking.
pub(super) fn is_known(state_dir: &Path, directory: &Directory, email: Option<&str>) -> bool {
    let files = Files::at(&folder(state_dir, directory, email));
    files.credentials.exists()
}

impl Contact<'_> {
    pub(super) fn folder(&self) -> PathBuf {
        folder(self.state_dir, self.directory, self.email)
    }

    /// The account, registered at the first need. The caller sees to it that nobody else asks for
    /// it meanwhile.
    pub(super) async fn account(&self) -> Result<Account, Why> {
        let folder = self.folder();
        let files = Files::at(&folder);
        let mut registration = files.registration()?;
        let account = match files.credentials() {
            Ok(Some(known)) => {
                let builder = Account::builder_with_http(Box::new(self.wire.clone()));
                let account = builder.from_credentials(known).await;
                account.map_err(|error| self.failed("the directory", &error))?
            }
            lost => {
                let known = registration.as_ref().map(|known| known.account.is_some());
                let (account, credentials) = self.regain(&files, lost.err(), known).await?;
                let text = serde_json::to_string(&credentials).map_err(io::Error::from);
                text.and_then(|text| keep(&files.credentials, &text))
                    .map_err(|source| state(&files.credentials, source))?;
                account
            }
        };
        let known = registration.get_or_insert_default();
        let contact = match &self.directory.external_account {
            // Said in the registration itself.
            Some(_) => self.email.map(ToOwned::to_owned),
            None => known.contact.clone(),
        };
        if contact.as_deref() != self.email {
            let mailto = self.email.map(|email| format!("mailto:{email}"));
            let mailto: Vec<&str> = mailto.iter().map(String::as_str).collect();
            retried!(account.update_contacts(&mailto))
                .map_err(|error| self.failed("the contact", &error))?;
        }
        let told = Registration {
            account: Some(account.id().to_owned()),
            contact: self.email.map(ToOwned::to_owned),
        };
        if known.account != told.account || known.contact != told.contact {
            files.keep_registration(&told)?;
        }
        Ok(account)
    }

    /// The account of which there is no file to use: found again by its key, or registered if it
    /// never was. `registered` tells how far that had come.
    async fn regain(
        &self,
        files: &Files,
        unusable: Option<String>,
        registered: Option<bool>,
    ) -> Result<(Account, AccountCredentials), Why> {
        let key = match (files.key(), &unusable) {
            (Ok(key @ Some(_)), _) => key,
            (_, Some(reason)) => return Err(lost_file(&files.credentials, reason.clone())),
            (Err(reason), None) => return Err(lost_file(&files.key, reason)),
            (Ok(None), None) => None,
        };
        let external = self.directory.external_account.as_ref();
        match (key, registered, external) {
            (Some(key), Some(true), _) => self.find_again(files, key).await,
            (Some(key), _, _) if unusable.is_some() => self.find_again(files, key).await,
            (None, Some(_), Some(_)) => Err(lost_file(&files.credentials, "is gone".to_owned())),
            (None, Some(_), None) => Err(lost_file(&files.key, "is gone".to_owned())),
            (None, None, Some(external)) => self.bind(external).await,
            (key, _, _) => self.register(files, key).await,
        }
    }

    /// Registers with a key that is on the disk already.
    async fn register(
        &self,
        files: &Files,
        key: Option<PrivatePkcs8KeyDer<'static>>,
    ) -> Result<(Account, AccountCredentials), Why> {
        let key = match key {
            Some(key) => key,
            None => files.make_key()?,
        };
        // From here on the authority may know the key.
        files.keep_registration(&Registration::default())?;
        let registered = retried!(async {
            let builder = Account::builder_with_http(Box::new(self.wire.clone()));
            let url = self.directory.url.clone();
            builder.create_from_key(pair(&key)?, url).await
        })
        .map_err(|error| self.failed("the account", &error))?;
        info!(directory = %self.directory.name, "ACME account registered");
        Ok(registered)
    }

    /// The account of a key that is known to the authority; nothing is registered.
    async fn find_again(
        &self,
        files: &Files,
        key: PrivatePkcs8KeyDer<'static>,
    ) -> Result<(Account, AccountCredentials), Why> {
        let found = retried!(async {
            let builder = Account::builder_with_http(Box::new(self.wire.clone()));
            builder
                .from_key(pair(&key)?, self.directory.url.clone())
                .await
        });
        match found {
            Ok(found) => {
                if files.credentials.exists() {
                    set_aside(&files.credentials)
                        .map_err(|source| state(&files.credentials, source))?;
                }
                warn!(
                    directory = %self.directory.name,
                    path = %files.credentials.display(),
                    "the file of the ACME account was lost; the account was found again by its key"
                );
                Ok(found)
            }
            Err(error) if is_problem(&error, "accountDoesNotExist") => {
                let reason = "is of no account that the authority knows".to_owned();
                Err(lost_file(&files.key, reason))
            }
            Err(error) => Err(self.failed("the account", &error)),
        }
    }

    /// Registers under an account that the operator has outside of ACME (RFC 8555 §7.3.4).
    async fn bind(&self, external: &ExternalAccount) -> Result<(Account, AccountCredentials), Why> {
        // What messages call the place of the key.
        let place = match &external.key {
            ExternalKey::File(path) => path.clone(),
            ExternalKey::Variable(name) => PathBuf::from(format!("the variable {name}")),
        };
        let unusable = |reason: String| Why::File {
            path: place.clone(),
            reason: format!("{reason}; it holds the key that the authority gave, in base64url"),
        };
        let text = match &external.key {
            ExternalKey::File(path) => {
                kept(path).map_err(|error| unusable(format!("cannot be read ({error})")))?
            }
            ExternalKey::Variable(name) => std::env::var(name).ok(),
        };
        let text = text.ok_or_else(|| unusable("is gone".to_owned()))?;
        let value = URL_SAFE_NO_PAD
            .decode(text.trim().trim_end_matches('='))
            .map_err(|error| unusable(format!("is no such key ({error})")))?;
        let mailto = self.email.map(|email| format!("mailto:{email}"));
        let mailto: Vec<&str> = mailto.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &mailto,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let bound = retried!(async {
            let builder = Account::builder_with_http(Box::new(self.wire.clone()));
            let binding = ExternalAccountKey::new(external.kid.clone(), &value);
            let url = self.directory.url.clone();
            builder.create(&wanted, url, Some(&binding)).await
        })
        .map_err(|error| self.failed("the account", &error))?;
        info!(directory = %self.directory.name, "ACME account registered");
        Ok(bound)
    }

    fn failed(&self, step: &'static str, error: &Error) -> Why {
        Why::of(&self.directory.url, step, error, self.wire.notes())
    }
}

/// The files of one account.
struct Files {
    key: PathBuf,
    credentials: PathBuf,
    registration: PathBuf,
}

impl Files {
    fn at(folder: &Path) -> Self {
        Self {
            key: folder.join("account.key"),
            credentials: folder.join("account.json"),
            registration: folder.join("registration.json"),
        }
    }

    /// `None`: there never was one.
    fn registration(&self) -> Result<Option<Registration>, Why> {
        // Whatever it says, there was a registration.
        match kept(&self.registration) {
            Ok(text) => Ok(text.map(|text| serde_json::from_str(&text).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Ok(Some(Registration::default()))
            }
            Err(source) => Err(state(&self.registration, source)),
        }
    }

    fn keep_registration(&self, registration: &Registration) -> Result<(), Why> {
        serde_json::to_string(registration)
            .map_err(io::Error::from)
            .and_then(|text| keep(&self.registration, &text))
            .map_err(|source| state(&self.registration, source))
    }

    /// `Err`: it is there and cannot be used.
    fn credentials(&self) -> Result<Option<AccountCredentials>, String> {
        let Some(text) = read_private(&self.credentials)? else {
            return Ok(None);
        };
        let known = serde_json::from_str(&text);
        known.map_err(|error| format!("cannot be used ({error})"))
    }

    fn key(&self) -> Result<Option<PrivatePkcs8KeyDer<'static>>, String> {
        let Some(pem) = read_private(&self.key)? else {
            return Ok(None);
        };
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("cannot be used ({error})"))?;
        match der {
            PrivateKeyDer::Pkcs8(key) => Ok(Some(key)),
            _ => Err("is not in PKCS#8".to_owned()),
        }
    }

    fn make_key(&self) -> Result<PrivatePkcs8KeyDer<'static>, Why> {
        let fresh = KeyPair::generate()
            .map_err(io::Error::other)
            .and_then(|fresh| {
                keep(&self.key, &fresh.serialize_pem())?;
                Ok(fresh)
            })
            .map_err(|source| state(&self.key, source))?;
        Ok(PrivatePkcs8KeyDer::from(fresh.serialize_der()))
    }
}

/// What a secret file says. One that others can read is made its owner's alone, and that is told.
fn read_private(path: &Path) -> Result<Option<String>, String> {
    let text = kept(path).map_err(|error| format!("cannot be read ({error})"))?;
    let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode());
    if mode & 0o077 != 0 {
        let private = std::fs::Permissions::from_mode(0o600);
        let mended = std::fs::set_permissions(path, private);
        warn!(
            path = %path.display(),
            mode = %format!("{:o}", mode & 0o777),
            mended = mended.is_ok(),
            "the key of an ACME account could be read by others"
        );
    }
    Ok(text)
}

fn pair(key: &PrivatePkcs8KeyDer<'static>) -> Result<(Key, PrivateKeyDer<'static>), Error> {
    let usable = Key::from_pkcs8_der(key.clone_key())?;
    Ok((usable, PrivateKeyDer::Pkcs8(key.clone_key())))
}

fn lost_file(path: &Path, reason: String) -> Why {
    Why::Account {
        path: path.to_owned(),
        reason,
    }
}

fn state(path: &Path, source: io::Error) -> Why {
    Why::State {
        path: path.to_owned(),
        source,
    }
}

/// A name from the configuration as the name of a folder.
pub(super) fn file_name(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

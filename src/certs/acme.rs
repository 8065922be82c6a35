//! One order, from the account to the chain (RFC 8555). The only file that names instant-acme.
//!
//! What must not be lost is on the disk before the authority hears of it: the account's key before
//! the registration, the certificate's key before the request for it.

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Error,
    ExternalAccountKey, Identifier, Key, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::challenge::Challenges;
use super::disk::{make_dir, replace_file, write_file};
use crate::cause::chain;
use crate::config::model::Directory;
use crate::names::Hostname;

/// One exchange with the authority.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// From the challenge being ready to the authority's verdict.
const VALIDATED_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A nonce may be refused at random; each refusal costs one exchange.
const NONCE_TRIES: u32 = 10;

/// An order and where its state is kept.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) directory: Directory,
    /// Contact of the account.
    pub(super) email: Option<String>,
    pub(super) names: Vec<Hostname>,
    pub(super) state_dir: PathBuf,
    pub(super) challenges: Challenges,
}

/// What the authority gave.
pub(super) struct Issued {
    /// PEM, the leaf first.
    pub(super) chain: String,
    /// PEM.
    pub(super) key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    #[error("the directory {directory} ({url}) does not answer as an ACME server: {reason}")]
    Directory {
        directory: String,
        url: String,
        reason: String,
    },
    #[error("{directory} refused {step}: {reason}")]
    Refused {
        directory: String,
        step: &'static str,
        reason: String,
    },
    #[error("{directory} did not answer within {} s ({step})", CALL_WITHIN.as_secs())]
    Slow {
        directory: String,
        step: &'static str,
    },
    #[error("{directory} refused {step} {NONCE_TRIES} times for its nonce alone")]
    BadNonce {
        directory: String,
        step: &'static str,
    },
    #[error("{directory} offers no HTTP-01 challenge for {name}")]
    NoChallenge { directory: String, name: String },
    #[error("cannot keep the state of the order under {}", path.display())]
    State {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl AcmeError {
    /// Whether another authority should be asked: this one is down, not unwilling.
    pub(super) fn is_down(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Slow { .. })
    }
}

/// A call, again while only its nonce was refused.
macro_rules! retried {
    ($job:expr, $step:literal, $call:expr) => {{
        let mut tries = NONCE_TRIES;
        loop {
            tries -= 1;
            match $job.call($step, $call).await {
                Err(AcmeError::BadNonce { .. }) if tries > 0 => {}
                other => break other,
            }
        }
    }};
}

impl Job {
    /// Orders a certificate for the names.
    ///
    /// Cancel safe in that nothing is lost: keys are on the disk, published answers are withdrawn.
    pub(super) async fn issue(&self) -> Result<Issued, AcmeError> {
        let account = self.account().await?;
        let key = self.certificate_key()?;
        let identifiers: Vec<Identifier> = self
            .names
            .iter()
            .map(|name| Identifier::Dns(name.to_string()))
            .collect();
        let mut order = {
            let mut wanted = NewOrder::new(&identifiers);
            if let Some(profile) = &self.directory.profile {
                wanted = wanted.profile(profile);
            }
            retried!(self, "the order", account.new_order(&wanted))?
        };
        let url = order.url().to_owned();
        let names: Vec<&str> = self.names.iter().map(Hostname::as_str).collect();
        info!(names = names.join(", "), %url, "certificate ordered");
        self.prove(&mut order).await?;
        let request = self.signing_request(&key)?;
        if order.state().status == OrderStatus::Ready {
            retried!(self, "the request", order.finalize_csr(&request))?;
        }
        let chain = self.download(&mut order).await?;
        Ok(Issued {
            chain,
            key: key.serialize_pem(),
        })
    }

    /// The chain was installed: its key is no longer only here.
    pub(super) fn done(&self) {
        // A key that stays behind would be used for the next order, which is no harm.
        let _ = fs::remove_file(self.key_path());
    }

    /// Shows the authority that the names lead here.
    async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut published = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.refused("an authorization", &error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
                return Err(AcmeError::NoChallenge {
                    directory: self.directory.name.clone(),
                    name,
                });
            };
            let Ok(host) = name.parse::<Hostname>() else {
                continue;
            };
            let answer = challenge.key_authorization().as_str().to_owned();
            let token = challenge.token.clone();
            published.push(self.challenges.publish(host, token, answer));
            retried!(self, "the challenge", challenge.set_ready())?;
        }
        let validated = timeout(VALIDATED_WITHIN, async {
            loop {
                retried!(self, "a look at the order", order.refresh())?;
                match order.state().status {
                    OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Processing => {
                        return Ok(());
                    }
                    OrderStatus::Invalid => return Err(self.why_invalid(order).await),
                    OrderStatus::Pending => sleep(LOOK_EVERY).await,
                }
            }
        });
        match validated.await {
            Ok(result) => result,
            Err(_) => Err(AcmeError::Slow {
                directory: self.directory.name.clone(),
                step: "validation",
            }),
        }
    }

    /// What the authority found when it looked, in its own words.
    async fn why_invalid(&self, order: &mut Order) -> AcmeError {
        let mut reasons = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let name = authorization.identifier().to_string();
            if let Ok(state) = authorization.refresh().await {
                for error in state.challenges.iter().filter_map(|c| c.error.as_ref()) {
                    let detail = error.detail.as_deref().unwrap_or("no detail");
                    reasons.push(format!("{name}: {detail}"));
                }
            }
        }
        AcmeError::Refused {
            directory: self.directory.name.clone(),
            step: "the validation",
            reason: if reasons.is_empty() {
                "the order became invalid".to_owned()
            } else {
                reasons.join("; ")
            },
        }
    }

    async fn download(&self, order: &mut Order) -> Result<String, AcmeError> {
        let policy = RetryPolicy::default().timeout(CALL_WITHIN);
        self.call("the certificate", order.poll_certificate(&policy))
            .await
    }

    fn signing_request(&self, key: &KeyPair) -> Result<Vec<u8>, AcmeError> {
        let failed = |error: rcgen::Error| AcmeError::Refused {
            directory: self.directory.name.clone(),
            step: "the signing request",
            reason: error.to_string(),
        };
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(key).map_err(failed)?;
        Ok(request.der().to_vec())
    }

    fn key_path(&self) -> PathBuf {
        let base = self.names.first().map_or("order", Hostname::as_str);
        self.state_dir.join("orders").join(format!("{base}.key"))
    }

    /// The key of this order: the one an interrupted order left, else a fresh one, on the disk
    /// before it is used.
    fn certificate_key(&self) -> Result<KeyPair, AcmeError> {
        let path = self.key_path();
        let state = |source| AcmeError::State {
            path: path.clone(),
            source,
        };
        let kept = fs::read_to_string(&path).ok();
        if let Some(key) = kept.and_then(|text| KeyPair::from_pem(&text).ok()) {
            return Ok(key);
        }
        let key = KeyPair::generate()
            .map_err(io::Error::other)
            .map_err(state)?;
        if let Some(folder) = path.parent() {
            make_dir(folder, 0o700).map_err(state)?;
        }
        write_file(&path, &key.serialize_pem(), 0o600).map_err(state)?;
        Ok(key)
    }

    /// The account with this authority, registered at the first need.
    async fn account(&self) -> Result<Account, AcmeError> {
        let contact = self.email.as_deref().unwrap_or("default");
        let folder = self
            .state_dir
            .join("accounts")
            // An account is known to one server: another URL under the old name is another one.
            .join(file_name(&self.directory.url))
            .join(file_name(contact));
        let state = |source| AcmeError::State {
            path: folder.clone(),
            source,
        };
        let credentials = folder.join("account.json");
        match fs::read_to_string(&credentials) {
            Ok(text) => {
                let known: AccountCredentials = serde_json::from_str(&text)
                    .map_err(io::Error::from)
                    .map_err(state)?;
                let builder = self.builder()?;
                return self.reach(builder.from_credentials(known)).await;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A file that is there and cannot be read is no reason to register anew.
            Err(error) => return Err(state(error)),
        }
        make_dir(&folder, 0o700).map_err(state)?;
        let (account, known) = match &self.directory.external_account {
            None => self.register(&folder.join("account.key")).await?,
            Some(external) => {
                let text = fs::read_to_string(&external.key_file).map_err(state)?;
                let value = base64::engine::general_purpose::URL_SAFE_NO_PAD
                    .decode(text.trim().trim_end_matches('='))
                    .map_err(io::Error::other)
                    .map_err(state)?;
                let binding = ExternalAccountKey::new(external.kid.clone(), &value);
                let contacts = self.contacts();
                let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
                let wanted = NewAccount {
                    contact: &contacts,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                // The one registration whose key instant-acme does not let us keep first.
                let url = self.directory.url.clone();
                let builder = self.builder()?;
                self.reach(builder.create(&wanted, url, Some(&binding)))
                    .await?
            }
        };
        let text = serde_json::to_string(&known)
            .map_err(io::Error::from)
            .map_err(state)?;
        replace_file(&credentials, &text, 0o600).map_err(state)?;
        let contacts = self.contacts();
        if !contacts.is_empty() && self.directory.external_account.is_none() {
            let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
            retried!(self, "the contact", account.update_contacts(&contacts))?;
        }
        info!(directory = %self.directory.name, "ACME account registered");
        Ok(account)
    }

    fn contacts(&self) -> Vec<String> {
        self.email
            .iter()
            .map(|email| format!("mailto:{email}"))
            .collect()
    }

    /// Registers with a key that is on the disk already.
    async fn register(&self, path: &Path) -> Result<(Account, AccountCredentials), AcmeError> {
        let state = |source| AcmeError::State {
            path: path.to_owned(),
            source,
        };
        let pem = match fs::read_to_string(path) {
            Ok(pem) => pem,
            Err(_) => {
                let fresh = KeyPair::generate()
                    .map_err(io::Error::other)
                    .map_err(state)?;
                write_file(path, &fresh.serialize_pem(), 0o600).map_err(state)?;
                fresh.serialize_pem()
            }
        };
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(io::Error::other)
            .map_err(state)?;
        let PrivateKeyDer::Pkcs8(pkcs8) = der else {
            return Err(state(io::Error::other(
                "the account's key is not in PKCS#8",
            )));
        };
        let key = Key::from_pkcs8_der(pkcs8.clone_key())
            .map_err(io::Error::other)
            .map_err(state)?;
        let url = self.directory.url.clone();
        let builder = self.builder()?;
        self.reach(builder.create_from_key((key, PrivateKeyDer::Pkcs8(pkcs8)), url))
            .await
    }

    fn builder(&self) -> Result<AccountBuilder, AcmeError> {
        let builder = match &self.directory.ca_bundle {
            Some(path) => Account::builder_with_root(path),
            None => Account::builder(),
        };
        builder.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &Error) -> AcmeError {
        AcmeError::Directory {
            directory: self.directory.name.clone(),
            url: self.directory.url.clone(),
            reason: chain(error),
        }
    }

    fn refused(&self, step: &'static str, error: &Error) -> AcmeError {
        AcmeError::Refused {
            directory: self.directory.name.clone(),
            step,
            reason: chain(error),
        }
    }

    /// A first exchange: what fails here but a refusal means that nobody is there.
    async fn reach<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, AcmeError> {
        match timeout(CALL_WITHIN, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error @ Error::Api(_))) => Err(self.refused("the account", &error)),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Err(_) => Err(self.slow("the account")),
        }
    }

    async fn call<T>(
        &self,
        step: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, AcmeError> {
        match timeout(CALL_WITHIN, call).await {
            Ok(Err(error)) if is_bad_nonce(&error) => Err(AcmeError::BadNonce {
                directory: self.directory.name.clone(),
                step,
            }),
            Ok(result) => result.map_err(|error| self.refused(step, &error)),
            Err(_) => Err(self.slow(step)),
        }
    }

    fn slow(&self, step: &'static str) -> AcmeError {
        AcmeError::Slow {
            directory: self.directory.name.clone(),
            step,
        }
    }
}

fn is_bad_nonce(error: &Error) -> bool {
    // RFC 8555 §6.5
    matches!(error, Error::Api(problem)
        if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce"))
}

/// A name from the configuration as the name of a folder.
fn file_name(text: &str) -> String {
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

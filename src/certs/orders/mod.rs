//! One order, from the account to the chain (RFC 8555). The only room that names instant-acme.
//!
//! Each step is on the disk before the next is begun, and an order that was interrupted is gone on
//! with: the account's key before the registration, the certificate's key before the order, the
//! order's URL before anything is made of it, the chain before anybody is told of it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use instant_acme::{Account, Error, Identifier, NewOrder, Order, OrderStatus};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

mod account;
mod ari;
mod authorities;
mod hook;
mod journal;
mod judge;
mod prove;
mod refusal;
mod why;
mod wire;

pub(super) use self::ari::{CertificateId, RenewalWindow, renewal_window};
pub(super) use self::authorities::Authorities;
pub(super) use self::journal::unfinished;
pub(super) use self::refusal::Refusal;

use self::account::Contact;
use self::hook::Record;
use self::journal::{Journal, Written};
use self::judge::{Judged, is_spent, judge};
use self::refusal::{is_bad_nonce, is_problem};
use self::why::Why;
use self::wire::{Notes, Wire, WireError};
use super::challenge::Challenges;
use super::lineage::Lineage;
use crate::config::model::{Acme, ChallengeKind, Directory};
use crate::durable::keep;
use crate::plan::KeyType;

/// A nonce may be refused at random; instant-acme asks three times each time.
const NONCE_TRIES: u32 = 10;
/// From the request for the certificate to the certificate.
const ISSUED_WITHIN: Duration = Duration::from_secs(120);
/// An order goes through five states; one that goes in circles is given up.
const STATES_AT_MOST: u32 = 12;

/// An order and where its state is kept.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) lineage: Lineage,
    pub(super) directory: Directory,
    /// Contact of the account.
    pub(super) email: Option<String>,
    pub(super) key: CertificateKey,
    /// The certificate that this one takes the place of (RFC 9773 §5).
    pub(super) replaces: Option<CertificateId>,
    pub(super) means: Means,
    pub(super) state_dir: PathBuf,
    pub(super) challenges: Challenges,
    pub(super) authorities: Authorities,
}

/// With which key a certificate is asked for.
#[derive(Clone)]
pub(super) enum CertificateKey {
    Fresh(KeyType),
    /// PEM; the one that is installed, for readers that cannot meet a new one.
    Reuse(String),
}

/// How names may be proven.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Means {
    /// The preferred first.
    pub(super) challenges: Vec<ChallengeKind>,
    /// The command that changes the DNS, with its first arguments.
    pub(super) dns_hook: Vec<String>,
}

impl Means {
    pub(super) fn of(acme: &Acme) -> Self {
        Self {
            challenges: acme.challenges.clone(),
            dns_hook: acme.dns_hook.clone(),
        }
    }

    /// Whether a certificate for every host below a name can be had.
    pub(super) fn prove_wildcards(&self) -> bool {
        !self.dns_hook.is_empty() && self.challenges.contains(&ChallengeKind::Dns01)
    }
}

/// What the authority gave.
pub(super) struct Issued {
    /// PEM, the leaf first.
    pub(super) chain: String,
    /// PEM.
    pub(super) key: String,
}

/// A call, again while only its nonce was refused.
macro_rules! retried {
    ($call:expr) => {{
        let mut tries = $crate::certs::orders::NONCE_TRIES;
        loop {
            tries -= 1;
            match $call.await {
                Err(error) if tries > 0 && $crate::certs::orders::is_bad_nonce(&error) => {}
                other => break other,
            }
        }
    }};
}
use retried;

impl Job {
    /// Whether an order of these names from this directory was interrupted: going on with it costs
    /// no new order, unless the authority has given it up meanwhile. Blocking: a few small files.
    pub(super) fn resumes(&self) -> bool {
        self.journal().resumes()
    }

    /// Orders a certificate for the names, or goes on with an order that was interrupted.
    ///
    /// Cancel safe: what was reached is on the disk, and what was published is withdrawn.
    pub(super) async fn issue(&self) -> Result<Issued, Refusal> {
        let notes = Arc::new(Notes::default());
        let pursued = self.pursue(&notes).await;
        pursued.map_err(|why| Refusal::new(&self.directory.name, why, &notes))
    }

    /// The pair was installed: nothing of its order is needed any more. Blocking.
    pub(super) fn done(&self) {
        self.journal().done();
    }

    /// Whether the account is known, so that this order registers none. Blocking.
    pub(super) fn has_account(&self) -> bool {
        account::is_known(&self.state_dir, &self.directory, self.email.as_deref())
    }

    fn journal(&self) -> Journal {
        Journal::new(
            &self.state_dir,
            &self.lineage,
            &self.directory,
            &self.authorities,
        )
    }

    async fn pursue(&self, notes: &Arc<Notes>) -> Result<Issued, Why> {
        let journal = self.journal();
        let state = |source| Why::State {
            path: journal.folder().to_owned(),
            source,
        };
        let mut written = journal.read().await.map_err(state)?;
        if let Some(issued) = self.downloaded(&journal, &mut written).await? {
            return Ok(issued);
        }
        self.withdraw_leftovers(&journal, &written)
            .await
            .map_err(state)?;
        let way = self.authorities.way(&self.directory);
        let wire = Wire::new(&self.directory, way, Arc::clone(notes))?;
        let desk = Desk {
            account: self.account(&wire).await?,
            job: self,
            journal: &journal,
            notes,
        };
        let key = desk.key(&written).await?;
        let resumed = match written.order.take() {
            Some(url) => desk.resume(url).await?,
            None => None,
        };
        let mut order = match resumed {
            Some(order) => order,
            None => desk.order().await?,
        };
        desk.finish(&mut order, &key, &written.failed).await
    }

    /// The pair of an earlier life that was never installed, if there is one that can be.
    async fn downloaded(
        &self,
        journal: &Journal,
        written: &mut Written,
    ) -> Result<Option<Issued>, Why> {
        let Some(chain) = written.chain.take() else {
            return Ok(None);
        };
        let key = written.key.clone().unwrap_or_default();
        let now = self.authorities.now();
        let (reason, over) = match judge(&chain, &key, &self.lineage, now) {
            // Installed once before, most likely, by a process that ended before it could say so.
            Judged::Good if is_spent(&chain, &key, now) => {
                ("most of its life is over".to_owned(), true)
            }
            Judged::Good => {
                info!(names = %self.lineage, "a certificate that was downloaded before is used");
                return Ok(Some(Issued { chain, key }));
            }
            Judged::Early(reason) => return Err(Why::Unusable { reason }),
            Judged::Bad(reason) => (reason, false),
        };
        let state = |source| Why::State {
            path: journal.folder().to_owned(),
            source,
        };
        journal.set_chain_aside(&reason).await.map_err(state)?;
        if over {
            journal.forget_order(&[]).await.map_err(state)?;
            written.order = None;
        }
        // Otherwise the order may still be good: what is asked for again costs nothing.
        Ok(None)
    }

    /// Removes what an earlier life may have left in the DNS.
    async fn withdraw_leftovers(&self, journal: &Journal, written: &Written) -> io::Result<()> {
        if self.means.dns_hook.is_empty() {
            return Ok(());
        }
        let hook: Arc<[String]> = self.means.dns_hook.as_slice().into();
        for (name, value) in &written.records {
            let record = Record::left(Arc::clone(&hook), name.clone(), value.clone());
            record.withdraw().await;
            journal.withdrawn(name.clone(), value.clone()).await?;
        }
        Ok(())
    }

    async fn account(&self, wire: &Wire) -> Result<Account, Why> {
        let contact = Contact {
            directory: &self.directory,
            email: self.email.as_deref(),
            state_dir: &self.state_dir,
            wire,
        };
        // Two orders that both find no account would register two.
        let registrar = self.authorities.registrar(&contact.folder());
        let _turn = registrar.acquire().await;
        contact.account().await
    }
}

/// An order under way: who asks, and where it is written down.
struct Desk<'a> {
    job: &'a Job,
    account: Account,
    journal: &'a Journal,
    notes: &'a Notes,
}

/// The key of a certificate, as it is kept and as it signs.
struct SigningKey {
    pem: String,
    pair: KeyPair,
}

impl Desk<'_> {
    /// The key of this order, on the disk before it is used: the one that the authority may have
    /// been given already, else the one that is wished for.
    async fn key(&self, written: &Written) -> Result<SigningKey, Why> {
        let read = |pem: &str| {
            let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
            let der = der.map_err(|error| error.to_string())?;
            KeyPair::try_from(&der).map_err(|error| error.to_string())
        };
        if let Some(pem) = &written.key {
            match read(pem) {
                Ok(pair) if self.may_keep(pem, written) => {
                    let pem = pem.clone();
                    return Ok(SigningKey { pem, pair });
                }
                Ok(_) => {}
                Err(reason) => {
                    let aside = self.journal.set_key_aside(&reason).await;
                    aside.map_err(|source| self.state(source))?;
                }
            }
        }
        let fresh = match &self.job.key {
            CertificateKey::Fresh(kind) => fresh_key(*kind).await.map(|pair| SigningKey {
                pem: pair.serialize_pem(),
                pair,
            }),
            CertificateKey::Reuse(pem) => read(pem).map(|pair| SigningKey {
                pem: pem.clone(),
                pair,
            }),
        };
        let fresh = fresh.map_err(|reason| Why::Unusable {
            reason: format!("the key it should be for cannot be used: {reason}"),
        })?;
        let kept = self.journal.keep_key(fresh.pem.clone()).await;
        kept.map_err(|source| self.state(source))?;
        Ok(fresh)
    }

    /// A key that the authority may know is kept whatever is wished for now.
    fn may_keep(&self, pem: &str, written: &Written) -> bool {
        match &self.job.key {
            CertificateKey::Fresh(_) => true,
            CertificateKey::Reuse(wanted) => wanted == pem || written.finalizing,
        }
    }

    /// The order that was interrupted. `None`: the authority has given it up, and so do we.
    async fn resume(&self, url: String) -> Result<Option<Order>, Why> {
        let order = retried!(self.account.order(url.clone()));
        let reason = match order {
            Ok(mut order) => {
                if order.state().status != OrderStatus::Invalid {
                    info!(names = %self.job.lineage, %url, "an interrupted order is gone on with");
                    return Ok(Some(order));
                }
                "it is invalid".to_owned()
            }
            Err(error @ Error::Api(_))
                if !self.notes.is_server_error() && !is_problem(&error, "rateLimited") =>
            {
                error.to_string()
            }
            Err(error) => return Err(self.failed("the interrupted order", &error)),
        };
        warn!(names = %self.job.lineage, %url, reason, "an interrupted order is given up");
        let forgotten = self.journal.forget_order(&[]).await;
        forgotten.map_err(|source| self.state(source))?;
        Ok(None)
    }

    /// A new order. Its URL is on the disk before its answer is read.
    async fn order(&self) -> Result<Order, Why> {
        let identifiers: Vec<Identifier> = self
            .job
            .lineage
            .names()
            .iter()
            .map(|name| Identifier::Dns(name.to_string()))
            .collect();
        let deaf = self.job.state_dir.join("directories").join(format!(
            "{}.no-replaces",
            account::file_name(&self.job.directory.url)
        ));
        let wished = self.job.replaces.as_ref().filter(|_| !deaf.exists());
        let mut replaces = wished.and_then(CertificateId::for_order);
        loop {
            let mut wanted = NewOrder::new(&identifiers);
            if let Some(profile) = &self.job.directory.profile {
                wanted = wanted.profile(profile);
            }
            let replacing = replaces.take();
            let replaced = replacing.is_some();
            if let Some(replacing) = replacing {
                wanted = wanted.replaces(replacing);
            }
            self.notes.expect_order(self.journal);
            let ordered = retried!(self.account.new_order(&wanted));
            let came = self.notes.order_came();
            let url = came.map_err(|source| self.state(source))?;
            match (ordered, url) {
                (Ok(order), _) => {
                    info!(names = %self.job.lineage, url = order.url(), "certificate ordered");
                    return Ok(order);
                }
                // It made the order and says nothing of the certificate that it replaces.
                (Err(Error::Other(inner)), Some(url)) if replaced && !inner.is::<WireError>() => {
                    warn!(
                        directory = %self.job.directory.name,
                        "the directory does not say what a certificate replaces, and is not told \
                         from now on"
                    );
                    keep(&deaf, "").map_err(|source| self.state(source))?;
                    return retried!(self.account.order(url.clone()))
                        .map_err(|error| self.failed("the order", &error));
                }
                // It was replaced before, is of another authority, or nobody there knows of such.
                (Err(Error::Unsupported(_)), None) if replaced => {}
                (Err(error), None) if replaced && refuses_replacing(&error) => {
                    info!(names = %self.job.lineage, %error, "ordered without what it replaces");
                }
                (Err(error), _) => return Err(self.failed("the order", &error)),
            }
        }
    }

    /// From whatever state the order is in to the chain on the disk.
    async fn finish(
        &self,
        order: &mut Order,
        key: &SigningKey,
        failed: &[String],
    ) -> Result<Issued, Why> {
        for _ in 0..STATES_AT_MOST {
            match order.state().status {
                OrderStatus::Pending => self.prove(order, failed).await?,
                OrderStatus::Ready => self.request(order, key).await?,
                OrderStatus::Processing => {
                    self.settle(order, "the certificate", ISSUED_WITHIN, |status| {
                        status != OrderStatus::Processing
                    })
                    .await?;
                }
                OrderStatus::Valid => return self.download(order, key).await,
                OrderStatus::Invalid => {
                    let reason = order.state().error.as_ref().map_or_else(
                        || "the order became invalid".to_owned(),
                        ToString::to_string,
                    );
                    let forgotten = self.journal.forget_order(&[]).await;
                    forgotten.map_err(|source| self.state(source))?;
                    return Err(Why::Refused {
                        step: "the certificate",
                        reason,
                    });
                }
            }
        }
        Err(Why::Late {
            step: "the certificate",
        })
    }

    async fn request(&self, order: &mut Order, key: &SigningKey) -> Result<(), Why> {
        let names = self.job.lineage.names().iter().map(ToString::to_string);
        let unusable = |error: rcgen::Error| Why::Unusable {
            reason: format!("the request for it cannot be signed: {error}"),
        };
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).map_err(unusable)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key.pair).map_err(unusable)?;
        let written = self.journal.finalizing().await;
        written.map_err(|source| self.state(source))?;
        retried!(order.finalize_csr(request.der()))
            .map_err(|error| self.failed("the request", &error))
    }

    async fn download(&self, order: &mut Order, key: &SigningKey) -> Result<Issued, Why> {
        let chain = retried!(order.certificate());
        let chain = chain.map_err(|error| self.failed("the certificate", &error))?;
        let Some(chain) = chain else {
            return Err(Why::Late {
                step: "the certificate",
            });
        };
        let state = |source| self.state(source);
        let kept = self.journal.keep_chain(chain.clone()).await;
        kept.map_err(state)?;
        let now = self.job.authorities.now();
        match judge(&chain, &key.pem, &self.job.lineage, now) {
            Judged::Good => Ok(Issued {
                chain,
                key: key.pem.clone(),
            }),
            // Kept: when the clock is right, or the time has come, it is used.
            Judged::Early(reason) => Err(Why::Unusable { reason }),
            Judged::Bad(reason) => {
                self.journal.set_chain_aside(&reason).await.map_err(state)?;
                self.journal.forget_order(&[]).await.map_err(state)?;
                Err(Why::Unusable { reason })
            }
        }
    }

    fn failed(&self, step: &'static str, error: &Error) -> Why {
        Why::of(&self.job.directory.url, step, error, self.notes)
    }

    fn state(&self, source: io::Error) -> Why {
        Why::State {
            path: self.journal.folder().to_owned(),
            source,
        }
    }

    /// How long the authority asked us to wait with its last answer.
    fn wait_asked_for(&self) -> Option<Duration> {
        let at: SystemTime = self.notes.retry_at()?;
        at.duration_since(self.job.authorities.now()).ok()
    }
}

/// A new key. One of RSA takes seconds to find, and so none is looked for on a serving thread.
async fn fresh_key(kind: KeyType) -> Result<KeyPair, String> {
    let of_curve = |algorithm| KeyPair::generate_for(algorithm).map_err(|error| error.to_string());
    let size = match kind {
        KeyType::P256 => return of_curve(&PKCS_ECDSA_P256_SHA256),
        KeyType::P384 => return of_curve(&PKCS_ECDSA_P384_SHA384),
        KeyType::P521 => return of_curve(&PKCS_ECDSA_P521_SHA512),
        KeyType::Rsa2048 => KeySize::Rsa2048,
        KeyType::Rsa3072 => KeySize::Rsa3072,
        KeyType::Rsa4096 => KeySize::Rsa4096,
        KeyType::Rsa8192 => KeySize::Rsa8192,
    };
    let found = spawn_blocking(move || {
        let key = rsa::KeyPair::generate(size).ok()?;
        let der: Pkcs8V1Der<'static> = key.as_der().ok()?;
        let der = PrivateKeyDer::Pkcs8(der.as_ref().to_vec().into());
        KeyPair::try_from(&der).ok()
    });
    let found = found.await.map_err(|error| error.to_string())?;
    found.ok_or_else(|| format!("no RSA key of {} bits can be made", kind.word()))
}

/// Whether an order may be refused for what it replaces alone (RFC 9773 §5).
fn refuses_replacing(error: &Error) -> bool {
    ["alreadyReplaced", "conflict", "malformed"]
        .iter()
        .any(|kind| is_problem(error, kind))
}

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh(_) => "Fresh",
            Self::Reuse(_) => "Reuse(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_of_every_kind_sign_requests_and_are_read_again() {
        for kind in KeyType::ALL {
            // Looking for the largest takes too long here, and goes the same way.
            if matches!(kind, KeyType::Rsa4096 | KeyType::Rsa8192) {
                continue;
            }
            let key = fresh_key(kind).await.expect("a key");
            let pem = key.serialize_pem();
            let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            let again = KeyPair::try_from(&der).expect("a key");
            let params = CertificateParams::new(["a.example.org".to_owned()]).expect("a name");
            let chain = params.self_signed(&again).expect("signed").pem();
            let pair = super::super::pair::Pair::parse(chain.as_bytes(), pem.as_bytes());
            assert!(pair.is_ok(), "{kind:?}: served");
        }
    }
}

//! Certificates by name, for handshakes. Answers from memory only, and never with another
//! instance's.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::names::{Domain, Hostname};

/// The certificates in force. Replaced as a whole; handshakes under way keep what they chose.
#[derive(Debug)]
pub struct Store {
    pairs: ArcSwap<Pairs>,
    /// Whether a name nobody declared gets the default pair.
    default_for_unknown: bool,
}

/// Which name is answered with which pair.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) exact: HashMap<Hostname, Arc<CertifiedKey>>,
    /// By the name below which all hosts are meant.
    pub(super) below: HashMap<Hostname, Arc<CertifiedKey>>,
    pub(super) default: Option<Arc<CertifiedKey>>,
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: the rest is keys.
        f.debug_struct("Pairs")
            .field("exact", &self.exact.keys())
            .field("below", &self.below.keys())
            .field("default", &self.default.is_some())
            .finish()
    }
}

impl Pairs {
    pub(super) fn insert(&mut self, domain: Domain, pair: Arc<CertifiedKey>) {
        match domain {
            Domain::Exact(name) => self.exact.insert(name, pair),
            Domain::Below(name) => self.below.insert(name, pair),
        };
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        // A certificate's wildcard stands for one label (RFC 6125 §6.4.3).
        let below = || self.below.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(below)
    }
}

impl Store {
    pub fn new(default_for_unknown: bool) -> Self {
        Self {
            pairs: ArcSwap::default(),
            default_for_unknown,
        }
    }

    pub(super) fn replace(&self, pairs: Pairs) {
        self.pairs.store(Arc::new(pairs));
    }

    /// Lets names look as if they had a certificate, for tests that need no handshake.
    #[cfg(test)]
    pub(crate) fn pretend_to_cover(&self, names: &[&str]) {
        let (chain, key) = super::pair::tests::pem(names);
        let now = super::pair::tests::month(6);
        let pair = super::pair::Pair::read(chain.as_bytes(), key.as_bytes(), now).expect("a pair");
        let mut pairs = Pairs::default();
        for name in names {
            pairs.insert(name.parse().expect("name"), Arc::clone(&pair.key));
        }
        self.replace(pairs);
    }

    /// Whether a handshake for this name can succeed.
    pub fn has(&self, name: &Hostname) -> bool {
        self.covers(name) || (self.default_for_unknown && self.pairs.load().default.is_some())
    }

    /// Whether the name has a certificate of its own.
    pub fn covers(&self, name: &Hostname) -> bool {
        self.pairs.load().find(name.as_str()).is_some()
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pairs = self.pairs.load();
        let name = hello.server_name()?.to_ascii_lowercase();
        let own = pairs.find(&name).cloned();
        own.or_else(|| pairs.default.clone().filter(|_| self.default_for_unknown))
    }
}

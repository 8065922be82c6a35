//! Certificates by name, for handshakes. Answers from memory only, and never with another
//! instance's.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;
use crate::names::{Domain, HostPattern, Hostname};

/// The certificates in force. Replaced as a whole; handshakes under way keep what they chose.
#[derive(Debug)]
pub struct Store {
    pairs: ArcSwap<Pairs>,
    /// Whether a name nobody declared gets the default pair.
    default_for_unknown: bool,
}

/// Which name is answered with which pair.
#[derive(Clone, Default)]
pub(super) struct Pairs {
    /// `None`: the name is somebody's and there is nothing for it. A wildcard of another instance
    /// must not answer in its place.
    exact: HashMap<Hostname, Option<Arc<CertifiedKey>>>,
    /// By the name below which all hosts are meant; `None` as above.
    below: HashMap<Hostname, Option<Arc<CertifiedKey>>>,
    /// Hosts by their shape, in the order they are asked, and the pair that is for some of them.
    shaped: Vec<(HostPattern, Option<Arc<Pair>>)>,
    pub(super) default: Option<Arc<CertifiedKey>>,
    /// Those of this machine's own authority.
    pub(super) local: HashSet<Domain>,
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
    /// Takes in what a name is answered with; `None` for a name that has nothing.
    pub(super) fn insert(&mut self, domain: Domain, pair: Option<Arc<CertifiedKey>>) {
        match domain {
            Domain::Exact(name) => self.exact.insert(name, pair),
            Domain::Below(name) => self.below.insert(name, pair),
        };
    }

    /// The name is nobody's any more.
    pub(super) fn remove(&mut self, domain: &Domain) {
        match domain {
            Domain::Exact(name) => self.exact.remove(name),
            Domain::Below(name) => self.below.remove(name),
        };
    }

    pub(super) fn holds(&self, domain: &Domain) -> bool {
        match domain {
            Domain::Exact(name) => self.exact.get(name).is_some_and(Option::is_some),
            Domain::Below(name) => self.below.get(name).is_some_and(Option::is_some),
        }
    }

    /// A pair of this machine's own authority.
    pub(super) fn insert_local(&mut self, domain: Domain, pair: Arc<CertifiedKey>) {
        self.local.insert(domain.clone());
        self.insert(domain, Some(pair));
    }

    /// Takes in what hosts of these shapes are answered with, those of one instance after the other.
    pub(super) fn shape(&mut self, patterns: &[HostPattern], pair: Option<&Pair>) {
        let pair = pair.cloned().map(Arc::new);
        let patterns = patterns.iter().cloned();
        self.shaped
            .extend(patterns.map(|pattern| (pattern, pair.clone())));
        // As requests find them: stable, so that among expressions the order of the instances decides.
        self.shaped
            .sort_by_key(|(pattern, _)| Reverse(pattern.precedence()));
    }

    /// What a name that is somebody's is answered with; the outer `None`: it is nobody's.
    fn declared(&self, name: &str) -> Option<Option<&Arc<CertifiedKey>>> {
        let own = self.exact.get(name);
        // A certificate's wildcard stands for one label (RFC 6125 §6.4.3).
        let found = own.or_else(|| self.below.get(name.split_once('.')?.1));
        let found = found.map(Option::as_ref);
        found.or_else(|| self.by_shape(name).map(Some))
    }

    /// The pair of the first pattern that fits a host nobody has by name, if it is for that host.
    fn by_shape(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        if self.shaped.is_empty() {
            return None;
        }
        let host: Hostname = name.parse().ok()?;
        let parents = std::iter::successors(host.parent(), |name| Some(name.split_once('.')?.1));
        if parents
            .into_iter()
            .any(|parent| self.below.contains_key(parent))
        {
            return None;
        }
        let (_, pair) = self
            .shaped
            .iter()
            .find(|(pattern, _)| pattern.fits(&host))?;
        let pair = pair.as_ref()?;
        pair.covers(&Domain::Exact(host)).then_some(&pair.key)
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.declared(name).flatten()
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

    pub(super) fn change(&self, change: impl FnOnce(&mut Pairs)) {
        let mut pairs = Pairs::clone(&self.pairs.load());
        change(&mut pairs);
        self.replace(pairs);
    }

    /// Lets names look as if they had a certificate, for tests that need no handshake.
    #[cfg(test)]
    pub(crate) fn pretend_to_cover(&self, names: &[&str]) {
        let (chain, key) = super::pair::tests::pem(names);
        let pair = Pair::parse(chain.as_bytes(), key.as_bytes()).expect("a pair");
        let mut pairs = Pairs::default();
        for name in names {
            pairs.insert(name.parse().expect("name"), Some(Arc::clone(&pair.key)));
        }
        self.replace(pairs);
    }

    /// As [`Self::pretend_to_cover`], by this machine's own authority.
    #[cfg(test)]
    pub(crate) fn pretend_to_cover_locally(&self, names: &[&str]) {
        self.pretend_to_cover(names);
        let before = self.pairs.load();
        let mut pairs = Pairs::default();
        for (name, pair) in &before.exact {
            let pair = pair.clone().expect("covered");
            pairs.insert_local(Domain::Exact(name.clone()), pair);
        }
        self.replace(pairs);
    }

    /// The pair of exactly this name, not a wildcard's and not the default.
    pub fn pair(&self, name: &Hostname) -> Option<Arc<CertifiedKey>> {
        self.pairs.load().exact.get(name).cloned().flatten()
    }

    /// Whether the name is somebody's, with a certificate or without.
    pub fn knows(&self, name: &Hostname) -> bool {
        let pairs = self.pairs.load();
        pairs.exact.contains_key(name) || pairs.find(name.as_str()).is_some()
    }

    /// The pair of this name, its own or that of a wildcard; not the default.
    pub fn found(&self, name: &Hostname) -> Option<Arc<CertifiedKey>> {
        self.pairs.load().find(name.as_str()).cloned()
    }

    /// Whether a handshake for this name can succeed.
    pub fn has(&self, name: &Hostname) -> bool {
        self.answer(&self.pairs.load(), name.as_str()).is_some()
    }

    /// Its own pair, and for a name that is nobody's the default.
    fn answer(&self, pairs: &Pairs, name: &str) -> Option<Arc<CertifiedKey>> {
        match pairs.declared(name) {
            Some(own) => own.cloned(),
            None => pairs.default.clone().filter(|_| self.default_for_unknown),
        }
    }

    /// Whether the name has a certificate that every client can believe, so that it may be led there.
    /// Those of this machine's own authority are for clients who were told.
    pub fn is_believed(&self, name: &Hostname) -> bool {
        self.covers(name) && !self.is_local(name)
    }

    /// Whether it is answered with a pair of this machine's own authority.
    pub fn is_local(&self, name: &Hostname) -> bool {
        let pairs = self.pairs.load();
        if pairs.exact.contains_key(name) {
            pairs.local.contains(&Domain::Exact(name.clone()))
        } else {
            let parent = name.parent().and_then(|parent| parent.parse().ok());
            parent.is_some_and(|parent| pairs.local.contains(&Domain::Below(parent)))
        }
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
        self.answer(&pairs, &name)
    }
}

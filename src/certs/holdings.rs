//! What there is for every name that is wanted, and what is wrong with what is not served.
//!
//! A pair that was good once is kept in memory: whatever becomes of the folder, or of the clock, a
//! name is not left without the last one. And no name is ever answered with what belongs to another
//! instance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use tracing::warn;

use super::disk::{Disk, Found};
use super::lineage::Lineage;
use super::local::LocalAuthority;
use super::look::{DEFAULT, Look, Owners, Reading, Trouble};
use super::store::Pairs;
use crate::cause::chain;
use crate::fingerprint::Fingerprint;
use crate::names::Domain;
use crate::plan::{Wanted, WantedCertificate};

/// The pairs in use.
#[derive(Debug)]
pub(super) struct Holdings {
    disk: Disk,
    /// Signs for names that no public authority can know.
    local: LocalAuthority,
    /// The last good one for each name.
    pairs: BTreeMap<Domain, Found>,
    /// The pairs of staging, by folder: what their names are served with may be something better.
    staged: BTreeMap<String, Found>,
    /// For names nobody declared, and those that may be served with it.
    default: Option<Found>,
    /// Names that are: they have no pair, and one is ordered all the same.
    by_default: BTreeSet<Domain>,
    troubles: BTreeMap<Domain, Trouble>,
    /// The last good one of each that is pinned for hosts by their shape.
    shaped: BTreeMap<String, Found>,
    /// Every pair that was looked at, by its certificate's file, so that none is parsed twice.
    looked_at: BTreeMap<PathBuf, Found>,
    /// The files of the last reading, as they were then.
    seen: Fingerprint,
    owners: Owners,
}

/// What there is for some names together.
#[derive(Debug)]
pub(super) struct Summary {
    /// Each has a pair.
    pub(super) all: bool,
    pub(super) managed: bool,
    /// Those without one are served with the default.
    pub(super) defaulted: bool,
    /// This machine's own authority has signed what there is.
    pub(super) local: bool,
    /// The life of the pair that ends first.
    pub(super) not_before: Option<SystemTime>,
    pub(super) not_after: Option<SystemTime>,
    /// Why one of them is not served with what the folder holds.
    pub(super) trouble: Option<String>,
}

impl Holdings {
    pub(super) fn new(disk: Disk, local: LocalAuthority) -> Self {
        Self {
            disk,
            local,
            pairs: BTreeMap::new(),
            staged: BTreeMap::new(),
            default: None,
            by_default: BTreeSet::new(),
            troubles: BTreeMap::new(),
            shaped: BTreeMap::new(),
            looked_at: BTreeMap::new(),
            seen: Fingerprint::default(),
            owners: Owners::default(),
        }
    }

    /// What there is for these names together.
    pub(super) fn of(&self, names: &[Domain]) -> Summary {
        let found: Vec<&Found> = names
            .iter()
            .filter_map(|name| self.pairs.get(name))
            .collect();
        let signed = || names.iter().filter_map(|name| self.local.signed(name));
        let by_default = names.iter().filter(|name| self.by_default.contains(*name));
        let by_default = by_default.count();
        let default = self.default.iter().filter(|_| by_default > 0);
        let pairs = found.iter().copied().chain(default);
        let pairs = pairs.map(|found| &found.pair).chain(signed());
        let troubles = || names.iter().filter_map(|name| self.troubles.get(name));
        let first = pairs.min_by_key(|pair| pair.not_after);
        let expired_at = troubles().find_map(|trouble| trouble.expired_at);
        Summary {
            all: found.len() + signed().count() == names.len(),
            defaulted: by_default > 0 && found.len() + signed().count() + by_default == names.len(),
            managed: found.iter().all(|found| found.managed),
            local: found.is_empty() && signed().next().is_some(),
            not_before: first.map(|pair| pair.not_before),
            not_after: first.map(|pair| pair.not_after).or(expired_at),
            trouble: troubles().next().map(|trouble| trouble.text.clone()),
        }
    }

    /// What the folder of this lineage of staging holds.
    pub(super) fn staged(&self, lineage: &Lineage) -> Option<&Found> {
        let found = self.staged.get(&lineage.base())?;
        let all = lineage.names().iter().all(|name| found.pair.covers(name));
        all.then_some(found)
    }

    /// What this name is served with.
    pub(super) fn pair(&self, name: &Domain) -> Option<&Found> {
        self.pairs.get(name)
    }

    pub(super) fn troubles(&self) -> impl Iterator<Item = (&Domain, &str)> {
        let all = self.troubles.iter();
        all.map(|(name, trouble)| (name, trouble.text.as_str()))
    }

    /// The files of the last reading, as they were then.
    pub(super) fn seen(&self) -> &Fingerprint {
        &self.seen
    }

    /// Reads the folder for these names. Blocking: a few small files per name.
    pub(super) fn read(&mut self, wanted: &Wanted, now: SystemTime) -> Pairs {
        self.owners = Owners::of(wanted);
        let mut reading = Reading::new(&self.disk, &self.owners, &self.looked_at, now);
        let mut pairs = Pairs::default();
        let mut held = BTreeMap::new();
        let mut troubles = BTreeMap::new();
        for wanted in wanted.all() {
            for name in wanted.domains() {
                let old = self.pairs.remove(&name);
                let (found, trouble) = settle(&name, reading.look(wanted, &name), old);
                tell(&name, trouble.as_ref(), self.troubles.get(&name));
                troubles.extend(trouble.map(|trouble| (name.clone(), trouble)));
                let key = found.as_ref().map(|found| Arc::clone(&found.pair.key));
                pairs.insert(name.clone(), key);
                if let Some(found) = found {
                    held.insert(name, found);
                }
            }
        }
        let mut shaped = BTreeMap::new();
        for wanted in wanted.all().filter(|wanted| !wanted.patterns.is_empty()) {
            let pinned = wanted.pinned.as_ref();
            let found = pinned.and_then(|name| {
                let Look { found, trouble } = reading.read(name);
                if let Some(trouble) = trouble {
                    warn!(instance = %wanted.instance, pair = name, reason = %trouble.text, "certificate");
                }
                let old = self.shaped.get(name).cloned().map(Found::remembered);
                Some((name.clone(), found.or(old)?))
            });
            pairs.shape(
                &wanted.patterns,
                found.as_ref().map(|(_, found)| &found.pair),
            );
            shaped.extend(found);
        }
        self.shaped = shaped;
        let on_staging = wanted.all().filter(|wanted| wanted.staging);
        let bases = on_staging.flat_map(|wanted| {
            let lineages = wanted
                .domains()
                .filter_map(|name| Lineage::new([name], true));
            lineages.map(|lineage| lineage.base())
        });
        self.staged = bases
            .filter_map(|base| Some((base.clone(), reading.folder(&base)?)))
            .collect();
        if let Look {
            found: Some(found), ..
        } = reading.read(DEFAULT)
        {
            self.default = Some(found);
        }
        pairs.default = self
            .default
            .as_ref()
            .map(|found| Arc::clone(&found.pair.key));
        (self.looked_at, self.seen) = reading.done();
        self.sign_locally(wanted, &mut pairs, &mut troubles, now);
        self.default_for(wanted, &mut pairs, &troubles);
        self.pairs = held;
        self.troubles = troubles;
        pairs
    }
}

impl Holdings {
    /// Reads the folder for the names that are new, where nothing else can have changed by that.
    /// Returns what to do to the pairs in force; `None`: everything has to be read.
    pub(super) fn follow(&mut self, news: &News<'_>, now: SystemTime) -> Option<Change> {
        if self.seen.now() != self.seen || news.all().any(|one| concerns_others(one, &self.owners))
        {
            return None;
        }
        news.gone.iter().for_each(|gone| self.owners.remove(gone));
        news.new.iter().for_each(|new| self.owners.add(new));
        let mut reading = Reading::new(&self.disk, &self.owners, &self.looked_at, now);
        let mut change = Change::default();
        let names = news.new.iter().flat_map(|new| new.domains());
        let stay: BTreeSet<Domain> = names.collect();
        for name in news.gone.iter().flat_map(|gone| gone.domains()) {
            self.by_default.remove(&name);
            if !stay.contains(&name) {
                self.troubles.remove(&name);
                self.pairs.remove(&name);
                change.gone.push(name);
            }
        }
        for wanted in &news.new {
            for name in wanted.domains() {
                let old = self.pairs.remove(&name);
                let (found, trouble) = settle(&name, reading.look(wanted, &name), old);
                let mut key = found.as_ref().map(|found| Arc::clone(&found.pair.key));
                if key.is_none() && trouble.is_none() && falls_back(wanted) {
                    let default = self.default.as_ref();
                    key = default.map(|found| Arc::clone(&found.pair.key));
                    self.by_default.extend(key.is_some().then(|| name.clone()));
                }
                let told = self.troubles.remove(&name);
                tell(&name, trouble.as_ref(), told.as_ref());
                self.troubles
                    .extend(trouble.map(|trouble| (name.clone(), trouble)));
                if let Some(found) = found {
                    self.pairs.insert(name.clone(), found);
                }
                change.new.push((name, key));
            }
        }
        let (looked_at, seen) = reading.done();
        self.looked_at.extend(looked_at);
        self.seen.extend(seen);
        Some(change)
    }

    /// Lets the default stand in for the names that want it and have nothing, not even something that
    /// is wrong: what is wrong with it would never be mended.
    fn default_for(
        &mut self,
        wanted: &Wanted,
        pairs: &mut Pairs,
        troubles: &BTreeMap<Domain, Trouble>,
    ) {
        self.by_default.clear();
        let Some(default) = &self.default else {
            return;
        };
        let trusting = wanted.all().filter(|wanted| falls_back(wanted));
        for name in trusting.flat_map(WantedCertificate::domains) {
            if !pairs.holds(&name) && !troubles.contains_key(&name) {
                pairs.insert(name.clone(), Some(Arc::clone(&default.pair.key)));
                self.by_default.insert(name);
            }
        }
    }

    /// Adds pairs of this machine's own authority for the names it may sign for and the folder has
    /// nothing for, not even something that is wrong.
    fn sign_locally(
        &mut self,
        wanted: &Wanted,
        pairs: &mut Pairs,
        troubles: &mut BTreeMap<Domain, Trouble>,
        now: SystemTime,
    ) {
        let needed: BTreeSet<Domain> = wanted
            .all()
            .flat_map(|wanted| &wanted.local)
            .filter(|name| !pairs.holds(name) && !troubles.contains_key(name))
            .cloned()
            .collect();
        self.local.retain(|name| needed.contains(name));
        for name in needed {
            match self.local.pair(&name, now) {
                Ok(pair) => pairs.insert_local(name, Arc::clone(&pair.key)),
                Err(error) => {
                    let trouble = Trouble {
                        text: chain(&error),
                        expired_at: None,
                    };
                    tell(&name, Some(&trouble), self.troubles.get(&name));
                    troubles.insert(name, trouble);
                }
            }
        }
    }
}

/// What is wanted now and was not before, and the other way round.
#[derive(Debug, Default)]
pub(super) struct News<'w> {
    pub(super) gone: Vec<&'w WantedCertificate>,
    pub(super) new: Vec<&'w WantedCertificate>,
}

impl<'w> News<'w> {
    pub(super) fn between(before: &'w Wanted, now: &'w Wanted) -> Self {
        let mut news = Self::default();
        for found in before
            .0
            .differences(&now.0)
            .filter(|found| found.before != found.now)
        {
            news.gone
                .extend(found.before.into_iter().flat_map(|of| of.iter()));
            news.new
                .extend(found.now.into_iter().flat_map(|of| of.iter()));
        }
        news
    }

    fn all(&self) -> impl Iterator<Item = &'w WantedCertificate> {
        self.gone.iter().chain(&self.new).copied()
    }
}

/// What to do to the pairs in force.
#[derive(Debug, Default)]
pub(super) struct Change {
    gone: Vec<Domain>,
    new: Vec<(Domain, Option<Arc<CertifiedKey>>)>,
}

impl Change {
    pub(super) fn apply(self, pairs: &mut Pairs) {
        self.gone.iter().for_each(|name| pairs.remove(name));
        for (name, pair) in self.new {
            pairs.insert(name, pair);
        }
    }
}

/// Whether what others are served with may hang on this one.
fn concerns_others(wanted: &WantedCertificate, owners: &Owners) -> bool {
    let shared = !wanted.wildcards.is_empty() || !wanted.local.is_empty() || wanted.staging;
    // What a shape is served with is under no name.
    let shaped = !wanted.patterns.is_empty();
    shared || shaped || wanted.names.iter().any(|name| owners.has_below(name))
}

/// Whether the default may stand in for what it has not.
fn falls_back(wanted: &WantedCertificate) -> bool {
    wanted.trust_default && wanted.pinned.is_none()
}

/// One line for what is wrong with a name and was not said before.
fn tell(name: &Domain, trouble: Option<&Trouble>, told: Option<&Trouble>) {
    if let Some(trouble) = trouble.filter(|trouble| told != Some(*trouble)) {
        warn!(%name, reason = %trouble.text, "certificate");
    }
}

/// What a name is served with, and what is to be said about it.
fn settle(name: &Domain, look: Look, old: Option<Found>) -> (Option<Found>, Option<Trouble>) {
    let Look { found, trouble } = look;
    let old = old.map(Found::remembered);
    match (found, trouble) {
        (Some(found), None) => (Some(found), None),
        // Its own was good, and is better known than what else might do.
        (found, Some(trouble)) => (old.or(found), Some(trouble)),
        (None, None) => {
            let trouble = old.is_some().then(|| Trouble {
                text: format!(
                    "the pair of {name} is gone from the folder; the last one is served until \
                     usher ends; put it back, or let usher order another"
                ),
                expired_at: None,
            });
            (old, trouble)
        }
    }
}

#[cfg(test)]
mod tests;

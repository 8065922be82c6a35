//! What is held and served: the folder's pairs, and the store that is kept as they are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task;
use tokio::time::sleep;

use super::disk::{Disk, Found};
use super::holdings::{Holdings, News, Summary};
use super::lineage::Lineage;
use super::local::LocalAuthority;
use super::orders::CertificateId;
use super::schedule::Life;
use super::store::Store;
use crate::names::Domain;
use crate::plan::Wanted;

/// The folder is looked at this often, for pairs that others put there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Keeps the store as the folder is.
#[derive(Debug)]
pub(super) struct Shelf {
    disk: Disk,
    holdings: Holdings,
    store: Arc<Store>,
}

/// What there is for a set of names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// Every name is covered.
    All {
        /// Of the pair that ends first.
        life: Life,
        /// The one certificate that is for exactly these names, if there is one.
        certificate: Option<CertificateId>,
    },
    /// Some name has nothing on the disk to be served with.
    NotAll,
}

impl Shelf {
    pub(super) fn new(dir: PathBuf, default_for_unknown: bool, local: LocalAuthority) -> Self {
        let disk = Disk::new(dir);
        Self {
            holdings: Holdings::new(disk.clone(), local),
            disk,
            store: Arc::new(Store::new(default_for_unknown)),
        }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn troubles(&self) -> impl Iterator<Item = (&Domain, &str)> {
        self.holdings.troubles()
    }

    /// What there is for these names together.
    pub(super) fn of(&self, names: &[Domain]) -> Summary {
        self.holdings.of(names)
    }

    /// Reads the folder for these names and puts what is good into the store. Blocking: a few
    /// small files per name.
    pub(super) fn load(&mut self, wanted: &Wanted, now: SystemTime) {
        self.store.replace(self.holdings.read(wanted, now));
    }

    /// As [`Self::load`] for what is new alone. Returns whether that was enough.
    pub(super) fn follow(&mut self, news: &News<'_>, now: SystemTime) -> bool {
        let change = self.holdings.follow(news, now);
        let followed = change.is_some();
        if let Some(change) = change {
            self.store.change(|pairs| change.apply(pairs));
        }
        followed
    }

    pub(super) fn held(&self, lineage: &Lineage) -> Held {
        let mut found = Vec::new();
        if lineage.is_staging() {
            // Its names may be served with something better.
            found.extend(self.holdings.staged(lineage));
        } else {
            for name in lineage.names() {
                // What only memory holds would be lost with the process, and what a staging
                // authority gave is trusted by nobody.
                let good = |found: &&Found| found.on_disk && !found.staging;
                let Some(one) = self.holdings.pair(name).filter(good) else {
                    return Held::NotAll;
                };
                found.push(one);
            }
        }
        let Some(first) = found.iter().min_by_key(|found| found.pair.not_after) else {
            return Held::NotAll;
        };
        let leaf = |found: &Found| found.pair.key.cert.first().cloned();
        let exact = lineage.names().len() == first.pair.domains.len()
            && first.managed
            && found.iter().all(|found| leaf(found) == leaf(first));
        Held::All {
            life: Life {
                not_before: first.pair.not_before,
                not_after: first.pair.not_after,
            },
            certificate: leaf(first)
                .filter(|_| exact)
                .and_then(|leaf| CertificateId::of_leaf(&leaf)),
        }
    }

    /// Why nothing may be ordered for these names although something is due.
    pub(super) fn blocked(&self, lineage: &Lineage) -> Option<String> {
        lineage
            .names()
            .iter()
            .map(|(Domain::Exact(name) | Domain::Below(name))| name)
            .find(|name| self.disk.is_foreign(name))
            .map(|name| {
                format!(
                    "{name}.crt was put there by somebody else; usher serves it while it is good and \
                     orders nothing unless it is moved away"
                )
            })
    }

    /// Waits until the folder is not what it was.
    pub(super) async fn changed(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            let before = self.holdings.seen().clone();
            let look = task::spawn_blocking(move || before.now() != before);
            // A panic in there says nothing about the folder.
            if look.await.unwrap_or(false) {
                return;
            }
        }
    }
}

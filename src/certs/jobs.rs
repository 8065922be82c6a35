//! What is sent out: orders with all they need, looks before them, and questions about renewals.

use std::slice;

use tokio::task::JoinSet;

use super::Manager;
use super::errand::{Errand, Outcome};
use super::lineage::Lineage;
use super::orders::{self, CertificateId, CertificateKey, Job, Means};
use super::preflight;
use super::schedule::{Candidate, Cost, Now, Purpose, costs};
use super::shelf::Held;
use crate::config::model::{Acme, Directory};
use crate::plan::{Declared, KeyType};

/// Questions about renewals that are under way at once.
const ASKED_AT_ONCE: usize = 4;

/// What the declarations of a set of names say together.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) email: Option<String>,
    /// The one directory that may be asked, by its name or its URL.
    pub(super) directory: Option<String>,
    pub(super) declared: Declared,
    /// Of the next key, where the one that is installed is not kept.
    pub(super) key_type: KeyType,
}

impl Manager {
    /// Asks the authorities when they want what is held renewed (RFC 9773 §4).
    pub(super) fn ask(
        &mut self,
        acme: &Acme,
        wanted: &[Lineage],
        now: Now,
        running: &mut JoinSet<Outcome>,
    ) {
        let mut free = ASKED_AT_ONCE.saturating_sub(self.count(Errand::is_ask));
        for lineage in wanted {
            let Held::All {
                certificate: Some(certificate),
                ..
            } = self.shelf.held(lineage)
            else {
                continue;
            };
            let text = certificate.to_string();
            let Some(directory) = self.directory_of(acme, lineage).cloned() else {
                continue;
            };
            let may = self.schedule.ask_at(lineage, &text, now).is_none()
                && self
                    .schedule
                    .may_ask(&directory.url, lineage, 0, now)
                    .is_ok()
                && !self.is_under_way(lineage);
            if !may || free == 0 {
                continue;
            }
            free -= 1;
            let authorities = self.authorities.clone();
            let id = certificate.clone();
            let task = running.spawn(async move {
                Outcome::Asked(orders::renewal_window(&authorities, &directory, &id).await)
            });
            let errand = Errand::Ask {
                lineage: lineage.clone(),
                certificate,
            };
            self.errands.insert(task.id(), errand);
        }
    }

    /// The directory that issued what is held, else the first.
    fn directory_of<'a>(&self, acme: &'a Acme, lineage: &Lineage) -> Option<&'a Directory> {
        let issuer = self.schedule.issuer(lineage);
        let usual = directories(acme, lineage, None);
        let mut all = usual.iter().chain(&acme.known);
        all.find(|directory| Some(directory.url.as_str()) == issuer)
            .or_else(|| usual.first())
    }

    pub(super) fn job(
        &self,
        acme: &Acme,
        lineage: &Lineage,
        directory: &Directory,
        terms: &Terms,
    ) -> Job {
        Job {
            lineage: lineage.clone(),
            directory: directory.clone(),
            email: terms.email.clone(),
            key: self.key_for(lineage, terms.key_type),
            replaces: self.replaced(lineage, directory),
            means: Means::of(acme),
            state_dir: self.state_dir.clone(),
            challenges: self.challenges.clone(),
            authorities: self.authorities.clone(),
        }
    }

    /// The key to ask with: the one that is installed, where readers cannot meet another.
    fn key_for(&self, lineage: &Lineage, kind: KeyType) -> CertificateKey {
        let installed = || self.shelf.disk().installed_key(lineage);
        let reused = self.reuse_key.then(installed).flatten();
        reused.map_or(CertificateKey::Fresh(kind), CertificateKey::Reuse)
    }

    /// The certificate that the next one takes the place of: what this directory issued to this
    /// account and offers a window for.
    fn replaced(&self, lineage: &Lineage, directory: &Directory) -> Option<CertificateId> {
        let Held::All { certificate, .. } = self.shelf.held(lineage) else {
            return None;
        };
        certificate.filter(|id| {
            self.schedule.issuer(lineage) == Some(directory.url.as_str())
                && self.schedule.has_window(lineage, &id.to_string())
        })
    }

    pub(super) fn costs(&self, job: &Job, candidate: &Candidate, terms: &Terms) -> Vec<Cost> {
        if !job.directory.rate_limits {
            return Vec::new();
        }
        let same_names = matches!(
            self.shelf.held(&candidate.lineage),
            Held::All {
                certificate: Some(_),
                ..
            }
        );
        let purpose = match (&job.replaces, same_names) {
            (Some(_), _) => Purpose::Replacement,
            (None, true) => Purpose::Renewal,
            (None, false) => Purpose::New,
        };
        costs(
            &job.directory.url,
            terms.email.as_deref().unwrap_or_default(),
            &candidate.lineage,
            purpose,
            !job.has_account(),
        )
    }

    pub(super) fn look(
        &mut self,
        acme: &Acme,
        lineage: &Lineage,
        job: &Job,
        running: &mut JoinSet<Outcome>,
    ) {
        let look = preflight::look(
            acme,
            lineage.clone(),
            &job.directory,
            self.challenges.clone(),
        );
        let task = running.spawn(async move { Outcome::Looked(look.await) });
        let errand = Errand::Look {
            lineage: lineage.clone(),
        };
        self.errands.insert(task.id(), errand);
    }
}

/// The directories that may be asked for these names, the preferred first. `one`: the only one, by its name
/// or its URL, and none where nobody has declared it: nobody is asked in its place, and no container says
/// whom usher talks to.
pub(super) fn directories<'a>(
    acme: &'a Acme,
    lineage: &Lineage,
    one: Option<&str>,
) -> &'a [Directory] {
    if lineage.is_staging() {
        return slice::from_ref(&acme.staging);
    }
    let Some(one) = one else {
        return &acme.directories;
    };
    let known = acme.known.iter();
    let mut meant = known.filter(|known| known.name == one || known.url == one);
    meant.next().map_or(&[], slice::from_ref)
}

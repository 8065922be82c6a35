//! Proxies and companions that still run beside usher: what is said about them, and what usher leaves to
//! them meanwhile.

use std::path::Path;

use tracing::warn;

use super::super::controller::Controller;
use crate::inventory::Superseded;
use crate::plan::FileRoot;

impl Controller {
    /// A sentence about each, in the order of their names.
    pub fn superseded(&self) -> Vec<String> {
        let certs = &self.current.config.certs.dir;
        let told = self.beside().map(|old| {
            if old.orders && holds(old, certs) {
                return format!(
                    "{old} still runs and has {}, where usher's certificates are: usher orders none \
                     until it has ended; `docker stop {}`",
                    certs.display(),
                    old.name
                );
            }
            match &old.place {
                Some(_) => format!(
                    "{old} still runs and does what usher does; `usher init --compose DIR` writes the \
                     stack's Compose file without it"
                ),
                None => format!(
                    "{old} still runs and does what usher does; `docker stop {}` ends it",
                    old.name
                ),
            }
        });
        let mut told: Vec<String> = told.collect();
        told.dedup();
        told
    }

    /// Whether another orders certificates into the same folder: two that do would take each other's
    /// files away, and ask an authority twice for the same names.
    pub(in crate::control) fn leaves_orders_in(&self, folder: &Path) -> bool {
        self.beside().any(|old| old.orders && holds(old, folder))
    }

    /// As [`Self::leaves_orders_in`], of the folder an export goes to.
    pub(in crate::control) fn leaves_orders_at(&self, place: &FileRoot) -> bool {
        match place {
            FileRoot::At { root, .. } | FileRoot::InSet { root, .. } => {
                self.leaves_orders_in(&root.path)
            }
            _ => false,
        }
    }

    fn beside(&self) -> impl Iterator<Item = &Superseded> {
        let inventory = self.listing.inventory.as_deref();
        inventory.into_iter().flat_map(|all| &all.superseded)
    }

    /// One line for each sentence that is new.
    pub(in crate::control) fn tell_superseded(&mut self) {
        let told = self.superseded();
        for sentence in told.iter().filter(|one| !self.told_beside.contains(one)) {
            warn!(reason = %sentence, "another proxy runs beside usher");
        }
        self.told_beside = told;
    }
}

fn holds(old: &Superseded, folder: &Path) -> bool {
    let mut held = old.writes.iter();
    held.any(|held| held.starts_with(folder) || folder.starts_with(held))
}

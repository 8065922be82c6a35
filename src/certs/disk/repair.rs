//! What a crash left half done is completed or cleaned away at the next start. A good pair is never
//! removed but for a better one.

use std::collections::BTreeSet;
use std::time::SystemTime;

use tracing::info;

use super::folder::{Folder, Kind};
use super::read::{Read, is_unmarked};
use super::write::{FILES, FORMER, FRESH, hidden, link};
use super::{Disk, DiskError, MARKER, STAGING};
use crate::certs::pair::Pair;
use crate::names::Domain;

impl Disk {
    /// Completes or removes what was left half done. Blocking. Nothing else may be writing into the
    /// folder.
    ///
    /// # Errors
    /// What the disk says. What was done until then is good.
    pub(in crate::certs) fn repair(&self, now: SystemTime) -> Result<(), DiskError> {
        let Some(dir) = self.open()? else {
            return Ok(());
        };
        let failed = || self.failed(&self.dir);
        let names = dir.names().map_err(failed())?;
        let mut bases = BTreeSet::new();
        for name in &names {
            let Some((base, ending)) = half_done(name) else {
                continue;
            };
            match dir.kind(name).map_err(failed())? {
                Some(Kind::Folder) => {
                    bases.insert(base.to_owned());
                }
                // A link that was to take the place of another, which is still there.
                Some(Kind::Link) if ending == FRESH => dir.remove(name).map_err(failed())?,
                _ => {}
            }
        }
        for base in &bases {
            self.settle(&dir, base)?;
        }
        self.complete_links(&dir, now)
    }

    /// Of the folders that a replacement left behind, gives the best one the name.
    fn settle(&self, dir: &Folder, base: &str) -> Result<(), DiskError> {
        let (fresh, former) = (hidden(base, FRESH), hidden(base, FORMER));
        if is_unmarked(dir, base) || !is_ours(dir, &fresh) || !is_ours(dir, &former) {
            return Ok(());
        }
        // One that ends later is better than one that ends sooner, and any than none. What the
        // clock says of them is left out: it may be wrong, and what is removed does not come back.
        let worth = |name: &str| self.pair_in(dir, name).map(|pair| pair.not_after);
        let failed = || self.failed(&self.dir.join(base));
        if worth(&former) > worth(&fresh) {
            dir.remove_folder(&fresh, MARKER).map_err(failed())?;
            dir.rename(&former, &fresh).map_err(failed())?;
        }
        if worth(&fresh) > worth(base) {
            info!(folder = %self.dir.join(base).display(), "an interrupted replacement is completed");
            self.put_in_force(dir, base)?;
        }
        for left in [fresh, former] {
            dir.remove_folder(&left, MARKER).map_err(failed())?;
        }
        Ok(())
    }

    /// Makes the links that a new pair was to get. What has links keeps them.
    fn complete_links(&self, dir: &Folder, now: SystemTime) -> Result<(), DiskError> {
        let mut bases = dir.names().map_err(self.failed(&self.dir))?;
        // What nobody trusts comes last.
        bases.sort_by_key(|base| base.starts_with(STAGING));
        for base in bases {
            if base.starts_with('.') || dir.kind(&base).ok().flatten() != Some(Kind::Folder) {
                continue;
            }
            let pair = self.pair_in(dir, &base);
            let Some(pair) = pair.and_then(|pair| pair.holding(now).ok()) else {
                continue;
            };
            for domain in &pair.domains {
                let (Domain::Exact(name) | Domain::Below(name)) = domain;
                let leads_to = |ending: &str| dir.link_target(&format!("{name}.{ending}")).ok();
                let crt = leads_to("crt");
                let here = format!("./{base}/");
                let unlinked = !dir.has(&format!("{name}.crt")) && !dir.has(&format!("{name}.key"));
                let begun = crt.is_some_and(|target| target.starts_with(&here));
                if unlinked || begun {
                    link(dir, domain, &base).map_err(self.failed(&self.dir))?;
                }
            }
        }
        Ok(())
    }

    /// What a folder of the layout holds, if it belongs together.
    fn pair_in(&self, dir: &Folder, name: &str) -> Option<Pair> {
        match self.files_in(dir, name) {
            Ok(Read::Found(files)) => Pair::parse(&files.chain, &files.secret).ok(),
            Ok(Read::Exchanged | Read::Nothing) | Err(_) => None,
        }
    }
}

/// Whether a folder holds nothing but what usher writes into one.
fn is_ours(dir: &Folder, name: &str) -> bool {
    let Ok(folder) = dir.folder(name) else {
        return !dir.has(name);
    };
    let known = |name: &String| FILES.contains(&name.as_str());
    folder.names().is_ok_and(|names| names.iter().all(known))
}

/// What a name that begins with a dot was to become, and how far it was.
fn half_done(name: &str) -> Option<(&str, &str)> {
    let (base, ending) = name.strip_prefix('.')?.rsplit_once('.')?;
    (!base.is_empty() && matches!(ending, FRESH | FORMER)).then_some((base, ending))
}

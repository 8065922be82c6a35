//! What leaves the room: one pair for an operator who asks, and each instance's own into the volume
//! of its stack.
//!
//! A key never gets to another tenant: a pair that would do for a neighbour's name is not exported.
//! Nothing in a volume leads out of it, and a volume that hangs holds nobody up but itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::disk::{Disk, Found};
use super::lineage::Lineage;
use super::look::{Owners, Reading};
use crate::cause::chain;
use crate::folder::Presence;
use crate::names::{Domain, InstanceName};
use crate::plan::{Export, FileRoot, Wanted, WantedCertificate};
use crate::shutdown::Shutdown;

/// The folder and the volumes are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Why the pairs of these instances are not in their volumes.
pub type ExportTroubles = BTreeMap<InstanceName, String>;

/// A pair as PEM.
#[derive(Debug)]
pub struct TakenOut {
    /// The leaf first.
    pub chain: String,
    pub key: String,
}

/// The pair that a name is served with, as it lies in the folder of certificates. Blocking.
///
/// # Errors
/// A sentence: there is none, or what is wrong with it.
pub fn take_out(dir: &Path, name: &Domain, now: SystemTime) -> Result<TakenOut, String> {
    let disk = Disk::new(dir.to_owned());
    let before = BTreeMap::new();
    let nobody = Owners::default();
    let mut reading = Reading::new(&disk, &nobody, &before, now);
    let look = reading.of(name, None);
    let found = look.found.ok_or_else(|| match look.trouble {
        Some(trouble) => trouble.text,
        None => format!(
            "there is no pair for {name} in {}; `usher cert list` says what there is",
            dir.display()
        ),
    })?;
    let files = reading.pem(&found).ok_or("it is gone at this moment")?;
    Ok(TakenOut {
        chain: String::from_utf8_lossy(&files.chain).into_owned(),
        key: String::from_utf8_lossy(&files.secret).into_owned(),
    })
}

/// Keeps the volumes of all instances that ask for it as the folder is, until shutdown.
pub async fn follow(
    dir: PathBuf,
    mut wanted: watch::Receiver<Arc<Wanted>>,
    troubles: watch::Sender<Arc<ExportTroubles>>,
    mut shutdown: Shutdown,
) {
    let mut exports = Exports::new(Disk::new(dir));
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let begin = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            Some(ended) = exports.under_way.join_next_with_id() => {
                exports.ended(ended);
                false
            }
            changed = wanted.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            _ = look.tick() => true,
        };
        if begin {
            let all = Arc::clone(&wanted.borrow_and_update());
            exports.begin(&all, super::wall());
        }
        troubles.send_if_modified(|told| {
            let new = **told != exports.troubles;
            if new {
                *told = Arc::new(exports.troubles.clone());
            }
            new
        });
    }
}

type Exported = Result<usize, String>;

struct Exports {
    disk: Disk,
    under_way: JoinSet<Exported>,
    /// Whose they are: for each instance one at a time, so that a volume that hangs takes one
    /// thread.
    busy: BTreeMap<task::Id, InstanceName>,
    troubles: ExportTroubles,
}

impl Exports {
    fn new(disk: Disk) -> Self {
        Self {
            disk,
            under_way: JoinSet::new(),
            busy: BTreeMap::new(),
            troubles: ExportTroubles::new(),
        }
    }

    fn begin(&mut self, all: &Arc<Wanted>, now: SystemTime) {
        let exporting = || all.all().filter(|one| one.export.is_some());
        self.troubles
            .retain(|instance, _| exporting().any(|one| one.instance == *instance));
        for one in exporting() {
            if self.busy.values().any(|busy| *busy == one.instance) {
                continue;
            }
            let (disk, all, of) = (self.disk.clone(), Arc::clone(all), one.clone());
            let export = move || export(&disk, &all, &of, now);
            let id = self.under_way.spawn_blocking(export).id();
            self.busy.insert(id, one.instance.clone());
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, Exported), task::JoinError>) {
        let (id, exported) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let Some(instance) = self.busy.remove(&id) else {
            return;
        };
        match exported {
            Ok(written) => {
                self.troubles.remove(&instance);
                if written > 0 {
                    info!(%instance, written, "certificate exported into its volume");
                }
            }
            Err(why) => {
                if self.troubles.get(&instance) != Some(&why) {
                    warn!(%instance, reason = %why, "certificate not exported");
                }
                self.troubles.insert(instance, why);
            }
        }
    }
}

/// Writes the pairs of an instance into its volume, where they are not there already. Blocking.
///
/// Returns how many were written.
fn export(disk: &Disk, all: &Wanted, of: &WantedCertificate, now: SystemTime) -> Exported {
    let Some(Export { volume, place }) = &of.export else {
        return Ok(0);
    };
    let root = match place {
        FileRoot::At { root, .. } | FileRoot::InSet { root, .. } => root,
        FileRoot::Missing(why) => {
            return Err(format!(
                "the certificate cannot be exported into the volume `{volume}`: {why}"
            ));
        }
    };
    let before = BTreeMap::new();
    let owners = Owners::of(all);
    let mut reading = Reading::new(disk, &owners, &before, now);
    // One pair is for several names.
    let mut pairs: BTreeMap<PathBuf, (Found, Vec<Domain>)> = BTreeMap::new();
    for name in of.domains() {
        if let Some(found) = reading.look(of, &name).found {
            let (_, names) = pairs
                .entry(found.path.clone())
                .or_insert_with(|| (found, Vec::new()));
            names.push(name);
        }
    }
    // What is written beneath a mount that comes later is a key that nobody sees, on another disk.
    if root.presence == Presence::Mounted {
        root.open().map_err(|error| {
            format!(
                "the certificate cannot be exported into the volume `{volume}`: {}: {error}",
                root.path.display()
            )
        })?;
    }
    let volume_at = Disk::new(root.path.clone());
    let mut written = 0;
    for (found, names) in pairs.into_values() {
        if let Some((neighbour, name)) = neighbour_of(&found, all, of) {
            return Err(format!(
                "{} is not exported into the volume `{volume}`: with its key the stack could pose \
                 as {name} of the instance {neighbour}; give this instance a certificate of its own",
                found.path.display()
            ));
        }
        let staging = found.staging;
        let (Some(lineage), Some(files)) = (Lineage::new(names, staging), reading.pem(&found))
        else {
            continue;
        };
        let put = volume_at.put(&lineage, files).map_err(|error| {
            format!(
                "the certificate cannot be exported into the volume `{volume}`: {}; usher needs to \
                 be able to write there",
                chain(&error)
            )
        });
        written += usize::from(put?);
    }
    Ok(written)
}

/// Whose name a pair would do for, of all other instances.
fn neighbour_of<'w>(
    found: &Found,
    all: &'w Wanted,
    of: &WantedCertificate,
) -> Option<(&'w InstanceName, Domain)> {
    let others = all.all().filter(|other| other.instance != of.instance);
    let mut names =
        others.flat_map(|other| other.domains().map(move |name| (&other.instance, name)));
    names.find(|(_, name)| found.pair.covers(name))
}

#[cfg(test)]
mod tests;

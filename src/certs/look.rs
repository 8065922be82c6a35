//! Which pair is for which name: its own, else a wildcard's, never another instance's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::SystemTime;

use super::disk::{Disk, DiskError, Files, Found, Lying};
use crate::cause::chain;
use crate::fingerprint::Fingerprint;
use crate::names::{Domain, Hostname, InstanceName};
use crate::plan::{Wanted, WantedCertificate};

/// The pair for names without one.
pub(super) const DEFAULT: &str = "default";

/// Why a name is not served with what the folder holds for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Trouble {
    pub(super) text: String,
    /// When what is there ended, if that is what is wrong.
    pub(super) expired_at: Option<SystemTime>,
}

/// What was found for one name: the best that may be served, and what is wrong with the others.
#[derive(Default)]
pub(super) struct Look {
    pub(super) found: Option<Found>,
    pub(super) trouble: Option<Trouble>,
}

/// Which instance each name belongs to, and how many names are directly below which.
#[derive(Debug, Default)]
pub(super) struct Owners {
    names: HashMap<Domain, InstanceName>,
    parents: HashMap<String, usize>,
}

impl Owners {
    pub(super) fn of(wanted: &Wanted) -> Self {
        let mut owners = Self::default();
        wanted.all().for_each(|wanted| owners.add(wanted));
        owners
    }

    pub(super) fn add(&mut self, wanted: &WantedCertificate) {
        for name in wanted.domains() {
            if let Some(parent) = parent(&name) {
                *self.parents.entry(parent.to_owned()).or_default() += 1;
            }
            self.names.insert(name, wanted.instance.clone());
        }
    }

    /// What [`Self::add`] added.
    pub(super) fn remove(&mut self, wanted: &WantedCertificate) {
        for name in wanted.domains() {
            if let Some(parent) = parent(&name)
                && let Some(count) = self.parents.get_mut(parent)
            {
                *count -= 1;
                if *count == 0 {
                    self.parents.remove(parent);
                }
            }
            if self.names.get(&name) == Some(&wanted.instance) {
                self.names.remove(&name);
            }
        }
    }

    /// Whether a pair of this name might do for names of others.
    pub(super) fn has_below(&self, name: &Hostname) -> bool {
        self.parents.contains_key(name.as_str())
    }

    fn get(&self, name: &Domain) -> Option<&InstanceName> {
        self.names.get(name)
    }
}

fn parent(name: &Domain) -> Option<&str> {
    match name {
        Domain::Exact(name) => name.parent(),
        Domain::Below(name) => Some(name.as_str()),
    }
}

/// One reading of the folder.
pub(super) struct Reading<'r> {
    disk: &'r Disk,
    owners: &'r Owners,
    /// What the folder holds; `None`: nobody can say.
    names: Option<HashSet<OsString>>,
    before: &'r BTreeMap<PathBuf, Found>,
    looked_at: BTreeMap<PathBuf, Found>,
    pem: BTreeMap<PathBuf, Files>,
    seen: Fingerprint,
    now: SystemTime,
}

impl<'r> Reading<'r> {
    /// `before` are the pairs of an earlier reading.
    pub(super) fn new(
        disk: &'r Disk,
        owners: &'r Owners,
        before: &'r BTreeMap<PathBuf, Found>,
        now: SystemTime,
    ) -> Self {
        let mut seen = Fingerprint::default();
        seen.note_names(disk.dir(), &[""]);
        Self {
            disk,
            owners,
            names: disk.names(),
            before,
            looked_at: BTreeMap::new(),
            pem: BTreeMap::new(),
            seen,
            now,
        }
    }

    /// Whether the folder may hold anything under this name. Of ten thousand names most have nothing,
    /// and asking the disk for each would take a second.
    fn has(&self, name: &str) -> bool {
        let Some(names) = &self.names else {
            return true;
        };
        let mut ways = self.disk.ways(name).into_iter();
        ways.any(|way| names.contains(OsStr::new(&way)))
    }

    /// Every pair that was looked at, and the files as they were.
    pub(super) fn done(self) -> (BTreeMap<PathBuf, Found>, Fingerprint) {
        (self.looked_at, self.seen)
    }

    /// The pair for a name: the one that is pinned, else its own, else one that stands for every
    /// name below its parent.
    pub(super) fn look(&mut self, wanted: &WantedCertificate, name: &Domain) -> Look {
        if let Some(pinned) = &wanted.pinned {
            let look = self.read(pinned);
            // It stands in for whoever has none, and says of nobody that it is theirs.
            return match pinned.as_str() {
                DEFAULT => look,
                _ => look.for_name(name),
            };
        }
        self.of(name, Some(&wanted.instance))
    }

    /// As [`Reading::look`] without a pin. Without an instance nothing is a neighbour's.
    pub(super) fn of(&mut self, name: &Domain, of: Option<&InstanceName>) -> Look {
        match name {
            Domain::Exact(host) => {
                let own = self.read(host.as_str()).for_name(name);
                let parent = host.parent().filter(|parent| parent.contains('.'));
                let parent = parent.and_then(|parent| parent.parse().ok());
                match parent {
                    Some(parent) if own.found.is_none() => own.or(self.shared(&parent, name, of)),
                    _ => own,
                }
            }
            Domain::Below(host) => self.shared(host, name, of),
        }
    }

    /// The pair of the wildcard below this parent, else the parent's own, if it is for this name.
    fn shared(&mut self, parent: &Hostname, name: &Domain, of: Option<&InstanceName>) -> Look {
        if !self.has(parent.as_str()) {
            return Look::default();
        }
        self.note(parent.as_str());
        let owner = |domain| self.owners.get(&domain);
        let of_wildcard = owner(Domain::Below(parent.clone()));
        let of_parent = owner(Domain::Exact(parent.clone())).or(of_wildcard);
        let wildcard = self.disk.wildcard_files(parent.as_str());
        let wildcard = self.check(wildcard);
        let wildcard = among(wildcard, of_wildcard, parent, name, of);
        if wildcard.found.is_some() {
            return wildcard;
        }
        let parents = self.read(parent.as_str());
        wildcard.or(among(parents, of_parent, parent, name, of))
    }

    /// The pair in the folder of this name, if it can be served.
    pub(super) fn folder(&mut self, base: &str) -> Option<Found> {
        let files = self.disk.folder_files(base);
        self.check(files).found
    }

    /// The pair under `<name>.crt` and `<name>.key`.
    pub(super) fn read(&mut self, name: &str) -> Look {
        if !self.has(name) {
            return Look::default();
        }
        self.note(name);
        let files = self.disk.files(name);
        self.check(files)
    }

    fn note(&mut self, name: &str) {
        for path in self.disk.looked_at(name) {
            self.seen.note(&path);
        }
    }

    /// The files of a pair that this reading found.
    pub(super) fn pem(&self, found: &Found) -> Option<&Files> {
        self.pem.get(&found.path)
    }

    fn check(&mut self, files: Lying) -> Look {
        let checked = files.and_then(|files| {
            let Some(files) = files else {
                return Ok(None);
            };
            let path = files.crt();
            let known = self.looked_at.get(path).or_else(|| self.before.get(path));
            let found = files.check(known, self.now)?;
            self.pem.insert(found.path.clone(), files);
            Ok(Some(found))
        });
        match checked {
            Ok(Some(found)) => {
                self.looked_at.insert(found.path.clone(), found.clone());
                Look {
                    found: Some(found),
                    trouble: None,
                }
            }
            Ok(None) => Look::default(),
            Err(error) => error.into(),
        }
    }
}

/// What was found below a parent, unless it is another instance's: its key is not to be served,
/// and not to be exported, in the name of a neighbour.
fn among(
    look: Look,
    owner: Option<&InstanceName>,
    parent: &Hostname,
    name: &Domain,
    of: Option<&InstanceName>,
) -> Look {
    let neighbour = owner.filter(|owner| of.is_some_and(|of| of != *owner));
    match (look.found, neighbour) {
        (None, None) => Look {
            found: None,
            trouble: look.trouble,
        },
        // What is wrong with a neighbour's pair is told to him.
        (None, Some(_)) => Look::default(),
        // It is for its own names first: that it is for no other is no trouble.
        (Some(found), _) if !found.pair.covers(name) => Look::default(),
        (Some(found), None) => Look {
            found: Some(found),
            trouble: None,
        },
        (Some(found), Some(neighbour)) => Look {
            found: None,
            trouble: Some(Trouble {
                text: format!(
                    "{} would do for {name}, but belongs to the instance {neighbour}; to share it, \
                     write `certificate = \"{parent}\"` into this one",
                    found.path.display()
                ),
                expired_at: None,
            }),
        },
    }
}

impl Look {
    /// A pair is for a name only if it says so.
    fn for_name(self, name: &Domain) -> Self {
        match self.found.map(|found| found.covering(name)) {
            Some(Ok(found)) => Self {
                found: Some(found),
                trouble: self.trouble,
            },
            Some(Err(error)) => error.into(),
            None => Self {
                found: None,
                trouble: self.trouble,
            },
        }
    }

    /// With what another look found; what was wrong first is told first.
    fn or(self, other: Self) -> Self {
        Self {
            found: self.found.or(other.found),
            trouble: self.trouble.or(other.trouble),
        }
    }
}

impl From<DiskError> for Look {
    fn from(error: DiskError) -> Self {
        Self {
            found: None,
            trouble: Some(Trouble {
                text: chain(&error),
                expired_at: error.expired_at(),
            }),
        }
    }
}

//! The folder of certificates: a contract with other services, and with acme-companion before us.
//!
//! ```text
//! <base>/{cert.pem,chain.pem,fullchain.pem,key.pem,.companion}   base = the first name
//! <name>.crt -> ./<base>/fullchain.pem     <name>.key -> ./<base>/key.pem
//! <name>.chain.pem -> ./<base>/chain.pem
//! ```
//!
//! A pair is replaced by exchanging the whole folder in one step, so a reader meets an old
//! certificate with a new key only between two opens. Folders without the marker are somebody
//! else's and never touched. Nothing is ever deleted but what was just replaced.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

mod folder;
mod read;
mod repair;
mod write;

pub(super) use self::folder::ReadError;
pub(super) use self::read::{Files, Lying};

use super::pair::{Pair, PairError};
use crate::names::Domain;

/// The companion's mark of folders it wrote; ours too, so that either can take over.
const MARKER: &str = ".companion";
/// What folders of staging authorities begin with.
const STAGING: &str = "_test_";
const WILDCARD: &str = "wildcard_";
const FULLCHAIN: &str = "fullchain.pem";
const KEY: &str = "key.pem";

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    dir: PathBuf,
}

/// A pair as it is found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) pair: Pair,
    /// Where its certificate is.
    pub(super) path: PathBuf,
    /// usher or the companion wrote it, so it may be replaced.
    pub(super) managed: bool,
    /// A staging authority gave it: it is served until there is something better.
    pub(super) staging: bool,
    /// Whether it is what the folder holds, and not only remembered.
    pub(super) on_disk: bool,
    /// Tells its two files from others.
    digest: [u8; 32],
}

/// Why what is there is not served, or what was to be written is not. Says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    #[error("{} is a link to {target}, which is not there; put the files back or remove the link", path.display())]
    Dangling { path: PathBuf, target: String },
    #[error("{} was not written by usher or acme-companion and is left alone; move it away to have it replaced", path.display())]
    Foreign { path: PathBuf },
    #[error("{} is there without {}; put both there or neither", there.display(), missing.display())]
    Half { there: PathBuf, missing: PathBuf },
    #[error("{} {reason}", path.display())]
    Pair { path: PathBuf, reason: PairError },
    #[error("{} cannot be read: {source}; {}", path.display(), remedy(source))]
    Read {
        path: PathBuf,
        // Told above, and so no source to be told again.
        source: Box<ReadError>,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is for {names} and not for {wanted}; put a pair for {wanted} there", path.display())]
    WrongNames {
        path: PathBuf,
        names: Names,
        wanted: Domain,
    },
}

impl DiskError {
    /// When it ended, if that is all that is wrong with it.
    pub(super) fn expired_at(&self) -> Option<SystemTime> {
        match self {
            Self::Pair {
                reason: PairError::Expired { at },
                ..
            } => Some(*at),
            _ => None,
        }
    }
}

fn remedy(error: &ReadError) -> &'static str {
    match error {
        ReadError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "let the user that usher runs as read it"
        }
        ReadError::Io(_) => "look whether the disk is well",
        ReadError::Large | ReadError::NoFile(_) => "put a PEM file in its place",
    }
}

/// The names in a certificate, for people: some are enough.
#[derive(Debug)]
pub(super) struct Names(Vec<Domain>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        if self.0.is_empty() {
            return f.write_str("no name");
        }
        for (at, name) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

impl Disk {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl Found {
    /// The same, when the folder has it no more.
    pub(super) fn remembered(self) -> Self {
        Self {
            on_disk: false,
            ..self
        }
    }

    /// The pair itself, if it is for this name.
    ///
    /// # Errors
    /// It is for others.
    pub(super) fn covering(self, wanted: &Domain) -> Result<Self, DiskError> {
        if self.pair.covers(wanted) {
            return Ok(self);
        }
        Err(DiskError::WrongNames {
            path: self.path,
            names: Names(self.pair.domains),
            wanted: wanted.clone(),
        })
    }
}

#[cfg(test)]
mod tests;

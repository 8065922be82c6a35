//! The file that makes a restart remember: what was tried, what was spent, which moments were
//! drawn.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempts::Attempts;
use super::budget::Budget;
use super::clock::{Mark, Steady};
use super::names::NewNames;
use super::pauses::Pauses;
use super::renew::Window;
use crate::durable::keep;

/// How long nothing is ordered when nobody knows any more what was. Every limit of an authority
/// but the weekly ones is whole again then.
pub(super) const AFTER_LOSS: Duration = Duration::from_secs(3 * 3_600);

/// Everything that is kept.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Kept {
    pub(super) clock: Mark,
    /// By the names of the lineage.
    pub(super) lineages: BTreeMap<String, Record>,
    pub(super) pauses: Pauses,
    pub(super) budget: Budget,
    pub(super) new_names: NewNames,
    /// Nothing new is ordered before.
    pub(super) held_until: Steady,
}

/// What is kept of one set of names.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) attempts: Option<Attempts>,
    /// The URL of the directory that issued what is held, where usher ordered it.
    pub(super) issuer: Option<String>,
    pub(super) renewal: Option<Asked>,
}

/// When a directory was asked for the renewal of a certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Asked {
    /// Which certificate (RFC 9773 §4.1).
    pub(super) certificate: String,
    /// Not again before.
    pub(super) again: Steady,
    pub(super) window: Option<Window>,
}

/// Why nothing can be ordered: what an order costs could not be kept.
#[derive(Debug, thiserror::Error)]
pub(in crate::certs) enum KeepError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What was found.
pub(super) enum Found {
    Kept(Kept),
    Nothing,
    /// Not what usher wrote. The sentence says what is wrong with it.
    Corrupt(String),
}

/// Reads the file. Blocking.
pub(super) fn read(path: &Path) -> Result<Found, KeepError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Found::Corrupt("is no text".to_owned()));
        }
        Err(source) => {
            return Err(KeepError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    // A list would be read as a table without keys.
    if !text.trim_start().starts_with('{') {
        return Ok(Found::Corrupt("is no JSON object".to_owned()));
    }
    Ok(match serde_json::from_str(&text) {
        Ok(kept) => Found::Kept(kept),
        Err(error) => Found::Corrupt(error.to_string()),
    })
}

/// Replaces the file. Blocking; on the disk when it returns.
pub(super) fn write(path: &Path, kept: &Kept) -> Result<(), KeepError> {
    let written = || {
        let text = serde_json::to_string(kept).map_err(io::Error::from)?;
        keep(path, &text)
    };
    written().map_err(|source| KeepError::Write {
        path: path.to_owned(),
        source,
    })
}

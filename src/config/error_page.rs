//! The page that takes the place of usher's own where something cannot be answered.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use super::issue::Issue;
use super::reader::Field;
use crate::fingerprint::Fingerprint;

/// It is in memory, and sent to everybody when everything else fails.
const LARGEST: u64 = 256 << 10;

/// The file, and what it held when the configuration was read.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "PathBuf")]
pub(super) struct ErrorPage {
    path: PathBuf,
    /// `None`: it could not be used, and that has been said.
    pub(super) body: Option<Bytes>,
}

impl From<PathBuf> for ErrorPage {
    fn from(path: PathBuf) -> Self {
        Self { path, body: None }
    }
}

impl ErrorPage {
    /// What was read already.
    pub(super) fn of(path: PathBuf, body: Bytes) -> Self {
        Self {
            path,
            body: Some(body),
        }
    }
}

/// Reads what an entry names. A page that cannot be read costs nothing but itself.
pub(super) fn read(field: &mut Field<ErrorPage>, issues: &mut Vec<Issue>, seen: &mut Fingerprint) {
    seen.note_alone(&field.value.path);
    match body(&field.value.path) {
        Ok(body) => field.value.body = Some(body),
        Err(why) => issues.push(
            field
                .at
                .warning(format!("{why}; usher's own page is shown")),
        ),
    }
}

/// What a file holds that may be a page.
///
/// # Errors
/// Why it is none.
pub(super) fn body(path: &Path) -> Result<Bytes, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{shown} is no file"));
    }
    let mut body = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST + 1)
        .read_to_end(&mut body)
        .map_err(failed)?;
    if body.len() as u64 > LARGEST {
        return Err(format!("{shown} is larger than {} KiB", LARGEST >> 10));
    }
    Ok(body.into())
}

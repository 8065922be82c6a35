//! What tells one state of the files from another.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The state of a file or folder; `None` when it is not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Files as they were when they were noted.
///
/// Each is noted before it is read, so that a change in between shows as one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fingerprint(BTreeMap<PathBuf, Stamp>);

impl Fingerprint {
    /// Notes a file and its folder: a new file in it may match an `include`.
    pub fn note(&mut self, file: &Path) {
        for path in [Some(file), file.parent()].into_iter().flatten() {
            self.0.insert(path.to_owned(), stamp(path));
        }
    }

    /// The same files as they are now.
    pub fn now(&self) -> Self {
        let stamps = self.0.keys().map(|path| (path.clone(), stamp(path)));
        Self(stamps.collect())
    }
}

fn stamp(path: &Path) -> Stamp {
    // A bare file name has the parent "", which means here.
    let path = if path == Path::new("") {
        Path::new(".")
    } else {
        path
    };
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

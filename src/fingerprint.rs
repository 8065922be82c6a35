//! What tells one state of the files from another.

use std::collections::BTreeMap;
use std::ffi::OsString;
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
pub struct Fingerprint {
    stamps: BTreeMap<PathBuf, Stamp>,
    listings: BTreeMap<PathBuf, Listing>,
}

/// The names in a folder that end like this.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Listing {
    endings: &'static [&'static str],
    names: Vec<OsString>,
}

impl Fingerprint {
    /// Notes a file and its folder: a new file in it may match an `include`.
    pub fn note(&mut self, file: &Path) {
        for path in [Some(file), file.parent()].into_iter().flatten() {
            self.note_alone(path);
        }
    }

    /// Notes a file, or which names a folder has, and nothing around it.
    pub fn note_alone(&mut self, path: &Path) {
        self.stamps.insert(path.to_owned(), stamp(path));
    }

    /// Notes which names in a folder end like one of these: other files in it may come and go.
    pub fn note_names(&mut self, folder: &Path, endings: &'static [&'static str]) {
        self.listings
            .insert(folder.to_owned(), Listing::of(folder, endings));
    }

    /// Takes in what another one has noted.
    pub fn extend(&mut self, other: Self) {
        self.stamps.extend(other.stamps);
        self.listings.extend(other.listings);
    }

    /// The same files as they are now.
    pub fn now(&self) -> Self {
        let stamps = self.stamps.keys().map(|path| (path.clone(), stamp(path)));
        let listings = self.listings.iter().map(|(folder, listing)| {
            let now = Listing::of(folder, listing.endings);
            (folder.clone(), now)
        });
        Self {
            stamps: stamps.collect(),
            listings: listings.collect(),
        }
    }
}

impl Listing {
    fn of(folder: &Path, endings: &'static [&'static str]) -> Self {
        let fits = |name: &OsString| {
            let name = name.as_encoded_bytes();
            endings
                .iter()
                .any(|ending| name.ends_with(ending.as_bytes()))
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<OsString> = entries
            .map(|entry| entry.file_name())
            .filter(fits)
            .collect();
        names.sort();
        Self { endings, names }
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

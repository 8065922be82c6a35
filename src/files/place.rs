//! Where the file of a request is, and what is there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::listing::Listing;
use super::negotiate::{Coding, PerCoding};
use super::respond::has_codings;
use super::root::{Found, OpenFile, Root, RootError};
use crate::folder::Folder;

/// A listing shows no more than this: the page is made in memory.
const MOST_ENTRIES: usize = 5_000;

/// Where the file of a request is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Place {
    root: Folder,
    within: PathBuf,
    below: PathBuf,
    kind: Kind,
}

/// What a path can mean.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    File,
    /// It ends in a slash: only a folder's index can be meant.
    Folder,
    /// As before, and without an index the folder is shown.
    ListedFolder,
}

/// What is there.
#[derive(Debug)]
pub(super) enum Opened {
    File {
        file: OpenFile,
        /// What lies beside it, compressed beforehand.
        beside: Box<PerCoding<Option<OpenFile>>>,
    },
    FolderWithoutSlash,
    Listing(Listing),
}

impl Place {
    /// One file, whatever the path. Its folder is the root, so that the file may be replaced.
    pub fn of_file(root: &Folder, path: &Path) -> Self {
        Self {
            root: root.clone(),
            within: path.parent().map_or_else(PathBuf::new, Path::to_owned),
            below: path.file_name().map_or_else(PathBuf::new, PathBuf::from),
            kind: Kind::File,
        }
    }

    /// What `rest`, the path of a request below its prefix, names in a folder.
    pub fn in_folder(root: &Folder, within: &Path, rest: &str, kind: Kind) -> Self {
        let rest = rest.trim_matches('/');
        Self {
            root: root.clone(),
            within: within.to_owned(),
            below: PathBuf::from(rest),
            kind,
        }
    }

    /// What type and hash are taken from.
    pub(super) fn name(&self) -> String {
        self.file().to_string_lossy().into_owned()
    }

    /// Bytes of memory that remembering it takes.
    pub(super) fn size(&self) -> usize {
        self.root.path.as_os_str().len()
            + self.within.as_os_str().len()
            + self.below.as_os_str().len()
    }

    fn file(&self) -> PathBuf {
        match self.kind {
            Kind::File => self.below.clone(),
            Kind::Folder | Kind::ListedFolder => self.below.join("index.html"),
        }
    }

    /// Opens what is there. Blocking.
    pub(super) fn open(&self) -> Result<Opened, RootError> {
        let root = Root::open(&self.root, &self.within)?;
        let path = self.file();
        match root.find(&path) {
            Ok(Found::Directory) => match self.kind {
                Kind::File => Ok(Opened::FolderWithoutSlash),
                Kind::Folder | Kind::ListedFolder => Err(RootError::NotFound),
            },
            Ok(Found::File(file)) => {
                let compressible = has_codings(&self.name());
                let beside = PerCoding::from_fn(|coding| {
                    let beside = || beside(&root, &path, coding, &file);
                    compressible.then(beside).flatten()
                });
                Ok(Opened::File {
                    file,
                    beside: Box::new(beside),
                })
            }
            Err(RootError::NotFound) if self.kind == Kind::ListedFolder => {
                let entries = root.list(&self.below, MOST_ENTRIES + 1)?;
                let top = self.below == Path::new("");
                Ok(Opened::Listing(Listing::new(entries, MOST_ENTRIES, top)))
            }
            Err(error) => Err(error),
        }
    }
}

/// The same file, compressed beforehand; an older one is of an older file.
fn beside(root: &Root, path: &Path, coding: Coding, file: &OpenFile) -> Option<OpenFile> {
    let mut path = OsString::from(path);
    path.push(coding.suffix());
    match root.find(Path::new(&path)) {
        Ok(Found::File(beside)) => {
            (beside.modified >= file.modified && beside.length > 0).then_some(beside)
        }
        // What cannot be opened is not needed.
        Ok(Found::Directory) | Err(_) => None,
    }
}

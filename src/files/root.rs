//! Opening a file beneath a root, and not an inch beside it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

use crate::folder::Folder;

/// Tries of one opening, of which the first follow each other at once.
const ATTEMPTS: u32 = 116;
const AT_ONCE: u32 = 16;
/// Between the others: half a second in all, less than anybody waits for a file.
const PAUSE: Duration = Duration::from_millis(5);

/// A folder that is held open. Everything is resolved beneath it.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// An open regular file and its facts.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    pub(super) length: u64,
    /// Whole seconds, as HTTP has them.
    pub(super) modified: SystemTime,
    /// Differs whenever the file does: nanoseconds of the change, length and inode.
    pub(super) version: String,
    pub(super) identity: Identity,
}

/// Tells every state of every file of this machine from every other, as far as its clock can.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    length: i64,
    modified: (i64, i64),
    /// When content, owner or name changed. Nobody can set it back.
    changed: (i64, i64),
}

/// What is under a path.
#[derive(Debug)]
pub(super) enum Found {
    Directory,
    File(OpenFile),
}

/// One line of a listing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    pub(super) modified: SystemTime,
    pub(super) identity: Identity,
}

/// Folders come first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum EntryKind {
    Folder,
    File { length: u64 },
}

#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("there is no such file")]
    NotFound,
    /// The folder that everything is served from is not there: nothing of it can be.
    #[error("the folder {path} cannot be opened")]
    RootMissing {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the file cannot be opened")]
    Io(#[source] io::Error),
}

impl Root {
    /// Opens the folder `within`, itself beneath `root`. Blocking.
    ///
    /// # Errors
    /// [`RootError::RootMissing`] for whatever is no folder beneath the root.
    pub(super) fn open(root: &Folder, within: &Path) -> Result<Self, RootError> {
        let missing = |path: PathBuf, source: io::Error| RootError::RootMissing {
            path: path.display().to_string(),
            source,
        };
        let mut folder = root
            .open()
            .map_err(|error| missing(root.path.clone(), error))?;
        if within != Path::new("") {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            folder = beneath(folder.as_fd(), within, flags)
                .map_err(|error| missing(root.join(within), error.into()))?;
        }
        Ok(Self(folder))
    }

    /// Opens what is under a path. Blocking.
    ///
    /// Links are followed as long as they stay beneath the root; devices, pipes and sockets are not
    /// there.
    ///
    /// # Errors
    /// Whatever is not a readable file or folder beneath the root.
    pub(super) fn find(&self, below: &Path) -> Result<Found, RootError> {
        // Without NONBLOCK the opening of a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = self.beneath(below, flags)?;
        let stat = fstat(&file).map_err(|error| RootError::Io(error.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Found::Directory),
            FileType::RegularFile => Ok(Found::File(OpenFile::new(file, &stat))),
            _ => Err(RootError::NotFound),
        }
    }

    /// The files and folders directly in a folder, at most `most`, in no order. Blocking.
    ///
    /// What begins with a dot is hidden, and so is what could not be asked for: links that lead
    /// out, devices, names that are not UTF-8.
    ///
    /// # Errors
    /// Whatever is not a readable folder beneath the root.
    pub(super) fn list(&self, below: &Path, most: usize) -> Result<Vec<Entry>, RootError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = self.beneath(below, flags)?;
        let entries = Dir::new(folder).map_err(|error| RootError::Io(error.into()))?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| RootError::Io(error.into()))?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name.starts_with('.') || name.contains('\\') || name.chars().any(char::is_control) {
                continue;
            }
            let Ok(handle) = self.beneath(&below.join(name), OFlags::PATH | OFlags::CLOEXEC) else {
                continue;
            };
            let Ok(stat) = fstat(&handle) else {
                continue;
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => EntryKind::Folder,
                FileType::RegularFile => EntryKind::File {
                    length: u64::try_from(stat.st_size).unwrap_or(0),
                },
                _ => continue,
            };
            found.push(Entry {
                name: name.to_owned(),
                kind,
                modified: modified(&stat),
                identity: Identity::new(&stat),
            });
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// Whether files in it can be reached, and with `listed` their names read. Blocking.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn try_folder(&self, listed: bool) -> io::Result<()> {
        let access = if listed { OFlags::RDONLY } else { OFlags::PATH };
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        beneath(self.0.as_fd(), Path::new("."), flags)?;
        Ok(())
    }

    /// Whether there is such a file and it can be read. Blocking.
    ///
    /// # Errors
    /// What the system says; a folder is one too.
    pub(super) fn try_file(&self, below: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = beneath(self.0.as_fd(), below, flags)?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(()),
            _ => Err(io::Error::other("it is no regular file")),
        }
    }

    fn beneath(&self, below: &Path, flags: OFlags) -> Result<OwnedFd, RootError> {
        let below = if below == Path::new("") {
            Path::new(".")
        } else {
            below
        };
        beneath(self.0.as_fd(), below, flags).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
                RootError::NotFound
            }
            // Not readable for usher, or a socket: for visitors it is not there.
            Errno::ACCESS | Errno::PERM | Errno::NXIO => RootError::NotFound,
            error => RootError::Io(error.into()),
        })
    }
}

fn beneath(folder: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for attempt in 0..ATTEMPTS {
        match openat2(&folder, path, flags, Mode::empty(), resolve) {
            // Somebody renamed something on the way, and openat2(2) says to try again; or somebody
            // has a lease on the file, and has just been told to give it back.
            Err(Errno::AGAIN) if attempt > AT_ONCE => std::thread::sleep(PAUSE),
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

fn modified(stat: &Stat) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0))
}

impl OpenFile {
    fn new(file: OwnedFd, stat: &Stat) -> Self {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        Self {
            file: file.into(),
            length,
            modified: modified(stat),
            version: format!(
                "{:x}.{:x}-{length:x}-{:x}",
                seconds, stat.st_mtime_nsec, stat.st_ino
            ),
            identity: Identity::new(stat),
        }
    }

    /// Writes all of it into another file, which becomes as old as this one. Blocking.
    pub(super) fn copy_to(&self, mut other: &File) -> io::Result<()> {
        let copied = io::copy(&mut &self.file, &mut other)?;
        if copied != self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        other.set_modified(self.identity.modified())
    }

    /// Whether the file is still as it was when it was opened. Blocking.
    pub(super) fn is_unchanged(&self) -> bool {
        fstat(&self.file).is_ok_and(|stat| Identity::new(&stat) == self.identity)
    }
}

impl Identity {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the fields of stat have other widths on other machines"
    )]
    fn new(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    /// When the file was changed last, by the clock of its machine.
    pub(super) fn changed(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0))
    }

    /// When its content was written last, to the nanosecond.
    fn modified(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.modified;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let rest = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        UNIX_EPOCH + seconds + rest
    }

    pub(super) fn length(&self) -> u64 {
        u64::try_from(self.length).unwrap_or(0)
    }
}

/// Reads up to `length` bytes from `offset`. Blocking. Shorter only at the end of the file.
///
/// # Errors
/// What the disk says, and a file that has become shorter than promised.
pub(super) fn read(file: &OpenFile, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; length];
    file.file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

#[cfg(test)]
mod tests;

//! Opening a file beneath a root, and not an inch beside it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;

/// An open regular file and its facts.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    pub length: u64,
    pub modified: SystemTime,
    /// Differs whenever the file does: nanoseconds of the change, length and inode.
    pub version: String,
}

/// What is under a path.
#[derive(Debug)]
pub enum Found {
    Directory,
    File(OpenFile),
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

/// Opens `below` beneath `within`, itself beneath `root`. Blocking.
///
/// Links are followed as long as they stay beneath `within`; devices, pipes and sockets are not
/// there.
///
/// # Errors
/// Whatever is not a readable file or folder beneath the root.
pub fn open(root: &Path, within: &Path, below: &Path) -> Result<Found, RootError> {
    let missing = |source: Errno| RootError::RootMissing {
        path: root.join(within).display().to_string(),
        source: source.into(),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = openat(CWD, root, flags, Mode::empty()).map_err(missing)?;
    if within != Path::new("") {
        folder = beneath(folder.as_fd(), within, flags).map_err(missing)?;
    }
    // Without NONBLOCK the opening of a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let below = if below == Path::new("") {
        Path::new(".")
    } else {
        below
    };
    let file = match beneath(folder.as_fd(), below, flags) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG) => {
            return Err(RootError::NotFound);
        }
        // Not readable for usher, or a socket: for visitors it is not there.
        Err(Errno::ACCESS | Errno::PERM | Errno::NXIO) => return Err(RootError::NotFound),
        Err(error) => return Err(RootError::Io(error.into())),
    };
    let stat = fstat(&file).map_err(|error| RootError::Io(error.into()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Found::Directory),
        FileType::RegularFile => Ok(Found::File(OpenFile::new(file, &stat))),
        _ => Err(RootError::NotFound),
    }
}

fn beneath(folder: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(&folder, path, flags, Mode::empty(), resolve) {
            // Somebody renamed something on the way; openat2(2) says to try again.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
}

impl OpenFile {
    fn new(file: OwnedFd, stat: &Stat) -> Self {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        Self {
            file: file.into(),
            length,
            modified: UNIX_EPOCH + Duration::from_secs(seconds),
            version: format!(
                "{:x}.{:x}-{length:x}-{:x}",
                seconds, stat.st_mtime_nsec, stat.st_ino
            ),
        }
    }
}

/// Reads up to `length` bytes from `offset`. Blocking. Shorter only at the end of the file.
///
/// # Errors
/// What the disk says, and a file that has become shorter than promised.
pub fn read(file: &OpenFile, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; length];
    file.file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

#[cfg(test)]
mod tests;

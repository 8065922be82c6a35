//! A folder that is held open, and what is directly in it by single names.
//!
//! Nothing here follows a link: whoever can write into the folder cannot lead a name out of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, fstat, fsync,
    mkdirat, openat, readlinkat, renameat, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// More than any chain, key or list of links needs. What is larger is no certificate.
const LARGEST: u64 = 256 * 1024;

/// What is under a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(in crate::certs) enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is larger than {} KiB, and no certificate or key is", LARGEST / 1024)]
    Large,
    #[error("it is not a file, but {0}")]
    NoFile(&'static str),
}

/// A folder that is held open.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder by its path; links on the way are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// The folder of this name.
    pub(super) fn folder(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// What is under this name; `None` when nothing is.
    pub(super) fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Folder,
                FileType::Symlink => Kind::Link,
                _ => Kind::Other,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self.kind(name), Ok(Some(_)))
    }

    /// The names of what is in it.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Where a link leads, as it is written.
    pub(super) fn link_target(&self, name: &str) -> io::Result<String> {
        let target = readlinkat(&self.0, name, Vec::new())?;
        Ok(String::from_utf8_lossy(target.as_bytes()).into_owned())
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        read(self.0.as_fd(), Path::new(name), OFlags::NOFOLLOW)
    }

    /// Makes a folder of this name.
    pub(super) fn make(&self, name: &str, mode: u32) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(mode);
        mkdirat(&self.0, name, mode)?;
        let made = self.folder(name)?;
        // The mode of `mkdir` is cut by the umask.
        fchmod(&made.0, mode)?;
        self.give(&made.0)?;
        Ok(made)
    }

    /// Makes a file of this name, which is on the disk when this returns.
    pub(super) fn write(&self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        let mut file = File::from(openat(&self.0, name, flags, mode)?);
        fchmod(&file, mode)?;
        self.give(&file)?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Gives what root made to the folder's owner, who would not be able to read it else.
    fn give(&self, made: impl AsFd) -> io::Result<()> {
        let stat = fstat(&self.0)?;
        if geteuid().is_root() && stat.st_uid != 0 {
            let owner = Uid::from_raw(stat.st_uid);
            fchown(made, Some(owner), Some(Gid::from_raw(stat.st_gid)))?;
        }
        Ok(())
    }

    /// Points a link at a target, in the place of whatever has its name. One step.
    pub(super) fn link(&self, name: &str, target: &str) -> io::Result<()> {
        let fresh = format!(".{name}.new");
        self.remove(&fresh)?;
        symlinkat(target, &self.0, &fresh)?;
        Ok(renameat(&self.0, &fresh, &self.0, name)?)
    }

    /// One step. What has the name already is replaced, unless it is a folder that holds something.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Exchanges what two names mean. One step: at every moment both mean something.
    pub(super) fn exchange(&self, one: &str, other: &str) -> Result<(), Errno> {
        renameat_with(&self.0, one, &self.0, other, RenameFlags::EXCHANGE)
    }

    /// Removes a file or a link, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a folder and the files in it, `first` before the others, if it is there. One that
    /// holds folders stays: usher makes none like that.
    pub(super) fn remove_folder(&self, name: &str, first: &str) -> io::Result<()> {
        match self.kind(name)? {
            None => return Ok(()),
            Some(Kind::Folder) => {}
            Some(_) => return self.remove(name),
        }
        let inside = self.folder(name)?;
        inside.remove(first)?;
        for file in inside.names()? {
            inside.remove(&file)?;
        }
        Ok(unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Waits until what happened in it is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }
}

/// Reads a small regular file; links are followed. Neither a pipe nor a device makes it wait.
pub(super) fn read_following(path: &Path) -> Result<Vec<u8>, ReadError> {
    read(CWD, path, OFlags::empty())
}

fn read(folder: impl AsFd, path: &Path, flags: OFlags) -> Result<Vec<u8>, ReadError> {
    // Without NONBLOCK the opening of a pipe would wait for its writer.
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, path, flags, Mode::empty()).map_err(|error| match error {
        Errno::NXIO => ReadError::NoFile("a socket"),
        error => ReadError::Io(error.into()),
    })?;
    let stat = fstat(&file).map_err(io::Error::from)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(ReadError::NoFile("a folder")),
        FileType::Fifo => return Err(ReadError::NoFile("a pipe")),
        _ => return Err(ReadError::NoFile("a device")),
    }
    let mut content = Vec::new();
    let read = File::from(file)
        .take(LARGEST + 1)
        .read_to_end(&mut content)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST) {
        return Err(ReadError::Large);
    }
    Ok(content)
}

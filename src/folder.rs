//! A folder whose files are meant, and when what lies under its path is that folder.
//!
//! A volume that is mounted only while its stack runs leaves a folder behind that looks like an empty
//! one. What is missing there is not known to be missing, and what is written there would be hidden by
//! the next mount.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx};

/// A folder of this machine, as usher sees it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Folder {
    pub path: PathBuf,
    pub presence: Presence,
}

/// When what lies under a path is what is meant.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Presence {
    Always,
    /// While something is mounted on it.
    Mounted,
    /// While something is mounted on it or lies in it: a driver of somebody's own may do either.
    MountedOrFilled,
}

impl<P: Into<PathBuf>> From<P> for Folder {
    fn from(path: P) -> Self {
        Self {
            path: path.into(),
            presence: Presence::Always,
        }
    }
}

impl Folder {
    /// A handle for resolving what is beneath it. Blocking.
    ///
    /// # Errors
    /// What the system says, or that it is not there yet although its path is.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, &self.path, flags, Mode::empty())?;
        let present = match self.presence {
            Presence::Always => true,
            Presence::Mounted => is_mounted_on(&folder),
            Presence::MountedOrFilled => is_mounted_on(&folder) || is_filled(&folder),
        };
        match present {
            true => Ok(folder),
            false => Err(io::Error::other(
                "nothing is mounted on it; its volume is while a container with it runs, and a \
                 container of usher's own sees that where the folder of all volumes is mounted with \
                 `rslave`",
            )),
        }
    }

    /// The path of something below it.
    pub fn join(&self, below: &Path) -> PathBuf {
        self.path.join(below)
    }
}

/// Whether the folder is the top of a mount. A kernel that cannot tell (before 5.8) is believed to have
/// it.
fn is_mounted_on(folder: &OwnedFd) -> bool {
    let attribute = StatxAttributes::MOUNT_ROOT;
    match statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::empty()) {
        Ok(found) if found.stx_attributes_mask.contains(attribute) => {
            found.stx_attributes.contains(attribute)
        }
        Ok(_) | Err(_) => true,
    }
}

/// Whether anything lies in it. One whose names may not be read is believed to have some.
fn is_filled(folder: &OwnedFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(names) = openat(folder, ".", flags, Mode::empty()).and_then(Dir::new) else {
        return true;
    };
    names
        .filter_map(Result::ok)
        .any(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(path: &Path, presence: Presence) -> bool {
        let path = path.to_owned();
        Folder { path, presence }.open().is_ok()
    }

    #[test]
    fn an_empty_folder_is_not_taken_for_what_is_mounted_there_at_times() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(opens(folder.path(), Presence::Always));
        assert!(!opens(folder.path(), Presence::Mounted));
        assert!(!opens(folder.path(), Presence::MountedOrFilled));
        std::fs::write(folder.path().join("file"), "").expect("written");
        assert!(
            !opens(folder.path(), Presence::Mounted),
            "left from before the first mount"
        );
        assert!(opens(folder.path(), Presence::MountedOrFilled));
        for presence in [
            Presence::Always,
            Presence::Mounted,
            Presence::MountedOrFilled,
        ] {
            assert!(opens(Path::new("/proc"), presence), "{presence:?}");
            assert!(!opens(&folder.path().join("none"), presence));
        }
    }
}

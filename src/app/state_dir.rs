//! The folder of what usher itself remembers.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::StartError;

/// A folder that this process alone uses: its lock ends with the open file.
#[derive(Debug)]
pub struct StateDir {
    _lock: File,
}

impl StateDir {
    /// Makes the folder if need be, with mode 0700, and takes it for this process.
    ///
    /// # Errors
    /// Another usher has it, or the disk says no.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::State {
            path: path.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let mut lock = OpenOptions::new();
        lock.write(true).create(true).truncate(true).mode(0o600);
        let file = lock.open(path.join("lock")).map_err(failed)?;
        let lock = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        match lock {
            Ok(()) => Ok(Self { _lock: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::StateInUse {
                path: path.to_owned(),
            }),
            Err(error) => Err(failed(error.into())),
        }
    }
}

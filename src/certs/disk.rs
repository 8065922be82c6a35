//! The folder of certificates: a contract with other services, and with acme-companion before us.
//!
//! ```text
//! <base>/{cert.pem,chain.pem,fullchain.pem,key.pem,.companion}   base = the first name
//! <name>.crt -> ./<base>/fullchain.pem     <name>.key -> ./<base>/key.pem
//! <name>.chain.pem -> ./<base>/chain.pem
//! ```
//!
//! A pair is replaced by exchanging the whole folder in one step, so a reader meets an old
//! certificate with a new key only between two opens. Folders without the marker are somebody
//! else's and never touched. Nothing is ever deleted but what was just replaced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::pair::{Pair, PairError};
use crate::fingerprint::Fingerprint;
use crate::names::{Domain, Hostname};

/// The companion's mark of folders it wrote; ours too, so that either can take over.
const MARKER: &str = ".companion";

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    dir: PathBuf,
}

/// A pair as it is found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pair: Pair,
    /// usher or the companion wrote it, so it may be replaced.
    pub(super) managed: bool,
    /// Whether it is what the folder holds, and not only remembered.
    pub(super) on_disk: bool,
}

/// Why what is there is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} {reason}", path.display())]
    Pair { path: PathBuf, reason: PairError },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} was not written by usher or acme-companion and is left alone; move it away to have it replaced", path.display())]
    Foreign { path: PathBuf },
}

impl Disk {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The pair for a host: its own, else its parent's when that covers it, as nginx-proxy chose.
    ///
    /// # Errors
    /// A pair that is there and cannot be served. `Ok(None)`: there is none.
    pub(super) fn find(
        &self,
        host: &Hostname,
        now: SystemTime,
        seen: &mut Fingerprint,
    ) -> Result<Option<Found>, DiskError> {
        if let Some(found) = self.read(host.as_str(), now, seen)? {
            return Ok(Some(found));
        }
        let Some(parent) = host.parent().filter(|parent| parent.contains('.')) else {
            return Ok(None);
        };
        let found = self.read(parent, now, seen)?;
        Ok(found.filter(|found| found.pair.covers(&Domain::Exact(host.clone()))))
    }

    /// The pair of this name, `<name>.crt` and `<name>.key`.
    ///
    /// # Errors
    /// What is there and cannot be served. `seen` notes what was looked at.
    pub(super) fn read(
        &self,
        name: &str,
        now: SystemTime,
        seen: &mut Fingerprint,
    ) -> Result<Option<Found>, DiskError> {
        let crt = self.dir.join(format!("{name}.crt"));
        let key = self.dir.join(format!("{name}.key"));
        seen.note(&crt);
        seen.note(&key);
        let read = |path: &Path| match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DiskError::Read {
                path: path.to_owned(),
                source,
            }),
        };
        let (Some(chain), Some(secret)) = (read(&crt)?, read(&key)?) else {
            return Ok(None);
        };
        let pair = Pair::read(&chain, &secret, now).map_err(|reason| DiskError::Pair {
            path: crt.clone(),
            reason,
        })?;
        let managed = fs::canonicalize(&crt)
            .ok()
            .and_then(|real| Some(real.parent()?.join(MARKER)))
            .is_some_and(|marker| marker.exists());
        Ok(Some(Found {
            pair,
            managed,
            on_disk: true,
        }))
    }

    /// Whether what is under this name is somebody else's, so that no order could replace it.
    pub(super) fn is_foreign(&self, name: &Hostname) -> bool {
        let link = self.dir.join(format!("{name}.crt"));
        let folder = self.dir.join(name.as_str());
        fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink())
            || (folder.is_dir() && !folder.join(MARKER).exists())
    }

    /// Writes a pair for these names; the first is its base. Afterwards every reader finds it.
    ///
    /// # Errors
    /// When the folder of that name is not ours, or the disk says no. What was served before is
    /// still there then.
    pub(super) fn write(
        &self,
        names: &[Hostname],
        chain: &str,
        key: &str,
    ) -> Result<(), DiskError> {
        let Some(base) = names.first() else {
            return Ok(());
        };
        let folder = self.dir.join(base.as_str());
        let exists = folder.exists();
        if exists && !folder.join(MARKER).exists() {
            return Err(DiskError::Foreign { path: folder });
        }
        let fresh = self.dir.join(format!(".{base}.new"));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DiskError::Write { path, source }
        };
        self.write_folder(&fresh, chain, key)
            .map_err(failed(&fresh))?;
        if exists {
            // Both names exist at every moment; a crash leaves one old and one new, both whole.
            renameat_with(CWD, &fresh, CWD, &folder, RenameFlags::EXCHANGE)
                .map_err(io::Error::from)
                .map_err(failed(&folder))?;
        } else {
            fs::rename(&fresh, &folder).map_err(failed(&folder))?;
        }
        sync_dir(&self.dir).map_err(failed(&self.dir))?;
        for name in names {
            self.link(name, base).map_err(failed(&self.dir))?;
        }
        if exists {
            // What was just replaced. A leftover is overwritten next time and hurts nobody.
            let _ = fs::remove_dir_all(&fresh);
        }
        sync_dir(&self.dir).map_err(failed(&self.dir))
    }

    fn write_folder(&self, folder: &Path, chain: &str, key: &str) -> io::Result<()> {
        make_dir(&self.dir, 0o755)?;
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        make_dir(folder, 0o755)?;
        let (leaf, rest) = split_chain(chain);
        write_file(&folder.join("key.pem"), key, 0o600)?;
        write_file(&folder.join("cert.pem"), leaf, 0o644)?;
        write_file(&folder.join("chain.pem"), rest, 0o644)?;
        write_file(&folder.join("fullchain.pem"), chain, 0o644)?;
        write_file(&folder.join(MARKER), "", 0o644)?;
        sync_dir(folder)
    }

    /// Points `<name>.crt` and its siblings at the base's folder. Files that are no links are
    /// somebody's own and stay.
    fn link(&self, name: &Hostname, base: &Hostname) -> io::Result<()> {
        for (ending, file) in [
            ("crt", "fullchain.pem"),
            ("key", "key.pem"),
            ("chain.pem", "chain.pem"),
        ] {
            let link = self.dir.join(format!("{name}.{ending}"));
            let target = format!("./{base}/{file}");
            match fs::symlink_metadata(&link) {
                Ok(found) if !found.is_symlink() => continue,
                Ok(_) if fs::read_link(&link)? == Path::new(&target) => continue,
                _ => {}
            }
            let fresh = self.dir.join(format!(".{name}.{ending}.new"));
            let _ = fs::remove_file(&fresh);
            symlink(&target, &fresh)?;
            fs::rename(&fresh, &link)?;
        }
        Ok(())
    }
}

/// The first certificate, and the others.
fn split_chain(chain: &str) -> (&str, &str) {
    const END: &str = "-----END CERTIFICATE-----";
    let end = chain.find(END).map_or(chain.len(), |at| at + END.len());
    let (leaf, rest) = chain.split_at(end);
    (leaf, rest.trim_start())
}

/// Writes a whole file that is on the disk when this returns.
pub fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    // The mode of `open` holds only for new files and is cut by the umask.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Replaces a file in one step.
pub(super) fn replace_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    write_file(&fresh, text, mode)?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes a folder and its parents, if they are not there.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests;

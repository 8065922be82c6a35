//! Writing: a pair takes the place of another in one step, or not at all.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use tracing::warn;

use super::folder::{Folder, Kind};
use super::read::{Files, Read, folder_of, is_unmarked, place};
use super::{Disk, DiskError, FULLCHAIN, KEY, MARKER};
use crate::certs::lineage::Lineage;
use crate::certs::pair::Pair;
use crate::durable::make_dir;
use crate::names::{Domain, Hostname};

/// Folders that are not in force yet, and those that were until a moment ago.
pub(super) const FRESH: &str = "new";
pub(super) const FORMER: &str = "old";

/// What a folder of the layout holds.
pub(super) const FILES: [&str; 5] = [KEY, "cert.pem", "chain.pem", FULLCHAIN, MARKER];

/// What links of the layout are called, and which file they lead to.
const LINKS: [(&str, &str); 3] = [("crt", FULLCHAIN), ("key", KEY), ("chain.pem", "chain.pem")];

impl Disk {
    /// Writes the pair of a lineage. Afterwards every reader finds it under each of its names.
    ///
    /// # Errors
    /// When the folder of that name is not ours, or the disk says no. What was served before is
    /// still there then.
    pub(in crate::certs) fn write(
        &self,
        lineage: &Lineage,
        chain: &str,
        key: &str,
    ) -> Result<(), DiskError> {
        make_dir(&self.dir, 0o755).map_err(self.failed(&self.dir))?;
        let dir = Folder::open(&self.dir).map_err(self.failed(&self.dir))?;
        self.write_into(&dir, lineage, chain.as_bytes(), key.as_bytes())
    }

    /// Writes the files of another folder's pair into this one, which has to be there, unless they
    /// are in it already. Whoever else writes into it cannot lead anything out of it.
    ///
    /// Returns whether it wrote.
    ///
    /// # Errors
    /// As for [`Disk::write`].
    pub(in crate::certs) fn put(
        &self,
        lineage: &Lineage,
        files: &Files,
    ) -> Result<bool, DiskError> {
        let dir = Folder::open(&self.dir).map_err(self.failed(&self.dir))?;
        let base = lineage.base();
        let same = |there: &Files| there.chain == files.chain && there.secret == files.secret;
        match self.files_in(&dir, &base) {
            Ok(Read::Found(there)) if same(&there) => {
                self.link_all(&dir, lineage, &files.chain, &files.secret)?;
                Ok(false)
            }
            // Whatever is wrong with what is there, it is to be replaced.
            _ => {
                self.write_into(&dir, lineage, &files.chain, &files.secret)?;
                Ok(true)
            }
        }
    }

    fn write_into(
        &self,
        dir: &Folder,
        lineage: &Lineage,
        chain: &[u8],
        key: &[u8],
    ) -> Result<(), DiskError> {
        let base = lineage.base();
        let path = self.dir.join(&base);
        if is_unmarked(dir, &base) {
            return Err(DiskError::Foreign { path });
        }
        let fresh = hidden(&base, FRESH);
        write_folder(dir, &fresh, chain, key).map_err(self.failed(&self.dir.join(&fresh)))?;
        self.put_in_force(dir, &base)?;
        self.link_all(dir, lineage, chain, key)?;
        dir.sync().map_err(self.failed(&self.dir))
    }

    fn link_all(
        &self,
        dir: &Folder,
        lineage: &Lineage,
        chain: &[u8],
        key: &[u8],
    ) -> Result<(), DiskError> {
        let base = lineage.base();
        for name in lineage.names() {
            if !lineage.is_staging() || !self.is_trusted(dir, name, chain, key) {
                link(dir, name, &base).map_err(self.failed(&self.dir))?;
            }
        }
        Ok(())
    }

    /// Makes the fresh folder of this name the one that is meant by it.
    pub(super) fn put_in_force(&self, dir: &Folder, base: &str) -> Result<(), DiskError> {
        let path = self.dir.join(base);
        let (fresh, former) = (hidden(base, FRESH), hidden(base, FORMER));
        if !dir.has(base) {
            dir.rename(&fresh, base).map_err(self.failed(&path))?;
            return dir.sync().map_err(self.failed(&self.dir));
        }
        // Both names exist at every moment; a crash leaves one old and one new, both whole.
        match dir.exchange(&fresh, base) {
            Ok(()) => {}
            // The file system knows no exchange. Between these two steps there is no folder of the
            // name; a start after a crash in between finds the fresh one.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                warn!(
                    folder = %path.display(),
                    "the file system cannot exchange two folders; for a moment readers find none"
                );
                let steps = || {
                    dir.remove_folder(&former, MARKER)?;
                    dir.rename(base, &former)?;
                    dir.rename(&fresh, base)
                };
                steps().map_err(self.failed(&path))?;
            }
            Err(error) => return Err(self.failed(&path)(error.into())),
        }
        dir.sync().map_err(self.failed(&self.dir))?;
        for replaced in [fresh, former] {
            // What was just replaced. A leftover is removed at the next start and hurts nobody.
            let _ = dir.remove_folder(&replaced, MARKER);
        }
        Ok(())
    }

    /// Whether the links of a name lead to a pair of production that outlives the beginning of this
    /// one of staging, which is about now.
    fn is_trusted(&self, dir: &Folder, domain: &Domain, chain: &[u8], key: &[u8]) -> bool {
        let (Domain::Exact(name) | Domain::Below(name)) = domain;
        let Ok(fresh) = Pair::parse(chain, key) else {
            return false;
        };
        // Authorities let certificates begin an hour early.
        let now = fresh.not_before + Duration::from_secs(3_600);
        // What its links do not lead to in this folder, they keep anyway.
        let folder = folder_of(dir, &format!("{name}.crt"));
        let found = folder.and_then(|folder| match self.files_in(dir, &folder) {
            Ok(Read::Found(files)) => files.check(None, now).ok(),
            Ok(Read::Exchanged | Read::Nothing) | Err(_) => None,
        });
        found.is_some_and(|found| !found.staging && found.pair.covers(domain))
    }

    pub(super) fn failed(&self, path: &Path) -> impl Fn(io::Error) -> DiskError + use<> {
        let path = path.to_owned();
        move |source| DiskError::Write {
            path: path.clone(),
            source,
        }
    }
}

/// What a folder is called while it is not in force.
pub(super) fn hidden(base: &str, ending: &str) -> String {
    format!(".{base}.{ending}")
}

fn write_folder(dir: &Folder, name: &str, chain: &[u8], key: &[u8]) -> io::Result<()> {
    dir.remove_folder(name, MARKER)?;
    let folder = dir.make(name, 0o755)?;
    let (leaf, rest) = split_chain(chain);
    for (file, content, mode) in [
        (KEY, key, 0o600),
        ("cert.pem", leaf, 0o644),
        ("chain.pem", rest, 0o644),
        (FULLCHAIN, chain, 0o644),
    ] {
        folder.write(file, content, mode)?;
        // What a disk kept otherwise than it was told must not take the place of a good pair.
        if !folder.read(file).is_ok_and(|kept| kept == content) {
            let text = format!("{file} is not what was written; look whether the disk is well");
            return Err(io::Error::other(text));
        }
    }
    // Last: a folder with the marker is whole.
    folder.write(MARKER, b"", 0o644)?;
    folder.sync()
}

/// Points `<name>.crt` and its siblings at the base's folder. Files that are no links, and links
/// that lead out of the layout, are somebody's own and stay.
pub(super) fn link(dir: &Folder, domain: &Domain, base: &str) -> io::Result<()> {
    // The companion's way: a wildcard is found under the name it stands above. But that name may
    // have a certificate of its own.
    let (Domain::Exact(name) | Domain::Below(name)) = domain;
    if matches!(domain, Domain::Below(_)) && leads_elsewhere(dir, name, base) {
        return Ok(());
    }
    for (ending, file) in LINKS {
        let link = format!("{name}.{ending}");
        let target = format!("./{base}/{file}");
        let ours = |target: &str| place(target).is_some_and(|(at, _)| !is_unmarked(dir, at));
        match dir.kind(&link)? {
            None => dir.link(&link, &target)?,
            Some(Kind::Link) => {
                let now = dir.link_target(&link)?;
                if now != target && ours(&now) {
                    dir.link(&link, &target)?;
                }
            }
            Some(Kind::File | Kind::Folder | Kind::Other) => {}
        }
    }
    Ok(())
}

/// Whether the links of a name lead to another folder that is there.
fn leads_elsewhere(dir: &Folder, name: &Hostname, base: &str) -> bool {
    folder_of(dir, &format!("{name}.crt")).is_some_and(|at| at != base && dir.has(&at))
}

/// The first certificate, and the others.
fn split_chain(chain: &[u8]) -> (&[u8], &[u8]) {
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let mut windows = chain.windows(END.len());
    let end = windows.position(|window| window == END);
    let (leaf, rest) = chain.split_at(end.map_or(chain.len(), |at| at + END.len()));
    (leaf, rest.trim_ascii_start())
}

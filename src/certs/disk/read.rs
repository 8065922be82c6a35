//! Reading: what a name's files hold, never the certificate of one moment with the key of another.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use super::folder::{Folder, Kind, ReadError, read_following};
use super::{Disk, DiskError, FULLCHAIN, Found, KEY, MARKER, STAGING, WILDCARD};
use crate::certs::lineage::Lineage;
use crate::certs::pair::Pair;
use crate::names::Hostname;

/// A folder that is exchanged while it is read is read again; nobody exchanges more often.
const TRIES: u32 = 5;

/// A name's two files, which nobody has believed yet.
#[derive(Debug)]
pub(in crate::certs) struct Files {
    /// Where the certificate and the key are.
    crt: PathBuf,
    key: PathBuf,
    pub(in crate::certs) chain: Vec<u8>,
    pub(in crate::certs) secret: Vec<u8>,
    managed: bool,
    staging: bool,
}

/// A pair that lies there, none, or what is there and cannot be read.
pub(in crate::certs) type Lying = Result<Option<Files>, DiskError>;

impl Files {
    pub(in crate::certs) fn crt(&self) -> &PathBuf {
        &self.crt
    }

    /// Looks at them. What was looked at before as `known` is not parsed again.
    ///
    /// # Errors
    /// A pair that must not be served at this moment.
    pub(in crate::certs) fn check(
        &self,
        known: Option<&Found>,
        now: SystemTime,
    ) -> Result<Found, DiskError> {
        let digest = self.digest();
        let pair = match known.filter(|known| known.digest == digest) {
            Some(known) => Ok(known.pair.clone()),
            None => Pair::parse(&self.chain, &self.secret),
        };
        let pair = pair.and_then(|pair| pair.holding(now));
        let pair = pair.map_err(|reason| DiskError::Pair {
            path: if reason.is_about_the_key() {
                self.key.clone()
            } else {
                self.crt.clone()
            },
            reason,
        })?;
        Ok(Found {
            pair,
            path: self.crt.clone(),
            managed: self.managed,
            staging: self.staging,
            on_disk: true,
            digest,
        })
    }

    fn digest(&self) -> [u8; 32] {
        use aws_lc_rs::digest::{Context, SHA256};
        let mut context = Context::new(&SHA256);
        for part in [&self.chain, &self.secret] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

impl Disk {
    /// What is under `<name>.crt` and `<name>.key`; without these links, what the folder of this
    /// name holds, because the companion removes its links when a container stops.
    ///
    /// # Errors
    /// What is there and cannot be read. `Ok(None)`: nothing is there.
    pub(in crate::certs) fn files(&self, name: &str) -> Lying {
        let Some(dir) = self.open()? else {
            return Ok(None);
        };
        let (crt, key) = (format!("{name}.crt"), format!("{name}.key"));
        for _ in 0..TRIES {
            let half = |there: &str, missing: &str| DiskError::Half {
                there: self.dir.join(there),
                missing: self.dir.join(missing),
            };
            let kind = |name: &str| {
                dir.kind(name).map_err(|error| DiskError::Read {
                    path: self.dir.join(name),
                    source: Box::new(error.into()),
                })
            };
            match (kind(&crt)?, kind(&key)?) {
                (None, None) => match self.files_in(&dir, name)? {
                    Read::Found(files) => return Ok(Some(files)),
                    Read::Nothing => return Ok(None),
                    Read::Exchanged => {}
                },
                (Some(_), None) => return Err(half(&crt, &key)),
                (None, Some(_)) => return Err(half(&key, &crt)),
                (Some(_), Some(_)) => {
                    // Where the certificate's link leads is a whole pair. The key's may be a step
                    // behind: two links cannot be changed at once.
                    let folder = folder_of(&dir, &crt);
                    let Some(folder) = folder else {
                        return self.loose(&dir, &crt, &key).map(Some);
                    };
                    match self.files_in(&dir, &folder)? {
                        Read::Found(files) => return Ok(Some(files)),
                        Read::Nothing => return self.loose(&dir, &crt, &key).map(Some),
                        Read::Exchanged => {}
                    }
                }
            }
        }
        self.loose(&dir, &crt, &key).map(Some)
    }

    /// Every pair there is, by the name it lies under: those of the layout's folders, and files that
    /// are of none. What begins with a dot is not in force.
    pub(in crate::certs) fn all(&self) -> io::Result<BTreeMap<String, Lying>> {
        let dir = Folder::open(&self.dir)?;
        let mut all = BTreeMap::new();
        let marked = |name: &str| dir.folder(name).is_ok_and(|folder| folder.has(MARKER));
        for name in dir.names()? {
            if name.starts_with('.') || is_of_clients(&name) {
                continue;
            } else if marked(&name) {
                let files = self.whole_in(&dir, &name);
                all.insert(name, files);
            } else if let Some(stem) = name.strip_suffix(".crt")
                && !folder_of(&dir, &name).is_some_and(|folder| marked(&folder))
            {
                all.entry(stem.to_owned())
                    .or_insert_with(|| self.files(stem));
            }
        }
        Ok(all)
    }

    /// What the folder of the wildcard below this name holds.
    ///
    /// # Errors
    /// As for [`Disk::files`].
    pub(in crate::certs) fn wildcard_files(&self, name: &str) -> Lying {
        self.folder_files(&format!("{WILDCARD}{name}"))
    }

    /// What the folder of this name holds, whoever's links lead there.
    ///
    /// # Errors
    /// As for [`Disk::files`].
    pub(in crate::certs) fn folder_files(&self, base: &str) -> Lying {
        match self.open()? {
            Some(dir) => self.whole_in(&dir, base),
            None => Ok(None),
        }
    }

    fn whole_in(&self, dir: &Folder, base: &str) -> Lying {
        for _ in 0..TRIES {
            match self.files_in(dir, base)? {
                Read::Found(files) => return Ok(Some(files)),
                Read::Nothing => return Ok(None),
                Read::Exchanged => {}
            }
        }
        Ok(None)
    }

    /// The key in a lineage's own folder, if it is one that belongs to its certificate.
    pub(in crate::certs) fn installed_key(&self, lineage: &Lineage) -> Option<String> {
        let files = self.folder_files(&lineage.base()).ok()??;
        Pair::parse(&files.chain, &files.secret).ok()?;
        String::from_utf8(files.secret).ok()
    }

    pub(in crate::certs) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names there are in the folder; `None`: it cannot be read.
    pub(in crate::certs) fn names(&self) -> Option<HashSet<OsString>> {
        let entries = fs::read_dir(&self.dir).ok()?;
        entries.map(|entry| Some(entry.ok()?.file_name())).collect()
    }

    /// The names in the folder under which there may be something for a host.
    pub(in crate::certs) fn ways(&self, name: &str) -> [String; 4] {
        [
            format!("{name}.crt"),
            format!("{name}.key"),
            name.to_owned(),
            format!("{WILDCARD}{name}"),
        ]
    }

    /// What is looked at for a name, to see when it changes.
    pub(in crate::certs) fn looked_at(&self, name: &str) -> [PathBuf; 4] {
        [
            self.dir.join(format!("{name}.crt")),
            self.dir.join(format!("{name}.key")),
            self.dir.join(name).join(FULLCHAIN),
            self.dir.join(format!("{WILDCARD}{name}")).join(FULLCHAIN),
        ]
    }

    /// Whether what is under this name is somebody else's, so that no order could replace it.
    pub(in crate::certs) fn is_foreign(&self, name: &Hostname) -> bool {
        let Ok(Some(dir)) = self.open() else {
            return false;
        };
        if is_unmarked(&dir, name.as_str()) {
            return true;
        }
        let crt = format!("{name}.crt");
        match dir.kind(&crt) {
            Ok(None) | Err(_) => false,
            Ok(Some(Kind::Link)) => match dir.link_target(&crt).ok().as_deref().and_then(place) {
                Some((folder, _)) => is_unmarked(&dir, folder),
                None => true,
            },
            Ok(Some(Kind::File | Kind::Folder | Kind::Other)) => true,
        }
    }

    pub(super) fn open(&self) -> Result<Option<Folder>, DiskError> {
        match Folder::open(&self.dir) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::Read {
                path: self.dir.clone(),
                source: Box::new(error.into()),
            }),
        }
    }

    /// Both files of one folder of the layout, which is held open in between: whatever is exchanged
    /// meanwhile, they belong together.
    pub(super) fn files_in(&self, dir: &Folder, base: &str) -> Result<Read, DiskError> {
        let Ok(folder) = dir.folder(base) else {
            return Ok(Read::Nothing);
        };
        if !folder.has(MARKER) {
            // Not of the layout; or it was exchanged, and is being removed.
            let moved = dir.folder(base).is_ok_and(|newer| newer.has(MARKER));
            return Ok(if moved {
                Read::Exchanged
            } else {
                Read::Nothing
            });
        }
        let path = self.dir.join(base);
        let read = |name: &str| match folder.read(name) {
            Ok(content) => Ok(Some(content)),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DiskError::Read {
                path: path.join(name),
                source: Box::new(source),
            }),
        };
        let (chain, secret) = (read(FULLCHAIN)?, read(KEY)?);
        if !folder.has(MARKER) {
            return Ok(Read::Exchanged);
        }
        let half = |there: &str, missing: &str| {
            let (there, missing) = (path.join(there), path.join(missing));
            Err(DiskError::Half { there, missing })
        };
        match (chain, secret) {
            (None, None) => Ok(Read::Nothing),
            (None, Some(_)) => half(KEY, FULLCHAIN),
            (Some(_), None) => half(FULLCHAIN, KEY),
            (Some(chain), Some(secret)) => Ok(Read::Found(Files {
                crt: path.join(FULLCHAIN),
                key: path.join(KEY),
                chain,
                secret,
                managed: true,
                staging: base.starts_with(STAGING),
            })),
        }
    }

    /// Two files that are of no folder of the layout. Who writes them has no step that changes
    /// both; a certificate that does not fit its key is looked at again when one of them changes.
    fn loose(&self, dir: &Folder, crt: &str, key: &str) -> Result<Files, DiskError> {
        let read = |name: &str| {
            let path = self.dir.join(name);
            read_following(&path).map_err(|source| match (&source, dir.link_target(name)) {
                (ReadError::Io(error), Ok(target)) if error.kind() == io::ErrorKind::NotFound => {
                    DiskError::Dangling { path, target }
                }
                _ => DiskError::Read {
                    path,
                    source: Box::new(source),
                },
            })
        };
        Ok(Files {
            chain: read(crt)?,
            secret: read(key)?,
            crt: self.dir.join(crt),
            key: self.dir.join(key),
            managed: false,
            staging: false,
        })
    }
}

/// Whether a certificate is nobody's pair, but signs those of clients: `ca.crt`, `<name>.ca.crt`.
fn is_of_clients(name: &str) -> bool {
    name == "ca.crt" || name.ends_with(".ca.crt")
}

/// What came of reading one folder.
#[derive(Debug)]
pub(super) enum Read {
    /// Another one has its name by now.
    Exchanged,
    Found(Files),
    /// There is no such folder, or it is not of the layout.
    Nothing,
}

/// Folder and file that a link of the layout leads to.
pub(super) fn place(target: &str) -> Option<(&str, &str)> {
    let (folder, file) = target
        .strip_prefix("./")
        .unwrap_or(target)
        .split_once('/')?;
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('/');
    (plain(folder) && plain(file)).then_some((folder, file))
}

/// The folder of the layout that the link to a certificate leads to, if it is one.
pub(super) fn folder_of(dir: &Folder, crt: &str) -> Option<String> {
    let target = dir.link_target(crt).ok()?;
    let (folder, file) = place(&target)?;
    (file == FULLCHAIN).then(|| folder.to_owned())
}

/// Whether there is a folder of this name that neither usher nor the companion wrote.
pub(super) fn is_unmarked(dir: &Folder, name: &str) -> bool {
    match dir.kind(name) {
        Ok(Some(Kind::Folder)) => !dir.folder(name).is_ok_and(|folder| folder.has(MARKER)),
        // A link to a folder elsewhere.
        Ok(Some(Kind::Link)) => true,
        Ok(Some(Kind::File | Kind::Other)) => true,
        Ok(None) | Err(_) => false,
    }
}

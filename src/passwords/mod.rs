//! Passwords of visitors (RFC 7617): a file of them, read again when it changes, and a memory of
//! what was found right, because a good hash is slow on purpose.
//!
//! Invariant: without a file that was read and understood, nobody is let in.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lru::LruCache;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::cause::chain;

mod file;
mod hash;

use self::file::Entries;
pub use self::file::FileError;

/// A change of a file counts after this.
const FRESH: Duration = Duration::from_secs(1);
const READ_WITHIN: Duration = Duration::from_secs(2);
/// Whoever waits longer for others' guesses is sent away.
const GUESS_WITHIN: Duration = Duration::from_secs(5);
/// A name and a password together, encoded.
const LONGEST: usize = 1024;
const MOST_FILES: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");
const MOST_RIGHT: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// All files of passwords.
#[derive(Debug)]
pub struct Passwords {
    files: Mutex<LruCache<PathBuf, Arc<Watched>>>,
    right: Mutex<LruCache<[u8; 32], ()>>,
    /// Makes of what was right something that tells nobody what it was.
    key: hmac::Key,
}

/// Whether somebody is let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    Admitted,
    Refused,
}

/// Why nobody can be.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The right ones of before are let in all the same.
    #[error("too many passwords are being tried")]
    Busy,
    #[error(transparent)]
    File(#[from] Arc<FileError>),
    #[error("the file of passwords did not come within {} s", READ_WITHIN.as_secs())]
    Overdue,
}

struct Watched {
    looked: Mutex<Option<Looked>>,
    /// One looks at the file at a time; the others wait for what it sees.
    look: Semaphore,
    /// One guess at a time: who guesses takes no more than one processor from the others.
    guess: Semaphore,
}

#[derive(Clone)]
struct Looked {
    at: Instant,
    found: Result<Arc<Entries>, Arc<FileError>>,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            looked: Mutex::default(),
            look: Semaphore::new(1),
            guess: Semaphore::new(1),
        }
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Default for Passwords {
    fn default() -> Self {
        let secret: [u8; 32] = rand::random();
        Self {
            files: Mutex::new(LruCache::new(MOST_FILES)),
            right: Mutex::new(LruCache::new(MOST_RIGHT)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
        }
    }
}

/// Whether a file of passwords would let anybody in. Blocking.
///
/// # Errors
/// Why it would not.
pub fn examine(path: &Path) -> Result<(), FileError> {
    if !path.metadata()?.is_file() {
        return Err(FileError::NoFile);
    }
    Entries::read(path).map(drop)
}

impl Passwords {
    /// Whether the credentials of an `Authorization` field are in a file.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// The file is not there or not understood, or too many guesses wait.
    pub async fn judge(
        &self,
        path: &Path,
        credentials: Option<&[u8]>,
        now: Instant,
    ) -> Result<Verdict, PasswordError> {
        let watched = self.watched(path);
        let entries = watched.entries(path, now).await?;
        let Some((name, password)) = credentials.and_then(parse) else {
            return Ok(Verdict::Refused);
        };
        let hash = entries.hash(&name).cloned();
        let mark = hash
            .as_ref()
            .map(|hash| self.mark(path, &name, hash, &password));
        // Nothing that locks it panics half-way.
        let right = || self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = &mark
            && right().get(mark).is_some()
        {
            return Ok(Verdict::Admitted);
        }
        let Some(against) = hash.or_else(|| entries.any().cloned()) else {
            return Ok(Verdict::Refused);
        };
        let guess = timeout(GUESS_WITHIN, watched.guess.acquire());
        let _guess = guess.await.map_err(|_| PasswordError::Busy)?;
        if let Some(mark) = &mark
            && right().get(mark).is_some()
        {
            // Found while this one waited: a browser asks for six files at once.
            return Ok(Verdict::Admitted);
        }
        let is_right = spawn_blocking(move || against.is_of(&password)).await;
        match (mark, is_right.unwrap_or(false)) {
            (Some(mark), true) => {
                right().put(mark, ());
                Ok(Verdict::Admitted)
            }
            _ => Ok(Verdict::Refused),
        }
    }

    fn watched(&self, path: &Path) -> Arc<Watched> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(files.get_or_insert(path.to_owned(), Arc::default))
    }

    /// Differs whenever file, name, hash or password do. A lookup compares no secret: whoever lacks
    /// the key cannot choose how much of a mark is right.
    fn mark(
        &self,
        path: &Path,
        name: &str,
        hash: &hash::PasswordHash,
        password: &[u8],
    ) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [
            path.as_os_str().as_encoded_bytes(),
            name.as_bytes(),
            &hash.to_bytes(),
            password,
        ] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }
}

impl Watched {
    async fn entries(&self, path: &Path, now: Instant) -> Result<Arc<Entries>, PasswordError> {
        if let Some(found) = self.fresh(now) {
            return Ok(found?);
        }
        // Nobody closes it.
        let _look = self.look.acquire().await;
        if let Some(found) = self.fresh(now) {
            return Ok(found?);
        }
        let owned = path.to_owned();
        let read = spawn_blocking(move || Entries::read(&owned));
        let read = timeout(READ_WITHIN, read).await;
        let found = match read {
            Ok(Ok(found)) => found.map(Arc::new).map_err(Arc::new),
            Ok(Err(_)) | Err(_) => return Err(PasswordError::Overdue),
        };
        let before = self.looked().replace(Looked {
            at: now,
            found: found.clone(),
        });
        // Once, however many ask: anybody can.
        let wrong = |found: &Result<Arc<Entries>, Arc<FileError>>| {
            found.as_ref().err().map(|error| chain(error.as_ref()))
        };
        let why = wrong(&found);
        if let Some(error) = &why
            && before.and_then(|before| wrong(&before.found)).as_ref() != Some(error)
        {
            warn!(file = %path.display(), error, "nobody is let in by this file of passwords");
        }
        Ok(found?)
    }

    fn fresh(&self, now: Instant) -> Option<Result<Arc<Entries>, Arc<FileError>>> {
        let looked = self.looked();
        let fresh = |looked: &&Looked| now.saturating_duration_since(looked.at) < FRESH;
        looked
            .as_ref()
            .filter(fresh)
            .map(|looked| looked.found.clone())
    }

    fn looked(&self) -> MutexGuard<'_, Option<Looked>> {
        // Nothing that locks it panics half-way.
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and password of `Basic …` (RFC 7617 §2).
fn parse(field: &[u8]) -> Option<(String, Vec<u8>)> {
    let field = std::str::from_utf8(field).ok()?;
    let (scheme, encoded) = field.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > LONGEST {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (name, password) = decoded.split_at(colon);
    let name = std::str::from_utf8(name).ok()?.to_owned();
    Some((name, password.get(1..)?.to_owned()))
}

#[cfg(test)]
mod tests;

//! Tokens: hashed in memory, compared in constant time, read again when their file changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use tokio::time::Instant;
use tracing::{info, warn};

use super::scope::Scope;
use crate::config::tokens::{Token, parse};

/// The file is looked at so often at most.
const EVERY: Duration = Duration::from_secs(1);

/// What is good now.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    looked: Instant,
    stamp: Option<Stamp>,
    entries: Arc<[(Digest, Scope)]>,
}

/// What changes when a file does.
pub(super) type Stamp = (SystemTime, u64);

impl Tokens {
    pub(super) fn new(path: PathBuf) -> Self {
        let stamp = stamp(&path);
        let known = Known {
            looked: now(),
            entries: read(&path),
            stamp,
        };
        Self {
            path,
            known: Mutex::new(known),
        }
    }

    /// How much this token opens.
    pub(super) fn scope(&self, token: &[u8]) -> Option<Scope> {
        let asked = digest(&SHA256, token);
        let mut found = None;
        // All of them, whichever it is: the time says nothing about where it stands.
        let entries = self.entries();
        for (known, scope) in &*entries {
            if verify_slices_are_equal(known.as_ref(), asked.as_ref()).is_ok() {
                found = Some(scope);
            }
        }
        found.cloned()
    }

    fn entries(&self) -> Arc<[(Digest, Scope)]> {
        // Replaced as a whole: good after every operation.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= EVERY {
            known.looked = now();
            let stamp = stamp(&self.path);
            if stamp != known.stamp {
                known.stamp = stamp;
                known.entries = read(&self.path);
                info!(file = %self.path.display(), tokens = known.entries.len(), "tokens read");
            }
        }
        Arc::clone(&known.entries)
    }
}

/// `None`: it cannot be looked at.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// What cannot be read opens nothing: a file that was taken away is a token that was taken back.
fn read(path: &Path) -> Arc<[(Digest, Scope)]> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            warn!(file = %path.display(), %error, "no token is good: their file cannot be read");
            String::new()
        }
    };
    let (tokens, errors) = parse(&text);
    for error in errors {
        warn!(file = %path.display(), %error, "a token is left out");
    }
    tokens.iter().map(entry).collect()
}

fn entry(token: &Token) -> (Digest, Scope) {
    let scope = token.instance.as_ref();
    let scope = scope.map_or(Scope::All, |name| Scope::Instance(name.as_str().into()));
    (digest(&SHA256, token.secret.as_bytes()), scope)
}

#[expect(clippy::disallowed_methods, reason = "when the file was looked at")]
fn now() -> Instant {
    Instant::now()
}

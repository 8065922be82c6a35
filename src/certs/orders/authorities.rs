//! The authorities as this process knows them: how fast each may be asked, and which asked for
//! peace.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::config::model::Directory;

/// What every exchange with an authority shares, whatever order it belongs to. Clones share it.
#[derive(Clone)]
pub(in crate::certs) struct Authorities {
    clock: fn() -> SystemTime,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// By URL and pace.
    ways: HashMap<(String, u32), Arc<Way>>,
    /// By folder: who registers there, waits for whoever does.
    accounts: HashMap<PathBuf, Arc<Semaphore>>,
    /// By journal: the URL of an order that the disk did not take.
    unwritten: HashMap<PathBuf, String>,
}

/// The pace of one directory.
#[derive(Debug)]
pub(super) struct Way {
    clock: fn() -> SystemTime,
    turns: Semaphore,
    apart: Duration,
    blocked_until: Mutex<Option<SystemTime>>,
}

impl Authorities {
    /// `clock` is the certificate room's.
    pub(in crate::certs) fn new(clock: fn() -> SystemTime) -> Self {
        Self {
            clock,
            shared: Arc::default(),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    fn with<T>(&self, look: impl FnOnce(&mut Shared) -> T) -> T {
        look(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn way(&self, directory: &Directory) -> Arc<Way> {
        let pace = directory.requests_per_second.get();
        let fresh = || {
            Arc::new(Way {
                clock: self.clock,
                turns: Semaphore::new(1),
                apart: Duration::from_secs(1) / pace,
                blocked_until: Mutex::default(),
            })
        };
        let key = (directory.url.clone(), pace);
        self.with(|shared| Arc::clone(shared.ways.entry(key).or_insert_with(fresh)))
    }

    /// One permit: an account is looked for and registered by one order at a time.
    pub(super) fn registrar(&self, folder: &Path) -> Arc<Semaphore> {
        let fresh = || Arc::new(Semaphore::new(1));
        self.with(|shared| {
            Arc::clone(
                shared
                    .accounts
                    .entry(folder.to_owned())
                    .or_insert_with(fresh),
            )
        })
    }

    /// Remembers an order that is on no disk, for as long as the process lives.
    pub(super) fn remember(&self, journal: &Path, url: String) {
        self.with(|shared| shared.unwritten.insert(journal.to_owned(), url));
    }

    pub(super) fn remembered(&self, journal: &Path) -> Option<String> {
        self.with(|shared| shared.unwritten.get(journal).cloned())
    }

    pub(super) fn forget(&self, journal: &Path) {
        self.with(|shared| shared.unwritten.remove(journal));
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").finish_non_exhaustive()
    }
}

impl Way {
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Waits until the next request may be sent. In the order of asking.
    pub(super) async fn turn(&self) {
        // Never closed; a turn that is given up is the next one's.
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        sleep(self.apart).await;
    }

    /// Nothing is sent before this moment.
    pub(super) fn block(&self, until: Option<SystemTime>) {
        *self.lock() = until;
    }

    pub(super) fn blocked_until(&self) -> Option<SystemTime> {
        let now = self.now();
        let mut until = self.lock();
        *until = until.filter(|until| *until > now);
        *until
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SystemTime>> {
        self.blocked_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

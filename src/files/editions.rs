//! Folders that are made anew as a whole: the last complete set is served until the next one is
//! complete, and never a part of each.
//!
//! Whoever collects static files deletes the old ones first, and takes half a minute for the new
//! ones. So what is served is a copy in usher's own folder, made when nothing in the original has
//! changed for a while. The copy survives a restart of usher, and of the machine.
//!
//! Looking and copying take longer than a visitor waits, so neither takes a place of
//! [`access`](super::access). A volume that hangs holds one thread for each set in it, and nothing
//! else: what was copied is served on.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::syncfs;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::root::{EntryKind, Found, Root, RootError};
use crate::folder::Folder;
use crate::shutdown::Shutdown;

/// A set that nobody has touched for this long is complete.
const QUIET: Duration = Duration::from_secs(4);
/// How often the top of each set is looked at, and the whole of it.
const GLANCE: Duration = Duration::from_secs(1);
const WHOLE: Duration = Duration::from_secs(30);
/// What was not seen before is seen to after this.
const TICK: Duration = Duration::from_millis(250);
/// After a copy that could not be made.
const AGAIN: Duration = Duration::from_secs(60);
/// A tenant must not fill the disk that holds everybody's state.
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 1 << 30;
const DEEPEST: usize = 32;
/// Copied at once: a start with a hundred tenants is no storm on the disk.
const MOST_COPYING: usize = 4;
const UNFINISHED: &str = "unfinished";

/// A folder of an instance that is made anew as a whole.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Set {
    pub instance: String,
    pub root: Folder,
    /// Below `root`.
    pub folder: PathBuf,
}

/// What is served of each set.
#[derive(Debug)]
pub struct Editions {
    dir: PathBuf,
    current: Mutex<HashMap<Set, Edition>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Edition {
    /// Complete, but a copy is not there yet or cannot be made.
    AsItIs,
    Copy(PathBuf),
}

/// Sees to it that there are editions.
#[derive(Debug)]
pub struct Keeper {
    editions: Arc<Editions>,
    seen: HashMap<Set, Seen>,
    copying: usize,
}

/// What was last seen of an original.
#[derive(Debug)]
struct Seen {
    busy: bool,
    top: Option<String>,
    whole: Option<String>,
    /// Since when the whole has been as it is.
    since: Instant,
    glance: Instant,
    look: Instant,
    told: bool,
}

/// What there is of an original.
#[derive(Debug)]
struct Original {
    top: Option<String>,
    /// Only where the top has changed, or it was time for it.
    whole: Option<Result<Whole, io::Error>>,
}

#[derive(Debug)]
struct Whole {
    print: String,
    /// When anything in it was changed last.
    changed: SystemTime,
    files: Vec<PathBuf>,
}

enum Done {
    Copied(Set, String, io::Result<Option<PathBuf>>),
    Looked(Set, Original),
}

impl Editions {
    /// Copies go below `dir`.
    pub fn new(dir: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            dir,
            current: Mutex::default(),
        })
    }

    pub fn keeper(self: &Arc<Self>) -> Keeper {
        Keeper {
            editions: Arc::clone(self),
            seen: HashMap::new(),
            copying: 0,
        }
    }

    /// The folder to serve a set from: its root, and the set's own folder below it.
    ///
    /// # Errors
    /// No complete set has been seen yet.
    pub fn place(&self, set: &Set) -> Result<(Folder, PathBuf), RootError> {
        match self.current().get(set) {
            Some(Edition::AsItIs) => Ok((set.root.clone(), set.folder.clone())),
            Some(Edition::Copy(copy)) => Ok((copy.as_path().into(), PathBuf::new())),
            None => Err(RootError::RootMissing {
                path: set.root.join(&set.folder).display().to_string(),
                source: io::Error::other(
                    "it is missing or being made: no complete set was seen yet",
                ),
            }),
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, HashMap<Set, Edition>> {
        // Nothing that locks it panics half-way.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the copies of a set are.
    fn shelf(&self, set: &Set) -> PathBuf {
        let folder = set.folder.as_os_str().as_encoded_bytes();
        let mut name = String::new();
        for byte in aws_lc_rs::digest::digest(&SHA256, folder)
            .as_ref()
            .iter()
            .take(8)
        {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        self.dir.join(&set.instance).join(name)
    }

    /// The youngest copy of an earlier life. Blocking.
    fn found(&self, set: &Set) -> Option<PathBuf> {
        let copies = fs::read_dir(self.shelf(set)).ok()?.flatten();
        let whole = copies.filter(|entry| entry.file_name() != UNFINISHED);
        let dated = whole.filter_map(|entry| {
            let made = entry.metadata().ok()?.modified().ok()?;
            Some((made, entry.path()))
        });
        dated.max().map(|(_, path)| path)
    }

    /// Copies a whole set; `None` where it changed meanwhile. Blocking.
    fn copy(&self, set: &Set, whole: &Whole) -> io::Result<Option<PathBuf>> {
        let shelf = self.shelf(set);
        let unfinished = shelf.join(UNFINISHED);
        remove(&unfinished)?;
        fs::create_dir_all(&unfinished)?;
        let Ok(root) = Root::open(&set.root, &set.folder) else {
            return Ok(None);
        };
        for path in &whole.files {
            let Ok(Found::File(original)) = root.find(path) else {
                return Ok(None);
            };
            let copy = unfinished.join(path);
            if let Some(folder) = copy.parent() {
                fs::create_dir_all(folder)?;
            }
            original.copy_to(&File::create_new(copy)?)?;
        }
        match look(set) {
            Ok(Some(again)) if again.print == whole.print => {}
            _ => return remove(&unfinished).map(|()| None),
        }
        // Not a file is half there after the power went.
        syncfs(File::open(&unfinished)?)?;
        let copy = shelf.join(&whole.print);
        remove(&copy)?;
        fs::rename(&unfinished, &copy)?;
        Ok(Some(copy))
    }

    /// Removes copies that nobody is served from any more. Blocking.
    fn sweep(&self, set: &Set, current: &Path) {
        for entry in fs::read_dir(self.shelf(set))
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.path() != current
                && let Err(error) = remove(&entry.path())
            {
                warn!(copy = %entry.path().display(), %error, "an old copy stays");
            }
        }
    }

    /// Removes the copies of instances that there are none of any more. Blocking.
    fn forget_others(&self, instances: &HashSet<String>) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !name.to_str().is_some_and(|name| instances.contains(name)) {
                // What cannot be removed costs room and nothing else.
                let _ = remove(&entry.path());
            }
        }
    }
}

impl Keeper {
    /// Keeps the sets that `wanted` names, until shutdown. It also names all instances there are.
    pub async fn run(
        mut self,
        wanted: impl Fn() -> (HashSet<String>, Vec<Set>) + Send,
        mut shutdown: Shutdown,
    ) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work: JoinSet<Done> = JoinSet::new();
        let mut known = HashSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                Some(done) = work.join_next() => {
                    if let Ok(done) = done {
                        self.take(done, &mut work);
                    }
                }
                at = ticks.tick() => {
                    let (instances, sets) = wanted();
                    if instances != known && !instances.is_empty() {
                        let (editions, all) = (Arc::clone(&self.editions), instances.clone());
                        // Nobody waits for it.
                        drop(spawn_blocking(move || editions.forget_others(&all)));
                        known = instances;
                    }
                    self.seen.retain(|set, _| sets.contains(set));
                    self.editions.current().retain(|set, _| sets.contains(set));
                    for set in sets {
                        self.look_after(set, at, &mut work).await;
                    }
                }
            }
        }
    }

    async fn look_after(&mut self, set: Set, at: Instant, work: &mut JoinSet<Done>) {
        if !self.seen.contains_key(&set) {
            let (editions, asked) = (Arc::clone(&self.editions), set.clone());
            let found = spawn_blocking(move || editions.found(&asked)).await;
            if let Ok(Some(copy)) = found {
                self.editions
                    .current()
                    .insert(set.clone(), Edition::Copy(copy));
            }
        }
        let seen = self.seen.entry(set.clone()).or_insert_with(|| Seen {
            busy: false,
            top: None,
            whole: None,
            since: at,
            glance: at,
            look: at,
            told: false,
        });
        if seen.busy || at < seen.glance {
            return;
        }
        seen.busy = true;
        seen.glance = at + GLANCE;
        let known = seen.top.clone().filter(|_| at < seen.look);
        work.spawn_blocking(move || {
            let top = top(&set).ok();
            let whole = (known.is_none() || top != known)
                .then(|| look(&set))
                .and_then(Result::transpose);
            Done::Looked(set, Original { top, whole })
        });
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the clocks of what is seen on disks"
    )]
    fn take(&mut self, done: Done, work: &mut JoinSet<Done>) {
        let at = Instant::now();
        match done {
            Done::Looked(set, original) => {
                if let Some(seen) = self.seen.get_mut(&set) {
                    seen.busy = false;
                    let editions = &self.editions;
                    let wall = SystemTime::now();
                    let complete = seen.looked(editions, set.clone(), original, at, wall);
                    match complete {
                        Some(whole) if self.copying < MOST_COPYING => {
                            seen.busy = true;
                            self.copying += 1;
                            let editions = Arc::clone(editions);
                            work.spawn_blocking(move || {
                                let copied = editions.copy(&set, &whole);
                                Done::Copied(set, whole.print, copied)
                            });
                        }
                        Some(_) => seen.look = at,
                        None => {}
                    }
                }
            }
            Done::Copied(set, print, copied) => {
                self.copying -= 1;
                let Some(seen) = self.seen.get_mut(&set) else {
                    return;
                };
                seen.busy = false;
                match copied {
                    Ok(Some(copy)) => {
                        info!(instance = set.instance, set = %set.folder.display(), edition = print, "a new set of files is served");
                        self.editions.current().insert(set, Edition::Copy(copy));
                        seen.told = false;
                    }
                    Ok(None) => seen.top = None,
                    Err(error) => {
                        seen.look = at + AGAIN;
                        seen.tell(&set, &error);
                        // It is complete, and the copy there may be is of another one.
                        self.editions.current().insert(set, Edition::AsItIs);
                    }
                }
            }
        }
    }
}

impl Seen {
    /// Gives what is complete and not copied yet.
    fn looked(
        &mut self,
        editions: &Arc<Editions>,
        set: Set,
        original: Original,
        at: Instant,
        wall: SystemTime,
    ) -> Option<Whole> {
        let Original { top, whole } = original;
        let changed = top != self.top;
        let is_missing = top.is_none();
        self.top = top;
        let whole = match whole {
            Some(Ok(whole)) => whole,
            Some(Err(error)) => {
                self.tell(&set, &error);
                self.look = at + AGAIN;
                let mut current = editions.current();
                if error.kind() == io::ErrorKind::FileTooLarge {
                    // Served as other folders are.
                    current.insert(set, Edition::AsItIs);
                } else {
                    current.entry(set).or_insert(Edition::AsItIs);
                }
                return None;
            }
            None => {
                // Nothing was looked for, or there is nothing: a copy stays.
                if changed || is_missing {
                    self.whole = None;
                    let mut current = editions.current();
                    if current.get(&set) == Some(&Edition::AsItIs) {
                        current.remove(&set);
                    }
                }
                return None;
            }
        };
        let copy = editions.shelf(&set).join(&whole.print);
        if editions.current().get(&set) == Some(&Edition::Copy(copy.clone())) {
            self.whole = Some(whole.print);
            self.look = at + WHOLE;
            let editions = Arc::clone(editions);
            drop(spawn_blocking(move || editions.sweep(&set, &copy)));
            return None;
        }
        if self.whole.as_ref() != Some(&whole.print) {
            self.since = at;
            self.whole = Some(whole.print.clone());
            // What was complete is so no more.
            let mut current = editions.current();
            if current.get(&set) == Some(&Edition::AsItIs) {
                current.remove(&set);
            }
        }
        let age = wall.duration_since(whole.changed).unwrap_or_default();
        // The clock of a file server may be another.
        if age < QUIET && at.saturating_duration_since(self.since) < QUIET {
            self.look = at;
            return None;
        }
        self.look = at + WHOLE;
        let mut current = editions.current();
        current.entry(set).or_insert(Edition::AsItIs);
        Some(whole)
    }

    fn tell(&mut self, set: &Set, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            warn!(
                instance = set.instance,
                set = %set.root.join(&set.folder).display(),
                %error,
                "no copy of this set can be kept: while it is made anew, visitors see parts of it"
            );
        }
    }
}

/// Tells every state of the top of a set from every other.
fn top(set: &Set) -> Result<String, RootError> {
    let root = Root::open(&set.root, &set.folder)?;
    let mut print = Context::new(&SHA256);
    let mut entries = root.list(Path::new(""), MOST_FILES)?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    for entry in entries {
        print.update(format!("{}/{:?}\0", entry.name, entry.identity).as_bytes());
    }
    Ok(hex(print))
}

/// Everything in a set; `None` where it is missing or empty.
fn look(set: &Set) -> io::Result<Option<Whole>> {
    let Ok(root) = Root::open(&set.root, &set.folder) else {
        return Ok(None);
    };
    let mut print = Context::new(&SHA256);
    let mut whole = Whole {
        print: String::new(),
        changed: SystemTime::UNIX_EPOCH,
        files: Vec::new(),
    };
    let mut bytes = 0;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = match root.list(&folder, MOST_FILES + 1) {
            Ok(entries) => entries,
            // Gone while it was looked at: what is left has changed by then.
            Err(RootError::NotFound | RootError::RootMissing { .. }) => continue,
            Err(RootError::Io(error)) => return Err(error),
        };
        let mut entries = entries;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        for entry in entries {
            let path = folder.join(&entry.name);
            print.update(path.as_os_str().as_encoded_bytes());
            whole.changed = whole.changed.max(entry.identity.changed());
            match entry.kind {
                EntryKind::Folder => {
                    print.update(b"/");
                    if path.components().count() > DEEPEST {
                        return Err(too_large(format!("it is deeper than {DEEPEST} folders")));
                    }
                    folders.push(path);
                }
                EntryKind::File { length } => {
                    print.update(format!("\0{:?}\0", entry.identity).as_bytes());
                    bytes += length;
                    whole.files.push(path);
                }
            }
            if whole.files.len() > MOST_FILES || folders.len() > MOST_FILES {
                return Err(too_large(format!("it has more than {MOST_FILES} files")));
            }
            if bytes > MOST_BYTES {
                return Err(too_large("it is larger than 1 GiB".to_owned()));
            }
        }
    }
    whole.print = hex(print);
    Ok((!whole.files.is_empty()).then_some(whole))
}

fn too_large(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

fn hex(print: Context) -> String {
    let mut text = String::new();
    for byte in print.finish().as_ref().iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A folder that is gone already is as good as removed.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

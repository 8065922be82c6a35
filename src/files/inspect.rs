//! Whether what routes serve can be read at all, seen before a visitor asks.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::editions::{Editions, Set};
use super::root::Root;
use crate::cause::chain;
use crate::folder::Folder;
use crate::shutdown::Shutdown;

const EVERY: Duration = Duration::from_secs(5);
/// For all folders of an instance. As long as a visitor waits for one.
const DEADLINE: Duration = Duration::from_secs(2);
/// Instances looked at once. A look into a volume that hangs holds its thread, and these are of the
/// same threads that serve files.
const AT_ONCE: usize = 32;

/// What a route serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Served {
    /// Whatever lies below a folder; with `listed` its names as well.
    Folder {
        root: Folder,
        path: PathBuf,
        listed: bool,
    },
    /// One file.
    File {
        root: Folder,
        path: PathBuf,
    },
    InSet(Set),
}

/// By instances: the first route that cannot serve, and why, as a sentence.
pub type Unserved = BTreeMap<String, String>;

/// What the routes of each instance serve, by their prefixes.
pub type Routes = BTreeMap<String, Vec<(String, Served)>>;

/// The end of a look: whose it was and what was found.
type Looked = (String, Option<String>);

/// Looks at everything again and again until shutdown, and tells what cannot be served.
///
/// A volume that hangs costs its own instance one thread, and is not looked at again before it
/// answers.
pub async fn inspect(
    editions: Arc<Editions>,
    routes: impl Fn() -> Routes + Send,
    unserved: watch::Sender<Arc<Unserved>>,
    mut shutdown: Shutdown,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks: JoinSet<Looked> = JoinSet::new();
    let mut inside: HashSet<String> = HashSet::new();
    loop {
        let at = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            at = ticks.tick() => at,
        };
        let routes = routes();
        let mut found: Unserved = Unserved::clone(&unserved.borrow());
        // What hung the last time may have answered since.
        while let Some(looked) = looks.try_join_next() {
            if let Ok(looked) = looked {
                inside.remove(&looked.0);
                note(&mut found, looked);
            }
        }
        found.retain(|instance, _| routes.contains_key(instance));
        let mut waiting = routes.into_iter().filter(|(_, routes)| !routes.is_empty());
        let mut asked: HashSet<String> = HashSet::new();
        loop {
            while looks.len() < AT_ONCE
                && let Some((instance, routes)) = waiting.next()
            {
                if inside.insert(instance.clone()) {
                    asked.insert(instance.clone());
                    let editions = Arc::clone(&editions);
                    looks.spawn_blocking(move || {
                        let why = routes.iter().find_map(|(prefix, served)| {
                            let why = served.look(&editions).err()?;
                            Some(format!("{prefix} cannot be served: {why}"))
                        });
                        (instance, why)
                    });
                }
            }
            if asked.is_empty() {
                break;
            }
            match timeout(DEADLINE.saturating_sub(at.elapsed()), looks.join_next()).await {
                Ok(Some(Ok(looked))) => {
                    inside.remove(&looked.0);
                    asked.remove(&looked.0);
                    note(&mut found, looked);
                }
                // It panicked, which has been logged.
                Ok(Some(Err(_)) | None) => break,
                Err(_) => {
                    let overdue = asked.drain().map(|instance| {
                        let seconds = DEADLINE.as_secs();
                        let why = format!("its volume has not answered for {seconds} s");
                        (instance, why)
                    });
                    found.extend(overdue);
                    break;
                }
            }
        }
        unserved.send_if_modified(|known| {
            let new = **known != found;
            if new {
                *known = Arc::new(found);
            }
            new
        });
    }
}

fn note(found: &mut Unserved, (instance, why): Looked) {
    match why {
        Some(why) => found.insert(instance, why),
        None => found.remove(&instance),
    };
}

impl Served {
    /// Blocking.
    ///
    /// # Errors
    /// Why it cannot be served, with the remedy where there is one.
    fn look(&self, editions: &Editions) -> Result<(), String> {
        let (whole, result) = match self {
            Self::InSet(set) => {
                return editions
                    .place(set)
                    .map(|_| ())
                    .map_err(|error| chain(&error));
            }
            Self::Folder { root, path, listed } => {
                let folder = Root::open(root, path).map_err(|error| chain(&error))?;
                (root.join(path), folder.try_folder(*listed))
            }
            Self::File { root, path } => {
                let folder = path.parent().unwrap_or(path);
                let folder = Root::open(root, folder).map_err(|error| chain(&error))?;
                let name = path.file_name().unwrap_or_default();
                (root.join(path), folder.try_file(name.as_ref()))
            }
        };
        result.map_err(|error| {
            let whole = whole.display();
            match error.kind() {
                io::ErrorKind::NotFound => format!("{whole} is not there"),
                io::ErrorKind::PermissionDenied => {
                    let user = rustix::process::geteuid().as_raw();
                    format!("usher, as user {user}, may not read {whole}; give it the right to")
                }
                _ => format!("{whole} cannot be read: {error}"),
            }
        })
    }
}

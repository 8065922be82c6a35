//! The one door of this room: from the place of a file and what a client says to an answer.
//!
//! What was looked at within the last second is not looked at again, so a popular file is served
//! from memory, without a system call and without leaving the serving thread.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::access::{Access, AccessError};
use super::conditions::Conditions;
use super::conditions::Slice;
use super::listing::Listing;
use super::negotiate::{Coding, PerCoding};
use super::order::{LARGEST, Order, is_of_size};
use super::place::{Opened, Place};
use super::respond::{Entity, Part, Reply, reply};
use super::root::{Identity, OpenFile, RootError, read};
use super::shelf::Shelf;

/// A change on disk shows after this.
const FRESH: Duration = Duration::from_secs(1);
/// While one visitor looks again, the others are served what was seen before, but no longer than
/// this: a slow volume would otherwise be asked by all of them at once.
const STALE: Duration = Duration::from_secs(3);
/// Places that are remembered, and how long their names may be: 4 MiB at most.
const MOST_KNOWN: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
const LONGEST_KNOWN: usize = 512;
/// For all compressed forms of all instances.
const ROOM: usize = 128 << 20;
/// Read at once. Small files take one trip off the serving thread.
const READ: u64 = 256 * 1024;

/// The files of all instances.
#[derive(Debug)]
pub struct Library {
    pub(super) access: Access,
    pub(super) shelf: Shelf,
    known: Mutex<LruCache<Place, Arc<Known>>>,
    orders: mpsc::Sender<Order>,
}

/// What is asked of it.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Whose share of the file access it takes.
    pub instance: &'a str,
    pub place: Place,
    pub conditions: Conditions,
    /// Of the route, for names without a hash.
    pub cache_control: Option<&'a str>,
}

/// What there is.
#[derive(Debug)]
pub enum Found {
    File(Reply, Content),
    FolderWithoutSlash,
    Listing(Listing),
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// To be read on from the end of `first` to the end of the slice.
    Disk {
        file: Arc<OpenFile>,
        first: Bytes,
        slice: Slice,
    },
    Memory(Bytes),
    Nothing,
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Root(#[from] RootError),
}

/// What was seen of a file.
#[derive(Debug)]
struct Known {
    looked_at: Instant,
    /// Somebody looks again.
    looked_for: AtomicBool,
    entity: Entity,
    identity: Identity,
    beside: PerCoding<Option<Identity>>,
}

/// What is in memory of it.
struct InMemory {
    coded: PerCoding<Option<Bytes>>,
    /// Nothing more could be.
    complete: bool,
}

impl Library {
    /// With where it orders what is to be compressed.
    pub(super) fn ordering(orders: mpsc::Sender<Order>) -> Self {
        Self {
            access: Access::default(),
            shelf: Shelf::new(ROOM),
            known: Mutex::new(LruCache::new(MOST_KNOWN)),
            orders,
        }
    }

    /// Answers at once with what there is; a compressed form that is missing is ordered.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// Nothing is there, or it cannot be reached in time.
    pub async fn find(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        now: Instant,
    ) -> Result<Found, FileError> {
        let Wanted {
            instance,
            place,
            conditions,
            cache_control,
        } = wanted;
        if let Some(known) = self.fresh(&place, now) {
            let memory = self.in_memory(&known);
            let reply = known.reply(&conditions, &memory, cache_control);
            if let Some(content) = memory.content(reply.part) {
                self.order(instance, &place, &known, &conditions, &memory);
                return Ok(Found::File(reply, content));
            }
        }
        let look = {
            let (library, place, conditions) =
                (Arc::clone(self), place.clone(), conditions.clone());
            let cache_control = cache_control.map(str::to_owned);
            move || library.look(&place, &conditions, cache_control.as_deref(), now)
        };
        let (found, known) = self.access.run(instance, look).await??;
        if let Some(known) = known {
            let memory = self.in_memory(&known);
            self.order(instance, &place, &known, &conditions, &memory);
        }
        Ok(found)
    }

    /// Reads on in a file: up to `length` bytes, as many as are read at once.
    ///
    /// # Errors
    /// The file has become shorter than promised, or its volume hangs.
    pub async fn read(
        &self,
        instance: &str,
        file: &Arc<OpenFile>,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, FileError> {
        let file = Arc::clone(file);
        let call = move || read_some(&file, offset, length).map_err(RootError::Io);
        Ok(self.access.run(instance, call).await??)
    }

    /// Blocking.
    fn look(
        &self,
        place: &Place,
        conditions: &Conditions,
        cache_control: Option<&str>,
        now: Instant,
    ) -> Result<(Found, Option<Arc<Known>>), RootError> {
        let (file, mut beside) = match place.open()? {
            Opened::File { file, beside } => (file, beside),
            Opened::FolderWithoutSlash => return Ok((Found::FolderWithoutSlash, None)),
            Opened::Listing(listing) => return Ok((Found::Listing(listing), None)),
        };
        let known = Arc::new(Known::new(place, &file, &beside, now));
        if place.size() <= LONGEST_KNOWN {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            all.put(place.clone(), Arc::clone(&known));
        }
        let memory = self.in_memory(&known);
        let reply = known.reply(conditions, &memory, cache_control);
        let content = match (memory.content(reply.part), reply.part) {
            (Some(content), _) => content,
            (None, None) => Content::Nothing,
            (None, Some(Part { coding, slice })) => {
                let coded = coding.and_then(|coding| beside.of_mut(coding).take());
                let file = coded.unwrap_or(file);
                let first = read_some(&file, slice.offset, slice.length);
                Content::Disk {
                    first: first.map_err(RootError::Io)?,
                    file: Arc::new(file),
                    slice,
                }
            }
        };
        Ok((Found::File(reply, content), Some(known)))
    }

    fn fresh(&self, place: &Place, now: Instant) -> Option<Arc<Known>> {
        // Nothing that locks it panics half-way.
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(place)?;
        known.may_be_shown(now).then(|| Arc::clone(known))
    }

    fn in_memory(&self, known: &Known) -> InMemory {
        let mut memory = InMemory {
            coded: PerCoding::default(),
            complete: true,
        };
        if !known.entity.is_compressible() {
            return memory;
        }
        let own = self.shelf.forms(&known.identity).unwrap_or_default();
        let is_worth_it = is_of_size(&known.identity);
        for coding in Coding::ALL {
            let (bytes, complete) = match known.beside.of(coding) {
                Some(beside) => {
                    let bytes = self.shelf.forms(beside).and_then(|forms| forms.itself);
                    let complete = bytes.is_some() || beside.length() > LARGEST;
                    (bytes, complete)
                }
                None => {
                    let complete = *own.tried.of(coding) || !is_worth_it;
                    (own.coded.of(coding).clone(), complete)
                }
            };
            *memory.coded.of_mut(coding) = bytes;
            memory.complete &= complete;
        }
        memory
    }

    /// Only what somebody wants is made.
    fn order(
        &self,
        instance: &str,
        place: &Place,
        known: &Known,
        conditions: &Conditions,
        memory: &InMemory,
    ) {
        let wanted = conditions.wants_body && conditions.accepted.accepts_any_coding();
        if memory.complete || !wanted || !self.shelf.order(known.identity) {
            return;
        }
        let order = Order {
            instance: instance.to_owned(),
            place: place.clone(),
            file: known.identity,
        };
        if self.orders.try_send(order).is_err() {
            self.shelf.settle(&known.identity);
        }
    }
}

impl Known {
    fn new(
        place: &Place,
        file: &OpenFile,
        beside: &PerCoding<Option<OpenFile>>,
        now: Instant,
    ) -> Self {
        let version = |coding| {
            let beside = beside.of(coding).as_ref();
            beside.map(|beside| beside.version.clone())
        };
        Self {
            looked_at: now,
            looked_for: AtomicBool::new(false),
            entity: Entity::new(
                &place.name(),
                file.length,
                file.modified,
                &file.version,
                version,
            ),
            identity: file.identity,
            beside: PerCoding::from_fn(|coding| {
                let beside = beside.of(coding).as_ref();
                beside.map(|beside| beside.identity)
            }),
        }
    }

    /// Whether what was seen is good enough. The first to whom it is not has to look again.
    fn may_be_shown(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.looked_at);
        age < FRESH || (age < STALE && self.looked_for.swap(true, Ordering::Relaxed))
    }

    fn reply(
        &self,
        conditions: &Conditions,
        memory: &InMemory,
        cache_control: Option<&str>,
    ) -> Reply {
        let at_hand = |coding| {
            let bytes = memory.coded.of(coding).as_ref();
            bytes
                .map(|bytes| bytes.len() as u64)
                .or_else(|| self.beside.of(coding).map(|beside| beside.length()))
        };
        reply(conditions, &self.entity, at_hand, cache_control)
    }
}

impl InMemory {
    /// The body of an answer, without a copy; `None` where it has to be read.
    fn content(&self, part: Option<Part>) -> Option<Content> {
        let Some(Part { coding, slice }) = part else {
            return Some(Content::Nothing);
        };
        let bytes = self.coded.of(coding?).as_ref()?;
        let begin = usize::try_from(slice.offset).ok()?;
        let end = begin.checked_add(usize::try_from(slice.length).ok()?)?;
        (end <= bytes.len()).then(|| Content::Memory(bytes.slice(begin..end)))
    }
}

fn read_some(file: &OpenFile, offset: u64, length: u64) -> io::Result<Bytes> {
    read(file, offset, usize::try_from(length.min(READ)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use http::{HeaderMap, Method};

    use super::*;
    use crate::shutdown;

    fn wanted<'a>(instance: &'a str, folder: &Path, accept: &str) -> Wanted<'a> {
        let mut fields = HeaderMap::new();
        fields.insert("accept-encoding", accept.parse().expect("a value"));
        Wanted {
            instance,
            place: Place::of_file(&folder.into(), Path::new("a.js")),
            conditions: Conditions::parse(&Method::GET, &fields),
            cache_control: None,
        }
    }

    async fn in_memory(
        library: &Arc<Library>,
        instance: &str,
        folder: &Path,
        now: Instant,
    ) -> Option<Bytes> {
        let wanted = wanted(instance, folder, "gzip");
        match library.find(wanted, now).await.expect("found") {
            Found::File(_, Content::Memory(bytes)) => Some(bytes),
            _ => None,
        }
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "files have real times")]
    async fn instances_that_ship_the_same_file_share_one_form_of_it() {
        let (library, workshop) = Library::new();
        let (stop, going) = shutdown::channel();
        let mut tasks = shutdown::Tasks::default();
        tasks.spawn("workshop", workshop.run(going));
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        for folder in &folders {
            fs::write(folder.path().join("a.js"), "let a = 1;\n".repeat(1000)).expect("written");
        }
        let mut forms = Vec::new();
        for (instance, folder) in ["one", "other"].iter().zip(&folders) {
            let first = in_memory(&library, instance, folder.path(), Instant::now()).await;
            assert!(first.is_none(), "at once, as it is");
            let form = loop {
                match in_memory(&library, instance, folder.path(), Instant::now()).await {
                    Some(form) => break form,
                    None => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            forms.push(form);
        }
        assert_eq!(forms[0].as_ptr(), forms[1].as_ptr(), "the very same bytes");

        // Within the second nobody touches the disk: what is in memory is enough.
        let now = Instant::now();
        assert!(
            in_memory(&library, "one", folders[0].path(), now)
                .await
                .is_some()
        );
        let folder = folders[0].path().to_owned();
        fs::remove_dir_all(&folder).expect("removed");
        let again = in_memory(&library, "one", &folder, now).await;
        assert_eq!(again.map(|bytes| bytes.as_ptr()), Some(forms[0].as_ptr()));
        let later = now + STALE;
        let gone = library.find(wanted("one", &folder, "gzip"), later).await;
        assert!(gone.is_err(), "{gone:?}");
        stop.begin();
        tasks.finished().await;
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "the beginning of a made-up time")]
    async fn a_file_is_looked_at_once_a_second_by_one_visitor() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.js"), "one").expect("written");
        let (library, _workshop) = Library::new();
        let place = wanted("one", folder.path(), "").place;
        let then = Instant::now();
        let at = |seconds: f32| then + Duration::from_secs_f32(seconds);
        assert!(library.fresh(&place, then).is_none(), "never seen");
        let found = library.find(wanted("one", folder.path(), ""), then).await;
        assert!(found.is_ok());
        assert!(library.fresh(&place, at(0.9)).is_some());
        assert!(
            library.fresh(&place, at(1.1)).is_none(),
            "the one who looks"
        );
        assert!(library.fresh(&place, at(1.2)).is_some(), "the others");
        assert!(
            library.fresh(&place, at(3.1)).is_none(),
            "nobody has come back"
        );
    }
}

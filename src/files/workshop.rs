//! Compresses files for the library: one at a time, off the request path, on a thread that yields
//! to everything else.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::compress::compress;
use super::library::Library;
use super::negotiate::{Coding, PerCoding};
use super::order::{LARGEST, Order, is_of_size};
use super::place::{Opened, Place};
use super::root::{Identity, OpenFile, read};
use super::shelf::ContentKey;
use crate::shutdown::Shutdown;

/// Files that may wait to be compressed. One that does not fit is ordered by its next visitor.
const MOST_ORDERS: usize = 256;
/// A file that was changed less than this ago may change again without a trace: file systems count
/// time in steps of up to two seconds.
const SETTLED: Duration = Duration::from_secs(2);
/// What is done first is there first: gzip takes a tenth of a second per megabyte, brotli two.
const IN_ORDER: [Coding; 3] = [Coding::Gzip, Coding::Zstd, Coding::Brotli];
/// The weakest claim to the processor that there is.
const NICE: i32 = 19;

/// The one who compresses.
#[derive(Debug)]
pub struct Workshop {
    library: Arc<Library>,
    orders: mpsc::Receiver<Order>,
}

/// A whole file in memory.
struct Whole {
    file: Identity,
    key: ContentKey,
    content: Bytes,
}

struct Read {
    itself: Option<Whole>,
    beside: PerCoding<Option<Whole>>,
}

impl Library {
    /// With the one who compresses for it.
    pub fn new() -> (Arc<Self>, Workshop) {
        let (orders, ordered) = mpsc::channel(MOST_ORDERS);
        let library = Arc::new(Self::ordering(orders));
        let workshop = Workshop {
            library: Arc::clone(&library),
            orders: ordered,
        };
        (library, workshop)
    }
}

impl Workshop {
    /// Works until shutdown.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        loop {
            let order = tokio::select! {
                biased;
                () = shutdown.begun() => return,
                order = self.orders.recv() => order,
            };
            let Some(order) = order else {
                return;
            };
            let file = order.file;
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                () = carry_out(&self.library, order) => {}
            }
            self.library.shelf.settle(&file);
        }
    }
}

async fn carry_out(library: &Arc<Library>, order: Order) {
    let Order {
        instance,
        place,
        file,
    } = order;
    let wall = now();
    let read = move || read_whole(&place, file, wall);
    // The reading takes the share of the instance, and hangs as its requests do.
    let read = match library.access.run(&instance, read).await {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(error) => {
            debug!(%instance, %error, "a file is not compressed");
            return;
        }
    };
    let Read { itself, beside } = read;
    for coding in Coding::ALL {
        if let Some(Whole { file, key, content }) = beside.of(coding) {
            let there = library.shelf.learn(*file, *key);
            if there.is_none_or(|forms| forms.itself.is_none()) {
                let content = content.clone();
                library
                    .shelf
                    .put(*key, |forms| forms.itself = Some(content));
            }
        }
    }
    let Some(Whole { file, key, content }) = itself else {
        return;
    };
    let there = library.shelf.learn(file, key).unwrap_or_default();
    let missing = |coding: &Coding| beside.of(*coding).is_none() && !there.tried.of(*coding);
    let missing: Vec<_> = IN_ORDER.into_iter().filter(missing).collect();
    let length = content.len();
    let mut made = in_background(content, missing);
    while let Some((coding, bytes)) = made.recv().await {
        debug!(%instance, coding = coding.token(), before = length, after = bytes.len(), "compressed");
        // What saves less than a twentieth costs the client more than it saves.
        let worth_it = bytes.len() < length - length / 20;
        library.shelf.put(key, |forms| {
            *forms.tried.of_mut(coding) = true;
            *forms.coded.of_mut(coding) = worth_it.then_some(bytes);
        });
    }
}

/// Compresses on a thread of its own, which ends early when nobody listens any more.
fn in_background(content: Bytes, codings: Vec<Coding>) -> mpsc::Receiver<(Coding, Bytes)> {
    let (sender, receiver) = mpsc::channel(Coding::ALL.len());
    if codings.is_empty() {
        return receiver;
    }
    let work = move || {
        // On Linux this is about the calling thread. Without it, it is only less polite.
        let _ = rustix::process::nice(NICE);
        for coding in codings {
            let bytes = match compress(coding, &content, &|| sender.is_closed()) {
                Ok(Some(bytes)) => Bytes::from(bytes.into_boxed_slice()),
                Ok(None) => return,
                Err(error) => {
                    warn!(coding = coding.token(), %error, "a file cannot be compressed");
                    continue;
                }
            };
            if sender.blocking_send((coding, bytes)).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("files-compress".to_owned());
    if let Err(error) = thread.spawn(work) {
        warn!(%error, "no thread to compress files on");
    }
    receiver
}

/// The file and what lies beside it; `None` when it has changed or may be changing. Blocking.
fn read_whole(place: &Place, file: Identity, now: SystemTime) -> Option<Read> {
    let Ok(Opened::File {
        file: itself,
        beside,
    }) = place.open()
    else {
        return None;
    };
    if itself.identity != file {
        return None;
    }
    let whole = |file: &OpenFile| Whole::read(file, now);
    Some(Read {
        itself: is_of_size(&file).then(|| whole(&itself)).flatten(),
        beside: PerCoding::from_fn(|coding| {
            let beside = beside.of(coding).as_ref();
            beside
                .filter(|beside| beside.length <= LARGEST)
                .and_then(whole)
        }),
    })
}

impl Whole {
    fn read(file: &OpenFile, now: SystemTime) -> Option<Self> {
        // A clock that is behind gives an age of zero, and the file waits for its next visitor.
        let age = now
            .duration_since(file.identity.changed())
            .unwrap_or_default();
        if age < SETTLED {
            return None;
        }
        let content = read(file, 0, usize::try_from(file.length).ok()?).ok()?;
        if !file.is_unchanged() {
            return None;
        }
        let key = digest(&SHA256, &content).as_ref().try_into().ok()?;
        Some(Self {
            file: file.identity,
            key,
            content,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the age of files")]
fn now() -> SystemTime {
    SystemTime::now()
}

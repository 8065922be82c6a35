//! Forms of files in memory: made once, bounded, shared by everyone who has the same content.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lru::LruCache;

use super::negotiate::{Coding, PerCoding};
use super::root::Identity;

/// The SHA-256 of a content. Instances share what is under it, so no tenant may be able to write
/// two contents with one key.
pub(super) type ContentKey = [u8; 32];

/// Files whose content is known: about 100 bytes each.
const MOST_FILES: NonZeroUsize = NonZeroUsize::new(32 * 1024).expect("not zero");
/// What a content costs beside its bytes.
const OVERHEAD: usize = 512;

/// The forms that there are of one content.
#[derive(Clone, Debug, Default)]
pub(super) struct Forms {
    pub(super) coded: PerCoding<Option<Bytes>>,
    /// The content itself, where it is what somebody else's content is in a coding.
    pub(super) itself: Option<Bytes>,
    /// Codings that were made; one that is not there all the same is not worth having.
    pub(super) tried: PerCoding<bool>,
}

/// The memory of all instances.
#[derive(Debug)]
pub(super) struct Shelf {
    room: usize,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    keys: LruCache<Identity, ContentKey>,
    forms: LruCache<ContentKey, Forms>,
    /// Bytes of all forms, and what they cost beside.
    bytes: usize,
    /// Files that are waited for; as many as fit into the queue.
    ordered: HashSet<Identity>,
}

impl Shelf {
    /// With room for this many bytes.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            held: Mutex::new(Held {
                keys: LruCache::new(MOST_FILES),
                forms: LruCache::unbounded(),
                bytes: 0,
                ordered: HashSet::new(),
            }),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that locks it panics half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The forms of a file's content, and that it was of use.
    pub(super) fn forms(&self, file: &Identity) -> Option<Forms> {
        let held = &mut *self.held();
        let key = held.keys.get(file)?;
        held.forms.get(key).cloned()
    }

    /// What has been learnt: that a file has this content. Gives what there is of it.
    pub(super) fn learn(&self, file: Identity, key: ContentKey) -> Option<Forms> {
        let held = &mut *self.held();
        held.keys.put(file, key);
        held.forms.get(&key).cloned()
    }

    /// Adds forms to a content; what was used least goes for it. What would take more than a quarter
    /// of all room is not kept.
    pub(super) fn put(&self, key: ContentKey, change: impl FnOnce(&mut Forms)) {
        let held = &mut *self.held();
        let before = held.forms.pop(&key);
        held.bytes -= before.as_ref().map_or(0, Forms::cost);
        let mut forms = before.unwrap_or_default();
        change(&mut forms);
        if forms.cost() > self.room / 4 {
            forms = Forms {
                tried: PerCoding::from_fn(|_| true),
                ..Forms::default()
            };
        }
        held.bytes += forms.cost();
        held.forms.put(key, forms);
        while held.bytes > self.room {
            let Some((_, oldest)) = held.forms.pop_lru() else {
                return;
            };
            held.bytes -= oldest.cost();
        }
    }

    /// Notes that a file is waited for; false when it is already.
    pub(super) fn order(&self, file: Identity) -> bool {
        self.held().ordered.insert(file)
    }

    /// The order is done, or never will be.
    pub(super) fn settle(&self, file: &Identity) {
        self.held().ordered.remove(file);
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.held().bytes
    }
}

impl Forms {
    /// Bytes of memory.
    fn cost(&self) -> usize {
        let coded = Coding::ALL
            .into_iter()
            .filter_map(|coding| self.coded.of(coding).as_ref());
        let bytes: usize = coded.chain(&self.itself).map(Bytes::len).sum();
        bytes + OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::root::{Found, Root};

    /// Identities of as many files as are asked for.
    fn files(count: usize) -> Vec<Identity> {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::open(&folder.path().into(), "".as_ref()).expect("a root");
        let file = |number: usize| {
            let name = number.to_string();
            std::fs::write(folder.path().join(&name), &name).expect("written");
            match root.find(name.as_ref()) {
                Ok(Found::File(file)) => file.identity,
                other => panic!("{other:?}"),
            }
        };
        (0..count).map(file).collect()
    }

    fn put(shelf: &Shelf, key: u8, coding: Coding, length: usize) {
        shelf.put([key; 32], |forms| {
            *forms.coded.of_mut(coding) = Some(vec![key; length].into());
        });
    }

    #[test]
    fn two_files_of_one_content_share_its_forms() {
        let files = files(2);
        let shelf = Shelf::new(1 << 20);
        assert!(shelf.learn(files[0], [1; 32]).is_none());
        put(&shelf, 1, Coding::Brotli, 100);
        let before = shelf.bytes();
        assert!(shelf.learn(files[1], [1; 32]).is_some());
        let one = shelf.forms(&files[0]).expect("forms");
        let other = shelf.forms(&files[1]).expect("forms");
        let bytes = |forms: &Forms| forms.coded.of(Coding::Brotli).as_ref().map(|b| b.as_ptr());
        assert_eq!(bytes(&one), bytes(&other), "the same bytes");
        assert_eq!(shelf.bytes(), before);
    }

    #[test]
    fn what_was_used_least_goes_when_the_room_is_full() {
        let files = files(5);
        let shelf = Shelf::new(10_000);
        for (key, file) in (0_u8..).zip(&files) {
            shelf.learn(*file, [key; 32]);
        }
        for key in 0..4 {
            put(&shelf, key, Coding::Gzip, 1_900);
        }
        assert!(shelf.forms(&files[0]).is_some(), "used again");
        put(&shelf, 4, Coding::Gzip, 1_900);
        assert!(shelf.bytes() <= 10_000);
        let there: Vec<_> = files
            .iter()
            .map(|file| shelf.forms(file).is_some())
            .collect();
        assert_eq!(there, [true, false, true, true, true]);
    }

    #[test]
    fn memory_is_bounded_whatever_is_put_in() {
        let shelf = Shelf::new(10_000);
        for turn in 0..=255 {
            for coding in Coding::ALL {
                put(&shelf, turn, coding, usize::from(turn) * 20);
                assert!(shelf.bytes() <= 10_000, "{} bytes", shelf.bytes());
            }
        }
        let empty = Shelf::new(10_000);
        for key in 0..200 {
            empty.put([key; 32], |forms| {
                forms.tried = PerCoding::from_fn(|_| true)
            });
        }
        assert!(empty.held().forms.len() <= 20, "nothing is not free");
    }

    #[test]
    fn one_content_does_not_take_all_room() {
        let files = files(1);
        let shelf = Shelf::new(10_000);
        shelf.learn(files[0], [1; 32]);
        put(&shelf, 1, Coding::Gzip, 2_600);
        let forms = shelf.forms(&files[0]).expect("known");
        assert!(forms.coded.of(Coding::Gzip).is_none());
        assert!(*forms.tried.of(Coding::Gzip), "and is not made again");
    }

    #[test]
    fn a_file_is_ordered_once_until_it_is_settled() {
        let files = files(1);
        let shelf = Shelf::new(10_000);
        assert!(shelf.order(files[0]));
        assert!(!shelf.order(files[0]));
        shelf.settle(&files[0]);
        assert!(shelf.order(files[0]));
    }
}

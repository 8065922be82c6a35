//! Everybody who waits in some line, over all stacks, and who is sent away when they are too many.
//!
//! A newcomer is always taken, and whoever has waited longest goes in its place: of all who wait it
//! has the least patience left, its client is the nearest to giving up by itself, and it would be
//! told the same a moment later. Its rank does not matter here. Ranks say who is served first, so a
//! write that could be served does not grow old; were the lowest rank sent away first, the pages of a
//! site would all fail as long as its websockets fill the room.
//!
//! Where all stacks together are too many, the stack that holds the most gives up one of its own. A
//! storm at one tenant thus ends in that tenant's line, and whoever holds less than others loses
//! nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Requests and handshakes of one stack that are held at a time: the largest hall, all of it at
/// once, waits for its replicas. Both numbers are those of the design of admission (autoscaling,
/// §2.5).
const MOST_OF_STACK: usize = 10_000;
/// Of all stacks. Each costs here a ticket and an entry, beside its request and its connection.
const MOST: usize = 50_000;

/// Everybody who is held.
#[derive(Debug)]
pub(super) struct Held {
    most_of_stack: usize,
    most: usize,
    stacks: AtomicU64,
    room: Mutex<Room>,
}

/// Where those of one service are counted, or those of an instance who wait for none in particular.
#[derive(Debug)]
pub struct Holding {
    all: Arc<Held>,
    stack: Stack,
    count: AtomicU32,
}

/// One who is held, until it is dropped. Counted once, in however many lines it stands.
#[must_use]
#[derive(Debug)]
pub struct Stay {
    place: Place,
    ticket: Arc<Ticket>,
}

type Stack = u64;

/// By the beginning of the request, as its patience is: who moves from line to line grows no younger.
type Place = (Instant, u64);

#[derive(Debug)]
struct Ticket {
    holding: Arc<Holding>,
    bell: Notify,
}

/// Holds at most as many as there is room for whenever nobody has it locked.
#[derive(Debug, Default)]
struct Room {
    next: u64,
    total: usize,
    /// Of each stack that holds anybody.
    places: HashMap<Stack, BTreeMap<Place, Arc<Ticket>>>,
    /// How many those are, so that the most are found at once.
    sizes: BTreeSet<(usize, Stack)>,
}

impl Default for Held {
    fn default() -> Self {
        Self::bounded(MOST_OF_STACK, MOST)
    }
}

impl Held {
    fn bounded(most_of_stack: usize, most: usize) -> Self {
        Self {
            most_of_stack,
            most,
            stacks: AtomicU64::default(),
            room: Mutex::default(),
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        // Nothing that is done under the lock panics halfway.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stack that was not known before.
    pub(super) fn stack(self: &Arc<Self>) -> Holding {
        Holding {
            all: Arc::clone(self),
            stack: self.stacks.fetch_add(1, Ordering::Relaxed),
            count: AtomicU32::default(),
        }
    }

    /// Takes one more of this stack, and out whoever has to go for it.
    fn take(
        &self,
        stack: Stack,
        began: Instant,
        ticket: &Arc<Ticket>,
    ) -> (Place, Option<Arc<Ticket>>) {
        let mut room = self.room();
        room.next += 1;
        let place = (began, room.next);
        room.insert(stack, place, Arc::clone(ticket));
        let own = room.of(stack);
        let loses = if own > self.most_of_stack {
            Some(stack)
        } else if room.total > self.most {
            let fullest = room.sizes.last().copied();
            // Of those that hold the most it is rather the one that wants more.
            let other = fullest.filter(|(size, _)| *size > own);
            Some(other.map_or(stack, |(_, fullest)| fullest))
        } else {
            None
        };
        let out = loses.and_then(|stack| {
            let oldest = *room.places.get(&stack)?.first_key_value()?.0;
            room.remove(stack, oldest)
        });
        (place, out)
    }
}

impl Room {
    fn of(&self, stack: Stack) -> usize {
        self.places.get(&stack).map_or(0, BTreeMap::len)
    }

    fn insert(&mut self, stack: Stack, place: Place, ticket: Arc<Ticket>) {
        let places = self.places.entry(stack).or_default();
        let before = places.len();
        places.insert(place, ticket);
        self.total += 1;
        self.sizes.remove(&(before, stack));
        self.sizes.insert((before + 1, stack));
    }

    /// `None`: it was sent away before.
    fn remove(&mut self, stack: Stack, place: Place) -> Option<Arc<Ticket>> {
        let places = self.places.get_mut(&stack)?;
        let before = places.len();
        let ticket = places.remove(&place)?;
        self.total -= 1;
        self.sizes.remove(&(before, stack));
        if before > 1 {
            self.sizes.insert((before - 1, stack));
        } else {
            self.places.remove(&stack);
        }
        Some(ticket)
    }
}

impl Default for Holding {
    fn default() -> Self {
        Arc::<Held>::default().stack()
    }
}

impl Holding {
    /// For others of the same stack, who are counted by themselves.
    pub(super) fn beside(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            stack: self.stack,
            count: AtomicU32::default(),
        }
    }

    /// How many are held. Who was sent away is none of them, whether it has left or not.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Holds one more, whose request began then. Somebody may have to go for it, the newcomer itself
    /// if nobody's request is older.
    pub fn hold(self: &Arc<Self>, began: Instant) -> Stay {
        let ticket = Arc::new(Ticket {
            holding: Arc::clone(self),
            bell: Notify::new(),
        });
        self.count.fetch_add(1, Ordering::AcqRel);
        let (place, out) = self.all.take(self.stack, began, &ticket);
        if let Some(out) = out {
            out.holding.count.fetch_sub(1, Ordering::AcqRel);
            out.bell.notify_one();
        }
        Stay { place, ticket }
    }
}

impl Stay {
    /// Until it is sent away, if it ever is. Cancel safe, and true once.
    pub async fn sent_away(&self) {
        self.ticket.bell.notified().await;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let holding = &self.ticket.holding;
        // Who was sent away is not there any more, and not counted.
        let left = holding.all.room().remove(holding.stack, self.place);
        if left.is_some() {
            holding.count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests;

//! A line of those who wait for a place, and who is told when there may be one.
//!
//! A word is a hint, never a place: whoever is told tries again, and waits on if somebody was
//! faster. Words are given in the order of [`Rank`], then of arrival, and each is passed on when
//! its taker is done, so that a replica that has just become ready meets them one after the other
//! and not all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Who goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rank {
    /// What somebody has done already: a vote, a form.
    Write,
    /// A websocket, which every open page needs.
    Upgrade,
    /// Everything that can be asked again.
    Read,
}

/// A line.
#[derive(Debug, Default)]
pub struct Line {
    length: AtomicU32,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<Place, Waiter>,
    /// Those of them who have no word in hand: the next is found among thousands who have.
    untold: BTreeSet<Place>,
}

impl Queue {
    /// Who has waited longest of this rank.
    fn first(&self, rank: Rank) -> Option<&Waiter> {
        let mut all = self.waiting.range((rank, 0)..=(rank, u64::MAX));
        all.next().map(|(_, waiter)| waiter)
    }
}

type Place = (Rank, u64);

#[derive(Debug)]
struct Waiter {
    since: Instant,
    bell: Arc<Notify>,
}

/// One place in the line, until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Waiting {
    line: Arc<Line>,
    place: Place,
    bell: Arc<Notify>,
}

/// The word of one who was told and got what it waited for. Dropping it passes it on.
#[must_use]
#[derive(Debug)]
pub struct Turn(Arc<Line>);

impl Line {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every change below is a single step, so a poisoned queue holds nothing half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub fn length(&self) -> u32 {
        self.length.load(Ordering::Acquire)
    }

    /// Takes a place. How many do is bounded by [`Holding`](super::Holding), over all lines.
    pub fn join(self: &Arc<Self>, rank: Rank, now: Instant) -> Waiting {
        self.length.fetch_add(1, Ordering::AcqRel);
        let bell = Arc::new(Notify::new());
        let mut queue = self.queue();
        queue.next += 1;
        let place = (rank, queue.next);
        let waiter = Waiter {
            since: now,
            bell: Arc::clone(&bell),
        };
        queue.waiting.insert(place, waiter);
        queue.untold.insert(place);
        drop(queue);
        Waiting {
            line: Arc::clone(self),
            place,
            bell,
        }
    }

    /// Whether anybody of this rank waits.
    pub fn holds(&self, rank: Rank) -> bool {
        self.length() > 0 && self.queue().first(rank).is_some()
    }

    /// How long the one has waited who has waited longest.
    pub fn longest(&self, now: Instant) -> Duration {
        if self.length() == 0 {
            return Duration::ZERO;
        }
        let queue = self.queue();
        let firsts = [Rank::Write, Rank::Upgrade, Rank::Read].map(|rank| queue.first(rank));
        let since = firsts
            .into_iter()
            .flatten()
            .map(|waiter| waiter.since)
            .min();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Tells the first so many of those who have not been told.
    pub fn tell(&self, many: usize) {
        if self.length() == 0 {
            return;
        }
        let mut queue = self.queue();
        for _ in 0..many {
            let Some(next) = queue.untold.pop_first() else {
                return;
            };
            if let Some(waiter) = queue.waiting.get(&next) {
                waiter.bell.notify_one();
            }
        }
    }
}

impl Waiting {
    /// Until somebody says that there may be a place. Cancel safe.
    pub async fn told(&self) {
        self.bell.notified().await;
    }

    /// It was in vain: waits for another word, in the same place.
    pub fn again(&self) {
        self.line.queue().untold.insert(self.place);
    }

    /// Leaves the line with what it waited for. The next tries at once: of two words that came
    /// while one waited, the second has reached nobody.
    pub fn leave(self) {
        self.again();
        let line = Arc::clone(&self.line);
        drop(self);
        line.tell(1);
    }

    /// Leaves the line with what it waited for. The word is passed on when the turn ends.
    pub fn served(self) -> Turn {
        let turn = Turn(Arc::clone(&self.line));
        // Its word goes on with the turn, and not when it leaves the line.
        self.again();
        turn
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.line.queue();
        queue.waiting.remove(&self.place);
        let told = !queue.untold.remove(&self.place);
        drop(queue);
        self.line.length.fetch_sub(1, Ordering::AcqRel);
        if told {
            // Its patience ended, or its client left, with a word in hand.
            self.line.tell(1);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.tell(1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_told(waiting: &Waiting) -> bool {
        waiting.told().now_or_never().is_some()
    }

    #[test]
    fn what_somebody_has_done_goes_first_then_websockets_then_the_rest() {
        let line = Arc::new(Line::default());
        let join = |rank| line.join(rank, Instant::now());
        let read = join(Rank::Read);
        let upgrade = join(Rank::Upgrade);
        let write = join(Rank::Write);
        let later = join(Rank::Write);
        for waiting in [&write, &later, &upgrade, &read] {
            line.tell(1);
            assert!(is_told(waiting), "{waiting:?}");
        }
        assert_eq!(line.length(), 4);
        drop((read, upgrade, write, later));
        assert_eq!(line.length(), 0);
    }

    #[test]
    fn a_word_is_passed_on_when_its_taker_is_done_and_not_before() {
        let line = Arc::new(Line::default());
        let first = line.join(Rank::Read, Instant::now());
        let second = line.join(Rank::Read, Instant::now());
        line.tell(1);
        assert!(is_told(&first));
        let turn = first.served();
        assert!(!is_told(&second));
        drop(turn);
        assert!(is_told(&second));
    }

    #[test]
    fn a_word_to_one_who_leaves_is_not_lost() {
        let line = Arc::new(Line::default());
        let first = line.join(Rank::Read, Instant::now());
        let second = line.join(Rank::Read, Instant::now());
        line.tell(1);
        drop(first);
        assert!(is_told(&second));
    }

    #[test]
    fn one_who_came_too_late_waits_on_in_its_place() {
        let line = Arc::new(Line::default());
        let first = line.join(Rank::Read, Instant::now());
        let second = line.join(Rank::Read, Instant::now());
        line.tell(1);
        assert!(is_told(&first));
        first.again();
        line.tell(1);
        assert!(is_told(&first) && !is_told(&second));
    }

    #[test]
    fn the_longest_wait_is_that_of_any_rank() {
        let line = Arc::new(Line::default());
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(line.longest(after(9)), Duration::ZERO);
        let read = line.join(Rank::Read, start);
        let write = line.join(Rank::Write, after(2));
        assert!(line.holds(Rank::Write) && !line.holds(Rank::Upgrade));
        assert_eq!(line.longest(after(9)), Duration::from_secs(9));
        drop(read);
        assert_eq!(line.longest(after(9)), Duration::from_secs(7));
        drop(write);
        assert!(!line.holds(Rank::Write));
    }

    #[test]
    fn ten_thousand_who_are_all_told_leave_as_quickly_one_by_one() {
        let line = Arc::new(Line::default());
        let began = Instant::now();
        let all: Vec<_> = (0..10_000).map(|_| line.join(Rank::Read, began)).collect();
        line.tell(usize::MAX);
        let last = line.join(Rank::Read, began);
        drop(all);
        let took = began.elapsed();
        assert!(is_told(&last));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

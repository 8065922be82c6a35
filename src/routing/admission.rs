//! How much of one service may be under way at a time: handshakes, and requests that workers answer.
//!
//! Both have a window of their own, so that a storm of handshakes never stands before a request.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::line::{Line, Rank};
use super::window::{Hands, Window};

/// What is under way, who waits for it, and the window.
#[derive(Debug, Default)]
pub(super) struct Admission {
    window: Mutex<Window>,
    handshakes: AtomicU32,
    requests: AtomicU32,
    /// Websockets that wait for a place.
    pub(super) seats: Arc<Line>,
    /// Requests that wait for one.
    pub(super) calls: Arc<Line>,
}

impl Admission {
    fn window(&self) -> MutexGuard<'_, Window> {
        // Every change is whole: good after a panic as well.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew where others answer than before.
    pub(super) fn serves(&self, workers: Option<u32>) {
        let hands = match workers {
            Some(_) => Hands::Workers,
            None => Hands::Replicas,
        };
        let mut window = self.window();
        if window.hands() != hands {
            *window = Window::new(hands);
        }
    }

    /// Handshakes that may be under way with so many who answer.
    pub(super) fn most(&self, hands: u32) -> u32 {
        self.window().most(hands)
    }

    /// Counts a handshake, until the value is dropped, unless there are too many or somebody's write
    /// waits: what was done already goes first.
    pub(super) fn handshake(self: &Arc<Self>, hands: u32) -> Option<Shaking> {
        let most = self.most(hands);
        let free = !self.calls.holds(Rank::Write) && below(&self.handshakes, most);
        if !free {
            self.window().was_full();
            return None;
        }
        Some(Shaking(Arc::clone(self)))
    }

    /// Counts a request with the workers, until the value is dropped, unless there are so many.
    pub(super) fn request(self: &Arc<Self>, most: u32) -> Option<Working> {
        below(&self.requests, most).then(|| Working(Arc::clone(self)))
    }

    /// Counts one in any case: it was let in before.
    pub(super) fn request_let_in(self: &Arc<Self>) -> Working {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Working(Arc::clone(self))
    }

    /// Whether one more request could be counted.
    pub(super) fn has_room(&self, most: u32) -> bool {
        self.requests.load(Ordering::Acquire) < most
    }

    pub(super) fn answered_handshake(&self, took: Duration) {
        self.window().answered(1, took);
    }

    pub(super) fn pushed_back(&self) {
        self.window().pushed_back();
    }

    /// So much time has passed.
    pub(super) fn pass(&self, time: Duration) {
        self.window().pass(time);
    }

    /// How long the one has waited who has waited longest.
    pub(super) fn longest_wait(&self, now: Instant) -> Duration {
        self.seats.longest(now).max(self.calls.longest(now))
    }
}

/// Counts one more, if fewer than `most` are.
fn below(count: &AtomicU32, most: u32) -> bool {
    let more = |now| (now < most).then_some(now + 1);
    count
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
        .is_ok()
}

/// One handshake under way.
#[must_use]
#[derive(Debug)]
pub(super) struct Shaking(Arc<Admission>);

impl Drop for Shaking {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::AcqRel);
        self.0.seats.tell(1);
    }
}

/// One request that workers have not begun to answer.
#[must_use]
#[derive(Debug)]
pub struct Working(Arc<Admission>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.calls.tell(1);
        // Handshakes give way to writes, and this may have been the last.
        self.0.seats.tell(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(workers: Option<u32>) -> Arc<Admission> {
        let admission = Arc::new(Admission::default());
        admission.serves(workers);
        admission
    }

    #[test]
    fn a_window_is_exact_and_places_are_given_back() {
        let admission = admission(Some(2));
        let mut all: Vec<_> = (0..8).map(|_| admission.handshake(2)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(admission.handshake(2).is_none());
        all.pop();
        let again = admission.handshake(2);
        assert!(again.is_some() && admission.handshake(2).is_none());
    }

    #[test]
    fn handshakes_and_requests_do_not_take_each_others_places() {
        let admission = admission(Some(1));
        let handshakes: Vec<_> = (0..4).map(|_| admission.handshake(1)).collect();
        let requests: Vec<_> = (0..8).map(|_| admission.request(8)).collect();
        assert!(handshakes.iter().all(Option::is_some));
        assert!(requests.iter().all(Option::is_some));
        assert!(admission.request(8).is_none() && !admission.has_room(8));
        drop(requests);
        assert!(admission.has_room(8));
    }

    #[test]
    fn a_write_that_waits_goes_before_every_handshake_and_a_read_does_not() {
        let admission = admission(Some(1));
        let read = admission.calls.join(Rank::Read, Instant::now());
        assert!(admission.handshake(1).is_some());
        let write = admission.calls.join(Rank::Write, Instant::now());
        assert!(admission.handshake(1).is_none());
        drop((read, write));
        assert!(admission.handshake(1).is_some());
    }

    #[test]
    fn whoever_answers_now_has_a_window_of_its_own() {
        let admission = admission(None);
        admission.pushed_back();
        assert_eq!(admission.most(1), 8);
        admission.serves(None);
        assert_eq!(admission.most(1), 8, "the same as before");
        admission.serves(Some(1));
        assert_eq!(admission.most(1), 4);
    }
}

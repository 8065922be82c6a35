//! The proof that nobody is inside a replica any more, and the gate that alone can give it.
//!
//! Stopping a replica takes a [`DrainProof`]. There is one way to have one: the gate that counted
//! everybody in and out is closed, and counts nobody, or its closing phase is over.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::names::ReplicaId;

/// The top bit of the word says closed, the rest counts.
const CLOSED: u32 = 1 << 31;
/// After the last session was told to end: time for its farewell, and for requests to be answered.
/// Whoever is inside even then is not waited for.
pub const CLOSE_PHASE: Duration = Duration::from_secs(60);

/// The way into one replica. Everybody inside came through it.
///
/// `enter` and `close` contend on a single word: whoever enters is either counted before the
/// close, and a drain waits for them, or refused.
#[derive(Debug)]
pub struct Gate {
    replica: ReplicaId,
    word: AtomicU32,
    /// When the closing phase is over, once one has begun.
    over_at: Mutex<Option<Instant>>,
}

/// Nobody is inside this life of this replica, and nobody can enter. Only its gate can say so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DrainProof {
    replica: ReplicaId,
    because: Because,
}

/// Why a replica may be stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Because {
    /// Nobody is inside.
    Empty,
    /// All were told to end, and the time for that has passed.
    Overdue,
}

impl Gate {
    /// An open one with nobody inside.
    pub fn new(replica: ReplicaId) -> Self {
        Self {
            replica,
            word: AtomicU32::new(0),
            over_at: Mutex::default(),
        }
    }

    /// Counts one more, unless it is closed. Whether it did.
    pub fn enter(&self) -> bool {
        let entered = self.word.fetch_add(1, Ordering::AcqRel) & CLOSED == 0;
        if !entered {
            self.leave();
        }
        entered
    }

    /// Counts one less, of those that entered.
    pub fn leave(&self) {
        self.word.fetch_sub(1, Ordering::AcqRel);
    }

    /// Refuses what is new; what is inside continues.
    pub fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Begins the closing phase, unless it has begun: whoever is inside ends within `over`.
    pub fn cut(&self, now: Instant, over: Duration) {
        self.close();
        self.over_at().get_or_insert(now + over + CLOSE_PHASE);
    }

    /// Accepts again: demand returned before the drain was done.
    pub fn reopen(&self) {
        *self.over_at() = None;
        self.word.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Whether it is closed, and how many are inside: an upper bound, as somebody who is being
    /// refused shows for an instant.
    pub fn look(&self) -> (bool, u32) {
        let word = self.word.load(Ordering::Acquire);
        (word & CLOSED != 0, word & !CLOSED)
    }

    /// The proof, once there is one.
    pub fn proof(&self, now: Instant) -> Option<DrainProof> {
        let because = match self.look() {
            (true, 0) => Because::Empty,
            (true, _) if self.over_at().is_some_and(|at| at <= now) => Because::Overdue,
            _ => return None,
        };
        Some(DrainProof {
            replica: self.replica.clone(),
            because,
        })
    }

    fn over_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        // One value, whole after every write.
        self.over_at
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl DrainProof {
    /// What may be stopped.
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    pub fn because(&self) -> Because {
        self.because
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn gate() -> Gate {
        Gate::new(ReplicaId::new("web_1", 1))
    }

    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn only_a_closed_and_empty_gate_gives_a_proof() {
        let gate = gate();
        assert_eq!(gate.proof(now()), None, "open");
        assert!(gate.enter());
        gate.close();
        assert_eq!(gate.proof(now()), None, "somebody is inside");
        gate.leave();
        let proof = gate.proof(now()).expect("a proof");
        assert_eq!(proof.replica(), &ReplicaId::new("web_1", 1));
        assert_eq!(proof.because(), Because::Empty);
        gate.reopen();
        assert_eq!(gate.proof(now()), None, "open again");
    }

    #[test]
    fn who_does_not_leave_is_waited_for_until_the_closing_phase_is_over() {
        let gate = gate();
        let (began, over) = (now(), Duration::from_secs(10));
        assert!(gate.enter());
        gate.cut(began, over);
        // Saying it again does not begin it again.
        gate.cut(began + over, over);
        let end = began + over + CLOSE_PHASE;
        assert_eq!(gate.proof(end - Duration::from_millis(1)), None);
        let proof = gate.proof(end).expect("a proof");
        assert_eq!(proof.because(), Because::Overdue);
    }

    #[test]
    fn a_drain_that_was_taken_back_owes_the_next_one_its_whole_time() {
        let gate = gate();
        let began = now();
        assert!(gate.enter());
        gate.cut(began, Duration::ZERO);
        gate.reopen();
        gate.close();
        assert_eq!(gate.proof(began + 2 * CLOSE_PHASE), None);
    }

    #[test]
    fn once_closed_and_seen_empty_it_stays_empty() {
        for _ in 0..200 {
            let gate = gate();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            if gate.enter() {
                                gate.leave();
                            }
                        }
                    });
                }
                gate.close();
                while gate.proof(now()).is_none() {
                    thread::yield_now();
                }
                assert!(!gate.enter());
            });
            assert_eq!(gate.look(), (true, 0));
        }
    }
}

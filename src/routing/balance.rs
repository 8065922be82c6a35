//! Which replica takes the next request or session.
//!
//! Counts live with the replicas, so the exact minimum is known at all times; sampling two would
//! only be worse.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::counters::ServiceCounters;
use super::line::Line;
use super::load::{Inside, Load, Pending};
use super::table::Endpoint;
use crate::names::{ReplicaId, ServiceName};
use crate::plan::{Placement, ServicePlan, Usage};

/// Handshakes that one replica answers at a time. Of a thousand at once daphne loses most; of these
/// it keeps all, and it is as fast.
const HANDSHAKES_AT_ONCE: u32 = 16;
/// Requests that a replica meets at a time when it becomes ready and many have waited.
const WORDS_PER_REPLICA: usize = 16;

/// The replicas of one service.
#[derive(Debug)]
pub struct Pool {
    pub(super) service: ServiceName,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Replicas run, but on no network that usher reaches.
    stranded: bool,
    /// A replica is starting.
    coming: bool,
    asleep: bool,
    failing: bool,
    placement: Placement,
    pub(super) counters: Arc<ServiceCounters>,
    /// Ties go around in turn, or the first replica would get every first request.
    turn: AtomicUsize,
}

/// A place in a replica.
#[derive(Debug)]
pub struct Pick {
    pub endpoint: Arc<Endpoint>,
    pub inside: Inside,
}

/// A place for a session whose handshake is about to begin.
#[derive(Debug)]
pub struct SessionPick {
    pub endpoint: Arc<Endpoint>,
    pub inside: Inside,
    /// To be dropped when the session is counted, or when there will be none.
    pub pending: Pending,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoPick {
    /// Every replica answers as many handshakes as it should at a time.
    Busy,
    /// No replica takes anything new, but one is starting.
    Coming,
    /// No replica runs, and none could be started.
    Failing,
    /// Every replica holds as many sessions as it may.
    Full,
    /// No replica takes anything new.
    NoneReady,
    /// Replicas run, but none can be reached.
    Stranded,
    /// Those that might have taken it have refused already.
    Tried,
}

impl Pool {
    pub(super) fn new(
        service: ServiceName,
        endpoints: Vec<Arc<Endpoint>>,
        plan: &ServicePlan,
        counters: Arc<ServiceCounters>,
    ) -> Self {
        Self {
            service,
            endpoints,
            stranded: plan.stranded,
            coming: plan.coming,
            asleep: plan.asleep,
            failing: plan.failing,
            placement: plan.placement,
            counters,
            turn: AtomicUsize::new(0),
        }
    }

    /// Whether nothing of it runs until somebody comes.
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }

    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Where everybody waits while no replica takes anything.
    pub fn gate(&self) -> &Arc<Line> {
        &self.counters.gate
    }

    /// Where handshakes wait while no replica takes one more.
    pub fn seats(&self) -> &Arc<Line> {
        &self.counters.seats
    }

    /// A replica has refused a connection or ended it without an answer.
    pub fn refused(&self) {
        self.counters.refused();
    }

    /// A replica says that it is too much: 502, 503, or nothing in time.
    pub fn overloaded(&self) {
        self.counters.overloaded();
    }

    /// A replica has answered a handshake.
    pub fn answered_handshake(&self, took: Duration) {
        self.counters.answered_handshake(took);
    }

    fn open(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.usage == Usage::Serve)
    }

    /// Tells those who wait that it may be worth trying.
    pub(super) fn tell(&self) {
        let open = self.open().count();
        self.seats().tell(open * WORDS_PER_REPLICA);
        self.gate().tell(if open == 0 && !self.coming {
            // In vain, for all of them.
            usize::MAX
        } else {
            open * WORDS_PER_REPLICA
        });
    }

    /// A place for a request: fewest requests first, then fewest sessions.
    ///
    /// # Errors
    /// Why there is none. `tried` are replicas that this request has met already.
    pub fn pick(&self, client: IpAddr, tried: &[ReplicaId]) -> Result<Pick, NoPick> {
        let key = |load: &Load| {
            let sessions = load.sessions();
            (load.inside().saturating_sub(sessions), sessions)
        };
        let found = self.best(client, tried, |_| true, key);
        found.ok_or_else(|| self.why_none(tried))
    }

    /// A place for a session: fewest sessions, handshakes not yet answered included. A replica with
    /// `most` gets no more, and one that answers many handshakes gets no more for now.
    ///
    /// # Errors
    /// As for [`Self::pick`].
    pub fn pick_session(
        &self,
        client: IpAddr,
        tried: &[ReplicaId],
        most: u32,
    ) -> Result<SessionPick, NoPick> {
        let seat = |load: &Load| load.sessions_soon() < most;
        let fits = |load: &Load| seat(load) && load.pending() < HANDSHAKES_AT_ONCE;
        let key = |load: &Load| (load.sessions_soon(), load.inside());
        let Some(Pick { endpoint, inside }) = self.best(client, tried, fits, key) else {
            let mut others = self
                .open()
                .filter(|endpoint| !tried.contains(&endpoint.id))
                .peekable();
            return Err(if others.peek().is_none() {
                self.why_none(tried)
            } else if others.any(|endpoint| seat(&endpoint.load)) {
                NoPick::Busy
            } else {
                NoPick::Full
            });
        };
        let pending = endpoint.load.handshake(&self.counters);
        Ok(SessionPick {
            endpoint,
            inside,
            pending,
        })
    }

    fn best(
        &self,
        client: IpAddr,
        tried: &[ReplicaId],
        fits: impl Fn(&Load) -> bool,
        key: impl Fn(&Load) -> (u32, u32),
    ) -> Option<Pick> {
        let count = self.endpoints.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        // Closed since this table was made: a newer one is in force, or about to be.
        let mut closed: Vec<&ReplicaId> = Vec::new();
        loop {
            let endpoint = (0..count)
                .filter_map(|offset| self.endpoints.get(first.wrapping_add(offset) % count))
                .filter(|endpoint| {
                    endpoint.usage == Usage::Serve
                        && !tried.contains(&endpoint.id)
                        && !closed.contains(&&endpoint.id)
                        && fits(&endpoint.load)
                })
                .min_by_key(|endpoint| match self.placement {
                    Placement::Least => (0, key(&endpoint.load)),
                    // The lowest of all replicas' numbers for this client: when one leaves, only
                    // its own clients move (rendezvous hashing).
                    Placement::Client => (affinity(client, &endpoint.id), (0, 0)),
                })?;
            if let Some(inside) = endpoint.load.enter() {
                return Some(Pick {
                    endpoint: Arc::clone(endpoint),
                    inside,
                });
            }
            closed.push(&endpoint.id);
        }
    }

    fn why_none(&self, tried: &[ReplicaId]) -> NoPick {
        if !tried.is_empty() {
            NoPick::Tried
        } else if self.coming {
            NoPick::Coming
        } else if self.failing {
            NoPick::Failing
        } else if self.stranded {
            NoPick::Stranded
        } else {
            NoPick::NoneReady
        }
    }
}

fn affinity(client: IpAddr, replica: &ReplicaId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (client, replica).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;

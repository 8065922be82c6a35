//! Which replica takes the next request or session.
//!
//! Counts live with the replicas, so the exact minimum is known at all times; sampling two would
//! only be worse.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::admission::Working;
use super::counters::ServiceCounters;
use super::endpoint::Endpoint;
use super::held::Holding;
use super::line::Line;
use super::load::{Inside, Load, Pending};
use crate::names::{ReplicaId, ServiceName};
use crate::plan::{Placement, ServicePlan, SessionTotals, Signal, Usage};

/// Handshakes that one replica answers at a time, however many the window allows: one that has just
/// become ready gets no more at once, and of these daphne keeps all.
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
    /// Who answers behind the replicas, and is ready.
    workers: Option<u32>,
    /// Requests that may be with them at a time.
    requests: u32,
    ahead: u32,
    pub(super) counters: Arc<ServiceCounters>,
    /// Ties go around in turn, or the first replica would get every first request.
    turn: AtomicUsize,
}

/// A place in a replica.
#[derive(Debug)]
pub struct Pick {
    pub endpoint: Arc<Endpoint>,
    pub inside: Inside,
    /// To be dropped when workers have answered.
    pub working: Option<Working>,
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
    /// As many handshakes or requests are under way as should be at a time.
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
    /// Those that should have taken it have refused already.
    Tried,
}

impl Pool {
    pub(super) fn new(
        service: ServiceName,
        endpoints: Vec<Arc<Endpoint>>,
        plan: &ServicePlan,
        counters: Arc<ServiceCounters>,
    ) -> Self {
        counters.admission.serves(plan.workers);
        Self {
            service,
            endpoints,
            stranded: plan.stranded,
            coming: plan.coming,
            asleep: plan.asleep,
            failing: plan.failing,
            placement: plan.placement,
            workers: plan.workers,
            requests: plan.requests,
            ahead: plan.ahead,
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

    /// Where everybody is counted who waits for it.
    pub fn holding(&self) -> &Arc<Holding> {
        &self.counters.holding
    }

    /// Where everybody waits while no replica takes anything.
    pub fn gate(&self) -> &Arc<Line> {
        &self.counters.gate
    }

    /// Where handshakes wait while no replica takes one more.
    pub fn seats(&self) -> &Arc<Line> {
        &self.counters.admission.seats
    }

    /// Where requests wait while workers have enough.
    pub fn calls(&self) -> &Arc<Line> {
        &self.counters.admission.calls
    }

    /// A replica has refused a connection or ended it without an answer.
    pub fn refused(&self) {
        self.counters.refused();
    }

    /// A request came back to usher that was sent to it.
    pub fn looped(&self) {
        self.counters.looped();
    }

    /// A replica says that it is too much: 502, 503, or nothing in time.
    pub fn overloaded(&self) {
        self.counters.overloaded();
    }

    /// A replica says in words of its own that its workers are too few.
    pub fn pushed_back(&self, signal: Signal) {
        self.counters.pushed_back(signal);
    }

    /// A replica has answered a handshake.
    pub fn answered_handshake(&self, took: Duration) {
        self.counters.answered_handshake(took);
    }

    /// So much time has passed.
    pub(super) fn pass(&self, time: Duration) {
        self.counters.admission.pass(time);
    }

    pub(super) fn report(&self, now: Instant) -> SessionTotals {
        self.counters.report(self.hands(), now)
    }

    /// How many answer handshakes.
    fn hands(&self) -> u32 {
        let open = || u32::try_from(self.open().count()).unwrap_or(u32::MAX);
        self.workers.unwrap_or_else(open)
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
        self.calls().tell(open * WORDS_PER_REPLICA);
        self.gate().tell(if open == 0 && !self.coming {
            // In vain, for all of them.
            usize::MAX
        } else {
            open * WORDS_PER_REPLICA
        });
    }

    /// A place for a request: fewest requests first, then fewest sessions. `whole`: all of it can
    /// be sent at once, so that workers have it at once.
    ///
    /// # Errors
    /// Why there is none. `tried` are replicas that this request has met already.
    pub fn pick(&self, client: IpAddr, tried: &[ReplicaId], whole: bool) -> Result<Pick, NoPick> {
        let admission = &self.counters.admission;
        let working = match self.workers {
            Some(_) if whole => Some(admission.request(self.requests).ok_or(NoPick::Busy)?),
            Some(_) if !admission.has_room(self.requests) => return Err(NoPick::Busy),
            _ => None,
        };
        let key = |endpoint: &Endpoint| {
            let sessions = endpoint.load.sessions();
            (endpoint.load.inside().saturating_sub(sessions), sessions)
        };
        let found = self.best(client, tried, |_| true, key);
        let (endpoint, inside) = found.ok_or_else(|| self.why_none(tried))?;
        Ok(Pick {
            endpoint,
            inside,
            working,
        })
    }

    /// Counts a request that was picked before it was whole, and is whole now.
    pub fn counts_request(&self) -> Option<Working> {
        let admission = &self.counters.admission;
        self.workers.map(|_| admission.request_let_in())
    }

    /// A place for a session: fewest sessions, handshakes not yet answered included. A replica with
    /// `most` gets no more, and one that answers many handshakes gets no more for now. Where the
    /// engine chooses who leaves, whoever it ends last has a little more than others: what is to be
    /// drained is emptier then, and at night there is nobody on it.
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
        let candidates = self.open().filter(|one| !tried.contains(&one.id));
        let sessions = candidates.filter(|one| fits(&one.load));
        let fewest = sessions.map(|one| one.load.sessions_soon()).min();
        let fewest = fewest.unwrap_or_default();
        let key = |endpoint: &Endpoint| {
            let load = &endpoint.load;
            let sessions = load.sessions_soon();
            // None is full for having been preferred.
            let ahead = self.ahead.min(most.saturating_sub(sessions) / 10);
            let near = sessions <= fewest.saturating_add(ahead);
            let last = Reverse(near.then_some(endpoint.turn));
            (last, sessions, load.inside())
        };
        let Some((endpoint, inside)) = self.best(client, tried, fits, key) else {
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
        let shaking = self.counters.admission.handshake(self.hands());
        let pending = shaking.and_then(|one| endpoint.load.handshake(one, HANDSHAKES_AT_ONCE));
        let Some(pending) = pending else {
            return Err(NoPick::Busy);
        };
        Ok(SessionPick {
            endpoint,
            inside,
            pending,
        })
    }

    fn best<K: Ord>(
        &self,
        client: IpAddr,
        tried: &[ReplicaId],
        fits: impl Fn(&Load) -> bool,
        key: impl Fn(&Endpoint) -> K,
    ) -> Option<(Arc<Endpoint>, Inside)> {
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
                    Placement::Least => (0, Some(key(endpoint))),
                    // The lowest of all replicas' numbers for this client: when one leaves, only
                    // its own clients move (rendezvous hashing).
                    Placement::Client => (affinity(client, &endpoint.id), None),
                })?;
            if let Some(inside) = endpoint.load.enter() {
                return Some((Arc::clone(endpoint), inside));
            }
            closed.push(&endpoint.id);
        }
    }

    fn why_none(&self, tried: &[ReplicaId]) -> NoPick {
        // Those that refused and are not in this table any more were on their way out.
        if self.open().any(|endpoint| tried.contains(&endpoint.id)) {
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

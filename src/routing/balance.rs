//! Which replica takes the next request or session.
//!
//! Counts live with the replicas, so the exact minimum is known at all times; sampling two would
//! only be worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::counters::ServiceCounters;
use super::load::{Inside, Load, Pending};
use super::table::Endpoint;
use crate::names::{ReplicaId, ServiceName};
use crate::plan::Usage;

/// The replicas of one service.
#[derive(Debug)]
pub struct Pool {
    pub(super) service: ServiceName,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Replicas run, but on no network that usher reaches.
    stranded: bool,
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
        stranded: bool,
        counters: Arc<ServiceCounters>,
    ) -> Self {
        Self {
            service,
            endpoints,
            stranded,
            counters,
            turn: AtomicUsize::new(0),
        }
    }

    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    pub(super) fn load_of(&self, id: &ReplicaId) -> Option<Arc<Load>> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.id == *id)?;
        Some(Arc::clone(&endpoint.load))
    }

    /// A place for a request: fewest requests first, then fewest sessions.
    ///
    /// # Errors
    /// Why there is none. `tried` are replicas that this request has met already.
    pub fn pick(&self, tried: &[ReplicaId]) -> Result<Pick, NoPick> {
        self.least(tried, |load| {
            let sessions = load.sessions();
            (load.inside().saturating_sub(sessions), sessions)
        })
    }

    /// A place for a session: fewest sessions, handshakes not yet answered included; a replica with
    /// `most` gets no more.
    ///
    /// # Errors
    /// As for [`Self::pick`].
    pub fn pick_session(&self, tried: &[ReplicaId], most: u32) -> Result<SessionPick, NoPick> {
        let mut open = self
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.usage == Usage::Serve)
            .peekable();
        let some = open.peek().is_some();
        if some && open.all(|endpoint| endpoint.load.sessions_soon() >= most) {
            return Err(NoPick::Full);
        }
        let Pick { endpoint, inside } =
            self.least(tried, |load| (load.sessions_soon(), load.inside()))?;
        let pending = endpoint.load.handshake();
        Ok(SessionPick {
            endpoint,
            inside,
            pending,
        })
    }

    fn least(
        &self,
        tried: &[ReplicaId],
        key: impl Fn(&Load) -> (u32, u32),
    ) -> Result<Pick, NoPick> {
        let count = self.endpoints.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        // Closed since this table was made: a newer one is in force, or about to be.
        let mut closed: Vec<&ReplicaId> = Vec::new();
        loop {
            let best = (0..count)
                .filter_map(|offset| self.endpoints.get(first.wrapping_add(offset) % count))
                .filter(|endpoint| {
                    endpoint.usage == Usage::Serve
                        && !tried.contains(&endpoint.id)
                        && !closed.contains(&&endpoint.id)
                })
                .min_by_key(|endpoint| key(&endpoint.load));
            let Some(endpoint) = best else {
                return Err(self.why_none(tried));
            };
            if let Some(inside) = endpoint.load.enter() {
                return Ok(Pick {
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
        } else if self.stranded {
            NoPick::Stranded
        } else {
            NoPick::NoneReady
        }
    }
}

#[cfg(test)]
mod tests;

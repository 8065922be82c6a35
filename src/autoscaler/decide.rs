//! One decision for a whole stack at once, so that those who follow move with those they follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::calendar;
use super::decision::Decision;
use super::observation::{Observation, Seen};
use super::policy::{Kind, Policy};
use super::web::{Led, Tick, Web};
use super::workers::{Leader, Workers};
use super::zero::Zero;
use crate::moment::Now;

/// A start nobody has watched takes so long.
const LEAD: Duration = Duration::from_secs(25);
const SHORTEST_LEAD: Duration = Duration::from_secs(5);
const LONGEST_LEAD: Duration = Duration::from_secs(120);

/// What is remembered of one stack: plain data, some kilobytes, whatever the spans.
#[derive(Clone, Debug, Default)]
pub struct State {
    services: Vec<(Arc<str>, Memory)>,
    zero: Zero,
}

#[derive(Clone, Debug)]
enum Memory {
    Web(Box<Web>),
    Workers(Box<Workers>),
}

impl Memory {
    fn new(kind: Kind, policy: &Policy, now: Instant) -> Self {
        match kind {
            Kind::Ratio { .. } => Self::Workers(Box::new(Workers::new(now))),
            Kind::Fixed | Kind::Sessions => Self::Web(Box::new(Web::new(policy, now))),
        }
    }

    fn fits(&self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Web(_), Kind::Fixed | Kind::Sessions) | (Self::Workers(_), Kind::Ratio { .. })
        )
    }
}

impl State {
    /// The most sessions of each of the last days of every service that has any, this day first.
    pub fn peaks(&self) -> impl Iterator<Item = (&str, &[u32])> {
        self.services.iter().filter_map(|(name, memory)| {
            let Memory::Web(web) = memory else {
                return None;
            };
            let peaks = web.demand.peaks();
            peaks
                .iter()
                .any(|peak| *peak > 0)
                .then_some((&**name, peaks))
        })
    }

    /// Takes in the peaks of one service that an earlier process saw so many days ago. They bound
    /// how far ahead of growth replicas are started, and decide nothing else.
    pub fn remember(
        &mut self,
        policy: &Policy,
        service: &str,
        peaks: &[u32],
        days_ago: usize,
        now: Instant,
    ) {
        self.adopt(policy, now);
        for (name, memory) in &mut self.services {
            if let Memory::Web(web) = memory
                && **name == *service
            {
                web.demand.remember(peaks, days_ago);
            }
        }
    }

    /// Whether nothing is to run until somebody comes.
    pub fn is_asleep(&self) -> bool {
        self.zero.is_asleep()
    }

    /// Whether the first replicas are on their way up for whoever has come.
    pub fn is_waking(&self) -> bool {
        self.zero.is_waking()
    }

    /// Keeps what is known of the services there are, whatever their order was.
    fn adopt(&mut self, policy: &Policy, now: Instant) {
        let same = self.services.len() == policy.services.len()
            && self
                .services
                .iter()
                .zip(&policy.services)
                .all(|((name, memory), service)| {
                    *name == service.name && memory.fits(service.kind)
                });
        if same {
            return;
        }
        let mut known = std::mem::take(&mut self.services);
        for service in &policy.services {
            let old = known
                .iter()
                .position(|(name, memory)| *name == service.name && memory.fits(service.kind));
            let memory = match old {
                Some(old) => known.swap_remove(old).1,
                None => Memory::new(service.kind, policy, now),
            };
            self.services.push((Arc::clone(&service.name), memory));
        }
    }
}

/// What each service of the policy should have, in its order. Called about once a second.
///
/// The same policy, state, observation and moment give the same decisions. A service that was not
/// observed is taken for one without replicas.
pub fn decide(
    policy: &Policy,
    state: &mut State,
    observation: &Observation,
    now: Now,
) -> Vec<Decision> {
    state.adopt(policy, now.at);
    let event = calendar::expected(&policy.events, now.wall);
    let tick = Tick {
        fresh: observation.fresh,
        event,
        over: event.is_some_and(|event| !calendar::is_running(event, now.wall)),
        lead: lead(policy, observation),
        now: now.at,
    };
    let nothing = Seen::default();
    let mut leaders: Vec<Led> = Vec::with_capacity(policy.services.len());
    let mut decisions = Vec::with_capacity(policy.services.len());
    for (index, ((_, memory), service)) in
        state.services.iter_mut().zip(&policy.services).enumerate()
    {
        let seen = observation.services.get(index).unwrap_or(&nothing);
        let (decision, led) = match (memory, service.kind) {
            (Memory::Web(web), Kind::Fixed | Kind::Sessions) => {
                web.decide(policy, service, seen, tick)
            }
            (Memory::Workers(workers), Kind::Ratio { of, ratio }) => {
                let (Some(led), Some(followed)) = (leaders.get(of), policy.services.get(of)) else {
                    // A policy is made with leaders first.
                    continue;
                };
                let leader = Leader {
                    name: &followed.name,
                    least: followed.bounds.min,
                    ratio,
                    led,
                };
                let decision = workers.decide(policy, service, &leader, seen, tick.fresh, now.at);
                (decision, Led::default())
            }
            // Adopted above, by kind.
            _ => continue,
        };
        leaders.push(led);
        decisions.push(decision);
    }
    // Last, so that the history of demand goes on whatever is decided about it.
    state
        .zero
        .overrule(policy, observation, &leaders, now, &mut decisions);
    decisions
}

/// The time from an order to a whole bundle that works: of the slowest role, where a role nobody
/// has watched counts with what is usual.
fn lead(policy: &Policy, observation: &Observation) -> Duration {
    (0..policy.services.len())
        .map(|index| {
            let seen = observation.services.get(index);
            seen.and_then(|seen| seen.crew.lead).unwrap_or(LEAD)
        })
        .max()
        .unwrap_or(LEAD)
        .clamp(SHORTEST_LEAD, LONGEST_LEAD)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod rests;
#[cfg(test)]
mod tests;

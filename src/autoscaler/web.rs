//! Services that carry sessions: up at once, down late.

use std::time::Duration;

use tokio::time::Instant;

use super::calendar;
use super::decision::{Decision, Inputs, Kept, Limit, Term};
use super::demand::{Demand, Reading};
use super::holds::Holds;
use super::observation::{Load, Override, Seen};
use super::policy::{Kind, Policy, ServicePolicy};
use super::resources::Scarce;
use crate::config::model::{Event, ScaleMode};

/// Signs of too much are fresh for so many seconds.
const LATELY: u64 = 10;
/// Somebody waits for a place: longer than this is too long.
const WAITS_TOO_LONG: Duration = Duration::from_secs(3);

/// What is remembered of one service that carries sessions.
#[derive(Clone, Debug)]
pub(super) struct Web {
    pub(super) demand: Demand,
    pub(super) holds: Holds,
    panic_until: Option<Instant>,
    refused_at: Option<Instant>,
    overloaded_at: Option<Instant>,
    booted: bool,
}

/// What is the same for all services of a stack at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick<'a> {
    /// Whether the counts are of now.
    pub(super) fresh: bool,
    /// The event that is on.
    pub(super) event: Option<&'a Event>,
    /// It has ended, and people stay a little.
    pub(super) over: bool,
    /// From an order to a bundle that works.
    pub(super) lead: Duration,
    pub(super) now: Instant,
}

/// What its followers have to know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Led {
    pub(super) desired: u32,
    pub(super) reading: Reading,
    pub(super) load: Load,
    /// Something beyond demand keeps it above its minimum.
    pub(super) lifted: bool,
    pub(super) ghost: bool,
    /// What was found at the start stays.
    pub(super) boot: bool,
    /// Its number is an operator's.
    pub(super) told: bool,
    pub(super) panic: bool,
    /// The stack says that it is too much.
    pub(super) overloaded: bool,
}

impl Web {
    pub(super) fn new(policy: &Policy, now: Instant) -> Self {
        Self {
            demand: Demand::new(policy.spans.down_after, now),
            holds: Holds::default(),
            panic_until: None,
            refused_at: None,
            overloaded_at: None,
            booted: false,
        }
    }

    pub(super) fn decide(
        &mut self,
        policy: &Policy,
        service: &ServicePolicy,
        seen: &Seen,
        tick: Tick<'_>,
    ) -> (Decision, Led) {
        let Tick {
            fresh,
            event,
            over,
            lead,
            now,
        } = tick;
        let crew = seen.crew;
        let spans = &policy.spans;
        let mut reading = self.demand.read(seen.load, fresh, spans.down_after, now);
        if !self.booted {
            self.booted = true;
            self.holds
                .boot(crew.present.min(service.bounds.max), spans, now);
        }
        let sessions = seen.load.sessions;
        self.holds
            .watch(&reading, crew.present, event.is_some(), spans, now);
        let crowd = seen.load.crowd();
        if self.holds.is_return_of(crowd, now) {
            // Each of them asks for something before its session, and would be counted twice; and as
            // many as there were is no growth. Their replicas are held for them anyway.
            reading.demand = crowd;
            reading.growth = 0.0;
        }

        let (need, demand_term) = need(policy, event, &reading, lead);
        let (floor, floor_term) = self.floor(policy, event, seen.over, now);
        // Who stays after the end keeps the replicas with sessions, and no workers that are to spare.
        let (lifting, _) = self.floor(policy, event.filter(|_| !over), seen.over, now);
        let overloaded = self.overloaded(seen, now);
        let panic = self.panic(policy, seen, need, overloaded, now);
        let (wanted, term) = match floor_term {
            Some(term) if floor > need => (floor, term),
            _ => (need, demand_term),
        };
        let inputs = Inputs {
            present: crew.present,
            ready: crew.ready,
            draining: crew.draining,
            demand: reading.demand,
            sessions,
            pending: seen.load.pending,
            held: seen.load.held,
            in_flight: seen.load.in_flight,
            expected: expected(policy, event, &reading, lead),
            growth: reading.growth,
            lead,
            peak: reading.peak,
            panic,
            ghost: self.holds.ghost(now).is_some(),
        };
        let mut decision = Decision {
            wanted,
            desired: crew.present,
            term,
            limited_by: None,
            put_off: None,
            kept: None,
            by_ratio: None,
            scarce: Scarce::default(),
            inputs,
        };
        if !overrule(&mut decision, policy.mode, service, seen) {
            let keep = self.may_shrink(policy, service, floor, &reading, seen, panic, now);
            settle(&mut decision, policy, service, seen, keep);
        }
        let led = Led {
            desired: decision.desired,
            reading,
            load: seen.load,
            lifted: lifting > service.bounds.min,
            ghost: self.holds.ghost(now).is_some(),
            boot: self.holds.boot_now(now).is_some(),
            told: matches!(seen.over, Some(Override::Exact(_))),
            panic,
            overloaded,
        };
        (decision, led)
    }

    /// The highest of what keeps replicas whatever the demand, the minimum aside.
    fn floor(
        &self,
        policy: &Policy,
        event: Option<&Event>,
        over: Option<Override>,
        now: Instant,
    ) -> (u32, Option<Term>) {
        let calendar = event.map(|event| {
            let count = calendar::replicas_for(event.sessions, policy.per_replica);
            let term = Term::Calendar {
                event: std::sync::Arc::clone(&event.name),
                sessions: event.sessions,
                per_replica: policy.per_replica,
                count,
            };
            (count, term)
        });
        let ghost = self.holds.ghost(now);
        let ghost = ghost.map(|count| (count, Term::Ghost { count }));
        let boot = self.holds.boot_now(now);
        let boot = boot.map(|found| (found, Term::Boot { found }));
        let operator = match over {
            Some(Override::Floor(count)) => Some((count, Term::OperatorFloor { count })),
            _ => None,
        };
        [boot, ghost, calendar, operator]
            .into_iter()
            .flatten()
            .max_by_key(|(count, _)| *count)
            .map_or((0, None), |(count, term)| (count, Some(term)))
    }

    /// Whether the stack has said lately that it is too much.
    fn overloaded(&mut self, seen: &Seen, now: Instant) -> bool {
        if seen.load.overloaded > 0 {
            self.overloaded_at = Some(now);
        }
        let old = seen
            .backlog
            .is_some_and(|backlog| backlog.oldest.as_secs() >= 5);
        old || lately(self.overloaded_at, now)
    }

    /// Whether it is, or was a moment ago, too much. While it is, nothing shrinks.
    fn panic(
        &mut self,
        policy: &Policy,
        seen: &Seen,
        need: u32,
        overloaded: bool,
        now: Instant,
    ) -> bool {
        if seen.load.refused > 0 {
            self.refused_at = Some(now);
        }
        let waits = seen.load.longest_wait > WAITS_TOO_LONG;
        let full = seen.load.fullest >= policy.hard;
        let short = seen.crew.ready > 0 && need >= seen.crew.ready.saturating_mul(2);
        let refused = lately(self.refused_at, now);
        if waits || full || short || refused || overloaded {
            self.panic_until = Some(now + policy.spans.panic);
        }
        self.panic_until.is_some_and(|until| now < until)
    }

    /// The peak that allows one replica less, or why none may go.
    ///
    /// It must fit three fifths of what the others can hold. Without that hysteresis up and down
    /// chase each other; with three quarters nothing flaps either, but a lunch break moves three
    /// times as many people as with three fifths, for two hundredths of the cost.
    #[expect(
        clippy::too_many_arguments,
        reason = "everything that can keep a replica"
    )]
    fn may_shrink(
        &self,
        policy: &Policy,
        service: &ServicePolicy,
        floor: u32,
        reading: &Reading,
        seen: &Seen,
        panic: bool,
        now: Instant,
    ) -> Result<u32, Kept> {
        let crew = seen.crew;
        if crew.present <= service.bounds.min || crew.present <= floor {
            return Err(Kept::Floor);
        }
        let peak = reading.peak.ok_or(Kept::Unwatched)?;
        let room = u64::from(policy.per_replica) * u64::from(crew.present - 1);
        if u64::from(peak) * 5 > room * 3 {
            return Err(Kept::Peak);
        }
        if panic {
            return Err(Kept::Panic);
        }
        if crew.ready < crew.present {
            return Err(Kept::Unready);
        }
        if !passed(crew.last_up, policy.spans.down_after, now) {
            return Err(Kept::Grew);
        }
        if !passed(crew.last_drain, policy.spans.between_drains, now) {
            return Err(Kept::Spacing);
        }
        // Drains side by side move everybody once; one after the other, those who were moved to a
        // replica that is next are moved again. Each can be taken back.
        if crew.draining >= crew.present {
            return Err(Kept::Draining);
        }
        Ok(peak)
    }
}

fn lately(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.duration_since(at).as_secs() < LATELY)
}

pub(super) fn passed(at: Option<Instant>, least: Duration, now: Instant) -> bool {
    at.is_none_or(|at| now.duration_since(at) >= least)
}

/// An operator's number or the mode, before everything else. Whether it was so.
pub(super) fn overrule(
    decision: &mut Decision,
    mode: ScaleMode,
    service: &ServicePolicy,
    seen: &Seen,
) -> bool {
    if service.kind == Kind::Fixed {
        decision.desired = seen.crew.present;
        return true;
    }
    if let Some(Override::Exact(count)) = seen.over {
        decision.desired = count;
        decision.term = Term::Operator { count };
        return true;
    }
    if mode == ScaleMode::Hold {
        decision.desired = seen.crew.present.max(service.bounds.min);
        decision.kept = Some(Kept::Mode);
        return true;
    }
    false
}

/// From what is wanted to what is to be done.
fn settle(
    decision: &mut Decision,
    policy: &Policy,
    service: &ServicePolicy,
    seen: &Seen,
    shrink: Result<u32, Kept>,
) {
    let crew = seen.crew;
    let (allowed, limit) = clamp(decision.wanted, service, seen.over);
    decision.limited_by = limit;
    if allowed > crew.present {
        let step = (crew.present * 2).max(crew.present + 4);
        decision.desired = allowed.min(step);
        if decision.desired < allowed {
            decision.limited_by = Some(Limit::Growth(step));
        }
        return;
    }
    let (most, limit) = most(service, seen.over);
    if crew.present > most {
        decision.desired = crew.present - 1;
        decision.limited_by = Some(limit);
        return;
    }
    decision.desired = crew.present;
    if allowed == crew.present {
        return;
    }
    match shrink {
        Ok(peak) => {
            decision.desired = crew.present - 1;
            decision.limited_by = None;
            decision.term = Term::Spare {
                peak,
                span: policy.spans.down_after,
                per_replica: policy.per_replica,
                count: crew.present - 1,
            };
        }
        Err(kept) => {
            decision.limited_by = None;
            decision.kept = Some(kept);
        }
    }
}

/// The highest number there may be, and whose it is.
pub(super) fn most(service: &ServicePolicy, over: Option<Override>) -> (u32, Limit) {
    let max = service.bounds.max;
    match over {
        Some(Override::Cap(cap)) if cap < max => (cap, Limit::Cap(cap)),
        _ => (max, Limit::Max(max)),
    }
}

/// The wish within its bounds, and which of them it met.
pub(super) fn clamp(
    wanted: u32,
    service: &ServicePolicy,
    over: Option<Override>,
) -> (u32, Option<Limit>) {
    let (most, limit) = most(service, over);
    let least = service.bounds.min.min(most);
    if wanted > most {
        (most, Some(limit))
    } else if wanted < least {
        (least, Some(Limit::Min(least)))
    } else {
        (wanted, None)
    }
}

/// Demand when a replica ordered now is ready, bounded by the people there can be.
fn expected(policy: &Policy, event: Option<&Event>, reading: &Reading, lead: Duration) -> u32 {
    let people = reading
        .population
        .max(event.map_or(0, |event| event.sessions))
        .max(policy.per_replica);
    let most = f64::from(people) * 1.2;
    let ahead = (f64::from(reading.demand) + reading.growth * lead.as_secs_f64()).min(most);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and nothing is negative"
    )]
    let ahead = ahead as u32;
    reading.demand.max(ahead)
}

fn need(policy: &Policy, event: Option<&Event>, reading: &Reading, lead: Duration) -> (u32, Term) {
    let per_replica = policy.per_replica;
    let demand = reading.demand;
    let expected = expected(policy, event, reading, lead);
    let count = expected.div_ceil(per_replica);
    let term = if count > demand.div_ceil(per_replica) {
        Term::Growth {
            demand,
            expected,
            lead,
            per_replica,
            count,
        }
    } else {
        Term::Sessions {
            demand,
            per_replica,
            count,
        }
    };
    (count, term)
}

//! Services that follow another: its ratio, more where that is not enough, one where nobody is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::brake::Brake;
use super::decision::{Decision, Inputs, Kept, Term};
use super::holds::Holds;
use super::observation::Seen;
use super::policy::{Policy, ServicePolicy};
use super::recent::Recent;
use super::resources::Scarce;
use super::web::{Led, clamp, most, overrule, passed};

/// Handshakes that take longer are too slow.
const SLOW: Duration = Duration::from_secs(3);
/// Too slow for so many seconds is no accident.
const SLOW_FOR: u64 = 3;
/// A worker that is busy for this share of the time has enough to do.
const UTILISATION: f64 = 0.7;
/// What slowness asks for, and the most that busyness may, for each worker of the ratio.
const BEYOND_RATIO: f64 = 1.5;
/// What those are prepared for who follow somebody that is not full, for each session there was.
const TO_SPARE: f64 = 4.0 / 3.0;
/// Never two stops of one service closer together.
const BETWEEN_STOPS: Duration = Duration::from_secs(2);

/// What is remembered of one service that follows.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    began: Instant,
    busy: Recent<64>,
    boost_until: Option<Instant>,
    slow_since: Option<Instant>,
    brake: Brake,
    holds: Holds,
    booted: bool,
}

/// Who is followed, and how.
pub(super) struct Leader<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) least: u32,
    pub(super) ratio: f64,
    pub(super) led: &'a Led,
}

/// What is the case with one that is to leave.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// There are more than there may be.
    above: bool,
    /// Somebody is there who could miss it.
    active: bool,
    /// The ratio does not ask for it.
    beyond: bool,
}

impl Workers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            busy: Recent::default(),
            boost_until: None,
            slow_since: None,
            brake: Brake::default(),
            holds: Holds::default(),
            booted: false,
        }
    }

    pub(super) fn decide(
        &mut self,
        policy: &Policy,
        service: &ServicePolicy,
        leader: &Leader<'_>,
        seen: &Seen,
        fresh: bool,
        now: Instant,
    ) -> Decision {
        let crew = seen.crew;
        let led = leader.led;
        if !self.booted {
            self.booted = true;
            let found = crew.present.min(service.bounds.max);
            self.holds.boot(found, &policy.spans, now);
        }
        let busy = busy(seen, led, crew.ready);
        if fresh {
            let second = now.duration_since(self.began).as_secs();
            self.busy.push(second, busy);
        }
        self.brake.watch(crew.ready, &led.load, &policy.spans, now);
        self.watch_slowness(policy, led, now);

        let active = led.reading.known_peak > policy.idle_below()
            || led.reading.demand > policy.idle_below()
            || led.lifted
            || led.ghost
            || led.panic;
        let leaders = led.desired;
        let by_ratio = times(leader.ratio, leaders);
        let spread = spread(policy, leader).filter(|(count, _)| *count < by_ratio);
        let (by_ratio, by_ratio_term) = spread.unwrap_or_else(|| {
            let term = Term::Ratio {
                leader: Arc::clone(leader.name),
                leaders,
                ratio: leader.ratio,
                count: by_ratio,
            };
            (by_ratio, term)
        });
        let idle = service.bounds.min.max(1).min(by_ratio);
        let (mut wanted, mut term) = if active {
            (by_ratio, by_ratio_term)
        } else {
            (idle, Term::Idle { spare: idle })
        };
        let braked = self.brake.holds(now);
        let (more, because) = self.beyond_ratio(by_ratio, now);
        if active && !braked && more > wanted {
            (wanted, term) = (more, because);
            self.brake.raised(wanted.min(service.bounds.max), &led.load);
        } else if !braked {
            self.brake.released();
        }
        if let Some(found) = self.holds.boot_now(now).filter(|found| *found > wanted) {
            (wanted, term) = (found, Term::Boot { found });
        }

        let mut decision = Decision {
            wanted,
            desired: crew.present,
            term,
            limited_by: None,
            put_off: None,
            kept: braked.then_some(Kept::NotTheWorkers),
            by_ratio: None,
            scarce: Scarce::default(),
            inputs: Inputs {
                present: crew.present,
                ready: crew.ready,
                draining: crew.draining,
                demand: led.reading.demand,
                sessions: led.load.sessions,
                pending: led.load.pending,
                held: led.load.held,
                in_flight: led.load.in_flight,
                expected: busy,
                growth: led.reading.growth,
                lead: Duration::ZERO,
                peak: led.reading.peak,
                panic: led.panic,
                ghost: led.ghost,
            },
        };
        if overrule(&mut decision, policy.mode, service, seen) {
            return decision;
        }
        let (allowed, limit) = clamp(wanted, service, seen.over);
        decision.limited_by = limit;
        let beyond = matches!(decision.term, Term::Boost { .. } | Term::Busy { .. });
        decision.by_ratio = beyond.then(|| clamp(by_ratio, service, seen.over).0);
        if allowed >= crew.present {
            // Together, because they come up together.
            decision.desired = allowed;
            return decision;
        }
        let above = crew.present > most(service, seen.over).0;
        // Whoever is beyond the ratio came because it was slow, and it is not any more; a crowd that was
        // lost may be lost again.
        let beyond = crew.present > by_ratio && !led.ghost;
        let who = Leaving {
            above,
            active,
            beyond,
        };
        match self.may_shrink(policy, led, seen, busy, who, now) {
            Ok(()) => decision.desired = crew.present - 1,
            Err(kept) => {
                decision.limited_by = None;
                decision.kept = Some(if braked { Kept::NotTheWorkers } else { kept });
            }
        }
        decision
    }

    fn watch_slowness(&mut self, policy: &Policy, led: &Led, now: Instant) {
        let slow = led.load.answered_within.is_some_and(|took| took > SLOW);
        self.slow_since = if slow {
            Some(self.slow_since.unwrap_or(now))
        } else {
            None
        };
        let long = self
            .slow_since
            .is_some_and(|since| now.duration_since(since).as_secs() >= SLOW_FOR);
        if long || led.overloaded {
            self.boost_until = Some(now + policy.spans.panic);
        }
    }

    fn is_boosted(&self, now: Instant) -> bool {
        self.boost_until.is_some_and(|until| now < until)
    }

    /// What busyness or slowness asks for. In a storm the edge sees several handshakes per worker
    /// however many workers there are, so busyness without a bound would ask for more until it is
    /// over; twice the ratio serves a storm no better than half as many more, for a fifth more.
    fn beyond_ratio(&self, by_ratio: u32, now: Instant) -> (u32, Term) {
        let minute = self.busy.mean(60);
        let moment = self.busy.mean(6);
        let busy = if moment >= 2.0 * minute {
            moment
        } else {
            minute
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of u32"
        )]
        let (busy, by_busy) = (busy.ceil() as u32, (busy / UTILISATION).ceil() as u32);
        let most = times(BEYOND_RATIO, by_ratio);
        let by_busy = by_busy.min(most);
        let boosted = if self.is_boosted(now) { most } else { 0 };
        if by_busy > boosted {
            (by_busy, Term::Busy { busy })
        } else {
            (boosted, Term::Boost { workers: boosted })
        }
    }

    /// Why none may go, if none may.
    fn may_shrink(
        &self,
        policy: &Policy,
        led: &Led,
        seen: &Seen,
        busy: u32,
        who: Leaving,
        now: Instant,
    ) -> Result<(), Kept> {
        let crew = seen.crew;
        let spans = &policy.spans;
        let quarter = crew.present.div_ceil(4).max(1);
        let shortest = BETWEEN_STOPS.min(spans.between_drains);
        let apart = if who.active {
            (spans.quarter / quarter).max(shortest)
        } else {
            shortest
        };
        if !passed(crew.last_drain, apart, now) {
            return Err(Kept::Spacing);
        }
        if who.above {
            return Ok(());
        }
        if led.reading.peak.is_none() {
            return Err(Kept::Unwatched);
        }
        if led.panic || self.is_boosted(now) {
            return Err(Kept::Panic);
        }
        if crew.ready < crew.present {
            return Err(Kept::Unready);
        }
        if !who.beyond && !passed(crew.last_up, spans.down_after, now) {
            return Err(Kept::Grew);
        }
        // A worker takes a message before it works on it: to stop a busy one is to lose a request.
        if busy >= crew.present {
            return Err(Kept::Busy);
        }
        Ok(())
    }
}

/// How many are enough for the highest demand of the span, where those they follow are not full.
///
/// Whoever carries sessions leaves late, one at a time and drained, so that nobody is moved twice;
/// those who follow carry none and are back within seconds. They are enough for a third more than
/// the highest demand was: with less to spare than that, noise makes people wait.
fn spread(policy: &Policy, leader: &Leader<'_>) -> Option<(u32, Term)> {
    let led = leader.led;
    if led.lifted || led.ghost || led.boot || led.panic || led.told {
        return None;
    }
    let peak = led.reading.peak?.max(led.reading.demand);
    let full = f64::from(peak) / f64::from(policy.per_replica.max(1));
    let least = times(leader.ratio, leader.least.max(1));
    let count = times(leader.ratio * TO_SPARE * full, 1).max(least);
    let term = Term::Spread {
        peak,
        span: policy.spans.down_after,
        leader: Arc::clone(leader.name),
        ratio: leader.ratio,
        per_replica: policy.per_replica,
        count,
    };
    Some((count, term))
}

/// Messages that wait or are worked on. Without a look into the channel layer: requests in flight,
/// and handshakes, of which no more than there are workers can be worked on.
fn busy(seen: &Seen, led: &Led, ready: u32) -> u32 {
    match seen.backlog {
        Some(backlog) => ready.saturating_sub(backlog.idle_workers) + backlog.messages,
        None => led.load.in_flight + led.load.pending.min(ready),
    }
}

fn times(factor: f64, count: u32) -> u32 {
    let exact = (factor * f64::from(count)).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and both factors are positive"
    )]
    let exact = exact as u32;
    exact
}

//! A stack for nobody: nothing runs until somebody comes.
//!
//! ```text
//! Awake ──nobody for `idle-to-zero`──▶ Falling ──nothing left──▶ Asleep ──somebody──▶ Waking
//!   ▲  ▲                                  │ somebody               │ somebody else      │
//!   │  └──────────────────────────────────┘                        │ started one        │
//!   └───────────────────────────────────────────────────◀──────────┴──────first ready───┘
//! ```
//!
//! Somebody is: a session, a handshake, a visitor, an operator's number, an event that runs or begins
//! within twelve hours. Nobody falls asleep while the past is not known, while a crowd that was lost
//! may come back, in a panic, or just after usher has started.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::calendar;
use super::decision::{Decision, Kept, Term};
use super::observation::{Observation, Override, Seen};
use super::policy::{Kind, Policy};
use super::recent::GAP;
use super::web::{Led, most};
use crate::config::model::ScaleMode;
use crate::moment::Now;

/// An event that begins sooner is as good as somebody.
const EVENT_WITHIN: Duration = Duration::from_secs(12 * 3_600);

/// What is remembered of a stack's rest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Zero {
    phase: Phase,
    idle_since: Option<Instant>,
    looked_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Phase {
    /// Not looked at yet: where nothing runs, nothing is started for nobody.
    #[default]
    Unseen,
    Awake,
    /// What still runs is on its way out.
    Falling,
    Asleep,
    /// One of each is on its way up, and no more before the first is ready.
    Waking,
}

impl Zero {
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.phase, Phase::Falling | Phase::Asleep)
    }

    /// Whether the first of it are on their way up for whoever has come.
    pub(super) fn is_waking(&self) -> bool {
        self.phase == Phase::Waking
    }

    /// Takes the place of what was decided for a stack that has to rest, or that wakes.
    pub(super) fn overrule(
        &mut self,
        policy: &Policy,
        observation: &Observation,
        leaders: &[Led],
        now: Now,
        decisions: &mut [Decision],
    ) {
        if policy.mode == ScaleMode::Off {
            return;
        }
        let nothing = Seen::default();
        let seen = observation
            .services
            .iter()
            .chain(std::iter::repeat(&nothing));
        let services = policy.services.iter().zip(seen).zip(decisions);
        let scaled = services.map(|((service, seen), decision)| (service, seen, decision));
        let scaled = scaled.filter(|(service, ..)| service.kind != Kind::Fixed);
        if let Some(rental) = policy.rental
            && !rental.includes(now.wall)
        {
            *self = Self::default();
            for (.., decision) in scaled {
                rest(decision, Term::Unrented { rental });
            }
            return;
        }
        let Some(span) = policy
            .idle_to_zero
            .filter(|_| policy.mode != ScaleMode::Hold)
        else {
            *self = Self::default();
            return;
        };
        let held = |led: &Led| led.ghost || led.panic || led.boot;
        let may_fall = !leaders.iter().any(held);
        self.watch(policy, observation, span, may_fall, now);
        match self.phase {
            Phase::Falling | Phase::Asleep => {
                for (.., decision) in scaled {
                    rest(decision, Term::Asleep { span });
                    if !observation.fresh {
                        // Missing samples are not low demand.
                        decision.desired = decision.inputs.present;
                        decision.kept = Some(Kept::Unwatched);
                    }
                }
            }
            Phase::Waking => {
                for (service, seen, decision) in scaled {
                    let operator = matches!(decision.term, Term::Operator { .. });
                    if service.kind == Kind::Sessions && !operator {
                        let first = service.bounds.min.max(1).max(seen.crew.present);
                        let first = first.min(most(service, seen.over).0);
                        decision.wanted = decision.wanted.max(first);
                        decision.desired = first;
                        decision.term = Term::Woken { count: first };
                        decision.limited_by = None;
                        decision.kept = None;
                    }
                }
            }
            Phase::Unseen | Phase::Awake => {}
        }
    }

    fn watch(
        &mut self,
        policy: &Policy,
        observation: &Observation,
        span: Duration,
        may_fall: bool,
        now: Now,
    ) {
        let last = self.looked_at.replace(now.at).unwrap_or(now.at);
        let gap = now.at.duration_since(last).as_secs() > GAP;
        let somebody = is_somebody_there(policy, observation, now.wall);
        let quiet = observation.fresh && !somebody;
        self.idle_since = if quiet && !gap {
            Some(self.idle_since.unwrap_or(now.at))
        } else {
            None
        };
        let idle = self
            .idle_since
            .is_some_and(|since| now.at.duration_since(since) >= span);
        let any = |is: fn(Kind, &Seen) -> bool| {
            let mut services = policy.services.iter().zip(&observation.services);
            services.any(|(service, seen)| is(service.kind, seen))
        };
        let runs = any(|kind, seen| kind != Kind::Fixed && seen.crew.present > 0);
        let ready = any(|kind, seen| kind == Kind::Sessions && seen.crew.ready > 0);
        self.phase = match self.phase {
            Phase::Unseen if !runs && !somebody => Phase::Asleep,
            Phase::Unseen => Phase::Awake,
            Phase::Falling if somebody && ready => Phase::Awake,
            Phase::Falling | Phase::Asleep if somebody => Phase::Waking,
            Phase::Falling if !runs => Phase::Asleep,
            Phase::Asleep if runs => {
                // Somebody else has started it, and will want to see it.
                self.idle_since = None;
                Phase::Awake
            }
            Phase::Awake | Phase::Waking if idle && may_fall => Phase::Falling,
            Phase::Waking if ready => Phase::Awake,
            other => other,
        };
    }
}

fn is_somebody_there(policy: &Policy, observation: &Observation, wall: SystemTime) -> bool {
    let busy = |seen: &Seen| {
        let operator = match seen.over {
            Some(Override::Exact(count) | Override::Floor(count)) => count > 0,
            Some(Override::Cap(_)) | None => false,
        };
        seen.load.sessions > 0 || seen.load.pending > 0 || operator
    };
    observation.visitors > 0
        || observation.visits > 0
        || observation.services.iter().any(busy)
        || policy
            .events
            .iter()
            .any(|event| calendar::is_near(event, EVENT_WITHIN, wall))
}

fn rest(decision: &mut Decision, term: Term) {
    decision.wanted = 0;
    decision.desired = 0;
    decision.term = term;
    decision.limited_by = None;
    decision.by_ratio = None;
    decision.kept = None;
}

//! Rules of scaling: usher's own, and as many replicas as it ever takes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::rule::{Glimpse, RATIO, Rule, Sizes, whole};
use super::trace::{Expected, Trace};
use crate::autoscaler::{
    Crew, Decision, Kind, Load, Observation, Policy, Seen, ServicePolicy, Spans, State, decide,
    is_on,
};
use crate::config::model::{Bounds, Event, ScaleMode};
use crate::moment::Now;

/// Sessions that one web is to hold.
pub(super) const PER_WEB: u32 = 150;

/// The same number, all the time.
#[derive(Debug)]
pub struct Static(u32);

impl Static {
    pub fn new(webs: u32) -> Self {
        Self(webs)
    }

    /// What the peak of a trace needs.
    pub fn for_peak(trace: &Trace) -> Self {
        Self(whole((trace.peak() / f64::from(PER_WEB)).ceil()).max(1))
    }
}

impl Rule for Static {
    fn admits(&self) -> bool {
        false
    }

    fn drains(&self) -> bool {
        false
    }

    fn begins_with(&mut self, _wanted: f64) -> u32 {
        self.0
    }

    fn tick(&mut self, _glimpse: &Glimpse<'_>) -> Sizes {
        Sizes {
            webs: self.0,
            workers: self.0 * RATIO,
        }
    }
}

/// The production autoscaler.
#[derive(Debug)]
pub struct Usher {
    policy: Policy,
    state: State,
    start: Instant,
    last_up: [Option<Instant>; 2],
    last_drain: [Option<Instant>; 2],
}

impl Usher {
    pub fn new(start: Instant) -> Self {
        let service = |name: &str, kind, max| ServicePolicy {
            name: name.into(),
            kind,
            bounds: Bounds { min: 1, max },
        };
        Self {
            policy: Policy {
                per_replica: PER_WEB,
                hard: 250,
                mode: ScaleMode::Auto,
                spans: Spans::of(Duration::from_secs(600)),
                services: vec![
                    service("web", Kind::Sessions, 16),
                    service(
                        "worker",
                        Kind::Ratio {
                            of: 0,
                            ratio: f64::from(RATIO),
                        },
                        64,
                    ),
                ],
                events: Arc::from([]),
                idle_to_zero: None,
                rental: None,
            },
            state: State::default(),
            start,
            last_up: [None; 2],
            last_drain: [None; 2],
        }
    }

    /// The same with an audience that was announced.
    pub fn with_calendar(start: Instant, expected: &[Expected]) -> Self {
        let event = |expected: &Expected| Event {
            name: "the audience".into(),
            start: wall(expected.from),
            end: wall(expected.until),
            hours: None,
            attendees: expected.sessions,
            sessions: expected.sessions,
            prewarm: Duration::from_secs(900),
        };
        let mut usher = Self::new(start);
        usher.policy.events = expected.iter().map(event).collect();
        usher
    }

    fn crew(&self, index: usize, glimpse: &Glimpse<'_>) -> Crew {
        let (present, ready, draining) = if index == 0 {
            (glimpse.webs, glimpse.ready_webs, glimpse.draining)
        } else {
            (glimpse.workers, glimpse.ready_workers, 0)
        };
        Crew {
            present,
            ready,
            draining,
            last_up: self.last_up.get(index).copied().flatten(),
            last_drain: self.last_drain.get(index).copied().flatten(),
            lead: None,
        }
    }
}

/// A second of the trace as a date. The day is of no account.
fn wall(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

impl Rule for Usher {
    fn admits(&self) -> bool {
        true
    }

    fn drains(&self) -> bool {
        true
    }

    fn closes(&self, second: usize) -> bool {
        // As the control plane does.
        let now = wall(u64::try_from(second).unwrap_or(u64::MAX));
        !self.policy.events.iter().any(|event| is_on(event, now))
    }

    fn begins_with(&mut self, wanted: f64) -> u32 {
        whole((wanted / f64::from(PER_WEB)).ceil()).max(1)
    }

    fn tick(&mut self, glimpse: &Glimpse<'_>) -> Sizes {
        let second = u64::try_from(glimpse.second).unwrap_or(u64::MAX);
        let now = Now {
            at: self.start + Duration::from_secs(second),
            wall: wall(second),
        };
        // Parts of a person are nobody.
        let load = Load {
            sessions: whole(glimpse.sessions + 1e-6),
            fullest: whole(glimpse.per_web.iter().copied().fold(0.0, f64::max)),
            pending: whole(glimpse.pending + 1e-6),
            held: whole(glimpse.held + 1e-6),
            longest_wait: Duration::from_secs_f64(glimpse.longest_wait),
            in_flight: whole(glimpse.in_flight + 1e-6),
            refused: 0,
            overloaded: whole(glimpse.failed + 1e-6),
            answered_within: glimpse.answered_within.map(Duration::from_secs_f64),
            first_byte_within: glimpse.first_byte_within.map(Duration::from_secs_f64),
        };
        let seen = |index, load| Seen {
            crew: self.crew(index, glimpse),
            load,
            ..Seen::default()
        };
        let observation = Observation {
            fresh: true,
            // Of these traces everybody is somebody.
            visitors: load.held.saturating_add(load.in_flight),
            visits: 0,
            services: vec![seen(0, load), seen(1, Load::default())],
        };
        let decisions = decide(&self.policy, &mut self.state, &observation, now);
        for ((decision, up), drain) in decisions
            .iter()
            .zip(&mut self.last_up)
            .zip(&mut self.last_drain)
        {
            if decision.desired > decision.inputs.present {
                *up = Some(now.at);
            } else if decision.desired < decision.inputs.present {
                *drain = Some(now.at);
            }
        }
        let desired = |decision: Option<&Decision>| decision.map_or(0, |decision| decision.desired);
        Sizes {
            webs: desired(decisions.first()),
            workers: desired(decisions.get(1)),
        }
    }
}

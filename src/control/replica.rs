//! The life of one replica.
//!
//! ```text
//! Starting ──probe──▶ Ready ◀──probe──▶ Unhealthy
//!    │ too long         │ surplus           │ surplus
//!    ▼                  ▼                   ▼
//!  Failed ──────────▶ Draining ──deadline──▶ Cutting ──empty──▶ Stopping ──unlisted──▶ gone
//!                       │  └──────────────── empty ────────────────▲
//!                       └──demand returned──▶ Ready
//! ```
//!
//! A probe cannot revive what drains, because that arrow does not exist.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::drain::closing::Closing;
use super::event::Now;
use crate::drain::DrainProof;
use crate::health::{Health, Verdict};
use crate::inventory::{Phase, Reach, Unit};
use crate::names::{Generation, InstanceName};
use crate::plan::{EndpointReport, Report};

/// A replica that has not answered by then has failed to start.
pub(super) const START_WITHIN: Duration = Duration::from_secs(60);
/// What the engine did not stop is tried again after this.
const STOP_AGAIN_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) unit: Unit,
    pub(super) health: Health,
    /// What the data plane last said of it.
    pub(super) load: EndpointReport,
    /// A copy of what is not deployed any more: it serves until something newer does.
    pub(super) outdated: bool,
    /// It drains because another one does, and the engine may choose between the two.
    pub(super) accompanies: bool,
    /// Its start takes one of the places there are on the host: usher ordered it, or somebody put it
    /// beside the replicas of a scaled service for the first time.
    pub(super) in_turn: bool,
    /// An operator wants it to leave, whatever the demand is.
    pub(super) dismissed: bool,
    /// When usher decided that it leaves, however often the engine did not stop it since.
    drain_began: Option<Instant>,
    /// When the engine last did not stop it.
    stop_refused: Option<Instant>,
    state: State,
    since: Now,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// To Ready by a probe; to Failed after [`START_WITHIN`]; to Draining as surplus.
    Starting,
    /// To Unhealthy by probes; to Draining as surplus or when somebody stops it.
    Ready,
    /// To Ready by probes; to Draining as surplus or when somebody stops it.
    Unhealthy,
    /// To Ready when demand returns; to Cutting at its deadline; to Stopping when empty.
    Draining {
        /// The first plan that says so.
        from: Generation,
        by: Who,
    },
    /// To Stopping when empty.
    Cutting { from: Generation, closing: Closing },
    /// Gone when it is not listed any more; back to Draining if the engine refused.
    Stopping { from: Generation },
    /// To Ready by a late probe; to Draining as surplus.
    Failed,
}

/// Who wants a replica to leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    /// Somebody told it to stop without asking usher.
    Other,
    Usher,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unhealthy => "unhealthy",
            Self::Draining { .. } => "draining",
            Self::Cutting { .. } => "cutting",
            Self::Stopping { .. } => "stopping",
            Self::Failed => "failed",
        }
    }
}

impl Replica {
    /// `probed`: whether anything will be asked of it; if not, running is ready.
    pub(super) fn new(unit: Unit, now: Now, probed: bool) -> Self {
        let proven = !probed && unit.health != Some(false);
        let mut replica = Self {
            unit,
            health: Health::default(),
            load: EndpointReport::default(),
            outdated: false,
            accompanies: false,
            in_turn: false,
            dismissed: false,
            drain_began: None,
            stop_refused: None,
            state: if proven {
                State::Ready
            } else {
                State::Starting
            },
            since: now,
        };
        if replica.unit.phase == Phase::Leaving {
            replica.enter(
                now,
                State::Draining {
                    from: Generation::default(),
                    by: Who::Other,
                },
            );
        }
        replica
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// When it entered its state, for people.
    pub(super) fn since(&self) -> SystemTime {
        self.since.wall
    }

    pub(super) fn been_so_for(&self, now: Now) -> Duration {
        now.at.duration_since(self.since.at)
    }

    /// How long it has been leaving.
    pub(super) fn drained_for(&self, now: Now) -> Duration {
        let began = self.drain_began.unwrap_or(self.since.at);
        now.at.duration_since(began)
    }

    pub(super) fn entered_at(&self) -> Instant {
        self.since.at
    }

    pub(super) fn enter(&mut self, now: Now, state: State) {
        tracing::info!(
            replica = %self.unit.name,
            id = %self.unit.id,
            from = self.state.word(),
            to = state.word(),
            "replica changed state"
        );
        self.state = state;
        self.since = now;
    }

    /// New facts about the same life. `next` is the number of the plan that will carry them.
    pub(super) fn refresh(&mut self, unit: &Unit, now: Now, probed: bool, next: Generation) {
        self.unit.clone_from(unit);
        let leaving = unit.phase == Phase::Leaving;
        match self.state {
            State::Starting | State::Ready | State::Unhealthy | State::Failed if leaving => {
                self.enter(
                    now,
                    State::Draining {
                        from: next,
                        by: Who::Other,
                    },
                );
            }
            // The engine's own health check stands in where usher has no question.
            State::Starting | State::Failed if !probed && unit.health != Some(false) => {
                self.enter(now, State::Ready);
            }
            State::Unhealthy if !probed && unit.health != Some(false) => {
                self.enter(now, State::Ready);
            }
            State::Ready if !probed && unit.health == Some(false) => {
                self.enter(now, State::Unhealthy);
            }
            // It has lost the network it was reached over.
            State::Ready if probed && !self.is_reachable() => self.enter(now, State::Unhealthy),
            _ => {}
        }
    }

    pub(super) fn observe(&mut self, outcome: Result<(), String>, now: Now) {
        self.health.observe(outcome);
        match (self.state, self.health.verdict()) {
            (State::Starting | State::Failed | State::Unhealthy, Verdict::Healthy) => {
                self.enter(now, State::Ready);
            }
            (State::Ready, Verdict::Unhealthy) => self.enter(now, State::Unhealthy),
            _ => {}
        }
    }

    /// Notices that it takes too long to start. Whether it failed just now.
    pub(super) fn fail_if_late(&mut self, now: Now) -> bool {
        let late = self.state == State::Starting && self.been_so_for(now) >= START_WITHIN;
        if late {
            self.enter(now, State::Failed);
        }
        late
    }

    /// `next` is the number of the plan that will say so.
    pub(super) fn drain(&mut self, now: Now, next: Generation) {
        if std::mem::take(&mut self.accompanies) && self.is_draining() {
            return;
        }
        self.drain_began = Some(now.at);
        self.enter(
            now,
            State::Draining {
                from: next,
                by: Who::Usher,
            },
        );
    }

    /// Drains for as long as another one does.
    pub(super) fn accompany(&mut self, now: Now, next: Generation) {
        self.drain(now, next);
        self.accompanies = true;
    }

    /// Takes a drain back. Only what was not cut yet can be had again.
    pub(super) fn reopen(&mut self, now: Now, probed: bool) {
        self.accompanies = false;
        let state = match self.health.verdict() {
            Verdict::Unhealthy => State::Unhealthy,
            Verdict::Unproven if probed => State::Starting,
            Verdict::Healthy | Verdict::Unproven => State::Ready,
        };
        self.enter(now, state);
    }

    /// The proof that it may be stopped: the data plane has applied the plan that closed it, and
    /// its gate says that nobody is inside.
    pub(super) fn drained(
        &self,
        now: Now,
        report: &Report,
        instance: &InstanceName,
    ) -> Option<DrainProof> {
        let from = match self.state {
            State::Draining { from, .. }
            | State::Cutting { from, .. }
            | State::Stopping { from } => from,
            State::Starting | State::Ready | State::Unhealthy | State::Failed => return None,
        };
        let refused = self
            .stop_refused
            .is_some_and(|at| now.at < at + STOP_AGAIN_AFTER);
        if refused || report.applied < from {
            return None;
        }
        report
            .instances
            .get(instance)?
            .drained
            .get(&self.unit.id)
            .cloned()
    }

    pub(super) fn stopping(&mut self, now: Now, from: Generation) {
        self.enter(now, State::Stopping { from });
    }

    /// The engine refused to stop it: it goes on draining, and nothing is lost but time.
    pub(super) fn not_stopped(&mut self, now: Now) {
        if let State::Stopping { from } = self.state {
            self.stop_refused = Some(now.at);
            self.enter(
                now,
                State::Draining {
                    from,
                    by: Who::Usher,
                },
            );
        }
    }

    /// Whether it serves or soon will.
    pub(super) fn is_present(&self) -> bool {
        matches!(
            self.state,
            State::Starting | State::Ready | State::Unhealthy
        )
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining { by: Who::Usher, .. })
    }

    pub(super) fn is_reachable(&self) -> bool {
        !matches!(self.unit.reach, Reach::Unreachable { .. })
    }

    /// Sessions it holds.
    pub(super) fn sessions(&self) -> u32 {
        self.load.websockets + self.load.streams
    }
}

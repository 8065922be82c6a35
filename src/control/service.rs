//! What the control plane remembers of one service: its replicas and its scaling.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::event::Now;
use super::reach::is_probed;
use super::replica::{Replica, State, Who};
use crate::autoscaler::{Crew, Decision, Direction, Window};
use crate::config::model::Service;
use crate::inventory::{Origin, Phase, Unit};
use crate::names::{Generation, ReplicaId};
use crate::plan::InstanceReport;

/// The first pause after a start that failed; it doubles up to [`LAST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
const LAST_BACKOFF: Duration = Duration::from_secs(300);
/// A replica that ends sooner than this after its start failed to start.
const SHORT_LIFE: Duration = Duration::from_secs(60);
/// A replica that was ordered shows in the listing by then, or it never will.
const LISTED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct ServiceState {
    pub(super) replicas: BTreeMap<ReplicaId, Replica>,
    /// Containers that ended: their name and exit code.
    pub(super) ended: Vec<(String, i64)>,
    pub(super) demand: Window,
    pub(super) last_up: Option<Instant>,
    pub(super) last_drain: Option<Instant>,
    pub(super) decision: Option<Decision>,
    /// The last decision that changed something.
    pub(super) change: Option<Change>,
    pub(super) changes: BTreeMap<Direction, u64>,
    pub(super) over: Option<Override>,
    pub(super) starts: Starts,
    /// A replica that takes requests is about to be there.
    pub(super) coming: bool,
    /// Requests that wait for one.
    held: u32,
}

/// A change of the number of replicas, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) at: SystemTime,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) reason: String,
}

/// An operator's number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Override {
    pub(super) replicas: u32,
    /// `None`: until it is taken back.
    pub(super) until: Option<Now>,
}

/// How starting goes.
#[derive(Debug, Default)]
pub(super) struct Starts {
    phase: StartPhase,
    failures: u32,
    not_before: Option<Instant>,
    /// Why the last one failed, until one succeeds.
    pub(super) trouble: Option<String>,
    /// Trying again is pointless until the stack changes.
    pub(super) hopeless: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum StartPhase {
    #[default]
    Idle,
    /// The engine works on it. A listing may show the replica before the engine says it is done.
    Ordered { listed: bool },
    /// The engine is done; no listing shows it yet.
    Awaited { since: Instant },
}

impl Starts {
    pub(super) fn ordered(&mut self) {
        self.phase = StartPhase::Ordered { listed: false };
    }

    pub(super) fn succeeded(&mut self, now: Now) {
        self.phase = match self.phase {
            StartPhase::Ordered { listed: true } => StartPhase::Idle,
            _ => StartPhase::Awaited { since: now.at },
        };
    }

    pub(super) fn failed(&mut self, now: Now, why: String, passing: bool) {
        self.phase = StartPhase::Idle;
        self.failures += 1;
        let doublings = (self.failures - 1).min(6);
        let pause = (FIRST_BACKOFF * (1 << doublings)).min(LAST_BACKOFF);
        self.not_before = Some(now.at + pause);
        self.trouble = Some(why);
        self.hopeless = !passing;
    }

    /// A replica lives: the past is forgiven.
    fn proven(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.trouble = None;
        self.hopeless = false;
    }

    fn listed(&mut self) {
        self.phase = match self.phase {
            StartPhase::Ordered { .. } => StartPhase::Ordered { listed: true },
            StartPhase::Idle | StartPhase::Awaited { .. } => StartPhase::Idle,
        };
    }

    /// One that was ordered and is not seen yet.
    fn unseen(&self, now: Now) -> bool {
        match self.phase {
            StartPhase::Idle => false,
            StartPhase::Ordered { listed } => !listed,
            StartPhase::Awaited { since } => now.at.duration_since(since) < LISTED_WITHIN,
        }
    }

    pub(super) fn allowed(&self, now: Now) -> bool {
        let busy = matches!(self.phase, StartPhase::Ordered { .. }) || self.unseen(now);
        !busy && !self.hopeless && self.not_before.is_none_or(|at| at <= now.at)
    }
}

impl ServiceState {
    /// Takes the listed units in. Returns how many left without having been asked to.
    ///
    /// `next` is the number of the plan that will carry the changes.
    pub(super) fn list(
        &mut self,
        units: &[Unit],
        service: &Service,
        now: Now,
        next: Generation,
    ) -> u32 {
        let alive: Vec<&Unit> = units.iter().filter(|unit| unit.phase.is_alive()).collect();
        self.ended = units
            .iter()
            .filter_map(|unit| match unit.phase {
                Phase::Exited { code } => Some((unit.name.clone(), code)),
                _ => None,
            })
            .collect();
        let mut vanished = 0;
        let mut short_lived = None;
        self.replicas.retain(|id, replica| {
            if alive.iter().any(|unit| unit.id == *id) {
                return true;
            }
            let expected = matches!(
                replica.state(),
                State::Stopping { .. } | State::Draining { by: Who::Other, .. }
            );
            if !expected {
                let ended = units
                    .iter()
                    .find(|unit| unit.id == *id || unit.id.unit() == id.unit());
                let lived = now
                    .wall
                    .duration_since(replica.unit.since)
                    .unwrap_or_default();
                match ended.map(|unit| unit.phase) {
                    Some(Phase::Exited { code }) if lived < SHORT_LIFE => {
                        short_lived = Some(format!(
                            "{} ended {} s after its start with exit code {code}",
                            replica.unit.name,
                            lived.as_secs()
                        ));
                    }
                    Some(_) => {}
                    None => vanished += 1,
                }
            }
            false
        });
        if let Some(why) = short_lived {
            self.starts.failed(now, why, true);
        }
        for unit in alive {
            let probed = is_probed(service, unit);
            match self.replicas.get_mut(&unit.id) {
                Some(replica) => replica.refresh(unit, now, probed, next),
                None => {
                    let replica = Replica::new(unit.clone(), now, probed);
                    tracing::info!(
                        replica = %unit.name,
                        id = %unit.id,
                        state = replica.state().word(),
                        "replica found"
                    );
                    self.replicas.insert(unit.id.clone(), replica);
                    self.starts.listed();
                    // The stack has changed: what was hopeless may work now.
                    self.starts.hopeless = false;
                }
            }
        }
        vanished
    }

    /// An address that is not declared any more leaves like any other replica; one that is
    /// declared again stays.
    pub(super) fn drain_withdrawn(
        &mut self,
        withdrawn: &[Unit],
        service: &Service,
        now: Now,
        next: Generation,
    ) {
        for replica in self.replicas.values_mut() {
            if replica.unit.origin != Origin::Fixed {
                continue;
            }
            let leaves = withdrawn.iter().any(|unit| unit.id == replica.unit.id);
            let stays = replica.is_present() || replica.state() == State::Failed;
            let drains = matches!(replica.state(), State::Draining { .. });
            if leaves && stays {
                replica.drain(now, next);
            } else if !leaves && drains {
                replica.reopen(now, is_probed(service, &replica.unit));
            }
        }
    }

    /// Takes the newest counts in. A replica that is in no report holds nothing.
    pub(super) fn load(&mut self, report: &InstanceReport) {
        for (id, replica) in &mut self.replicas {
            replica.load = report.endpoints.get(id).copied().unwrap_or_default();
        }
    }

    /// Takes in how many requests wait for a replica.
    pub(super) fn hold(&mut self, held: u32) {
        self.held = held;
    }

    /// What is connected now: sessions, requests in flight, and those that wait to be.
    pub(super) fn demand_now(&self) -> u32 {
        let inside: u32 = self
            .replicas
            .values()
            .map(|replica| replica.load.inside)
            .sum();
        inside + self.held
    }

    /// Whether a replica starts, has been ordered, or is restarted by somebody else.
    pub(super) fn is_coming(&self, now: Now) -> bool {
        let comes = |state| {
            matches!(
                state,
                State::Starting | State::Draining { by: Who::Other, .. }
            )
        };
        let starts = self
            .replicas
            .values()
            .any(|replica| comes(replica.state()) && replica.is_reachable());
        starts || self.starts.unseen(now)
    }

    pub(super) fn count(&self, state: impl Fn(State) -> bool) -> u32 {
        let count = self
            .replicas
            .values()
            .filter(|replica| state(replica.state()))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    pub(super) fn crew(&self, now: Now) -> Crew {
        let present = self
            .replicas
            .values()
            .filter(|replica| replica.is_present())
            .count();
        Crew {
            present: u32::try_from(present).unwrap_or(u32::MAX)
                + u32::from(self.starts.unseen(now)),
            ready: self.count(|state| state == State::Ready),
            draining: self.count(|state| {
                matches!(
                    state,
                    State::Draining { by: Who::Usher, .. } | State::Cutting { .. }
                )
            }),
            last_up: self.last_up,
            last_drain: self.last_drain,
        }
    }

    /// Whether a replica lives long enough to count as started.
    pub(super) fn forgive(&mut self, now: Now) {
        let proven = self.replicas.values().any(|replica| {
            replica.state() == State::Ready
                && now
                    .wall
                    .duration_since(replica.unit.since)
                    .unwrap_or_default()
                    >= SHORT_LIFE
        });
        let quiet = self
            .starts
            .not_before
            .is_none_or(|at| at + SHORT_LIFE <= now.at);
        if proven && quiet && self.starts.failures > 0 && !self.starts.hopeless {
            self.starts.proven();
        }
    }

    /// Who leaves first: what failed, then what does not answer, then what usher added, then who
    /// holds the fewest sessions, then the youngest.
    pub(super) fn victim(&self) -> Option<ReplicaId> {
        self.replicas
            .iter()
            .filter(|(_, replica)| replica.is_present() || replica.state() == State::Failed)
            .min_by_key(|(_, replica)| {
                let declared = !matches!(replica.unit.origin, Origin::Added { .. });
                let rank = match replica.state() {
                    State::Failed => 0,
                    State::Unhealthy => 1,
                    State::Starting => 2,
                    _ => 3,
                };
                (
                    rank,
                    declared,
                    replica.sessions(),
                    std::cmp::Reverse(replica.entered_at()),
                    std::cmp::Reverse(replica.unit.origin),
                )
            })
            .map(|(id, _)| id.clone())
    }

    /// A replica whose drain can be taken back: the fullest, because it saves the most.
    pub(super) fn reopenable(&self) -> Option<ReplicaId> {
        self.replicas
            .iter()
            .filter(|(_, replica)| {
                matches!(replica.state(), State::Draining { by: Who::Usher, .. })
            })
            .max_by_key(|(_, replica)| replica.sessions())
            .map(|(id, _)| id.clone())
    }

    /// How many more sessions the ready replicas can take without being overfull.
    pub(super) fn room(&self, per_replica: u32) -> u32 {
        self.replicas
            .values()
            .filter(|replica| replica.state() == State::Ready)
            .map(|replica| per_replica.saturating_sub(replica.sessions()))
            .sum()
    }

    /// A change of the number of replicas begins.
    pub(super) fn record(
        &mut self,
        direction: Direction,
        from: u32,
        to: u32,
        reason: &str,
        now: Now,
    ) {
        let same = self
            .change
            .as_ref()
            .is_some_and(|change| change.to == to && change.reason == reason);
        if same {
            return;
        }
        *self.changes.entry(direction).or_default() += 1;
        self.change = Some(Change {
            at: now.wall,
            from,
            to,
            reason: reason.to_owned(),
        });
    }
}

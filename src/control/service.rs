//! What the control plane remembers of one service: its replicas and its scaling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::answers::Answers;
use super::by_hand::ByHand;
use super::event::Now;
use super::fixed::Told;
use super::leftovers::Leftovers;
use super::loops::Loops;
use super::reach::is_probed;
use super::replica::{Replica, START_WITHIN, State, Who};
use super::starts::Starts;
use super::takes::Takes;
use super::weights::Weights;
use crate::autoscaler::{Crew, Decision, Direction, Lead, Load, Override, Seen};
use crate::config::model::Service;
use crate::inventory::{Origin, Phase, Unit};
use crate::names::{Generation, ReplicaId};
use crate::plan::{InstanceReport, SessionTotals};

/// A replica that ends sooner than this after its start failed to start.
const SHORT_LIFE: Duration = Duration::from_secs(60);
/// Compose stops a container, then starts the one in its place.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);
/// What failed is not told any more when nothing was tried for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct ServiceState {
    pub(super) replicas: BTreeMap<ReplicaId, Replica>,
    /// Containers that ended: their name and exit code.
    pub(super) ended: Vec<(String, i64)>,
    /// How long starts took.
    pub(super) lead: Lead,
    pub(super) last_up: Option<Instant>,
    pub(super) last_drain: Option<Instant>,
    pub(super) decision: Option<Decision>,
    /// The last decision that changed something.
    pub(super) change: Option<Change>,
    pub(super) changes: BTreeMap<Direction, u64>,
    /// The number that was recommended last, and when, where nothing is done.
    pub(super) recommended: Option<(u32, Instant)>,
    pub(super) over: Option<Wished>,
    /// Where it is not scaled.
    pub(super) told: Option<Told>,
    pub(super) starts: Starts,
    /// When the engine was told to stop replicas of one that follows.
    pub(super) stops: BTreeMap<ReplicaId, Instant>,
    /// Of those, how many had not ended when their time was over, and were killed at their work.
    pub(super) killed_busy: u64,
    /// Since when it has wanted to start one while too many others were starting.
    pub(super) waits_since: Option<Instant>,
    pub(super) leftovers: Leftovers,
    pub(super) by_hand: ByHand,
    /// Every unit of the last listing, alive or not.
    listed: BTreeSet<String>,
    /// The last change of the number by somebody else that was heeded.
    pub(super) heeded: u64,
    /// When one that somebody else had stopped ended.
    left_at: Option<Instant>,
    /// A replica that takes requests is about to be there.
    pub(super) coming: bool,
    /// Nothing of it runs until somebody comes.
    pub(super) asleep: bool,
    /// usher itself has put it to rest, and may start again what rests.
    pub(super) laid_down: bool,
    /// A declared one rests, and could be started.
    pub(super) rests: bool,
    /// Requests that wait for one, and how long the first of them has.
    held: u32,
    longest_wait: Duration,
    /// Since when nobody has asked it for anything.
    pub(super) still_since: Option<Instant>,
    /// Handshakes that are let through at a time; 0 while nobody has told.
    pub(super) window: u32,
    pushed_back: PushedBack,
    pub(super) loops: Loops,
    answers: Answers,
    first_bytes: Answers,
    /// What its replicas take of the host.
    pub(super) takes: Takes,
    pub(super) weights: Weights,
}

/// Signs of too much: the last totals, and what came since the last decision.
#[derive(Debug, Default)]
struct PushedBack {
    known: Option<(u64, u64)>,
    refused: u64,
    overloaded: u64,
}

/// What somebody else did to the replicas of a service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Disturbance {
    /// One was told to stop.
    pub(super) stopped: bool,
    /// One was removed, or made of something new: mostly a deployment.
    pub(super) replaced: bool,
    /// There is one more of the same.
    pub(super) added: bool,
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
pub(super) struct Wished {
    pub(super) wish: Override,
    pub(super) since: Now,
    /// `None`: until it is taken back.
    pub(super) until: Option<Now>,
}

impl Wished {
    /// For so long from now on, or until it is taken back.
    pub(super) fn within(wish: Override, span: Option<Duration>, now: Now) -> Self {
        Self {
            wish,
            since: now,
            until: span.map(|span| Now {
                at: now.at + span,
                wall: now.wall + span,
            }),
        }
    }
}

impl ServiceState {
    /// Takes the listed units in. Returns what somebody else did to them. What they do within
    /// `quiet` of each other is one change.
    ///
    /// `next` is the number of the plan that will carry the changes.
    pub(super) fn list(
        &mut self,
        units: &[Unit],
        service: &Service,
        now: Now,
        next: Generation,
        quiet: Duration,
    ) -> Disturbance {
        let alive: Vec<&Unit> = units.iter().filter(|unit| unit.phase.is_alive()).collect();
        self.ended = units
            .iter()
            .filter_map(|unit| match unit.phase {
                Phase::Exited { code } => Some((unit.name.clone(), code)),
                _ => None,
            })
            .collect();
        self.rests = units.iter().any(|unit| {
            let rests = matches!(unit.phase, Phase::Created | Phase::Exited { .. });
            rests && matches!(unit.origin, Origin::Declared { .. })
        });
        let mut disturbance = Disturbance::default();
        let mut left = false;
        let known = !self.replicas.is_empty();
        let before = self.counts();
        let ordered = self.starts.is_under_way() || self.starts.unseen(now);
        let mut awaited = self.starts.unseen(now);
        let makes = self.declared_makes();
        let mut short_lived = None;
        let mut died = None;
        self.leftovers.list(units);
        self.replicas.retain(|id, replica| {
            if alive.iter().any(|unit| unit.id == *id) {
                return true;
            }
            let ended = units
                .iter()
                .find(|unit| unit.id == *id || unit.id.unit() == id.unit());
            if let State::Draining { by: Who::Other, .. } = replica.state() {
                left = true;
                disturbance.replaced |= ended.is_none();
            } else if replica.is_draining() && replica.unit.phase == Phase::Leaving {
                // It was to leave, and somebody was quicker: a Swarm, that may choose.
            } else if !matches!(replica.state(), State::Stopping { .. }) {
                let lived = now
                    .wall
                    .duration_since(replica.unit.since)
                    .unwrap_or_default();
                match ended.map(|unit| unit.phase) {
                    // It was stopped and had ended before anybody saw it leave.
                    Some(_) if ended.is_some_and(|unit| unit.dismissed) => {
                        left = true;
                        disturbance.stopped = true;
                    }
                    Some(Phase::Exited { code }) if lived < SHORT_LIFE => {
                        short_lived = Some(format!(
                            "{} ended {} s after its start with exit code {code}",
                            replica.unit.name,
                            lived.as_secs()
                        ));
                    }
                    Some(_) => died = Some(format!("{} ended by itself", replica.unit.name)),
                    None => disturbance.replaced = true,
                }
            }
            false
        });
        if left {
            self.left_at = Some(now.at);
        }
        if let Some(why) = &short_lived
            && service.bounds().is_some()
        {
            self.starts.stillborn(now, why.clone());
        } else if let Some(why) = short_lived.or(died) {
            // Where usher starts nothing, nobody knows who ended it and why: often enough is a loop.
            self.starts.died(now, why);
        }
        for unit in alive {
            let probed = is_probed(service, unit);
            match self.replicas.get_mut(&unit.id) {
                Some(replica) => {
                    let leaving = |replica: &Replica| {
                        matches!(replica.state(), State::Draining { by: Who::Other, .. })
                    };
                    let left_before = leaving(replica);
                    replica.refresh(unit, now, probed, next);
                    disturbance.stopped |= leaving(replica) && !left_before;
                }
                None => {
                    let declared = matches!(unit.origin, Origin::Declared { .. });
                    let new = known && declared && !self.listed.contains(unit.id.unit());
                    disturbance.replaced |= known && declared && !makes.contains(&unit.make);
                    disturbance.added |= new && !ordered && makes.contains(&unit.make);
                    let mut replica = Replica::new(unit.clone(), now, probed);
                    // What Docker or a Swarm starts again by itself is nobody's order.
                    let first = service.bounds().is_some()
                        && unit.task.is_none()
                        && !self.listed.contains(unit.id.unit());
                    replica.in_turn = std::mem::take(&mut awaited) || first;
                    tracing::info!(
                        replica = %unit.name,
                        id = %unit.id,
                        state = replica.state().word(),
                        "replica found"
                    );
                    self.replicas.insert(unit.id.clone(), replica);
                    self.starts.listed();
                    // The stack has changed: what was hopeless may work now.
                    self.starts.has_changed();
                }
            }
        }
        self.mark_outdated(units);
        let listed = units.iter().map(|unit| unit.id.unit().to_owned());
        self.listed = listed.collect();
        // A Swarm says itself what number somebody set; a task that is gone was lost with its node.
        let tasks = units.iter().any(|unit| unit.task.is_some());
        if disturbance != Disturbance::default() && !tasks {
            self.by_hand.noticed(before, now.at, quiet);
        }
        disturbance
    }

    /// What the declared replicas are made of.
    pub(super) fn declared_makes(&self) -> BTreeSet<String> {
        let units = self.replicas.values().map(|replica| &replica.unit);
        units
            .filter(|unit| matches!(unit.origin, Origin::Declared { .. }))
            .map(|unit| unit.make.clone())
            .collect()
    }

    /// A sibling of something that was deployed away is of no deployment any more.
    fn mark_outdated(&mut self, units: &[Unit]) {
        let declared: BTreeSet<&str> = units
            .iter()
            .filter(|unit| matches!(unit.origin, Origin::Declared { .. }))
            .map(|unit| unit.make.as_str())
            .collect();
        for replica in self.replicas.values_mut() {
            replica.outdated = matches!(replica.unit.origin, Origin::Added { .. })
                && !declared.is_empty()
                && !declared.contains(replica.unit.make.as_str());
        }
    }

    /// Takes in what a probe found. Returns whether it says anything new of the replica.
    pub(super) fn observe(
        &mut self,
        id: &ReplicaId,
        outcome: Result<(), String>,
        now: Now,
    ) -> bool {
        let Some(replica) = self.replicas.get_mut(id) else {
            return false;
        };
        let before = (replica.state(), replica.health.verdict());
        let starting = replica.state() == State::Starting;
        replica.observe(outcome, now);
        let new = before != (replica.state(), replica.health.verdict());
        if starting && replica.state() == State::Ready {
            let took = now.wall.duration_since(replica.unit.since);
            // One that ran long before it was found has not been watched starting.
            if let Ok(took) = took
                && took <= START_WITHIN
            {
                self.lead.record(took);
            }
        }
        new
    }

    /// Takes the newest counts in. A replica that is in no report holds nothing.
    pub(super) fn load(&mut self, report: &InstanceReport) {
        for (id, replica) in &mut self.replicas {
            replica.load = report.endpoints.get(id).copied().unwrap_or_default();
        }
    }

    /// Takes in who waits, what was refused, and how quickly replicas answer. Returns whether requests
    /// have begun to come back to usher.
    pub(super) fn count_totals(&mut self, totals: &SessionTotals, now: Now) -> bool {
        self.held = totals.held;
        self.longest_wait = totals.longest_wait;
        self.window = totals.window;
        let new = (totals.refused, totals.overloaded);
        // Totals that were not known before are of an unknown time.
        let old = self.pushed_back.known.replace(new).unwrap_or(new);
        self.pushed_back.refused += new.0.saturating_sub(old.0);
        self.pushed_back.overloaded += new.1.saturating_sub(old.1);
        self.answers.take(now.at, totals.handshakes);
        self.first_bytes.take(now.at, totals.first_bytes);
        self.loops.take(totals.looped, now.at)
    }

    /// Notices whether anything is under way. `fresh`: the newest counts are of now.
    pub(super) fn watch_stillness(&mut self, fresh: bool, now: Now) {
        let asked = |replica: &Replica| replica.load.requests() > 0 || replica.load.pending > 0;
        let still = fresh && self.held == 0 && !self.replicas.values().any(asked);
        self.still_since = match self.still_since {
            since if still => Some(since.unwrap_or(now.at)),
            _ => None,
        };
    }

    /// What the autoscaler has to know. Signs of too much are told once.
    pub(super) fn seen(&mut self, now: Now) -> Seen {
        let mut load = Load {
            held: self.held,
            longest_wait: self.longest_wait,
            answered_within: self.answers.within(),
            first_byte_within: self.first_bytes.within(),
            ..Load::default()
        };
        for replica in self.replicas.values() {
            let sessions = replica.sessions();
            load.sessions += sessions;
            load.pending += replica.load.pending;
            load.in_flight += replica
                .load
                .inside
                .saturating_sub(sessions + replica.load.pending);
            if replica.state() == State::Ready {
                load.fullest = load.fullest.max(sessions);
            }
        }
        let most = u64::from(u32::MAX);
        let told =
            |count: &mut u64| u32::try_from(std::mem::take(count).min(most)).unwrap_or(u32::MAX);
        load.refused = told(&mut self.pushed_back.refused);
        load.overloaded = told(&mut self.pushed_back.overloaded);
        Seen {
            crew: self.crew(now),
            load,
            over: self.over.map(|over| over.wish),
            backlog: None,
        }
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
        // Whoever stops one without asking mostly puts another in its place.
        let replaced = self
            .left_at
            .is_some_and(|at| now.at.duration_since(at) < REPLACED_WITHIN);
        // Comes back when the engine has chosen another one.
        let accompanies = self.replicas.values().any(|replica| replica.accompanies);
        starts || replaced || accompanies || self.starts.unseen(now)
    }

    /// Whether there is something a start could begin with. A service without any replica was
    /// stopped by its operator, unless usher has done it.
    pub(super) fn can_start(&self, from_nothing: bool) -> bool {
        from_nothing || !self.replicas.is_empty() || (self.laid_down && self.rests)
    }

    /// Foresees what requests will find. `resting`: nothing is to run now; `wakes`: until somebody
    /// comes; `from_nothing`: whether the engine can start one without a pattern.
    pub(super) fn foresee(&mut self, now: Now, resting: bool, wakes: bool, from_nothing: bool) {
        if resting {
            self.laid_down = true;
        } else if self.count(|state| state == State::Ready) > 0 {
            self.laid_down = false;
        }
        let startable = self.can_start(from_nothing);
        let desired = self.decision.as_ref().map_or(0, |one| one.desired);
        self.asleep = wakes && startable;
        let rises = self.laid_down && !resting && desired > 0;
        let rises = rises && startable && self.starts.trouble.is_none();
        self.coming = self.asleep || rises || self.is_coming(now);
    }

    /// Whether starts of it fail, and nobody knows when one will succeed.
    pub(super) fn is_failing(&self) -> bool {
        self.starts.trouble.is_some()
            && !self.coming
            && self.count(|state| state == State::Ready) == 0
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
        let accompanying = self
            .replicas
            .values()
            .filter(|replica| replica.accompanies)
            .count();
        let accompanying = u32::try_from(accompanying).unwrap_or(u32::MAX);
        let present = self
            .replicas
            .values()
            .filter(|replica| replica.is_present() || replica.accompanies)
            .count();
        Crew {
            present: u32::try_from(present).unwrap_or(u32::MAX)
                + u32::from(self.starts.unseen(now)),
            ready: self.count(|state| state == State::Ready),
            draining: self
                .count(|state| {
                    matches!(
                        state,
                        State::Draining { by: Who::Usher, .. } | State::Cutting { .. }
                    )
                })
                .saturating_sub(accompanying),
            last_up: self.last_up,
            last_drain: self.last_drain,
            lead: self.lead.usual(),
        }
    }

    /// Forgets failures once a replica that was started after them lives long enough to count as
    /// started, or when they are old.
    pub(super) fn forgive(&mut self, now: Now) {
        let Some(failed_at) = self.starts.failed_at else {
            return;
        };
        let lives = |since: SystemTime| now.wall.duration_since(since).unwrap_or_default();
        let proven = self.replicas.values().any(|replica| {
            let since = replica.unit.since;
            replica.state() == State::Ready && since >= failed_at && lives(since) >= SHORT_LIFE
        });
        let old = lives(failed_at) >= FORGOTTEN_AFTER;
        if proven || old {
            self.starts.proven();
        }
    }

    /// How many more sessions the ready replicas can take without being overfull.
    pub(super) fn room(&self, per_replica: u32) -> u32 {
        self.replicas
            .values()
            .filter(|replica| replica.state() == State::Ready)
            .map(|replica| per_replica.saturating_sub(replica.sessions()))
            .sum()
    }
}

//! What the control plane remembers of one service: its replicas and its scaling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::answers::Answers;
use super::drain::leftovers::Leftovers;
use super::event::Now;
use super::host::takes::Takes;
use super::host::weights::Weights;
use super::loops::Loops;
use super::operator::by_hand::{ByHand, Counts};
use super::operator::wished::{Told, Wished};
use super::replica::{Replica, START_WITHIN, State, Who};
use super::starts::Starts;
use crate::autoscaler::{Crew, Decision, Direction, Lead, Load, Seen};
use crate::inventory::Origin;
use crate::names::ReplicaId;
use crate::plan::{InstanceReport, SessionTotals};

/// A replica that ends sooner than this after its start failed to start.
pub(super) const SHORT_LIFE: Duration = Duration::from_secs(60);
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
    pub(super) listed: BTreeSet<String>,
    /// The last change of the number by somebody else that was heeded.
    pub(super) heeded: u64,
    /// When one that somebody else had stopped ended.
    pub(super) left_at: Option<Instant>,
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

/// A change of the number of replicas, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) at: SystemTime,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) reason: String,
}

impl ServiceState {
    pub(super) fn counts(&self) -> Counts {
        let there = |origin: fn(Origin) -> bool| {
            let leaving = |replica: &Replica| {
                matches!(replica.state(), State::Draining { by: Who::Other, .. })
            };
            let replicas = self.replicas.values();
            let count = replicas
                .filter(|replica| origin(replica.unit.origin) && !leaving(replica))
                .count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        Counts {
            declared: there(|origin| matches!(origin, Origin::Declared { .. })),
            added: there(|origin| matches!(origin, Origin::Added { .. })),
            makes: self.declared_makes(),
        }
    }

    /// What the declared replicas are made of.
    pub(super) fn declared_makes(&self) -> BTreeSet<String> {
        let units = self.replicas.values().map(|replica| &replica.unit);
        units
            .filter(|unit| matches!(unit.origin, Origin::Declared { .. }))
            .map(|unit| unit.make.clone())
            .collect()
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

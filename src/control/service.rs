//! What the control plane remembers of one service: its replicas and its scaling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::answers::Answers;
use super::by_hand::{ByHand, COUNTS_FOR, Counts};
use super::event::Now;
use super::leftovers::Leftovers;
use super::reach::is_probed;
use super::replica::{Replica, START_WITHIN, State, Who};
use super::scaling::Orders;
use crate::autoscaler::{Crew, Decision, Direction, Lead, Load, Override, Seen};
use crate::config::model::Service;
use crate::engine::Trouble;
use crate::inventory::{Count, Origin, Phase, Unit};
use crate::names::{Generation, ReplicaId};
use crate::plan::{InstanceReport, SessionTotals};

/// The first pause after a start that failed; it doubles up to [`LAST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
const LAST_BACKOFF: Duration = Duration::from_secs(300);
/// A replica that ends sooner than this after its start failed to start.
const SHORT_LIFE: Duration = Duration::from_secs(60);
/// Compose stops a container, then starts the one in its place.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);
/// So many failures in a row are no accident.
const IN_A_ROW: usize = 3;
/// So close together, the deaths of replicas are a loop.
const LOOP_WITHIN: Duration = Duration::from_secs(300);
/// What failed is not told any more when nothing was tried for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Fewer letters of an id are a slip of the finger.
const SHORTEST_ID: usize = 6;
/// A replica that was ordered shows in the listing by then, or it never will.
const LISTED_WITHIN: Duration = Duration::from_secs(10);

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
    pub(super) over: Option<Wished>,
    pub(super) starts: Starts,
    pub(super) leftovers: Leftovers,
    pub(super) by_hand: ByHand,
    /// Every unit of the last listing, alive or not.
    listed: BTreeSet<String>,
    /// The last change of the number by somebody else that was heeded.
    heeded: u64,
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
    pushed_back: PushedBack,
    answers: Answers,
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
    /// `None`: until it is taken back.
    pub(super) until: Option<Now>,
}

/// How starting goes.
#[derive(Debug, Default)]
pub(super) struct Starts {
    phase: StartPhase,
    failures: u32,
    failed_at: Option<SystemTime>,
    /// Of the failures in a row, those of replicas that the engine had started.
    stillborn: usize,
    /// When replicas that had lived ended by themselves, lately.
    deaths: Vec<Instant>,
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
    pub(super) fn ordered(&mut self, now: Now) {
        self.phase = StartPhase::Ordered { listed: false };
        if self.stillborn >= IN_A_ROW {
            // This one shows whether it is worth starting others.
            self.not_before = Some(now.at + LAST_BACKOFF);
        }
    }

    pub(super) fn succeeded(&mut self, now: Now) {
        self.phase = match self.phase {
            StartPhase::Ordered { listed: true } => StartPhase::Idle,
            _ => StartPhase::Awaited { since: now.at },
        };
    }

    pub(super) fn failed(&mut self, now: Now, why: String, trouble: Trouble) {
        self.phase = StartPhase::Idle;
        self.failures += 1;
        self.failed_at = Some(now.wall);
        let doublings = (self.failures - 1).min(6);
        let pause = match trouble {
            // For everybody on this host: asking again soon would only be one of many.
            Trouble::Capacity => LAST_BACKOFF,
            Trouble::Passing | Trouble::Stack => FIRST_BACKOFF * (1 << doublings),
        };
        self.not_before = Some(now.at + pause.min(LAST_BACKOFF));
        self.trouble = Some(why);
        self.hopeless = trouble == Trouble::Stack;
    }

    /// One was started and did not come to life, or did not keep it: three in a row, and one more
    /// is tried every five minutes only.
    pub(super) fn stillborn(&mut self, now: Now, why: String) {
        self.failed(now, why, Trouble::Passing);
        self.stillborn += 1;
        if self.stillborn >= IN_A_ROW {
            self.not_before = Some(now.at + LAST_BACKOFF);
        }
    }

    /// One that had lived ended by itself.
    fn died(&mut self, now: Now, why: String) {
        self.deaths
            .retain(|at| now.at.duration_since(*at) < LOOP_WITHIN);
        self.deaths.push(now.at);
        if self.deaths.len() >= IN_A_ROW {
            self.stillborn = self.deaths.len();
            self.stillborn(now, why);
        }
    }

    /// Whether the engine works on one.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.phase, StartPhase::Ordered { .. })
    }

    /// A replica lives: the past is forgiven.
    fn proven(&mut self) {
        self.failures = 0;
        self.stillborn = 0;
        self.failed_at = None;
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
    pub(super) fn unseen(&self, now: Now) -> bool {
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
        if let Some(why) = short_lived {
            self.starts.stillborn(now, why);
        } else if let Some(why) = died {
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
        self.mark_outdated(units);
        let listed = units.iter().map(|unit| unit.id.unit().to_owned());
        self.listed = listed.collect();
        if disturbance != Disturbance::default() {
            self.by_hand.noticed(before, now.at, quiet);
        }
        disturbance
    }

    fn counts(&self) -> Counts {
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

    /// What somebody else's change of the replicas asks for, once it is over. What was asked of
    /// usher itself comes first.
    pub(super) fn heed_what_was_done_by_hand(&mut self, now: Now) -> Option<Override> {
        let mut hand = std::mem::take(&mut self.by_hand);
        let wish = hand.meant(now.at, self.last_drain, || self.counts());
        self.by_hand = hand;
        let asked = |over: &Wished| matches!(over.wish, Override::Exact(_));
        let wish = wish.filter(|_| !self.over.as_ref().is_some_and(asked))?;
        self.over = Some(Wished {
            wish,
            until: Some(Now {
                at: now.at + COUNTS_FOR,
                wall: now.wall + COUNTS_FOR,
            }),
        });
        Some(wish)
    }

    /// What the declared replicas are made of.
    fn declared_makes(&self) -> BTreeSet<String> {
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

    /// A sibling of an earlier deployment that can leave, because one of the new is ready.
    pub(super) fn outdated(&self) -> Option<ReplicaId> {
        let ready = |replica: &Replica| replica.state() == State::Ready && !replica.outdated;
        self.replicas.values().find(|replica| ready(replica))?;
        self.replicas
            .iter()
            .find(|(_, replica)| replica.outdated && replica.is_present())
            .map(|(id, _)| id.clone())
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

    /// Has one replica leave because an operator says so. Its drain is not taken back.
    ///
    /// # Errors
    /// Why it stays.
    pub(super) fn dismiss(
        &mut self,
        now: Now,
        next: Generation,
        named: &str,
    ) -> Result<String, String> {
        let mut fits = self.replicas.values().filter(|replica| {
            let id = replica.unit.id.unit();
            replica.unit.name == named || (named.len() >= SHORTEST_ID && id.starts_with(named))
        });
        let (Some(found), None) = (fits.next(), fits.next()) else {
            let names = self.replicas.values().map(|replica| &*replica.unit.name);
            let known = names.collect::<Vec<_>>().join(", ");
            return Err(match known.as_str() {
                "" => "it has no replicas".to_owned(),
                known => format!("there is no one replica `{named}`; there is {known}"),
            });
        };
        let (id, name) = (found.unit.id.clone(), found.unit.name.clone());
        let others = self.replicas.iter().any(|(other, replica)| {
            *other != id && replica.state() == State::Ready && !replica.dismissed
        });
        let Some(replica) = self.replicas.get_mut(&id) else {
            unreachable!("it was found");
        };
        match replica.state() {
            State::Ready if !others => Err(format!(
                "{name} is the only one that is ready, and nobody would be left to serve; \
                 `usher scale` for one more first"
            )),
            State::Draining { by: Who::Usher, .. } => {
                replica.dismissed = true;
                Ok(format!("{name} is draining already"))
            }
            State::Draining { by: Who::Other, .. }
            | State::Cutting { .. }
            | State::Stopping { .. } => Ok(format!("{name} is leaving already")),
            State::Failed | State::Ready | State::Starting | State::Unhealthy => {
                replica.dismissed = true;
                replica.drain(now, next);
                self.last_drain = Some(now.at);
                let sessions = self.replicas.get(&id).map_or(0, Replica::sessions);
                Ok(match sessions {
                    0 => format!("{name} drains; nobody is inside"),
                    1 => format!("{name} drains; 1 session is open"),
                    many => format!("{name} drains; {many} sessions are open"),
                })
            }
        }
    }

    /// Takes in what a probe found.
    pub(super) fn observe(&mut self, id: &ReplicaId, outcome: Result<(), String>, now: Now) {
        let Some(replica) = self.replicas.get_mut(id) else {
            return;
        };
        let starting = replica.state() == State::Starting;
        replica.observe(outcome, now);
        if starting && replica.state() == State::Ready {
            let took = now.wall.duration_since(replica.unit.since);
            // One that ran long before it was found has not been watched starting.
            if let Ok(took) = took
                && took <= START_WITHIN
            {
                self.lead.record(took);
            }
        }
    }

    /// Takes the newest counts in. A replica that is in no report holds nothing.
    pub(super) fn load(&mut self, report: &InstanceReport) {
        for (id, replica) in &mut self.replicas {
            replica.load = report.endpoints.get(id).copied().unwrap_or_default();
        }
    }

    /// Takes in who waits, what was refused, and how quickly handshakes are answered.
    pub(super) fn count_totals(&mut self, totals: &SessionTotals, now: Now) {
        self.held = totals.held;
        self.longest_wait = totals.longest_wait;
        let new = (totals.refused, totals.overloaded);
        // Totals that were not known before are of an unknown time.
        let old = self.pushed_back.known.replace(new).unwrap_or(new);
        self.pushed_back.refused += new.0.saturating_sub(old.0);
        self.pushed_back.overloaded += new.1.saturating_sub(old.1);
        self.answers.take(now.at, totals.handshakes);
    }

    /// What the autoscaler has to know. Signs of too much are told once.
    pub(super) fn seen(&mut self, now: Now) -> Seen {
        let mut load = Load {
            held: self.held,
            longest_wait: self.longest_wait,
            answered_within: self.answers.within(),
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
        if (proven || old) && !self.starts.hopeless {
            self.starts.proven();
        }
    }

    /// Who leaves first: where the engine has an order, whose turn it is; then what failed, then what does not answer, then what usher added, then who
    /// holds the fewest sessions, then the youngest.
    pub(super) fn victim(&self) -> Option<ReplicaId> {
        self.replicas
            .iter()
            .filter(|(_, replica)| {
                let stays = replica.is_present() || replica.state() == State::Failed;
                (stays || replica.accompanies) && replica.may_leave()
            })
            .min_by_key(|(_, replica)| {
                let declared = !matches!(replica.unit.origin, Origin::Added { .. });
                let rank = match replica.state() {
                    State::Failed => 0,
                    State::Unhealthy => 1,
                    State::Starting => 2,
                    _ => 3,
                };
                (
                    replica.turn(),
                    // Which is on its way out already.
                    !replica.accompanies,
                    rank,
                    !replica.outdated,
                    declared,
                    replica.sessions(),
                    std::cmp::Reverse(replica.entered_at()),
                    std::cmp::Reverse(replica.unit.origin),
                )
            })
            .map(|(id, _)| id.clone())
    }

    /// A replica whose drain can be taken back: the fullest, because it saves the most; where the
    /// engine has an order, the last in it.
    pub(super) fn reopenable(&self) -> Option<ReplicaId> {
        self.replicas
            .iter()
            .filter(|(_, replica)| {
                matches!(replica.state(), State::Draining { by: Who::Usher, .. })
                    && !replica.outdated
                    && !replica.accompanies
                    && !replica.dismissed
            })
            .max_by_key(|(_, replica)| (replica.turn(), replica.sessions()))
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

    /// Heeds a number that somebody else set without asking usher: who set more wants at least
    /// that, who set less at most, for [`COUNTS_FOR`].
    pub(super) fn heed(&mut self, count: Count, now: Now) {
        if count.version <= self.heeded {
            return;
        }
        self.heeded = count.version;
        let age = now.wall.duration_since(count.at).unwrap_or_default();
        let Some(left) = COUNTS_FOR.checked_sub(age) else {
            return;
        };
        let to = u32::try_from(count.to).unwrap_or(u32::MAX);
        let wish = if count.to > count.from {
            Override::Floor(to)
        } else {
            Override::Cap(to)
        };
        self.over = Some(Wished {
            wish,
            until: Some(Now {
                at: now.at + left,
                wall: now.wall + left,
            }),
        });
    }

    /// A change of the number of replicas begins.
    pub(super) fn record(
        &mut self,
        direction: Direction,
        from: u32,
        decision: &Decision,
        orders: &Orders<'_>,
        now: Now,
    ) {
        let to = decision.desired;
        let reason = decision.to_string();
        let same = self
            .change
            .as_ref()
            .is_some_and(|change| change.to == to && change.reason == reason);
        if same {
            return;
        }
        tracing::info!(
            instance = %orders.instance.name,
            service = %orders.name,
            from,
            to,
            %reason,
            inputs = ?decision.inputs,
            "scales"
        );
        *self.changes.entry(direction).or_default() += 1;
        self.change = Some(Change {
            at: now.wall,
            from,
            to,
            reason,
        });
    }
}

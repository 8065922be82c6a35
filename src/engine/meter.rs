//! Looks at what runs takes of the machine: one after the other, all the time, and gently.
//!
//! A look costs the engine some milliseconds of work, and some engines answer only when they next
//! count, a second later. So there is one at a time, two in a second at most, a pause as long as the
//! look took, and what has nothing to do is looked at less and less often. An engine that is slow or
//! away is left alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::{Engine, IDLE_BELOW, Listing, Runner};
use crate::cause::chain;
use crate::inventory::Inventory;
use crate::shutdown::Shutdown;

/// Between two looks, whatever there is.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// An engine that takes longer for a look has other worries.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// Who has just been found is looked at after this: what starts takes less than it will.
const FIRST_AFTER: Duration = Duration::from_secs(10);
/// Who has something to do is looked at as often.
const EVERY: Duration = Duration::from_secs(60);
/// Who has nothing to do is looked at half as often each time, down to this.
const SELDOM: Duration = Duration::from_secs(960);
/// Everything that runs is listed anew when stacks have changed, no sooner than this,
const LIST_SOONEST: Duration = Duration::from_secs(60);
/// and so often for the sake of what is of no stack.
const LIST_EVERY: Duration = Duration::from_secs(300);

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Metered {
    /// These run, and nothing else does.
    Running(BTreeSet<String>),
    Taken(Taken),
}

/// What one container or process takes of the machine. What nobody knows is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// As [`crate::names::ReplicaId::unit`] calls it.
    pub unit: String,
    /// Memory that would be free without it, in bytes.
    pub memory: Option<u64>,
    /// Thousandths of a processor, since the last look.
    pub processor: Option<u64>,
    /// Memory that whoever made it has set aside for it, in bytes.
    pub reserved: Option<u64>,
}

/// Looks until shutdown.
pub async fn run(
    engine: Arc<dyn Engine>,
    listings: watch::Receiver<Listing>,
    metered: mpsc::Sender<Metered>,
    mut shutdown: Shutdown,
) {
    tokio::select! {
        biased;
        () = shutdown.begun() => {}
        () = look_around(&*engine, listings, &metered) => {}
    }
}

async fn look_around(
    engine: &dyn Engine,
    mut listings: watch::Receiver<Listing>,
    metered: &mpsc::Sender<Metered>,
) {
    let mut rounds = Rounds::default();
    let mut listed_at: Option<Instant> = None;
    let mut listed: Option<Arc<Inventory>> = None;
    loop {
        let known = {
            let listing = listings.borrow_and_update();
            let answers = listing.error.is_none();
            listing.inventory.clone().filter(|_| answers)
        };
        let Some(known) = known else {
            if listings.changed().await.is_err() {
                return;
            }
            continue;
        };
        let begun = now();
        let changed = !listed.as_ref().is_some_and(|one| Arc::ptr_eq(one, &known));
        let age = listed_at.map(|at| begun.duration_since(at));
        if age.is_none_or(|age| age >= LIST_EVERY || (changed && age >= LIST_SOONEST)) {
            listed_at = Some(begun);
            match timeout(LOOK_WITHIN, engine.running()).await {
                Ok(Ok(runners)) => {
                    listed = Some(known);
                    rounds.found(runners, begun);
                    if metered
                        .send(Metered::Running(rounds.units()))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Ok(Err(error)) => debug!(error = %chain(&error), "what runs cannot be listed"),
                Err(_) => debug!("what runs is not listed in time"),
            }
        } else if let Some(runner) = rounds.next(begun) {
            let usage = timeout(LOOK_WITHIN, engine.usage(&runner.handle)).await;
            let usage = match usage {
                Ok(Ok(usage)) => usage,
                Ok(Err(error)) => {
                    debug!(unit = %runner.unit, error = %chain(&error), "cannot be looked at");
                    None
                }
                Err(_) => None,
            };
            if let Some(taken) = rounds.looked(&runner.unit, usage, now())
                && metered.send(Metered::Taken(taken)).await.is_err()
            {
                return;
            }
        }
        let took = now().duration_since(begun);
        let pause = rounds.wait(begun).min(LIST_SOONEST);
        sleep(pause.max(took).max(LEAST_PAUSE)).await;
    }
}

/// What a container or process has taken of the machine, as its engine counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// As of [`Taken`].
    pub memory: Option<u64>,
    /// Of all processors, since its start.
    pub processor: Option<Duration>,
    /// As of [`Taken`].
    pub reserved: Option<u64>,
}

/// Who is to be looked at, and when.
#[derive(Debug, Default)]
struct Rounds {
    /// By their units.
    known: HashMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    handle: String,
    at: Instant,
    processor: Option<Duration>,
    every: Duration,
}

impl Seen {
    /// How many times as long as it is to wait it has waited.
    fn lateness(&self, now: Instant) -> f64 {
        now.duration_since(self.at).div_duration_f64(self.every)
    }
}

impl Rounds {
    fn found(&mut self, runners: Vec<Runner>, now: Instant) {
        let mut before = std::mem::take(&mut self.known);
        for Runner { unit, handle } in runners {
            let seen = before.remove(&unit).filter(|seen| seen.handle == handle);
            let seen = seen.unwrap_or(Seen {
                handle,
                at: now,
                processor: None,
                every: FIRST_AFTER,
            });
            self.known.insert(unit, seen);
        }
    }

    fn units(&self) -> BTreeSet<String> {
        self.known.keys().cloned().collect()
    }

    /// Who is late, and of those who is the latest for its rhythm.
    fn next(&self, now: Instant) -> Option<Runner> {
        let all = self.known.iter();
        let (unit, seen) =
            all.max_by(|(_, one), (_, other)| one.lateness(now).total_cmp(&other.lateness(now)))?;
        (seen.lateness(now) >= 1.0).then(|| Runner {
            unit: unit.clone(),
            handle: seen.handle.clone(),
        })
    }

    /// Until somebody is late.
    fn wait(&self, now: Instant) -> Duration {
        let all = self.known.values();
        let left = all.map(|seen| (seen.at + seen.every).saturating_duration_since(now));
        left.min().unwrap_or(LIST_SOONEST)
    }

    fn looked(&mut self, unit: &str, usage: Option<Usage>, now: Instant) -> Option<Taken> {
        let seen = self.known.get_mut(unit)?;
        let passed = now.duration_since(seen.at);
        let usage = usage.unwrap_or_default();
        // Less than before: another life has begun.
        let used = usage
            .processor
            .zip(seen.processor)
            .and_then(|(used, before)| used.checked_sub(before))
            .filter(|_| !passed.is_zero())
            .map(|used| used.div_duration_f64(passed));
        let first = seen.processor.is_none() && usage.processor.is_some();
        seen.at = now;
        seen.processor = usage.processor;
        seen.every = match used {
            _ if first => EVERY,
            Some(used) if used >= IDLE_BELOW => EVERY,
            _ => (seen.every * 2).clamp(EVERY, SELDOM),
        };
        let known = usage.memory.is_some() || used.is_some();
        known.then(|| Taken {
            unit: unit.to_owned(),
            memory: usage.memory,
            processor: used.map(thousandths),
            reserved: usage.reserved,
        })
    }
}

fn thousandths(share: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as many as there are processors, and never below 0"
    )]
    let thousandths = (share * 1_000.0).round() as u64;
    thousandths
}

#[expect(clippy::disallowed_methods, reason = "when somebody was looked at")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;

//! Who may be ordered when. What an order costs is on the disk before the authority hears of it.
//!
//! Everything that decides is pure and takes the time as an argument; this file puts the parts
//! together.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

mod attempts;
mod budget;
mod clock;
mod keep;
mod ledger;
mod memory;
mod names;
mod pauses;
mod queue;
mod renew;

pub(super) use self::attempts::{Attempts, Spacing};
pub(super) use self::budget::{Cost, Purpose, costs, registered_domains};
pub(super) use self::clock::{Now, Steady};
pub(super) use self::ledger::{Begun, Failure};
pub(super) use self::queue::{Candidate, Class, Hurry, PARALLEL, RENEWALS_APART, line_up};
pub(super) use self::renew::{Life, Window, ask_again};

use self::clock::Clock;
use self::keep::{AFTER_LOSS, Asked, Kept, Record};
use super::lineage::Lineage;
use crate::plan::Declared;

/// What is remembered of orders, and what follows from it for the next.
#[derive(Debug)]
pub(super) struct Schedule {
    path: PathBuf,
    /// `None` until the file was read: nothing is decided on an empty memory.
    clock: Option<Clock>,
    kept: Kept,
    /// What the file holds.
    saved: Option<Kept>,
    /// Why nothing can be ordered at all.
    trouble: Option<String>,
    last_renewal: Option<Steady>,
}

/// Why something is not ordered now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Wait {
    /// `None`: not until something changes.
    pub(super) until: Option<Steady>,
    /// `None`: there is nothing to complain about.
    pub(super) why: Option<String>,
}

impl Wait {
    pub(super) fn until(until: Steady) -> Self {
        Self {
            until: Some(until),
            why: None,
        }
    }

    pub(super) fn never(why: impl Into<String>) -> Self {
        Self {
            until: None,
            why: Some(why.into()),
        }
    }
}

impl Schedule {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("schedule.json"),
            clock: None,
            kept: Kept::default(),
            saved: None,
            trouble: None,
            last_renewal: None,
        }
    }

    /// The moment on both clocks. Before the file was read there is none.
    pub(super) fn now(&self, wall: SystemTime) -> Option<Now> {
        let clock = self.clock.as_ref()?;
        Some(Now {
            steady: clock.steady(since_boot()),
            wall,
        })
    }

    /// Why nothing can be ordered at all.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn attempts(&self, lineage: &Lineage) -> Option<&Attempts> {
        self.record(lineage)?.attempts.as_ref()
    }

    /// The URL of the directory that issued what is held, if usher ordered it.
    pub(super) fn issuer(&self, lineage: &Lineage) -> Option<&str> {
        self.record(lineage)?.issuer.as_deref()
    }

    fn record(&self, lineage: &Lineage) -> Option<&Record> {
        self.kept.lineages.get(&key(lineage))
    }

    fn record_mut(&mut self, lineage: &Lineage) -> &mut Record {
        self.kept.lineages.entry(key(lineage)).or_default()
    }

    /// Whether the names may be tried, as far as it is about them alone.
    pub(super) fn may_try(
        &self,
        candidate: &Candidate,
        declared: Declared,
        new_names_per_day: u32,
        now: Now,
    ) -> Result<(), Wait> {
        let steady = now.steady;
        let attempts = self.attempts(&candidate.lineage);
        if candidate.class == Class::Unfinished {
            // What a crash interrupted goes on at once; what failed waits as everything does.
            return match attempts.filter(|attempts| attempts.has_ended()) {
                Some(attempts) if attempts.next(steady) > steady => {
                    Err(Wait::until(attempts.next(steady)))
                }
                _ => Ok(()),
            };
        }
        if self.kept.held_until.min(steady + AFTER_LOSS) > steady {
            return Err(Wait {
                until: Some(self.kept.held_until.min(steady + AFTER_LOSS)),
                why: Some(format!(
                    "{} was lost, and with it what was ordered lately",
                    self.path.display()
                )),
            });
        }
        if candidate.class == Class::Wished {
            return Ok(());
        }
        if let Some(attempts) = attempts
            && attempts.next(steady) > steady
        {
            return Err(Wait::until(attempts.next(steady)));
        }
        if candidate.is_paced()
            && let Some(last) = self.last_renewal
            && steady < last + RENEWALS_APART
        {
            return Err(Wait::until(last + RENEWALS_APART));
        }
        if let (Class::New { .. }, Declared::ByPattern) = (candidate.class, declared) {
            self.kept
                .new_names
                .allows(&candidate.lineage, new_names_per_day, steady)
                .map_err(|until| Wait {
                    until,
                    why: Some(format!(
                        "{new_names_per_day} new names under `*` entries are let in within 24 hours \
                         (acme.new-names-per-day)"
                    )),
                })?;
        }
        Ok(())
    }

    /// Whether the directory may be asked for these names while `under_way` orders are.
    pub(super) fn may_ask(
        &self,
        directory: &str,
        lineage: &Lineage,
        under_way: usize,
        now: Now,
    ) -> Result<(), Wait> {
        let domains = || registered_domains(lineage);
        if let Some((until, why)) = self.kept.pauses.of(directory, domains, now.steady) {
            return Err(Wait {
                until: Some(until),
                why: Some(why.to_owned()),
            });
        }
        if under_way > 0 && self.kept.pauses.is_doubtful(directory) {
            return Err(Wait::default());
        }
        Ok(())
    }

    /// Whether what it costs is there.
    pub(super) fn may_spend(&self, costs: &[Cost], now: Now) -> Result<(), Wait> {
        self.kept
            .budget
            .allows(costs, now.steady)
            .map_err(|spent| Wait {
                until: Some(spent.until),
                why: Some(spent.why),
            })
    }

    /// When the pair of a lineage is to be renewed, as far as it is known.
    pub(super) fn renew_at(
        &self,
        lineage: &Lineage,
        life: Life,
        certificate: Option<&str>,
    ) -> SystemTime {
        let window = self
            .asked(lineage, certificate)
            .and_then(|asked| asked.window.as_ref());
        life.renew_at(window, lineage)
    }

    fn asked(&self, lineage: &Lineage, certificate: Option<&str>) -> Option<&Asked> {
        let asked = self.record(lineage)?.renewal.as_ref()?;
        (Some(asked.certificate.as_str()) == certificate).then_some(asked)
    }

    /// Whether an authority was asked about this certificate, whatever it answered.
    pub(super) fn has_been_asked(&self, lineage: &Lineage, certificate: &str) -> bool {
        self.asked(lineage, Some(certificate)).is_some()
    }

    /// Whether the authority offered a window for this certificate.
    pub(super) fn has_window(&self, lineage: &Lineage, certificate: &str) -> bool {
        self.asked(lineage, Some(certificate))
            .is_some_and(|asked| asked.window.is_some())
    }

    /// When the authority may be asked for the window of this certificate; `None` is now.
    pub(super) fn ask_at(&self, lineage: &Lineage, certificate: &str, now: Now) -> Option<Steady> {
        let asked = self.asked(lineage, Some(certificate))?;
        let again = asked.again.min(now.steady + ask_again(Some(Duration::MAX)));
        (again > now.steady).then_some(again)
    }

    /// Takes the answer about a renewal. Where the authority is silent, what it said before
    /// about the same certificate stays.
    pub(super) fn answered(
        &mut self,
        lineage: &Lineage,
        certificate: &str,
        window: Option<(SystemTime, SystemTime)>,
        again: Duration,
        now: Now,
    ) {
        let known = self
            .asked(lineage, Some(certificate))
            .and_then(|asked| asked.window.clone());
        let window = match window {
            Some((start, end)) => {
                Window::taken(known.as_ref(), certificate, start, end, rand::random())
            }
            None => known,
        };
        self.record_mut(lineage).renewal = Some(Asked {
            certificate: certificate.to_owned(),
            again: now.steady + again,
            window,
        });
    }
}

/// By what a lineage is known in the file.
fn key(lineage: &Lineage) -> String {
    if lineage.is_staging() {
        format!("staging: {lineage}")
    } else {
        lineage.to_string()
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default())
}

#[cfg(test)]
mod tests;

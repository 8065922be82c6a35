//! The memory of the schedule: read once, and on the disk before anything follows from it.

use std::collections::BTreeSet;
use std::time::SystemTime;

use tracing::{error, warn};

use super::clock::{Clock, Reading};
use super::keep::{self, AFTER_LOSS, Found, KeepError};
use super::{Schedule, key, since_boot};
use crate::cause::chain;
use crate::certs::lineage::Lineage;
use crate::certs::schedule::Now;

impl Schedule {
    /// Reads what an earlier process kept, once. Blocking.
    pub(in crate::certs) fn open(&mut self, wall: SystemTime) {
        if self.clock.is_some() {
            return;
        }
        let reading = reading(wall);
        match keep::read(&self.path) {
            Ok(found) => self.remember(found, &reading),
            Err(error) => self.complain(&error),
        }
    }

    fn remember(&mut self, found: Found, reading: &Reading) {
        self.trouble = None;
        match found {
            Found::Kept(kept) => {
                self.clock = Some(Clock::resume(&kept.clock, reading));
                self.saved = Some(kept.clone());
                self.kept = kept;
            }
            Found::Nothing => self.clock = Some(Clock::resume(&self.kept.clock, reading)),
            Found::Corrupt(why) => {
                let clock = Clock::resume(&self.kept.clock, reading);
                self.kept.held_until = clock.steady(reading.since_boot) + AFTER_LOSS;
                self.clock = Some(clock);
                let aside = self.path.with_extension("corrupt");
                // Where it cannot be moved, the next write says why.
                let moved = std::fs::rename(&self.path, &aside).is_ok();
                error!(
                    file = %self.path.display(),
                    moved_to = %if moved { aside.display().to_string() } else { String::new() },
                    reason = %why,
                    hours = AFTER_LOSS.as_secs() / 3_600,
                    "what was ordered is forgotten; nothing new is ordered for some hours"
                );
            }
        }
    }

    /// Forgets what is over and wanted no more.
    pub(in crate::certs) fn prune(&mut self, wanted: &[Lineage], now: Now) {
        let steady = now.steady;
        let keys: BTreeSet<String> = wanted.iter().map(key).collect();
        self.kept.lineages.retain(|name, record| {
            // What failed and comes back within its pause must find it.
            let attempts = record.attempts.as_ref();
            keys.contains(name)
                || attempts.is_some_and(|attempts| attempts.next(steady) > steady)
                || attempts.is_some_and(|attempts| attempts.is_recent(steady))
        });
        self.kept.budget.prune(steady);
        self.kept.pauses.prune(steady);
        let names: BTreeSet<String> = wanted
            .iter()
            .flat_map(|lineage| lineage.names())
            .map(ToString::to_string)
            .collect();
        self.kept
            .new_names
            .prune(|name| names.contains(name), steady);
    }

    /// Whether the file says something else.
    pub(in crate::certs) fn is_dirty(&self) -> bool {
        self.saved.as_ref() != Some(&self.kept)
    }

    /// Puts everything on the disk. Blocking.
    ///
    /// # Errors
    /// What was begun since the last time must not be asked for then; it is forgotten again.
    pub(in crate::certs) fn save(&mut self, wall: SystemTime) -> Result<(), ()> {
        let Some(clock) = &self.clock else {
            return Err(());
        };
        // The time alone is no reason to write; it is kept with what is.
        self.kept.clock = clock.mark(&reading(wall));
        match keep::write(&self.path, &self.kept) {
            Ok(()) => {
                self.saved = Some(self.kept.clone());
                self.trouble = None;
                Ok(())
            }
            Err(error) => {
                self.complain(&error);
                Err(())
            }
        }
    }

    fn complain(&mut self, error: &KeepError) {
        let folder = self.path.parent().unwrap_or(&self.path);
        let text = format!(
            "{}; nothing is ordered, because what was ordered could not be kept; make {} writable for \
             the user that runs usher; certificates are served on",
            chain(error),
            folder.display()
        );
        if self.trouble.as_ref() != Some(&text) {
            warn!(reason = %text, "no certificate can be ordered");
        }
        self.trouble = Some(text);
    }
}

pub(super) fn reading(wall: SystemTime) -> Reading {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Reading {
        boot: boot.trim().to_owned(),
        since_boot: since_boot(),
        wall,
    }
}

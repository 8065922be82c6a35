//! The last failures of every instance, for whoever asks why.
//!
//! Whoever answers requests never waits here: where somebody else is writing, or more fail in a
//! second than anybody would read, a failure is counted and not kept.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use dashmap::try_result::TryResult;

use crate::names::InstanceName;
use crate::plan::{FailureFacts, FailureList, Failures as Shown};

/// So many of an instance are kept.
const REMEMBERED: usize = 100;
/// So many of an instance in one second.
const PER_SECOND: u32 = 20;
/// Of a path, so many bytes.
const LONGEST_PATH: usize = 256;

/// What failed, by instance.
#[derive(Debug, Default)]
pub struct Failures {
    instances: DashMap<InstanceName, Mutex<Recent>>,
}

#[derive(Debug, Default)]
struct Recent {
    /// The newest first.
    kept: VecDeque<FailureFacts>,
    left_out: u64,
    second: u64,
    in_second: u32,
}

/// A failure as it happens.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    pub at: SystemTime,
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    pub replica: Option<&'a str>,
    pub status: u16,
    pub cause: &'static str,
}

impl Failures {
    /// Remembers a failure, if that costs nothing.
    pub fn note(&self, instance: &str, failed: Failed<'_>) {
        match self.instances.try_get(instance) {
            TryResult::Present(recent) => {
                if let Ok(mut recent) = recent.try_lock() {
                    recent.note(failed);
                }
            }
            // The first of an instance; instances are as many as the configuration has.
            TryResult::Absent => {
                let Ok(name) = instance.parse::<InstanceName>() else {
                    return;
                };
                let mut recent = Recent::default();
                recent.note(failed);
                self.instances.insert(name, Mutex::new(recent));
            }
            TryResult::Locked => {}
        }
    }
}

impl Recent {
    fn note(&mut self, failed: Failed<'_>) {
        let second = failed.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if second.as_secs() != self.second {
            self.second = second.as_secs();
            self.in_second = 0;
        }
        self.in_second = self.in_second.saturating_add(1);
        if self.in_second > PER_SECOND {
            self.left_out += 1;
            return;
        }
        self.kept.truncate(REMEMBERED - 1);
        self.kept.push_front(FailureFacts {
            at: failed.at,
            method: short(failed.method, 16),
            path: short(failed.path, LONGEST_PATH),
            replica: failed.replica.map(Into::into),
            status: failed.status,
            cause: failed.cause,
        });
    }
}

/// So many bytes at most, and no half of a character.
fn short(text: &str, most: usize) -> Box<str> {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default())
        .unwrap_or_default()
        .into()
}

impl FailureList for Failures {
    fn of(&self, instance: &str) -> Shown {
        let Some(recent) = self.instances.get(instance) else {
            return Shown::default();
        };
        // Whole failures only: good after every operation.
        let recent = recent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Shown {
            kept: recent.kept.iter().cloned().collect(),
            left_out: recent.left_out,
        }
    }

    fn keep_only(&self, there: &dyn Fn(&str) -> bool) {
        self.instances.retain(|name, _| there(name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failed(path: &str, second: u64) -> Failed<'_> {
        Failed {
            at: UNIX_EPOCH + Duration::from_secs(second),
            method: "GET",
            path,
            replica: Some("congress_web_1"),
            status: 502,
            cause: "upstream-failed",
        }
    }

    #[test]
    fn the_last_hundred_are_kept_the_newest_first() {
        let failures = Failures::default();
        for index in 0..250_u64 {
            failures.note("congress", failed(&format!("/{index}"), index));
        }
        let shown = failures.of("congress");
        assert_eq!((shown.kept.len(), shown.left_out), (100, 0));
        assert_eq!(&*shown.kept[0].path, "/249");
        assert_eq!(&*shown.kept[99].path, "/150");
        assert_eq!(failures.of("assembly"), Shown::default());
    }

    #[test]
    fn an_attack_is_counted_and_not_kept() {
        let failures = Failures::default();
        for _ in 0..10_000 {
            failures.note("congress", failed("/attack", 7));
        }
        failures.note("congress", failed("/later", 8));
        let shown = failures.of("congress");
        assert_eq!((shown.kept.len(), shown.left_out), (21, 9_980));
        failures.keep_only(&|_| false);
        assert_eq!(failures.of("congress"), Shown::default());
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let failures = Failures::default();
        let path = format!("/a{}", "ä".repeat(300));
        failures.note("congress", failed(&path, 1));
        let shown = failures.of("congress");
        assert_eq!(shown.kept[0].path.len(), 256);
    }

    #[test]
    fn whoever_fails_does_not_wait_for_whoever_reads() {
        let failures = Failures::default();
        failures.note("congress", failed("/1", 1));
        let entry = failures.instances.get("congress").expect("there");
        let reading = entry.lock().expect("free");
        // Would never come back if it waited.
        failures.note("congress", failed("/2", 1));
        drop(reading);
        drop(entry);
        assert_eq!(failures.of("congress").kept.len(), 1);
    }
}

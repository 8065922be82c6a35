//! How busy instances were: the last hour by ten seconds, the last day by the minute.
//!
//! Memory is bounded: only instances that had sessions within the day have a history, at most
//! [`MOST_INSTANCES`] of them, and a history of a whole day is 29 KB.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::moment::Moment;

const MOST_INSTANCES: usize = 1_000;
const DAY: Duration = Duration::from_secs(86_400);

/// An instance at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Websockets and streams.
    pub(super) sessions: u32,
    pub(super) requests_per_second: f32,
    /// Replicas that take sessions.
    pub(super) ready: u16,
    pub(super) desired: u16,
}

/// Samples at even distances; what was not observed is `None`.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    step: Duration,
    most: usize,
    /// Steps since the epoch at the last of `samples`.
    newest: u64,
    /// How many observations are in the last of `samples`.
    merged: u16,
    samples: VecDeque<Option<Sample>>,
}

/// One instance.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) hour: Ring,
    pub(super) day: Ring,
    /// When it last had a session.
    used: SystemTime,
}

/// All instances that had sessions.
#[derive(Debug, Default)]
pub(super) struct History {
    series: BTreeMap<String, Series>,
}

impl Ring {
    fn new(step: Duration, most: usize) -> Self {
        Self {
            step,
            most,
            newest: 0,
            merged: 0,
            samples: VecDeque::new(),
        }
    }

    fn observe(&mut self, now: SystemTime, sample: Sample) {
        let slot = self.slot(now);
        let ahead = slot.saturating_sub(self.newest);
        if self.samples.is_empty() || slot < self.newest || ahead > self.most as u64 {
            // The first, a clock that was set back, or a gap longer than what is kept.
            self.samples.clear();
        } else if ahead == 0 {
            if let Some(Some(last)) = self.samples.back_mut() {
                self.merged = self.merged.saturating_add(1);
                last.merge(sample, self.merged);
            }
            return;
        } else {
            for _ in 1..ahead {
                self.push(None);
            }
        }
        self.push(Some(sample));
        self.newest = slot;
        self.merged = 1;
    }

    fn push(&mut self, sample: Option<Sample>) {
        if self.samples.len() == self.most {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn slot(&self, at: SystemTime) -> u64 {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() / self.step.as_secs()
    }

    /// Samples from the first that would be kept until `now`, evenly: what is missing is `None`.
    pub(super) fn until(&self, now: SystemTime) -> Vec<Option<Sample>> {
        let last = self.slot(now);
        let length = self.samples.len() as u64;
        (0..self.most as u64)
            .map(|index| {
                let slot = (last + index + 1).checked_sub(self.most as u64)?;
                // Counted from the newest backwards.
                let age = self.newest.checked_sub(slot)?;
                let at = length.checked_sub(age + 1)?;
                self.samples.get(usize::try_from(at).ok()?).copied()?
            })
            .collect()
    }

    /// The same with few points: the highest numbers of sessions and replicas of each `width`.
    pub(super) fn peaks(&self, now: SystemTime, width: usize) -> Vec<Option<Sample>> {
        let all = self.until(now);
        let peak = |chunk: &[Option<Sample>]| {
            let mut seen = chunk.iter().flatten();
            let first = *seen.next()?;
            Some(seen.fold(first, |peak, sample| Sample {
                sessions: peak.sessions.max(sample.sessions),
                requests_per_second: peak.requests_per_second.max(sample.requests_per_second),
                ready: peak.ready.max(sample.ready),
                desired: peak.desired.max(sample.desired),
            }))
        };
        all.chunks(width.max(1)).map(peak).collect()
    }
}

impl Sample {
    /// Takes in another of the same step, the `count`th: the highest number of sessions, the mean
    /// rate, the newest number of replicas.
    fn merge(&mut self, other: Self, count: u16) {
        self.sessions = self.sessions.max(other.sessions);
        self.requests_per_second +=
            (other.requests_per_second - self.requests_per_second) / f32::from(count);
        self.ready = other.ready;
        self.desired = other.desired;
    }
}

impl History {
    /// Takes in how an instance is now. One that had no session yet is left out.
    pub(super) fn observe(&mut self, now: SystemTime, instance: &str, sample: Sample) {
        if !self.series.contains_key(instance) {
            if sample.sessions == 0 || !self.make_room(now) {
                return;
            }
            let series = Series {
                hour: Ring::new(Duration::from_secs(10), 360),
                day: Ring::new(Duration::from_secs(60), 1_440),
                used: now,
            };
            self.series.insert(instance.to_owned(), series);
        }
        if let Some(series) = self.series.get_mut(instance) {
            if sample.sessions > 0 {
                series.used = now;
            }
            series.hour.observe(now, sample);
            series.day.observe(now, sample);
        }
    }

    /// Whether one more has room: if need be, the one that has been idle longest goes.
    fn make_room(&mut self, now: SystemTime) -> bool {
        if self.series.len() < MOST_INSTANCES {
            return true;
        }
        let idle = self.series.iter().min_by_key(|(_, series)| series.used);
        let Some((name, _)) = idle.filter(|(_, series)| series.used < now) else {
            return false;
        };
        let name = name.clone();
        self.series.remove(&name);
        true
    }

    /// Forgets instances that are gone, or had no session for a day.
    pub(super) fn prune(&mut self, now: SystemTime, there: impl Fn(&str) -> bool) {
        self.series.retain(|name, series| {
            // A clock that was set back makes nobody old.
            let idle = now.duration_since(series.used).unwrap_or_default();
            idle < DAY && there(name)
        });
    }

    pub(super) fn of(&self, instance: &str) -> Option<&Series> {
        self.series.get(instance)
    }
}

/// The answer to `/stats/INSTANCE/history`.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    hour: Lines,
    day: Lines,
}

/// Each a list from the oldest to the newest; `null` where nothing was observed.
#[derive(Debug, Serialize)]
struct Lines {
    step_seconds: u64,
    until: Moment,
    sessions: Vec<Option<u32>>,
    requests_per_second: Vec<Option<Tenths>>,
    ready: Vec<Option<u16>>,
    desired: Vec<Option<u16>>,
}

#[derive(Debug)]
struct Tenths(f32);

impl Serialize for Tenths {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_f64((f64::from(self.0) * 10.0).round() / 10.0)
    }
}

impl Shown {
    /// Of an instance without a history, all lists are empty.
    pub(super) fn new(series: Option<&Series>, now: SystemTime) -> Self {
        let empty = || Series {
            hour: Ring::new(Duration::from_secs(10), 0),
            day: Ring::new(Duration::from_secs(60), 0),
            used: now,
        };
        let series = series.cloned().unwrap_or_else(empty);
        Self {
            hour: Lines::new(&series.hour, now),
            day: Lines::new(&series.day, now),
        }
    }
}

impl Lines {
    fn new(ring: &Ring, now: SystemTime) -> Self {
        let samples = ring.until(now);
        fn each<T>(samples: &[Option<Sample>], one: impl Fn(&Sample) -> T) -> Vec<Option<T>> {
            samples
                .iter()
                .map(|sample| sample.as_ref().map(&one))
                .collect()
        }
        Self {
            step_seconds: ring.step.as_secs(),
            until: Moment(now),
            sessions: each(&samples, |sample| sample.sessions),
            requests_per_second: each(&samples, |sample| Tenths(sample.requests_per_second)),
            ready: each(&samples, |sample| sample.ready),
            desired: each(&samples, |sample| sample.desired),
        }
    }
}

#[cfg(test)]
mod tests;

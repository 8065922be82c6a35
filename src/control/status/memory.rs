//! What the status remembers between two looks: since when each part is as it is, and what comes
//! and goes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use super::super::event::Now;
use super::decisions::DecisionLog;
use super::finding::{Finding, Level};
use crate::moment::Moment;

/// A part that gets worse so often within [`FLAPS_WITHIN`] comes and goes.
const FLAPS: usize = 5;
const FLAPS_WITHIN: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(in super::super) struct Memory {
    pub(super) started: SystemTime,
    pub(super) decisions: DecisionLog,
    parts: BTreeMap<String, Remembered>,
}

#[derive(Debug)]
struct Remembered {
    level: Level,
    since: SystemTime,
    /// When it got worse, the oldest first: the newest [`FLAPS`].
    falls: VecDeque<SystemTime>,
    /// What was wrong with it last.
    last: String,
    /// Whether this look has come to it.
    seen: bool,
}

impl Memory {
    pub(in super::super) fn new(now: Now) -> Self {
        Self {
            started: now.wall,
            decisions: DecisionLog::default(),
            parts: BTreeMap::new(),
        }
    }

    /// Since when the part is at this level.
    pub(super) fn since(&mut self, part: &str, level: Level, now: Now) -> Moment {
        Moment(self.remember(part, level, now).since)
    }

    /// How a part is and since when. What comes and goes is not well in between: it is bad, as one
    /// trouble, until it has been steady for a while.
    pub(super) fn steadied(&mut self, part: &str, found: Finding, now: Now) -> (Finding, Moment) {
        let level = found.as_ref().map_or(Level::Healthy, |(level, _)| *level);
        let known = self.remember(part, level, now);
        if let Some((_, text)) = &found {
            known.last.clone_from(text);
        }
        let recent = |at: &SystemTime| {
            let passed = now.wall.duration_since(*at);
            passed.is_ok_and(|passed| passed < FLAPS_WITHIN)
        };
        let first = known.falls.front().copied();
        let flaps = known.falls.len() == FLAPS && first.as_ref().is_some_and(recent);
        let Some(first) = first.filter(|_| flaps) else {
            return (found, Moment(known.since));
        };
        let text = format!(
            "comes and goes, {FLAPS} times within {} min; {}: {}",
            FLAPS_WITHIN.as_secs() / 60,
            if level == Level::Healthy {
                "last"
            } else {
                "now"
            },
            known.last
        );
        (Some((level.max(Level::Warning), text)), Moment(first))
    }

    /// A look is over. What it has not come to is not there, and nothing is wrong with that.
    pub(super) fn forget_unseen(&mut self, now: Now) {
        self.parts.retain(|_, part| {
            if std::mem::take(&mut part.seen) {
                return true;
            }
            part.take(Level::Healthy, now);
            let newest = part.falls.back().copied();
            newest.is_some_and(|at| {
                let passed = now.wall.duration_since(at);
                passed.is_ok_and(|passed| passed < FLAPS_WITHIN)
            })
        });
    }

    fn remember(&mut self, part: &str, level: Level, now: Now) -> &mut Remembered {
        let known = self
            .parts
            .entry(part.to_owned())
            .or_insert_with(|| Remembered {
                level,
                since: now.wall,
                falls: VecDeque::new(),
                last: String::new(),
                seen: true,
            });
        known.seen = true;
        known.take(level, now);
        known
    }
}

impl Remembered {
    fn take(&mut self, level: Level, now: Now) {
        if level == self.level {
            return;
        }
        if level > self.level {
            if self.falls.len() == FLAPS {
                self.falls.pop_front();
            }
            self.falls.push_back(now.wall);
        }
        self.level = level;
        self.since = now.wall;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            at: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    fn bad() -> Finding {
        Some((Level::Critical, "redis does not answer".to_owned()))
    }

    /// Bad for ten seconds of every twenty, so often.
    fn flapping(memory: &mut Memory, times: u64) {
        memory.steadied("service:redis", None, at(0));
        for turn in 0..times {
            let begin = 10 + turn * 20;
            memory.steadied("service:redis", bad(), at(begin));
            memory.steadied("service:redis", None, at(begin + 10));
        }
    }

    #[test]
    fn what_comes_and_goes_is_one_trouble_until_it_is_steady() {
        let mut memory = Memory::new(at(0));
        flapping(&mut memory, 4);
        let (found, since) = memory.steadied("service:redis", None, at(85));
        assert_eq!((found, since), (None, Moment(at(80).wall)));
        let (found, since) = memory.steadied("service:redis", bad(), at(90));
        let (level, text) = found.expect("bad");
        assert_eq!(level, Level::Critical);
        assert_eq!(
            text,
            "comes and goes, 5 times within 10 min; now: redis does not answer"
        );
        assert_eq!(since, Moment(at(10).wall), "since it began");
        let (found, _) = memory.steadied("service:redis", None, at(100));
        let (level, text) = found.expect("it will be back");
        assert_eq!(level, Level::Warning);
        assert!(text.ends_with("last: redis does not answer"), "{text}");
        let (found, since) = memory.steadied("service:redis", None, at(610));
        assert_eq!((found, since), (None, Moment(at(100).wall)));
    }

    #[test]
    fn what_was_away_and_comes_back_is_bad_since_then() {
        let mut memory = Memory::new(at(0));
        memory.steadied("databases", bad(), at(10));
        memory.forget_unseen(at(10));
        memory.forget_unseen(at(11));
        let (_, since) = memory.steadied("databases", bad(), at(50));
        assert_eq!(since, Moment(at(50).wall));
    }

    #[test]
    fn what_is_gone_for_good_is_forgotten() {
        let mut memory = Memory::new(at(0));
        flapping(&mut memory, 2);
        memory.since("instance:congress", Level::Healthy, at(50));
        for seconds in [60, 61] {
            memory.forget_unseen(at(seconds));
        }
        assert_eq!(memory.parts.len(), 1, "it may come and go");
        memory.forget_unseen(at(1_000));
        assert_eq!(memory.parts.len(), 0);
    }
}

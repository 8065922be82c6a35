//! Which alerts stand, and what of that one receiver has not been told.
//!
//! The two are kept side by side and the news is their difference, so that whatever was lost or
//! repeated on the way, the receiver ends with what is true. What began and ended while he could not
//! be reached is never told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::facts::{Cause, Facts, Key};
use crate::control::status::Level;
use crate::moment::{Moment, Now};

/// Trouble that is over sooner is not told: usher has just begun, or a probe was lost.
const BEGINS_AFTER: Duration = Duration::from_secs(3);
/// Trouble that comes back sooner was never over. With every time that it came back lately, it has
/// to be away four times as long.
const ENDS_AFTER: Duration = Duration::from_secs(5);
const ENDS_AFTER_AT_MOST: Duration = Duration::from_secs(600);
/// What "lately" is.
const LATELY: Duration = Duration::from_secs(900);
/// What came so often lately comes and goes.
const OFTEN: usize = 3;

/// How many returns are counted; long before that the patience is at its end.
const RISES: usize = 16;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Started,
    /// It is better or worse than what was told, which was this.
    Changed(Level),
    Ended(End),
    /// Nothing since it was told.
    Stands,
}

/// Why an alert is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The instance is not declared any more, or the part is none of its parts.
    Gone,
    Healthy,
    /// The instance was paused or put on standby.
    Silenced,
}

impl End {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Healthy => "healthy",
            Self::Silenced => "silenced",
        }
    }
}

/// One alert, as a receiver is to know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Notice {
    pub(super) key: Key,
    pub(super) change: Change,
    /// Of an alert that has ended, what was told last.
    pub(super) status: Level,
    pub(super) text: String,
    pub(super) also: Vec<String>,
    pub(super) since: Moment,
    /// `None`: it is not over.
    pub(super) until: Option<Moment>,
    /// Whether it comes and goes.
    pub(super) flapping: bool,
}

/// The alerts of one receiver.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    cases: BTreeMap<Key, Case>,
}

#[derive(Debug)]
struct Case {
    /// In its newest words.
    cause: Cause,
    /// How bad it was when last looked at.
    seen: Level,
    /// How bad it counts as, and since when that differs from what is seen.
    stands: Level,
    differs_since: Option<Instant>,
    since: Moment,
    ended: Option<(End, Moment)>,
    /// Moments at which it was seen to become worse, lately; the newest when there are many.
    rises: VecDeque<Instant>,
    told: Option<Level>,
}

impl Ledger {
    /// Takes a status in.
    pub(super) fn observe(&mut self, mut facts: Facts, now: Now) {
        for (key, case) in &mut self.cases {
            let Some(cause) = facts.causes.remove(key) else {
                case.step(Level::Healthy, why_over(key, &facts), now);
                continue;
            };
            case.step(cause.status, End::Healthy, now);
            case.cause = cause;
        }
        for (key, cause) in facts.causes {
            let mut case = Case::new(cause);
            case.step(case.cause.status, End::Healthy, now);
            self.cases.insert(key, case);
        }
        self.cases.retain(|_, case| !case.is_forgotten());
    }

    /// What the receiver has not been told.
    pub(super) fn news(&self) -> Vec<Notice> {
        self.notices(|change| change != Change::Stands)
    }

    /// What he was told and still stands.
    pub(super) fn standing(&self) -> Vec<Notice> {
        self.notices(|change| change == Change::Stands)
    }

    /// He knows it now.
    pub(super) fn told(&mut self, notice: &Notice) {
        if let Some(case) = self.cases.get_mut(&notice.key) {
            case.told = notice.until.is_none().then_some(notice.status);
        }
    }

    fn notices(&self, wanted: impl Fn(Change) -> bool) -> Vec<Notice> {
        let notice = |(key, case): (&Key, &Case)| {
            let change = case.change()?;
            wanted(change).then(|| case.notice(key, change))
        };
        self.cases.iter().filter_map(notice).collect()
    }
}

/// Why there is no cause any more.
fn why_over(key: &Key, facts: &Facts) -> End {
    match &key.instance {
        Some(instance) if facts.silent.contains(instance) => End::Silenced,
        Some(instance) if !facts.instances.contains(instance) => End::Gone,
        _ => End::Healthy,
    }
}

impl Case {
    fn new(cause: Cause) -> Self {
        Self {
            seen: Level::Healthy,
            stands: Level::Healthy,
            differs_since: None,
            since: cause.since,
            ended: None,
            rises: VecDeque::new(),
            told: None,
            cause,
        }
    }

    /// Takes in how bad it is, and lets it count once it has been so for long enough. `end` is why
    /// it is over, if it is.
    fn step(&mut self, seen: Level, end: End, now: Now) {
        while let Some(first) = self.rises.front()
            && now.at.duration_since(*first) > LATELY
        {
            self.rises.pop_front();
        }
        if seen > self.seen {
            self.rises.push_back(now.at);
            if self.rises.len() > RISES {
                self.rises.pop_front();
            }
        }
        self.seen = seen;
        if self.seen == self.stands {
            self.differs_since = None;
            return;
        }
        let differs_since = *self.differs_since.get_or_insert(now.at);
        let worse = self.seen > self.stands;
        let patience = match (worse, end) {
            (true, _) if self.stands == Level::Healthy => BEGINS_AFTER,
            // Who has been told hears at once that it is worse; who paused an instance, or removed
            // it, knows what he did.
            (true, _) | (false, End::Gone | End::Silenced) => Duration::ZERO,
            (false, End::Healthy) => self.ends_after(),
        };
        if now.at.duration_since(differs_since) < patience {
            return;
        }
        self.differs_since = None;
        if self.seen == Level::Healthy {
            // Whatever the wall clock did, an end comes after its beginning.
            let until = Moment(now.wall.max(self.since.0));
            self.ended = Some((end, until));
        } else if self.stands == Level::Healthy {
            self.ended = None;
            // Who was not told of the end knows it since before.
            if self.told.is_none() {
                self.since = self.cause.since;
            }
        }
        self.stands = self.seen;
    }

    fn ends_after(&self) -> Duration {
        let again = u32::try_from(self.rises.len().saturating_sub(1)).unwrap_or(u32::MAX);
        4_u32
            .checked_pow(again)
            .and_then(|factor| ENDS_AFTER.checked_mul(factor))
            .map_or(ENDS_AFTER_AT_MOST, |span| span.min(ENDS_AFTER_AT_MOST))
    }

    /// `None`: there is nothing to say.
    fn change(&self) -> Option<Change> {
        match (self.told, self.stands, self.ended) {
            (None, Level::Healthy, _) | (Some(_), Level::Healthy, None) => None,
            (None, _, _) => Some(Change::Started),
            (Some(_), Level::Healthy, Some((end, _))) => Some(Change::Ended(end)),
            (Some(told), stands, _) if told == stands => Some(Change::Stands),
            (Some(told), _, _) => Some(Change::Changed(told)),
        }
    }

    fn notice(&self, key: &Key, change: Change) -> Notice {
        let (status, until) = match change {
            Change::Ended(_) => (self.told, self.ended.map(|(_, at)| at)),
            Change::Changed(_) | Change::Started | Change::Stands => (Some(self.stands), None),
        };
        Notice {
            key: key.clone(),
            change,
            status: status.unwrap_or(self.stands),
            text: self.cause.text.clone(),
            also: self.cause.also.clone(),
            since: self.since,
            until,
            flapping: self.rises.len() >= OFTEN,
        }
    }

    /// Nothing is the matter, nothing is to be told, and it did not come and go lately.
    fn is_forgotten(&self) -> bool {
        let healthy = self.seen == Level::Healthy && self.stands == Level::Healthy;
        healthy && self.told.is_none() && self.rises.is_empty()
    }
}

#[cfg(test)]
mod tests;

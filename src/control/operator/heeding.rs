//! What was done to a service by hand becomes what its operator wants.

use std::time::Duration;

use super::super::event::Now;
use super::super::service::ServiceState;
use super::wished::Wished;
use crate::autoscaler::Override;
use crate::inventory::Count;

/// How long it counts.
const COUNTS_FOR: Duration = Duration::from_secs(30 * 60);

impl ServiceState {
    /// What somebody else's change of the replicas asks for, once it is over. What was asked of
    /// usher itself before it began is not asked any more.
    pub(in crate::control) fn heed_what_was_done_by_hand(&mut self, now: Now) -> Option<Override> {
        let mut hand = std::mem::take(&mut self.by_hand);
        let asked = |over: &Wished| matches!(over.wish, Override::Exact(_));
        let told = self.over.filter(asked);
        let counts = told.is_none() || hand.is_under_way(told.as_ref());
        // On its way to an operator's number usher adds as well.
        let added = self.last_up.filter(|_| told.is_some());
        let wish = hand.meant(now.at, self.last_drain.max(added), || self.counts());
        self.by_hand = hand;
        let wish = wish.filter(|_| counts)?;
        self.over = Some(Wished::within(wish, Some(COUNTS_FOR), now));
        Some(wish)
    }

    /// Heeds a number that somebody else set without asking usher: who set more wants at least
    /// that, who set less at most, for [`COUNTS_FOR`].
    pub(in crate::control) fn heed(&mut self, count: Count, now: Now) {
        if count.version <= self.heeded {
            return;
        }
        self.heeded = count.version;
        let age = now.wall.duration_since(count.at).unwrap_or_default();
        let Some(left) = COUNTS_FOR.checked_sub(age) else {
            return;
        };
        let told_since = |over: &Wished| {
            let asked = matches!(over.wish, Override::Exact(_));
            asked && over.since.wall > count.at
        };
        if self.over.as_ref().is_some_and(told_since) {
            return;
        }
        let to = u32::try_from(count.to).unwrap_or(u32::MAX);
        let wish = if count.to > count.from {
            Override::Floor(to)
        } else {
            Override::Cap(to)
        };
        self.over = Some(Wished::within(wish, Some(left), now));
    }
}

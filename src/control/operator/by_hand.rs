//! What an operator means who changes the number of replicas without usher, as `docker-compose up
//! --scale` does: more of them is a floor, fewer a ceiling, for half an hour.
//!
//! What an operator wished last counts, whether usher was told or not.
//!
//! A deployment is no such wish, and neither is a plain `docker-compose up -d`, which removes what
//! usher has added because no file asks for it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::wished::Wished;
use crate::autoscaler::Override;

/// The replicas of a service at one moment, without those that leave.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::control) struct Counts {
    /// The operator's own.
    pub(in crate::control) declared: u32,
    /// usher's.
    pub(in crate::control) added: u32,
    /// What the declared are made of.
    pub(in crate::control) makes: BTreeSet<String>,
}

impl Counts {
    fn all(&self) -> u32 {
        self.declared + self.added
    }
}

/// A change that may not be over yet.
#[derive(Debug, Default)]
pub(in crate::control) struct ByHand {
    change: Option<Change>,
}

#[derive(Debug)]
struct Change {
    before: Counts,
    began: Instant,
    over_at: Instant,
}

impl ByHand {
    /// Somebody else changed something. `before` is what there was; whatever comes within `quiet`
    /// belongs to the same change.
    pub(in crate::control) fn noticed(&mut self, before: Counts, now: Instant, quiet: Duration) {
        let change = self.change.get_or_insert(Change {
            before,
            began: now,
            over_at: now,
        });
        change.over_at = now + quiet;
    }

    /// Whether somebody may not be done yet, and has not told usher anything since.
    pub(in crate::control) fn is_under_way(&self, told: Option<&Wished>) -> bool {
        let exact = told.filter(|told| matches!(told.wish, Override::Exact(_)));
        self.change
            .as_ref()
            .is_some_and(|change| exact.is_none_or(|told| told.since.at < change.began))
    }

    /// What was meant, once nothing has been changed for a while. `usher_acted` is when usher itself
    /// last began to take a replica away: then nobody can tell who did what.
    pub(in crate::control) fn meant(
        &mut self,
        now: Instant,
        usher_acted: Option<Instant>,
        after: impl FnOnce() -> Counts,
    ) -> Option<Override> {
        let change = self.change.take_if(|change| change.over_at <= now)?;
        if usher_acted.is_some_and(|at| at >= change.began) {
            return None;
        }
        meaning(&change.before, &after())
    }
}

fn meaning(before: &Counts, after: &Counts) -> Option<Override> {
    let deployed = before.makes != after.makes;
    let put_back = before.declared == after.declared && after.added == 0;
    // Who stops the last one wants none, and gets none: there is nothing left to copy.
    if deployed || put_back || after.all() == 0 || before.all() == 0 {
        return None;
    }
    match after.all() {
        count if count > before.all() => Some(Override::Floor(count)),
        count if count < before.all() => Some(Override::Cap(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(declared: u32, added: u32, make: &str) -> Counts {
        Counts {
            declared,
            added,
            makes: BTreeSet::from([make.to_owned()]),
        }
    }

    #[test]
    fn more_is_a_floor_fewer_a_ceiling_and_a_deployment_neither() {
        for (before, after, expected) in [
            // docker-compose up -d --scale web=5, with one of three declared
            (
                counts(1, 2, "a"),
                counts(3, 2, "a"),
                Some(Override::Floor(5)),
            ),
            // the same with web=2: the highest numbers go, and those are usher's
            (counts(1, 2, "a"), counts(1, 1, "a"), Some(Override::Cap(2))),
            (counts(4, 0, "a"), counts(2, 0, "a"), Some(Override::Cap(2))),
            // docker-compose up -d
            (counts(1, 3, "a"), counts(1, 0, "a"), None),
            (counts(1, 3, "a"), counts(1, 0, "b"), None),
            (counts(2, 0, "a"), counts(3, 0, "b"), None),
            // docker-compose stop, and start
            (counts(2, 0, "a"), counts(0, 0, "a"), None),
            (counts(2, 1, "a"), counts(2, 1, "a"), None),
        ] {
            assert_eq!(meaning(&before, &after), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_change_is_understood_when_it_is_over_and_only_if_usher_had_no_part_in_it() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let quiet = Duration::from_secs(30);
        let mut hand = ByHand::default();
        let after = || counts(3, 0, "a");
        hand.noticed(counts(1, 0, "a"), at(0), quiet);
        hand.noticed(counts(2, 0, "a"), at(20), quiet);
        assert_eq!(hand.meant(at(49), None, after), None, "not over");
        assert_eq!(hand.meant(at(50), None, after), Some(Override::Floor(3)));
        assert_eq!(hand.meant(at(51), None, after), None, "said once");

        hand.noticed(counts(4, 0, "a"), at(60), quiet);
        assert_eq!(hand.meant(at(99), Some(at(70)), after), None);
    }
}

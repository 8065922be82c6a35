//! New names under `*` entries: so many within a day, because nobody decided on each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Steady;
use crate::certs::lineage::Lineage;

const DAY: Duration = Duration::from_secs(86_400);

/// Names that were let in, and when.
///
/// Any 24 hours and not a day of the calendar: whoever fills a day just before midnight would have
/// two days' worth within minutes, and a clock that is set back would begin the day anew.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(in crate::certs) struct NewNames(BTreeMap<String, Steady>);

impl NewNames {
    /// Whether these names may come in now; if not, when there is room for one more.
    ///
    /// More names in one certificate than a whole day has come in on a day without others.
    pub(super) fn allows(
        &self,
        lineage: &Lineage,
        most: u32,
        now: Steady,
    ) -> Result<(), Option<Steady>> {
        let unknown = self.unknown(lineage).count();
        if unknown == 0 {
            return Ok(());
        }
        if most == 0 {
            return Err(None);
        }
        let mut today: Vec<Steady> = self
            .0
            .values()
            .filter(|since| now.since(**since) < DAY)
            .copied()
            .collect();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if today.is_empty() || today.len() + unknown <= most {
            return Ok(());
        }
        today.sort();
        // So many of today's have to be a day old.
        let leave = (today.len() + unknown)
            .saturating_sub(most)
            .min(today.len());
        Err(today.get(leave - 1).map(|since| *since + DAY))
    }

    pub(super) fn let_in(&mut self, lineage: &Lineage, now: Steady) {
        let unknown: Vec<String> = self.unknown(lineage).collect();
        self.0.extend(unknown.into_iter().map(|name| (name, now)));
    }

    fn unknown(&self, lineage: &Lineage) -> impl Iterator<Item = String> {
        lineage
            .names()
            .iter()
            .map(ToString::to_string)
            .filter(|name| !self.0.contains_key(name))
    }

    /// Forgets names that came in long ago and are wanted no more.
    pub(super) fn prune(&mut self, wanted: impl Fn(&str) -> bool, now: Steady) {
        self.0
            .retain(|name, since| now.since(*since) < DAY || wanted(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(names: &[&str]) -> Lineage {
        Lineage::new(
            names.iter().map(|name| name.parse().expect("a name")),
            false,
        )
        .expect("names")
    }

    fn at(seconds: u64) -> Steady {
        Steady::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn the_day_has_room_for_so_many_and_the_next_one_for_more() {
        let mut known = NewNames::default();
        for number in 0..10 {
            let names = lineage(&[&format!("hall-{number}.example.org")]);
            assert_eq!(known.allows(&names, 10, at(number)), Ok(()));
            known.let_in(&names, at(number));
        }
        let eleventh = lineage(&["late.example.org"]);
        assert_eq!(known.allows(&eleventh, 10, at(50)), Err(Some(at(86_400))));
        assert_eq!(known.allows(&eleventh, 10, at(86_400)), Ok(()));
        let two = lineage(&["late.example.org", "later.example.org"]);
        assert_eq!(known.allows(&two, 10, at(50)), Err(Some(at(86_401))));
        // Who is in tries again without being counted again.
        assert_eq!(
            known.allows(&lineage(&["hall-3.example.org"]), 10, at(50)),
            Ok(())
        );
    }

    #[test]
    fn none_a_day_is_none_and_many_in_one_certificate_have_a_day_of_their_own() {
        let many = lineage(&["a.example.org", "b.example.org", "c.example.org"]);
        assert_eq!(NewNames::default().allows(&many, 0, at(0)), Err(None));
        assert_eq!(NewNames::default().allows(&many, 2, at(0)), Ok(()));
        let mut known = NewNames::default();
        known.let_in(&lineage(&["z.example.org"]), at(5));
        assert_eq!(known.allows(&many, 2, at(6)), Err(Some(at(5 + 86_400))));
    }
}

//! Who is next: pure.

use std::time::{Duration, SystemTime};

use crate::certs::lineage::Lineage;
use crate::plan::Declared;

/// Orders and looks before them that are under way at once.
pub(in crate::certs) const PARALLEL: usize = 8;

/// From one renewal that can wait to the next: 500 that are due at once, as after a long outage of
/// the authority, are spread over more than an hour.
pub(in crate::certs) const RENEWALS_APART: Duration = Duration::from_secs(8);

/// Why names are in the queue; what is first here is first in the queue.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::certs) enum Class {
    /// An order was begun and costs nothing more.
    Unfinished,
    /// Somebody waits for the answer.
    Wished,
    /// What ends first is first.
    Renewal { ends: SystemTime, hurry: Hurry },
    /// The operator's own names before those of `*` entries, and of each the oldest wish first.
    New { declared: Origin, since: u64 },
}

/// Whether a renewal waits until its turn.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::certs) enum Hurry {
    /// So much of the reserve is gone that it waits for no other.
    Urgent,
    CanWait,
}

/// [`Declared`] in the order of the queue.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::certs) enum Origin {
    ByName,
    ByPattern,
}

impl From<Declared> for Origin {
    fn from(declared: Declared) -> Self {
        match declared {
            Declared::ByName => Self::ByName,
            Declared::ByPattern => Self::ByPattern,
        }
    }
}

/// Names that could be ordered now.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::certs) struct Candidate {
    pub(in crate::certs) class: Class,
    pub(in crate::certs) lineage: Lineage,
}

impl Candidate {
    /// Whether it has to keep a distance from the renewal before.
    pub(in crate::certs) fn is_paced(&self) -> bool {
        matches!(
            self.class,
            Class::Renewal {
                hurry: Hurry::CanWait,
                ..
            }
        )
    }
}

/// Sorts the queue: who is first is ordered first. One set of names is there once, in its best
/// class.
pub(in crate::certs) fn line_up(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort();
    let mut seen = std::collections::BTreeSet::new();
    candidates.retain(|candidate| seen.insert(candidate.lineage.clone()));
    candidates
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn candidate(name: &str, class: Class) -> Candidate {
        let name = name.parse().expect("a name");
        Candidate {
            class,
            lineage: Lineage::new([name], false).expect("a lineage"),
        }
    }

    fn renewal(name: &str, ends: u64, hurry: Hurry) -> Candidate {
        let ends = UNIX_EPOCH + Duration::from_secs(ends);
        candidate(name, Class::Renewal { ends, hurry })
    }

    fn new(name: &str, declared: Origin, since: u64) -> Candidate {
        candidate(name, Class::New { declared, since })
    }

    #[test]
    fn what_is_begun_goes_on_then_what_ends_and_then_what_is_new() {
        let queue = line_up(vec![
            new("stack.example.org", Origin::ByPattern, 1),
            new("late.example.org", Origin::ByName, 9),
            new("early.example.org", Origin::ByName, 2),
            renewal("soon.example.org", 20, Hurry::CanWait),
            renewal("now.example.org", 10, Hurry::Urgent),
            candidate("asked.example.org", Class::Wished),
            candidate("begun.example.org", Class::Unfinished),
        ]);
        let names: Vec<String> = queue.iter().map(|c| c.lineage.to_string()).collect();
        let expected = ["begun", "asked", "now", "soon", "early", "late", "stack"];
        assert_eq!(names, expected.map(|name| format!("{name}.example.org")));
    }

    #[test]
    fn names_that_several_declare_are_ordered_once() {
        let queue = line_up(vec![
            new("a.example.org", Origin::ByPattern, 1),
            new("a.example.org", Origin::ByName, 7),
        ]);
        assert_eq!(queue, [new("a.example.org", Origin::ByName, 7)]);
    }
}

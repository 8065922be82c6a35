//! Authorities that do not want to be asked, or do not answer: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Steady;

const MINUTE: Duration = Duration::from_secs(60);

/// No authority may silence us for longer; a header that says more is a mistake.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Until when and why nothing is asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::certs) struct Pause {
    until: Steady,
    /// Times in a row that nobody answered.
    unanswered: u32,
    pub(in crate::certs) why: String,
}

/// The pauses of directories, known by their URL, and of registered domains with them.
///
/// An authority that is down is no fault of the names: the pause is the directory's, and it is
/// one order that finds out whether it is over. A limit is first believed to be about the domain
/// that met it, because one tenant's must not stop the others; where a second domain meets one, it
/// is the account's or the machine's and holds for all.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(in crate::certs) struct Pauses {
    directories: BTreeMap<String, Pause>,
    /// By directory, by domain.
    domains: BTreeMap<String, BTreeMap<String, Pause>>,
}

impl Pauses {
    /// What keeps these domains from being asked for, and until when.
    pub(super) fn of(
        &self,
        directory: &str,
        domains: impl FnOnce() -> BTreeSet<String>,
        now: Steady,
    ) -> Option<(Steady, &str)> {
        let holds = |pause: &Pause| pause.until > now;
        let told = |pause: &'_ Pause| pause.until.min(now + LONGEST);
        if let Some(pause) = self.directories.get(directory).filter(|pause| holds(pause)) {
            return Some((told(pause), &pause.why));
        }
        let own = self.domains.get(directory)?;
        domains()
            .iter()
            .filter_map(|domain| own.get(domain))
            .filter(|pause| holds(pause))
            .map(|pause| (told(pause), pause.why.as_str()))
            .max_by_key(|(until, _)| *until)
    }

    /// Whether nobody answered there the last time, so that one order at a time is enough.
    pub(super) fn is_doubtful(&self, directory: &str) -> bool {
        self.directories
            .get(directory)
            .is_some_and(|pause| pause.unanswered > 0)
    }

    /// Nobody answered, or said that it is too busy.
    pub(super) fn unanswered(
        &mut self,
        directory: &str,
        asked: Option<Duration>,
        why: &str,
        now: Steady,
    ) {
        let pause = self.directories.entry(directory.to_owned()).or_default();
        let asked = now + asked.unwrap_or_default().min(LONGEST);
        // Of several orders that failed together only the first is news.
        if pause.until <= now || pause.unanswered == 0 {
            pause.unanswered = pause.unanswered.saturating_add(1);
            let step = match pause.unanswered {
                1 => MINUTE,
                2 => 10 * MINUTE,
                _ => 100 * MINUTE,
            };
            pause.until = pause.until.max(now + step);
            why.clone_into(&mut pause.why);
        }
        pause.until = pause.until.max(asked);
    }

    /// Somebody answered, whatever it was.
    pub(super) fn answered(&mut self, directory: &str) {
        if let Some(pause) = self.directories.get_mut(directory) {
            pause.unanswered = 0;
        }
    }

    /// The authority refused for now, and not for the sake of the names alone.
    pub(super) fn limited(
        &mut self,
        directory: &str,
        domains: &BTreeSet<String>,
        asked: Duration,
        why: &str,
        now: Steady,
    ) {
        let until = now + asked.min(LONGEST);
        let own = self.domains.entry(directory.to_owned()).or_default();
        own.retain(|_, pause| pause.until > now);
        let elsewhere = own
            .iter()
            .filter(|(domain, _)| !domains.contains(*domain))
            .map(|(_, pause)| pause.until)
            .min();
        for domain in domains {
            let pause = own.entry(domain.clone()).or_default();
            pause.until = pause.until.max(until);
            why.clone_into(&mut pause.why);
        }
        if let Some(elsewhere) = elsewhere {
            let pause = self.directories.entry(directory.to_owned()).or_default();
            pause.until = pause.until.max(until.min(elsewhere));
            why.clone_into(&mut pause.why);
        }
    }

    /// Forgets what is over.
    pub(super) fn prune(&mut self, now: Steady) {
        self.directories
            .retain(|_, pause| pause.until > now || pause.unanswered > 0);
        for domains in self.domains.values_mut() {
            domains.retain(|_, pause| pause.until > now);
        }
        self.domains.retain(|_, domains| !domains.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "https://ca.example.org/dir";

    fn at(seconds: u64) -> Steady {
        Steady::default() + Duration::from_secs(seconds)
    }

    fn domains(name: &str) -> BTreeSet<String> {
        BTreeSet::from([name.to_owned()])
    }

    fn until(pauses: &Pauses, domain: &str, now: Steady) -> Option<Steady> {
        pauses
            .of(CA, || domains(domain), now)
            .map(|(until, _)| until)
    }

    #[test]
    fn eight_orders_that_find_nobody_are_one_piece_of_news() {
        let mut pauses = Pauses::default();
        for _ in 0..8 {
            pauses.unanswered(CA, None, "down", at(0));
        }
        assert_eq!(until(&pauses, "a.org", at(0)), Some(at(60)));
        assert!(pauses.is_doubtful(CA));
        pauses.unanswered(CA, None, "down", at(60));
        assert_eq!(until(&pauses, "b.org", at(60)), Some(at(660)));
        assert_eq!(
            pauses.of("https://other/dir", || domains("a.org"), at(60)),
            None
        );
        pauses.answered(CA);
        assert!(!pauses.is_doubtful(CA));
    }

    #[test]
    fn one_that_says_when_to_come_back_is_not_asked_before() {
        let mut pauses = Pauses::default();
        pauses.unanswered(CA, None, "busy", at(0));
        // The others of the same moment, some with a header.
        pauses.unanswered(CA, Some(Duration::from_secs(3_600)), "busy", at(1));
        assert_eq!(until(&pauses, "a.org", at(1)), Some(at(3_601)));
        pauses.unanswered(
            CA,
            Some(Duration::from_secs(u64::MAX / 4)),
            "busy",
            at(3_601),
        );
        assert_eq!(
            until(&pauses, "a.org", at(3_601)),
            Some(at(3_601 + 7 * 86_400))
        );
    }

    #[test]
    fn one_domain_at_its_limit_stops_itself_and_two_stop_all() {
        let mut pauses = Pauses::default();
        let hour = Duration::from_secs(3_600);
        pauses.limited(CA, &domains("a.org"), 30 * hour, "too many", at(0));
        assert_eq!(until(&pauses, "a.org", at(0)), Some(at(30 * 3_600)));
        assert_eq!(until(&pauses, "b.org", at(0)), None);
        pauses.limited(CA, &domains("b.org"), hour, "too many", at(10));
        assert_eq!(until(&pauses, "c.org", at(10)), Some(at(3_610)));
        assert_eq!(until(&pauses, "c.org", at(3_610)), None);
        assert_eq!(until(&pauses, "a.org", at(3_610)), Some(at(30 * 3_600)));
    }
}

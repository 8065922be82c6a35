//! Whether what an authority gave can be served.

use std::time::{Duration, SystemTime};

use crate::certs::lineage::Lineage;
use crate::certs::pair::{Pair, PairError};
use crate::moment;

/// A certificate that begins within this time is waited for: a clock is more often wrong than an
/// authority.
const WAITED_FOR: Duration = Duration::from_secs(7 * 86_400);

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Judged {
    Good,
    /// Good, but not yet.
    Early(String),
    Bad(String),
}

/// Looks at a chain and its key as if they were to be served now, for all of these names.
pub(super) fn judge(chain: &str, key: &str, lineage: &Lineage, now: SystemTime) -> Judged {
    let pair = match Pair::parse(chain.as_bytes(), key.as_bytes()) {
        Ok(pair) => pair,
        Err(PairError::Mismatch) => {
            return Judged::Bad("it is for another key than it was asked for".to_owned());
        }
        Err(error) => return Judged::Bad(format!("it {error}")),
    };
    let missing: Vec<String> = lineage
        .names()
        .iter()
        .filter(|name| !pair.covers(name))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        return Judged::Bad(format!("it does not name {}", missing.join(", ")));
    }
    let clock = "look whether the clock of this machine is right";
    if pair.not_after <= now {
        let end = moment::text(pair.not_after);
        return Judged::Bad(format!("it has expired on {end}; {clock}"));
    }
    if pair.not_before <= now {
        return Judged::Good;
    }
    let reason = format!(
        "it is not valid before {}; {clock}",
        moment::text(pair.not_before)
    );
    if pair.not_before <= now + WAITED_FOR {
        Judged::Early(reason)
    } else {
        Judged::Bad(reason)
    }
}

/// Whether a chain that was kept for long is no better than what it would take the place of: with a
/// third of its life left the next one is due.
pub(super) fn is_spent(chain: &str, key: &str, now: SystemTime) -> bool {
    Pair::parse(chain.as_bytes(), key.as_bytes()).is_ok_and(|pair| {
        let left = pair.not_after.duration_since(now).unwrap_or_default();
        let life = pair.not_after.duration_since(pair.not_before);
        left < life.unwrap_or_default() / 3
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::pair::tests::{month, pem};

    fn lineage(names: &[&str]) -> Lineage {
        let names = names.iter().map(|name| name.parse().expect("a name"));
        Lineage::new(names, false).expect("a lineage")
    }

    #[test]
    fn only_what_can_be_served_for_every_name_is_good() {
        let names = ["a.example.org", "b.example.org"];
        let (chain, key) = pem(&names);
        let (_, other_key) = pem(&names);
        let both = lineage(&names);
        let all = lineage(&["a.example.org", "b.example.org", "c.example.org"]);
        let day = Duration::from_secs(86_400);
        let now = month(6);
        assert_eq!(judge(&chain, &key, &both, now), Judged::Good);
        for (chain, key, lineage, now, words) in [
            (&chain[..], &other_key[..], &both, now, "another key"),
            (&chain, &key, &all, now, "does not name c.example.org"),
            ("", &key, &both, now, "holds no certificate"),
            (&chain, "", &both, now, "holds no key"),
            (&chain, &key, &both, now + day * 3_000, "has expired"),
            (&chain, &key, &both, now - day * 1_000, "not valid before"),
        ] {
            match judge(chain, key, lineage, now) {
                Judged::Bad(reason) => assert!(reason.contains(words), "{reason}"),
                other => panic!("{words}: {other:?}"),
            }
        }
        let early = judge(&chain, &key, &both, month(1) - day * 3);
        assert!(matches!(early, Judged::Early(_)), "{early:?}");
    }

    #[test]
    fn a_chain_that_was_kept_too_long_is_not_installed_any_more() {
        let (chain, key) = pem(&["a.example.org"]);
        for (now, spent) in [(month(1), false), (month(8), false), (month(10), true)] {
            assert_eq!(is_spent(&chain, &key, now), spent, "{now:?}");
        }
    }
}

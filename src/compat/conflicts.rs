//! Who has a name that several stacks claim: the one that has it and lives.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::names::StackName;

/// A name whose owner does not run is kept for it as long: a container that is made anew is away for
/// a moment, and nobody takes its name meanwhile.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The owners of names, as they were last settled.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<String, Owner>);

#[derive(Debug)]
struct Owner {
    stack: StackName,
    /// Set while nothing of it runs.
    until: Option<Instant>,
}

/// Who asks for a name. Each stack once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant<'c> {
    pub(super) stack: &'c StackName,
    pub(super) alive: bool,
}

impl Owners {
    pub(super) fn of(&self, name: &str) -> Option<&StackName> {
        self.0.get(name).map(|owner| &owner.stack)
    }

    /// When a name may get another owner by time alone.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.0.values().filter_map(|owner| owner.until).min()
    }

    /// Settles every name that is claimed now.
    pub(super) fn settle(&mut self, now: Instant, claims: &BTreeMap<&str, Vec<Claimant<'_>>>) {
        self.0.retain(|name, owner| {
            claims.contains_key(name.as_str()) || owner.until.is_none_or(|until| until > now)
        });
        for (name, claimants) in claims {
            let keeps = self.0.get(*name).and_then(|owner| {
                let own = claimants.iter().find(|one| *one.stack == owner.stack);
                match own {
                    Some(own) if own.alive => Some(None),
                    // Nobody else: it may be down as long as it likes.
                    Some(_) if claimants.len() == 1 => Some(None),
                    _ => {
                        let until = owner.until.unwrap_or(now + KEPT_FOR);
                        (until > now).then_some(Some(until))
                    }
                }
            });
            if let (Some(until), Some(owner)) = (keeps, self.0.get_mut(*name)) {
                owner.until = until;
                continue;
            }
            let first = claimants.iter().min_by_key(|one| (!one.alive, one.stack));
            if let Some(first) = first {
                let owner = Owner {
                    stack: first.stack.clone(),
                    until: None,
                };
                self.0.insert((*name).to_owned(), owner);
            }
        }
        // Those whose claims are gone: away for a moment, or for good.
        for (name, owner) in &mut self.0 {
            if !claims.contains_key(name.as_str()) && owner.until.is_none() {
                owner.until = Some(now + KEPT_FOR);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Room {
        owners: Owners,
        now: Instant,
    }

    impl Room {
        fn new() -> Self {
            Self {
                owners: Owners::default(),
                now: Instant::now(),
            }
        }

        /// Who has the name, after these claim it.
        fn settle(&mut self, claimants: &[(&str, bool)]) -> Option<String> {
            let stacks: Vec<(StackName, bool)> = claimants
                .iter()
                .map(|(stack, alive)| (stack.parse().expect("name"), *alive))
                .collect();
            let all: Vec<_> = stacks
                .iter()
                .map(|(stack, alive)| Claimant {
                    stack,
                    alive: *alive,
                })
                .collect();
            let claims = match all.is_empty() {
                true => BTreeMap::new(),
                false => BTreeMap::from([("a.example.org", all)]),
            };
            self.owners.settle(self.now, &claims);
            self.owners.of("a.example.org").map(ToString::to_string)
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    #[test]
    fn the_live_owner_keeps_its_name_whoever_comes() {
        let mut room = Room::new();
        assert_eq!(room.settle(&[("shop", true)]).as_deref(), Some("shop"));
        for _ in 0..3 {
            let claimants = [("aaa", true), ("shop", true)];
            assert_eq!(room.settle(&claimants).as_deref(), Some("shop"));
            room.pass(100);
        }
    }

    #[test]
    fn at_a_first_look_those_that_run_come_first_and_then_the_name() {
        let mut room = Room::new();
        let claimants = [("aaa", false), ("ccc", true), ("bbb", true)];
        assert_eq!(room.settle(&claimants).as_deref(), Some("bbb"));
    }

    #[test]
    fn an_owner_that_is_made_anew_gets_its_name_back() {
        let mut room = Room::new();
        room.settle(&[("shop", true)]);
        assert_eq!(room.settle(&[("aaa", true)]).as_deref(), Some("shop"));
        assert!(room.owners.again_at().is_some());
        room.pass(5);
        assert_eq!(room.settle(&[]).as_deref(), Some("shop"));
        let claimants = [("aaa", true), ("shop", true)];
        assert_eq!(room.settle(&claimants).as_deref(), Some("shop"));
        assert_eq!(room.owners.again_at(), None);
    }

    #[test]
    fn a_name_whose_owner_is_down_goes_to_who_runs_after_a_while() {
        let mut room = Room::new();
        room.settle(&[("shop", true)]);
        assert_eq!(room.settle(&[("shop", false)]).as_deref(), Some("shop"));
        room.pass(100);
        let both = [("aaa", true), ("shop", false)];
        assert_eq!(room.settle(&both).as_deref(), Some("shop"), "for a moment");
        room.pass(11);
        assert_eq!(room.settle(&both).as_deref(), Some("aaa"));
    }
}

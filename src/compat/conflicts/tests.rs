use super::*;
use crate::compat::claim::Host;

use self::Does::{Runs, Silent, Stopped};

/// One name and who claims it.
struct Room {
    owners: Owners,
    now: Instant,
    there: BTreeSet<StackName>,
}

/// What a stack does about the name.
#[derive(Clone, Copy)]
enum Does {
    Runs,
    Stopped,
    /// Runs, and says something else.
    Silent,
}

const NAME: &str = "a.example.org";

impl Room {
    fn new() -> Self {
        Self {
            owners: Owners::default(),
            now: Instant::now(),
            there: BTreeSet::new(),
        }
    }

    /// Who has the name, after these do so and the others are gone.
    fn settle(&mut self, stacks: &[(&str, Does)]) -> Option<String> {
        let web: ServiceName = "web".parse().expect("name");
        let stacks: BTreeMap<StackName, Does> = stacks
            .iter()
            .map(|(stack, does)| (stack.parse().expect("name"), *does))
            .collect();
        for stack in std::mem::take(&mut self.there) {
            if !stacks.contains_key(&stack) {
                self.owners
                    .claim(self.now, &stack, &BTreeMap::new(), |_, _| false);
            }
        }
        for (stack, does) in stacks {
            let said = HostClaim {
                host: Host::Named(NAME.parse().expect("name")),
                alive: matches!(does, Runs),
                by: "web_1".to_owned(),
                services: vec![web.clone()],
                patterns: 0,
            };
            let claims = match does {
                Silent => BTreeMap::new(),
                Runs | Stopped => BTreeMap::from([(NAME, &said)]),
            };
            let renounces =
                |service: &ServiceName, _: &str| *service == web && !matches!(does, Stopped);
            self.owners.claim(self.now, &stack, &claims, renounces);
            self.there.insert(stack);
        }
        self.owners.settle(self.now);
        self.owners.of(NAME).map(|name| name.owner.to_string())
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

const DAY: u64 = 86_400;

#[test]
fn the_live_owner_keeps_its_name_whoever_comes() {
    let mut room = Room::new();
    assert_eq!(room.settle(&[("shop", Runs)]).as_deref(), Some("shop"));
    for _ in 0..3 {
        let all = [("aaa", Runs), ("shop", Runs)];
        assert_eq!(room.settle(&all).as_deref(), Some("shop"));
        room.pass(2 * DAY);
    }
}

#[test]
fn at_a_first_look_those_that_run_come_first_and_then_the_name() {
    let mut room = Room::new();
    let all = [("aaa", Stopped), ("ccc", Runs), ("bbb", Runs)];
    assert_eq!(room.settle(&all).as_deref(), Some("bbb"));
}

#[test]
fn an_owner_that_is_made_anew_gets_its_name_back() {
    let mut room = Room::new();
    room.settle(&[("shop", Runs)]);
    assert_eq!(room.settle(&[("aaa", Runs)]).as_deref(), Some("shop"));
    assert!(room.owners.again_at().is_some());
    room.pass(DAY / 2);
    assert_eq!(room.settle(&[]).as_deref(), Some("shop"));
    let all = [("aaa", Runs), ("shop", Runs)];
    assert_eq!(room.settle(&all).as_deref(), Some("shop"));
    assert_eq!(room.owners.again_at(), None);
}

#[test]
fn the_name_of_an_owner_that_is_stopped_or_removed_is_its_own_for_a_day() {
    for after in [&[("aaa", Runs), ("shop", Stopped)][..], &[("aaa", Runs)]] {
        let mut room = Room::new();
        room.settle(&[("shop", Runs)]);
        assert_eq!(room.settle(after).as_deref(), Some("shop"));
        room.pass(DAY - 1);
        assert_eq!(room.settle(after).as_deref(), Some("shop"));
        room.pass(1);
        assert_eq!(room.settle(after).as_deref(), Some("aaa"));
        let back = [("aaa", Runs), ("shop", Runs)];
        assert_eq!(
            room.settle(&back).as_deref(),
            Some("aaa"),
            "nothing is lost"
        );
    }
}

#[test]
fn a_day_begins_when_the_owner_last_ran_and_not_when_somebody_asks() {
    let mut room = Room::new();
    room.settle(&[("shop", Runs)]);
    room.settle(&[("shop", Stopped)]);
    room.pass(3 * DAY);
    let alone = room.settle(&[("shop", Stopped)]);
    assert_eq!(alone.as_deref(), Some("shop"), "nobody else could serve it");
    let all = [("aaa", Runs), ("shop", Stopped)];
    assert_eq!(room.settle(&all).as_deref(), Some("aaa"));
}

#[test]
fn an_owner_that_runs_and_does_not_ask_any_more_has_given_the_name_up() {
    let mut room = Room::new();
    room.settle(&[("shop", Runs)]);
    let moved = [("aaa", Runs), ("shop", Silent)];
    assert_eq!(room.settle(&moved).as_deref(), Some("shop"), "for a moment");
    room.pass(10);
    assert_eq!(room.settle(&moved).as_deref(), Some("aaa"));
}

#[test]
fn who_was_never_seen_running_is_waited_for_for_a_moment_only() {
    let mut room = Room::new();
    room.settle(&[("old", Stopped)]);
    let all = [("new", Runs), ("old", Stopped)];
    assert_eq!(room.settle(&all).as_deref(), Some("old"));
    room.pass(10);
    assert_eq!(room.settle(&all).as_deref(), Some("new"));
}

#[test]
fn nothing_is_remembered_of_a_name_that_nobody_has_asked_for_in_a_day() {
    let mut room = Room::new();
    room.settle(&[("shop", Runs)]);
    assert_eq!(room.settle(&[]).as_deref(), Some("shop"));
    room.pass(DAY);
    assert_eq!(room.settle(&[]), None);
    let Owners { names, of, due, .. } = &room.owners;
    assert!(names.is_empty() && of.is_empty() && due.is_empty());
}

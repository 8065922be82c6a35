use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

fn is_sent_away(stay: &Stay) -> bool {
    stay.sent_away().now_or_never().is_some()
}

/// Stacks of which each may hold so many, and all of them together.
fn stacks<const COUNT: usize>(of_stack: usize, all: usize) -> [Arc<Holding>; COUNT] {
    let held = Arc::new(Held::bounded(of_stack, all));
    std::array::from_fn(|_| Arc::new(held.stack()))
}

#[test]
fn who_has_waited_longest_makes_room_for_a_newcomer_of_its_stack_and_is_counted_no_more() {
    let [congress, assembly] = stacks(3, 100);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let elsewhere = assembly.hold(start);
    let second = congress.hold(after(2));
    // It came to its line later than the one before, and has waited longer: its request is older.
    let first = congress.hold(after(1));
    let third = congress.hold(after(3));
    assert!(!is_sent_away(&first));

    let newcomer = congress.hold(after(4));
    assert!(is_sent_away(&first));
    assert_eq!(congress.count(), 3, "sent away, though it is still there");
    drop(first);
    assert_eq!(congress.count(), 3, "and not left a second time");
    for stay in [&second, &third, &newcomer, &elsewhere] {
        assert!(!is_sent_away(stay), "{stay:?}");
    }
}

#[test]
fn who_leaves_makes_room_at_once() {
    let [congress] = stacks(2, 100);
    let now = Instant::now();
    let first = congress.hold(now);
    let second = congress.hold(now);
    drop(second);
    assert_eq!(congress.count(), 1);
    let third = congress.hold(now);
    assert!(!is_sent_away(&first) && !is_sent_away(&third));
}

#[test]
fn services_of_one_stack_are_counted_by_themselves_and_share_its_room() {
    let [congress] = stacks(2, 100);
    let web = Arc::new(congress.beside());
    let now = Instant::now();
    let first = congress.hold(now);
    let others = [web.hold(now), web.hold(now)];
    assert!(is_sent_away(&first));
    assert_eq!((congress.count(), web.count()), (0, 2));
    drop(others);
}

#[test]
fn a_newcomer_whose_request_is_the_oldest_goes_itself() {
    let [congress] = stacks(1, 100);
    let start = Instant::now();
    let younger = congress.hold(start + Duration::from_secs(1));
    let older = congress.hold(start);
    assert!(is_sent_away(&older) && !is_sent_away(&younger));
}

#[test]
fn a_storm_at_one_stack_sends_away_nobody_of_another_that_holds_less() {
    let [storm, quiet, third] = stacks(100, 10);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    // The oldest of all, and still not the one to go.
    let few: Vec<_> = (0..3).map(|_| quiet.hold(start)).collect();
    let mut many: Vec<_> = (0..50).map(|second| storm.hold(after(second))).collect();
    assert_eq!((quiet.count(), storm.count()), (3, 7));
    // Whoever comes to the quiet one takes from the storm as well.
    let newcomers: Vec<_> = (0..2).map(|_| quiet.hold(after(99))).collect();
    assert_eq!((quiet.count(), storm.count()), (5, 5));
    let sent_away: Vec<_> = many.iter().map(is_sent_away).collect();
    assert!(sent_away[..45].iter().all(|sent| *sent), "{sent_away:?}");
    assert!(sent_away[45..].iter().all(|sent| !sent), "{sent_away:?}");
    // Of those that hold the most it is the one that wants more.
    many.push(storm.hold(after(100)));
    assert_eq!((quiet.count(), storm.count()), (5, 5));
    assert!(few.iter().chain(&newcomers).all(|stay| !is_sent_away(stay)));
    let late = third.hold(after(101));
    assert_eq!(third.count(), 1);
    drop(late);
}

#[test]
fn room_for_a_newcomer_is_found_as_quickly_among_fifty_thousand() {
    let held = Arc::<Held>::default();
    let stacks: Vec<_> = (0..1_000).map(|_| Arc::new(held.stack())).collect();
    let start = Instant::now();
    let mut all = Vec::new();
    for turn in 0..120_000_u32 {
        let at = start + Duration::from_micros(turn.into());
        // Half of them come to one, and the others to all.
        let stack = if turn % 2 == 0 {
            0
        } else {
            turn as usize % 1_000
        };
        all.push(stacks[stack].hold(at));
    }
    let took = start.elapsed();
    let counts: Vec<_> = stacks.iter().map(|stack| stack.count() as usize).collect();
    assert!(counts.iter().all(|count| *count <= MOST_OF_STACK));
    assert_eq!(counts.iter().sum::<usize>(), MOST);
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(all);
    assert!(stacks.iter().all(|stack| stack.count() == 0));
}

/// One who comes, or one who goes.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// To this stack, for a service of it or for none, with a request so old.
    Comes(usize, bool, u64),
    /// Whichever of those who are there.
    Leaves(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_usize, any::<bool>(), 0..20_u64)
            .prop_map(|(stack, service, age)| Step::Comes(stack, service, age)),
        1 => any::<usize>().prop_map(Step::Leaves),
    ]
}

/// The same rules as one would do them by hand.
#[derive(Default)]
struct Plain(Vec<One>);

struct One {
    stack: usize,
    service: bool,
    began: Instant,
    stay: Stay,
}

impl Plain {
    fn of(&self, stack: usize) -> usize {
        self.0.iter().filter(|one| one.stack == stack).count()
    }

    /// Where the one stands who has to go.
    fn loses(&self, newcomer: usize, of_stack: usize, all: usize) -> Option<usize> {
        let own = self.of(newcomer);
        let stacks = if own > of_stack || (0..4).all(|other| self.of(other) <= own) {
            vec![newcomer]
        } else {
            let most = (0..4).map(|stack| self.of(stack)).max();
            (0..4)
                .filter(|stack| Some(self.of(*stack)) == most)
                .collect()
        };
        if own <= of_stack && self.0.len() <= all {
            return None;
        }
        // Of two stacks that hold as many, whichever.
        let candidates = stacks.into_iter().map(|stack| {
            let own = self
                .0
                .iter()
                .enumerate()
                .filter(|(_, one)| one.stack == stack);
            // Of the same age, the one that came first: they are in the order they came.
            own.min_by_key(|(_, one)| one.began).map(|(at, _)| at)
        });
        let mut candidates = candidates.flatten();
        candidates.find(|at| is_sent_away(&self.0[*at].stay))
    }
}

proptest! {
    #[test]
    fn whoever_comes_and_goes_the_bounds_hold_and_the_right_one_goes(
        steps in prop::collection::vec(step(), 1..120),
        of_stack in 1..6_usize,
        all in 1..14_usize,
    ) {
        let stacks: [_; 4] = stacks(of_stack, all);
        let services = stacks.each_ref().map(|stack| Arc::new(stack.beside()));
        let start = Instant::now() + Duration::from_secs(20);
        let mut plain = Plain::default();
        let mut sent_away = Vec::new();
        for (second, step) in (0..).zip(steps) {
            match step {
                Step::Comes(stack, service, age) => {
                    let began = start + Duration::from_secs(second) - Duration::from_secs(age);
                    let holding = if service { &services[stack] } else { &stacks[stack] };
                    let stay = holding.hold(began);
                    plain.0.push(One { stack, service, began, stay });
                    let full = plain.of(stack) > of_stack || plain.0.len() > all;
                    let loses = plain.loses(stack, of_stack, all);
                    prop_assert_eq!(loses.is_some(), full, "somebody of them, and only then");
                    sent_away.extend(loses.map(|at| plain.0.remove(at)));
                }
                Step::Leaves(which) if !plain.0.is_empty() => {
                    let which = which % plain.0.len();
                    drop(plain.0.remove(which));
                }
                Step::Leaves(_) => drop(sent_away.pop()),
            }
            prop_assert!(plain.0.len() <= all);
            prop_assert!(!plain.0.iter().any(|one| is_sent_away(&one.stay)), "nobody else");
            for (stack, (none, service)) in stacks.iter().zip(&services).enumerate() {
                let own = |service| {
                    let own = plain.0.iter().filter(|one| one.stack == stack);
                    own.filter(|one| one.service == service).count()
                };
                let counted = [none, service].map(|holding| holding.count() as usize);
                prop_assert_eq!(counted, [own(false), own(true)]);
                prop_assert!(plain.of(stack) <= of_stack);
            }
            let room = stacks[0].all.room();
            let sizes = room.places.iter().map(|(stack, places)| (places.len(), *stack));
            prop_assert_eq!(&room.sizes, &sizes.collect(), "what is found by");
            prop_assert_eq!(room.total, plain.0.len());
        }
    }
}

//! A stack for nobody, and one whose rental is over.

use std::time::SystemTime;

use proptest::prelude::*;

use super::tests::Stack;
use super::*;
use crate::autoscaler::{Load, Override, Spans};
use crate::config::model::{Event, Rental, ScaleMode};

const SPAN: Duration = Duration::from_secs(60);
/// Of these policies.
const BOOT: u32 = 30;

/// Two webs and eight workers that may rest, after what usher found at its start has been kept.
fn restless() -> Stack {
    let mut stack = Stack::new(2, 8);
    stack.policy.spans = Spans::of(Duration::from_secs(u64::from(BOOT)));
    stack.policy.idle_to_zero = Some(SPAN);
    stack
}

fn event(stack: &Stack, starts_in: u64) -> Event {
    let start = stack.now.wall + Duration::from_secs(starts_in);
    Event {
        name: "Congress".into(),
        start,
        end: start + Duration::from_secs(3_600),
        hours: None,
        attendees: 10,
        sessions: 10,
        prewarm: Duration::ZERO,
    }
}

fn seconds_to_zero(stack: &mut Stack) -> u32 {
    (1..=600)
        .find(|_| {
            stack.second();
            stack.webs() + stack.workers() == 0
        })
        .expect("an end within ten minutes")
}

#[test]
fn after_its_time_without_anybody_nothing_is_left_whatever_the_minimum() {
    let mut stack = restless();
    stack.policy.services[0].bounds.min = 2;
    assert_eq!(seconds_to_zero(&mut stack), 61);
    let [web, worker] = stack.second();
    assert_eq!((web.wanted, worker.wanted), (0, 0));
    assert_eq!(web.to_string(), "nobody has come for 1m: 0");
    assert!(stack.state.is_asleep());
}

#[test]
fn without_the_key_and_while_held_the_minimum_stays() {
    for (span, mode) in [
        (None, ScaleMode::Auto),
        (Some(SPAN), ScaleMode::Hold),
        (Some(SPAN), ScaleMode::Off),
    ] {
        let mut stack = restless();
        (stack.policy.idle_to_zero, stack.policy.mode) = (span, mode);
        stack.seconds(600);
        assert!(stack.webs() >= 1 && stack.workers() >= 1, "{mode:?}");
    }
}

#[test]
fn one_visit_starts_the_time_again_and_one_wakes_one_of_each_at_once() {
    let mut stack = restless();
    stack.seconds(50);
    stack.visits = 1;
    assert_eq!(seconds_to_zero(&mut stack), 61 + 1);
    stack.seconds(3_600);

    stack.visits = 400;
    stack.obeys = false;
    let [web, worker] = stack.second();
    assert_eq!((web.desired, worker.desired), (1, 1));
    assert_eq!(web.to_string(), "somebody has come: 1");
    assert!(!stack.state.is_asleep());
    // Who waits for the first gets no second before it is ready.
    stack.seen[0].load.held = 400;
    assert_eq!(stack.seconds(5)[0].desired, 1);
    for seen in &mut stack.seen {
        (seen.crew.present, seen.crew.ready) = (1, 1);
    }
    stack.seen[0].load = Load {
        sessions: 400,
        ..Load::default()
    };
    assert!(stack.seconds(2)[0].desired > 1);
}

#[test]
fn a_session_a_handshake_an_operator_and_an_event_keep_it_awake() {
    let change: [fn(&mut Stack); 4] = [
        |stack| stack.seen[0].load.sessions = 1,
        |stack| stack.seen[0].load.pending = 1,
        |stack| stack.seen[0].over = Some(Override::Exact(1)),
        |stack| stack.policy.events = [event(stack, 12 * 3_600)].into(),
    ];
    for (index, change) in change.into_iter().enumerate() {
        let mut stack = restless();
        change(&mut stack);
        stack.seconds(600);
        assert!(stack.webs() >= 1, "{index}");
    }
}

#[test]
fn an_event_that_comes_near_wakes_it() {
    let mut stack = restless();
    stack.policy.events = [event(&stack, 12 * 3_600 + 300)].into();
    seconds_to_zero(&mut stack);
    stack.seconds(240);
    assert_eq!((stack.webs(), stack.workers()), (1, 1));
}

#[test]
fn a_crowd_that_was_lost_is_awaited_before_it_sleeps() {
    let mut stack = restless();
    stack.seen[0].load.sessions = 150;
    stack.seconds(60);
    stack.seen[0].load.sessions = 0;
    // Three times `down-after`.
    stack.seconds(90);
    assert!(stack.webs() >= 2);
    assert!(seconds_to_zero(&mut stack) < 120);
}

#[test]
fn what_nobody_asked_for_is_not_started_and_what_somebody_started_is_left_a_while() {
    let mut stack = restless();
    for seen in &mut stack.seen {
        (seen.crew.present, seen.crew.ready) = (0, 0);
    }
    stack.seconds(10);
    assert_eq!((stack.webs(), stack.workers()), (0, 0));
    // A deployment.
    stack.seen[0].crew.present = 1;
    stack.seen[0].crew.ready = 1;
    stack.seconds(50);
    assert_eq!(stack.webs(), 1);
    assert!(seconds_to_zero(&mut stack) <= 12);
}

#[test]
fn outside_its_rental_nothing_runs_and_inside_it_all_does() {
    let mut stack = Stack::new(2, 8);
    let rented = |from: SystemTime, seconds: u64| from + Duration::from_secs(seconds);
    let begins = stack.now.wall;
    let rental = Rental::between(rented(begins, 300), rented(begins, 600));
    stack.policy.rental = Some(rental);
    stack.seen[0].load.sessions = 150;
    stack.seen[0].over = Some(Override::Exact(3));
    let [web, worker] = stack.second();
    assert_eq!((web.desired, worker.desired), (0, 0));
    assert_eq!(
        web.to_string(),
        "rented from 2026-12-01 to 2026-12-01 only: 0"
    );
    stack.seen[0].over = None;
    stack.seconds(298);
    assert_eq!(stack.webs(), 0);
    stack.seconds(10);
    assert_eq!((stack.webs(), stack.workers()), (2, 8));
    stack.seconds(300);
    assert_eq!((stack.webs(), stack.workers()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Seconds at which somebody comes, sessions stay, or nothing is known.
    #[test]
    fn it_rests_only_after_its_time_without_anybody_and_always_wakes(
        steps in prop::collection::vec((0_u32..3, 0_u32..2, any::<bool>(), 1_u32..150), 1..12),
    ) {
        let mut stack = restless();
        let mut quiet = 0;
        for (visits, sessions, fresh, seconds) in steps {
            for second in 0..seconds {
                let come = if second == 0 { visits } else { 0 };
                stack.visits = come;
                stack.fresh = fresh;
                stack.seen[0].load.sessions = sessions;
                let before = [stack.webs(), stack.workers()];
                let rested = stack.state.is_asleep();
                let [web, worker] = stack.second();
                let somebody = come > 0 || sessions > 0;
                // Seconds in a row up to this one in which it was known that nobody was there.
                quiet = if somebody || !fresh { 0 } else { quiet + 1 };
                let rests = stack.state.is_asleep();
                if somebody {
                    prop_assert!(!rests && web.desired >= 1 && worker.desired >= 1, "{web:?}");
                }
                if rests && !rested {
                    prop_assert!(quiet > 60, "after {quiet} s: {web:?}");
                }
                if !rests {
                    prop_assert!(web.desired >= 1, "below min while awake: {web:?}");
                }
                if rests && !fresh {
                    prop_assert!(web.desired >= before[0].min(16), "on lost history: {web:?}");
                    prop_assert!(worker.desired >= before[1].min(64), "on lost history: {worker:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_runs_outside_the_rental_whatever_is_seen(
        sessions in 0_u32..2_000, visits in 0_u32..9, webs in 0_u32..16, after in 0_u64..10_000,
    ) {
        let mut stack = Stack::new(webs, webs * 4);
        let begins = stack.now.wall - Duration::from_secs(100);
        stack.policy.rental = Some(Rental::between(begins, stack.now.wall));
        stack.now.wall += Duration::from_secs(after);
        stack.seen[0].load.sessions = sessions;
        stack.visits = visits;
        for _ in 0..3 {
            let [web, worker] = stack.second();
            prop_assert_eq!((web.desired, worker.desired), (0, 0));
        }
    }
}

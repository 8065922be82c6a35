//! What holds for any stack, whatever is seen of it.

use proptest::prelude::*;

use super::tests::{Stack, crew};
use super::*;
use crate::autoscaler::{Load, Override};
use crate::config::model::Bounds;

/// What happens before one decision.
#[derive(Clone, Debug)]
struct Step {
    /// Seconds that pass first.
    gap: u64,
    load: Load,
    over: Option<Override>,
    /// How many of those present are ready, of ten.
    ready: u32,
    fresh: bool,
    repeat: u32,
}

fn load() -> impl Strategy<Value = Load> {
    (0_u32..2_000, 0_u32..300, 0_u32..40, 0_u32..30, 0_u32..2).prop_map(
        |(sessions, fullest, pending, held, overloaded)| Load {
            sessions,
            fullest,
            pending,
            held,
            in_flight: pending,
            overloaded,
            ..Load::default()
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let over = prop_oneof![
        6 => Just(None),
        1 => (1_u32..16).prop_map(|count| Some(Override::Exact(count))),
        1 => (1_u32..16).prop_map(|count| Some(Override::Floor(count))),
        1 => (1_u32..16).prop_map(|count| Some(Override::Cap(count))),
    ];
    let calm = (0_u32..2_000).prop_map(|sessions| Load {
        sessions,
        ..Load::default()
    });
    (
        prop_oneof![9 => Just(0_u64), 1 => 0_u64..20],
        prop_oneof![3 => calm, 1 => load()],
        over,
        prop_oneof![6 => Just(10_u32), 1 => 0_u32..10],
        prop_oneof![9 => Just(true), 1 => Just(false)],
        1_u32..200,
    )
        .prop_map(|(gap, load, over, ready, fresh, repeat)| Step {
            gap,
            load,
            over,
            ready,
            fresh,
            repeat,
        })
}

/// Spans so short that a test lives through them.
fn short(bounds: Bounds) -> Stack {
    let mut stack = Stack::new(3, 12);
    stack.policy.spans = crate::autoscaler::Spans::of(Duration::from_secs(60));
    stack.policy.services[0].bounds = bounds;
    stack
}

fn apply(stack: &mut Stack, step: &Step) {
    stack.now.at += Duration::from_secs(step.gap);
    stack.fresh = step.fresh;
    stack.seen[0].load = step.load;
    stack.seen[0].over = step.over;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_nothing_shrinks_when_it_must_not(
        min in 1_u32..4,
        max in 4_u32..16,
        steps in prop::collection::vec(step(), 1..12),
    ) {
        let mut stack = short(Bounds { min, max });
        let mut drained: Option<Instant> = None;
        for step in &steps {
            for _ in 0..step.repeat {
                apply(&mut stack, &Step { gap: 0, ..step.clone() });
                let before = stack.seen[0].crew.present;
                stack.seen[0].crew.ready = before * step.ready / 10;
                let [web, worker] = stack.second();
                let exact = matches!(step.over, Some(Override::Exact(_)));
                let most = match step.over {
                    Some(Override::Cap(cap)) => cap.min(max),
                    Some(Override::Exact(count)) => count,
                    _ => max,
                };
                let floor = match step.over {
                    Some(Override::Floor(floor)) => floor.min(max),
                    _ => 0,
                };
                prop_assert!(web.desired >= min.min(most).min(before.max(1)), "below min: {web:?}");
                prop_assert!(web.desired <= most.max(before.saturating_sub(1)), "above: {web:?}");
                if !exact && before <= most {
                    let step = (before * 2).max(before + 4);
                    prop_assert!(web.desired >= min.max(floor).min(most).min(step), "below floor: {web:?}");
                }
                let shrinks = web.desired < before;
                if shrinks && !exact && before <= most {
                    let inputs = web.inputs;
                    prop_assert!(!inputs.panic, "in a panic: {web:?}");
                    prop_assert!(inputs.peak.is_some(), "on lost history: {web:?}");
                    prop_assert!(inputs.ready == before, "while one starts: {web:?}");
                    prop_assert!(web.desired >= floor, "below the operator's: {web:?}");
                    let room = u64::from(before - 1) * 100;
                    prop_assert!(u64::from(web.inputs.demand) * 5 <= room * 3, "full: {web:?}");
                    prop_assert_eq!(web.desired, before - 1);
                    if let Some(last) = drained {
                        prop_assert!(stack.now.at.duration_since(last) >= Duration::from_secs(30));
                    }
                }
                if shrinks {
                    drained = Some(stack.now.at);
                }
                prop_assert!((1..=64).contains(&worker.desired), "{worker:?}");
            }
            stack.now.at += Duration::from_secs(step.gap);
        }
    }

    #[test]
    fn nobody_leaves_after_a_loss_or_a_start(sessions in 20_u32..1_600, kept in 0_u32..7, wait in 11_u32..170) {
        let mut stack = short(Bounds { min: 1, max: 16 });
        // A start: what runs stays for a while.
        stack.seen[0].load.sessions = sessions;
        for _ in 0..60 {
            let before = stack.seen[0].crew.present;
            prop_assert!(stack.second()[0].desired >= before);
        }
        for _ in 0..200 {
            stack.second();
        }
        let before = stack.seen[0].crew.present;
        let workers = stack.seen[1].crew.present;
        stack.seen[0].load.sessions = sessions * kept / 10;
        for _ in 0..wait {
            let [web, worker] = stack.second();
            prop_assert!(web.desired >= before, "{web:?}");
            prop_assert!(worker.desired >= workers, "{worker:?}");
        }
    }

    #[test]
    fn more_demand_is_never_answered_with_fewer(present in 0_u32..16, less in 0_u32..3_000, more in 0_u32..500) {
        let desired = |sessions| {
            let mut stack = Stack::new(present, present * 4);
            stack.seen[0].load.sessions = sessions;
            let [web, worker] = stack.second();
            (web.desired, worker.desired)
        };
        let (low, high) = (desired(less), desired(less + more));
        prop_assert!(low.0 <= high.0 && low.1 <= high.1, "{low:?} {high:?}");
    }

    /// Of two stacks with the same past, the one that more want to see now has no fewer replicas.
    #[test]
    fn more_demand_is_never_answered_with_fewer_whatever_was_before(
        steps in prop::collection::vec(step(), 1..8),
        less in 0_u32..3_000,
        more in 0_u32..500,
    ) {
        let desired = |sessions| {
            let mut stack = short(Bounds { min: 1, max: 16 });
            for step in &steps {
                apply(&mut stack, step);
                for _ in 0..step.repeat {
                    stack.second();
                }
            }
            stack.fresh = true;
            stack.seen[0].load = Load { sessions, ..Load::default() };
            stack.second()
        };
        let (low, high) = (desired(less), desired(less + more));
        // So few that the others count as lost, and as expected back: that is not less demand.
        prop_assume!(!low[0].inputs.ghost || high[0].inputs.ghost);
        for (low, high) in low.iter().zip(&high) {
            prop_assert!(low.desired <= high.desired, "{low:?} {high:?}");
        }
    }

    #[test]
    fn the_same_is_decided_again_from_the_same(steps in prop::collection::vec(step(), 1..8)) {
        let run = |start: Instant| {
            let mut stack = short(Bounds { min: 1, max: 16 });
            stack.now.at = start;
            let mut all = Vec::new();
            for step in &steps {
                apply(&mut stack, step);
                for _ in 0..step.repeat.min(40) {
                    all.extend(stack.second());
                }
            }
            all
        };
        let start = Instant::now();
        prop_assert_eq!(run(start), run(start + Duration::from_secs(12_345)));
    }

    #[test]
    fn a_state_that_was_copied_goes_on_the_same(steps in prop::collection::vec(step(), 1..6)) {
        let mut stack = short(Bounds { min: 1, max: 16 });
        for step in &steps {
            apply(&mut stack, step);
            stack.second();
        }
        let mut copy = short(Bounds { min: 1, max: 16 });
        copy.state = stack.state.clone();
        copy.now = stack.now;
        copy.seen = stack.seen;
        copy.fresh = stack.fresh;
        prop_assert_eq!(copy.second(), stack.second());
    }
}

#[test]
fn an_empty_observation_is_a_stack_without_replicas() {
    let mut stack = Stack::new(0, 0);
    let decisions = decide(
        &stack.policy,
        &mut stack.state,
        &Observation::default(),
        stack.now,
    );
    assert_eq!(decisions.len(), 2);
    assert_eq!(crew(0).present, 0);
    assert!(
        decisions.iter().all(|decision| decision.desired == 1),
        "{decisions:?}"
    );
}

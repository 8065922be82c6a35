//! The same bars over twenty variations of each audience.

use usher::simulate::{NAMES, Rule, Static, judge};

use crate::simulate::rules::{Calendar, Fly, Hpa, Kpa};
use crate::simulate::{
    announced, comes_back, flash, idle_week, lossy, noise, planned, trace, two_days, usher,
};

const SEEDS: std::ops::RangeInclusive<u64> = 4..=20;

#[test]
#[ignore = "takes minutes"]
fn what_was_announced_lets_hardly_anybody_wait() {
    for seed in SEEDS {
        ["ramp", "morning", "lunch"]
            .into_iter()
            .for_each(|name| planned(name, seed));
    }
}

#[test]
#[ignore = "takes minutes"]
fn what_is_lost_is_held() {
    for seed in SEEDS {
        ["storm", "heavy", "outage", "glitches"]
            .into_iter()
            .for_each(|name| lossy(name, seed));
        ["storm", "outage"]
            .into_iter()
            .for_each(|name| comes_back(name, seed));
    }
}

#[test]
#[ignore = "takes minutes"]
fn crowds_and_noise() {
    for seed in SEEDS {
        flash(seed);
        noise(seed);
    }
}

#[test]
#[ignore = "takes minutes"]
fn days_and_nights() {
    SEEDS.for_each(two_days);
}

#[test]
#[ignore = "takes minutes"]
fn weeks_between_events() {
    (2..=20).for_each(idle_week);
}

/// Prints the table of the README as well.
#[test]
#[ignore = "takes minutes"]
fn no_other_rule_cuts_nobody_and_serves_more_for_less() {
    for name in NAMES {
        let trace = trace(name, 1);
        let ours = judge(&trace, &mut usher());
        let mut others: Vec<(&str, Box<dyn Rule>)> = vec![
            ("static", Box::new(Static::for_peak(&trace))),
            ("HPA-like", Box::new(Hpa::new())),
            ("KPA-like", Box::new(Kpa::new())),
            ("Fly-like", Box::new(Fly::new())),
        ];
        if !trace.expected.is_empty() {
            others.push(("calendar only", Box::new(Calendar::new(&trace.expected))));
        }
        let mut rows = vec![("usher", ours)];
        if !trace.expected.is_empty() {
            rows.push(("usher, calendar", judge(&trace, &mut announced(&trace))));
        }
        for (rule, mut other) in others {
            let merit = judge(&trace, &mut *other);
            let better = merit.dropped == 0.0
                && merit.unserved + 1.0 < ours.unserved
                && merit.cost + 0.01 < ours.cost;
            // Whoever has everything running has no start to wait for when a storm is over.
            let at_rest = trace.wanted.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(
                !better || at_rest,
                "{name}, {rule}: {merit:?}, usher: {ours:?}"
            );
            rows.push((rule, merit));
        }
        for (rule, merit) in rows {
            println!(
                "{name} | {rule} | {:.0} | {:.2} | {:.0} | {:.0} | {} | {:.0}",
                merit.unserved,
                merit.cost,
                merit.dropped,
                merit.migrated,
                merit.flaps,
                merit.http_wait_max
            );
        }
    }
}

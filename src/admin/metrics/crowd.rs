//! A thousand instances in one scrape, and in every other answer about all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::super::fixture::{Nothing, instance, now, status};
use super::super::history::History;
use super::super::scope::Scope;
use super::super::snapshot::Snapshot;
use super::super::views::{Sources, Topic, Views};
use super::*;
use crate::plan::SessionTotals;

/// What an answer may take; here three times as long.
const WITHIN: Duration = Duration::from_millis(50);
/// The promise is about what is installed, and `make bench` measures that: code that is not optimised
/// takes two to ten times as long, depending on the machine.
const UNOPTIMISED: u32 = if cfg!(debug_assertions) { 12 } else { 1 };
const LARGEST: usize = 5 * 1_000_000;

fn names() -> Vec<String> {
    (0..1_000)
        .map(|index| format!("congress-{index:03}"))
        .collect()
}

#[test]
fn a_thousand_instances_are_scraped_in_no_time() {
    let names = names();
    let status = status(names.iter().map(|name| instance(name)).collect());
    let reports = names.iter().map(|name| {
        let totals = SessionTotals {
            opened: 640,
            ..SessionTotals::default()
        };
        let report = InstanceReport {
            services: BTreeMap::from([("web".parse().expect("a name"), totals)]),
            ..InstanceReport::default()
        };
        (name.parse().expect("a name"), Arc::new(report))
    });
    let report = Report {
        instances: reports.collect(),
        ..Report::default()
    };
    is_cheap("/metrics", || text(&status, &report, (0, 0), 0).len());
    is_cheap("/stats", || {
        serde_json::to_vec(&*status).expect("JSON").len()
    });
}

#[test]
fn a_thousand_instances_are_watched_in_no_time() {
    let sources = Sources {
        history: Mutex::new(History::default()),
        sessions: Arc::new(Nothing),
        failures: Arc::new(Nothing),
    };
    let second = |websockets| {
        let changed = names().into_iter().map(|name| {
            let mut own = instance(&name);
            own.websockets = websockets;
            own
        });
        let status = status(changed.collect());
        move || {
            Views::new(Snapshot {
                at: now(),
                status: Arc::clone(&status),
                rates: BTreeMap::new(),
            })
        }
    };
    // All of them change in the same second: the worst that there is.
    let (before, after) = (second(1), second(2));
    let overview = |all| Topic::Overview {
        scope: Scope::All,
        all,
    };
    for (what, topic) in [
        ("/events", Topic::Stats(Scope::All)),
        ("the page", overview(false)),
        ("the page, all of it", overview(true)),
    ] {
        let old = before().view(&topic, &sources);
        is_cheap(what, || {
            let new = after().view(&topic, &sources);
            new.changes(&old).len()
        });
        is_cheap(what, || after().view(&topic, &sources).whole().len());
    }
}

#[expect(clippy::print_stdout, reason = "what was measured")]
fn is_cheap(what: &str, make: impl Fn() -> usize) {
    let mut best = Duration::MAX;
    let mut size = 0;
    for _ in 0..5 {
        let began = busy();
        size = make();
        best = best.min(busy() - began);
    }
    println!("{what} of 1 000 instances: {best:?}, {size} bytes");
    assert!(size < LARGEST, "{what}: {size} bytes");
    assert!(best < WITHIN * 3 * UNOPTIMISED, "{what}: {best:?}");
}

/// What this thread has worked, whoever else does: tests run beside others.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).expect("below a second");
    Duration::new(time.tv_sec.try_into().expect("positive"), nanoseconds)
}

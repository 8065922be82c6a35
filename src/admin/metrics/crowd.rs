//! A thousand instances in one scrape.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::super::fixture::{instance, status};
use super::*;
use crate::plan::SessionTotals;

/// What a scrape may take; here three times as long.
const WITHIN: Duration = Duration::from_millis(50);
/// The promise is about what is installed: code that is not optimised takes several times as long.
const UNOPTIMISED: u32 = if cfg!(debug_assertions) { 4 } else { 1 };
const LARGEST: usize = 5 * 1_000_000;

#[test]
#[expect(clippy::print_stdout, reason = "what was measured")]
fn a_thousand_instances_are_scraped_in_no_time() {
    let names: Vec<String> = (0..1_000)
        .map(|index| format!("congress-{index:03}"))
        .collect();
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
        (name.parse().expect("a name"), report)
    });
    let report = Report {
        instances: reports.collect(),
        ..Report::default()
    };
    let mut best = Duration::MAX;
    let mut size = 0;
    for _ in 0..5 {
        let began = busy();
        size = text(&status, &report, (0, 0), 0).len();
        best = best.min(busy() - began);
    }
    println!("1 000 instances: {best:?}, {size} bytes");
    assert!(size < LARGEST, "{size} bytes");
    assert!(best < WITHIN * 3 * UNOPTIMISED, "{best:?}");
}

/// What this thread has worked, whoever else does: tests run beside others.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).expect("below a second");
    Duration::new(time.tv_sec.try_into().expect("positive"), nanoseconds)
}

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::names::Generation;
use crate::plan::{EdgeReport, Level, RequestTotals, SessionTotals};
use crate::shared::Map;

fn report() -> Report {
    let mut instance = InstanceReport {
        connections: 3,
        in_flight: 2,
        requests: RequestTotals {
            by_class: [1, 5, 0, 2, 1],
            duration_sum: std::time::Duration::from_millis(1_500),
            ..RequestTotals::default()
        },
        ..InstanceReport::default()
    };
    instance.requests.durations[0] = 7;
    instance.requests.durations[11] = 2;
    let mut totals = SessionTotals {
        opened: 4,
        ..SessionTotals::default()
    };
    totals.closed[1] = 3;
    totals.pushed_back[2] = 4;
    instance
        .services
        .insert("web".parse().expect("name"), totals);
    Report {
        applied: Generation(12),
        edge: EdgeReport {
            connections: 9,
            accepted_total: 20,
            handshakes: BTreeMap::from([(Handshake::Resumed, 6)]),
            handshakes_waiting: 3,
            proxy_headers_refused_total: 3,
            unrouted_total: 1,
            level: Level::Tight,
            log_lines_dropped: 0,
        },
        instances: Map::from([("congress".parse().expect("name"), Arc::new(instance))]),
    }
}

#[test]
fn counts_appear_under_the_names_of_the_contract() {
    let mut page = Page(String::new());
    instances(&mut page, &report());
    for line in [
        "usher_instance_requests_in_flight{instance=\"congress\"} 2",
        "usher_requests_total{instance=\"congress\",code_class=\"2xx\"} 5",
        "usher_backpressure_total{instance=\"congress\",signal=\"request-queue-full\"} 4",
        "usher_request_duration_seconds_bucket{instance=\"congress\",le=\"0.005\"} 7",
        "usher_request_duration_seconds_bucket{instance=\"congress\",le=\"+Inf\"} 9",
        "usher_request_duration_seconds_sum{instance=\"congress\"} 1.5",
        "usher_request_duration_seconds_count{instance=\"congress\"} 9",
    ] {
        assert!(
            page.0.lines().any(|known| known == line),
            "{line} in\n{}",
            page.0
        );
    }
}

#[test]
fn every_sample_has_its_help_and_type() {
    let mut page = Page(String::new());
    instances(&mut page, &report());
    process(&mut page);
    for line in page.0.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let known = |name: &str| page.0.contains(&format!("# TYPE {name} "));
        assert!(known(name) || base.is_some_and(known), "{line}");
    }
}

#[test]
fn the_process_tells_of_itself() {
    let mut page = Page(String::new());
    process(&mut page);
    let value = |name: &str| {
        let line = page
            .0
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .expect(name)
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
}

#[test]
fn labels_cannot_break_out_of_their_quotes() {
    let mut page = Page(String::new());
    page.sample("x", &[("label", "a\"b\\c\nd")], 1);
    assert_eq!(page.0, "usher_x{label=\"a\\\"b\\\\c\\nd\"} 1\n");
}

#[test]
fn the_stub_status_reads_like_nginx() {
    assert_eq!(
        stub_status(&report()),
        "Active connections: 9 \nserver accepts handled requests\n 20 20 10 \nReading: 0 Writing: 2 Waiting: 7 \n"
    );
}

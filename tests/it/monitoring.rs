//! The rules for Prometheus and the dashboard for Grafana speak of metrics that exist.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Edge, Origin, instance};

pub const RULES: &str = include_str!("../../config/prometheus/rules.yml");
const DASHBOARD: &str = include_str!("../../config/grafana/usher.json");

/// The expressions of the rules, one on a line each.
fn of_rules() -> Vec<String> {
    let lines = RULES.lines().filter_map(|line| {
        let expression = line.trim_start().strip_prefix("expr: ")?;
        Some(expression.to_owned())
    });
    lines.collect()
}

/// The expressions of the dashboard, with its variables filled in as Grafana does.
pub fn of_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let expression = |target: &Value| {
        let text = target["expr"].as_str().expect("an expression");
        text.replace("$__rate_interval", "1m")
            .replace("$edge", ".*")
            .replace("$instance", ".*")
    };
    targets.map(expression).collect()
}

/// The names of metrics in a text: what begins as usher's and as every process' do.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
    text.split(word)
        .filter(|name| name.starts_with("usher_") || name.starts_with("process_"))
        .collect()
}

#[tokio::test]
async fn every_metric_that_rules_and_dashboard_name_is_there() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    edge.get("https://congress.example.org/").await;
    let page = edge.admin("/metrics").await.text();
    let there = names(&page);
    let mut asked = 0;
    for expression in of_rules().into_iter().chain(of_dashboard()) {
        for name in names(&expression) {
            assert!(there.contains(name), "{name} of `{expression}`");
            asked += 1;
        }
    }
    assert!(asked > 40, "only {asked} names were found");
    let alerts = RULES.matches("- alert: ").count() + RULES.matches("- record: ").count();
    assert_eq!(of_rules().len(), alerts, "each rule on a line of its own");
}

#[test]
fn what_the_rules_name_by_label_is_written_as_usher_writes_it() {
    // A matcher that fits nothing is no error for Prometheus.
    let code = include_str!("../../src/admin/metrics.rs");
    let report = include_str!("../../src/plan/report.rs");
    let mut seen = 0;
    for expression in of_rules().into_iter().chain(of_dashboard()) {
        for matcher in expression.split(['{', ',', '}']) {
            let Some((_, value)) = matcher.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_start_matches('~');
            let Some(value) = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
            else {
                continue;
            };
            for word in value
                .split('|')
                .filter(|word| !["usher", ".*"].contains(word))
            {
                let quoted = format!("\"{word}\"");
                let known = code.contains(&quoted) || report.contains(&quoted);
                assert!(known, "{word} of `{expression}`");
                seen += 1;
            }
        }
    }
    assert!(seen >= 5, "only {seen} values were found");
}

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::fixture::{instance as healthy, now, replica, status};
use super::super::history::History;
use super::super::snapshot::Snapshot;
use super::*;
use crate::control::status::{InstanceStatus, Level, Reason};
use crate::moment::Moment;
use crate::plan::{FailureFacts, Failures};

fn shown(instances: Vec<InstanceStatus>, all: bool) -> (String, Pieces) {
    let status = status(instances);
    let snapshot = Snapshot {
        at: now(),
        status: Arc::clone(&status),
        rates: BTreeMap::new(),
    };
    let pieces = overview(&snapshot, &status, &History::default(), all);
    (overview_document(&pieces, &status, all), pieces)
}

fn bad(name: &str, level: Level, text: &str) -> InstanceStatus {
    let mut own = healthy(name);
    own.status = level;
    own.reasons.push(Reason {
        part: "service:web".to_owned(),
        status: level,
        text: text.to_owned(),
        since: Moment(now()),
        also: vec![text.to_owned()],
    });
    own
}

fn order(pieces: &Pieces) -> Vec<&str> {
    pieces.rows.iter().map(|(id, _)| id.as_str()).collect()
}

#[test]
fn the_worst_is_first_and_the_paused_are_last() {
    let mut paused = healthy("a-paused");
    paused.paused = true;
    let (page, pieces) = shown(
        vec![
            paused,
            healthy("b-good"),
            bad("c-warned", Level::Warning, "1 of 5 web replicas"),
            bad("d-dead", Level::Critical, "no replica of web is ready"),
        ],
        false,
    );
    assert_eq!(
        order(&pieces),
        ["row-d-dead", "row-c-warned", "row-b-good", "row-a-paused"]
    );
    assert!(
        page.contains("1 of 4 instances does not work, 1 want a look"),
        "{page}"
    );
    for word in [
        "critical",
        "warning",
        "healthy",
        "paused",
        "no replica of web is ready",
    ] {
        assert!(page.contains(&format!(">{word}<")), "{word}");
    }
}

#[test]
fn healthy_ones_that_do_not_fit_fold_into_one_line_with_their_sums() {
    let mut instances: Vec<_> = (0..1_000)
        .map(|index| healthy(&format!("i{index:03}")))
        .collect();
    instances[500] = bad("i500", Level::Critical, "no replica");
    instances[700].websockets = 900;
    let (page, pieces) = shown(instances.clone(), false);
    let rows = order(&pieces);
    assert_eq!(rows.len(), 19);
    assert_eq!(rows[0], "row-i500");
    assert!(rows.contains(&"row-i700"), "the busiest have a row");
    let thin = '\u{202f}';
    assert!(page.contains("981 more instances"), "{page}");
    assert!(page.contains(&format!("10{thin}791 sessions")), "{page}");
    assert!(
        page.contains(&format!("3{thin}924 replicas ready")),
        "{page}"
    );
    assert!(page.len() < 100_000, "{} bytes", page.len());
    // Every instance that is not healthy has a row, however many.
    for own in instances.iter_mut().take(100) {
        own.status = Level::Warning;
    }
    assert_eq!(order(&shown(instances.clone(), false).1).len(), 101);
    assert_eq!(order(&shown(instances, true).1).len(), 1_000);
}

#[test]
fn names_from_containers_and_clients_are_text() {
    const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\u{202e}";
    let mut own = bad("congress", Level::Critical, HOSTILE);
    own.domains = vec![HOSTILE.to_owned()];
    own.stack = HOSTILE.to_owned();
    own.parts[0].name = HOSTILE.to_owned();
    own.parts[1].depends_on = vec![HOSTILE.to_owned()];
    own.services[0].name = HOSTILE.to_owned();
    own.services[0].limited_by = Some(HOSTILE.to_owned());
    own.services[0].replicas = vec![replica(HOSTILE)];
    own.services[0].replicas[0].image = HOSTILE.to_owned();
    own.certificates[0].names = vec![HOSTILE.to_owned()];
    let status = status(vec![own]);
    let snapshot = Snapshot {
        at: now(),
        status: Arc::clone(&status),
        rates: BTreeMap::new(),
    };
    let failures = Failures {
        kept: vec![FailureFacts {
            at: now(),
            method: HOSTILE.into(),
            path: HOSTILE.into(),
            replica: Some(HOSTILE.into()),
            status: 502,
            cause: "upstream-failed",
        }],
        left_out: 7,
    };
    let history = History::default();
    let pieces = instance(&snapshot, &history, "congress", failures);
    let pages = [
        instance_document(
            &pieces,
            &status,
            "congress",
            None,
            &output::nothing(HOSTILE),
        ),
        overview_document(
            &overview(&snapshot, &status, &history, false),
            &status,
            false,
        ),
    ];
    for page in pages {
        // One script and no picture: ours, and none of theirs.
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!page.contains("<img") && !page.contains("\"'>"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }
}

#[test]
fn the_policy_names_the_style_and_the_script_of_the_page() {
    let policy = POLICY.to_str().expect("text");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let (page, _) = shown(vec![healthy("congress")], false);
    for inline in [" style=", "onclick=", "onload=", "onerror=", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    for outside in ["http://", "https://", "//"] {
        let found = page
            .match_indices(outside)
            .map(|(at, _)| &page[at..page.len().min(at + 60)]);
        let found: Vec<_> = found.filter(|text| !text.starts_with("// ")).collect();
        assert_eq!(found, Vec::<&str>::new(), "a request to elsewhere");
    }
}

#[test]
fn only_what_changed_is_told() {
    let (_, before) = shown(vec![healthy("congress"), healthy("quiet")], false);
    let mut busy = healthy("congress");
    busy.websockets = 640;
    let (_, after) = shown(vec![busy, healthy("quiet")], false);
    let told: serde_json::Value =
        serde_json::from_slice(&after.changes(Some(&before))).expect("JSON");
    let pieces: Vec<_> = told["pieces"].as_object().expect("pieces").keys().collect();
    assert_eq!(pieces, ["row-congress"]);
    assert!(told["rows"].is_null(), "their order is the same: {told}");
    let whole: serde_json::Value = serde_json::from_slice(&after.changes(None)).expect("JSON");
    assert_eq!(
        whole["pieces"].as_object().map(serde_json::Map::len),
        Some(5)
    );
}

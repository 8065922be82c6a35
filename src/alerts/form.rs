//! Alerts as their receivers read them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::ledger::{Change, Notice};
use crate::control::status::Level;
use crate::moment::Moment;

/// An alert that stands is told again before Alertmanager takes it for over.
pub(super) const REPEATED_EVERY: Duration = Duration::from_secs(60);
/// What Prometheus allows as well: three that are lost, and the alert is over.
const GOOD_FOR: u32 = 4;

/// A change, for a program.
#[derive(Debug, Serialize)]
struct Plain<'n> {
    edge: &'n str,
    instance: Option<&'n str>,
    part: &'n str,
    change: &'static str,
    status: Level,
    text: &'n str,
    also: &'n [String],
    since: Moment,
    until: Option<Moment>,
    ended: Option<&'static str>,
    flapping: bool,
}

/// One change as a JSON object.
pub(super) fn plain(edge: &str, notice: &Notice) -> Vec<u8> {
    let ended = match notice.change {
        Change::Ended(end) => Some(end.word()),
        Change::Changed(_) | Change::Stands | Change::Started => None,
    };
    let plain = Plain {
        edge,
        instance: notice.key.instance.as_deref(),
        part: &notice.key.part,
        change: match notice.change {
            Change::Changed(_) => "changed",
            Change::Ended(_) => "ended",
            Change::Stands => "stands",
            Change::Started => "started",
        },
        status: notice.status,
        text: &notice.text,
        also: &notice.also,
        since: notice.since,
        until: notice.until,
        ended,
        flapping: notice.flapping,
    };
    written(&plain)
}

/// One element of what `POST /api/v2/alerts` of Alertmanager takes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'n> {
    labels: BTreeMap<&'static str, &'n str>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Moment,
    ends_at: Moment,
}

/// Alerts for Alertmanager. There the severity is part of who an alert is: where it changed, the
/// one with the other severity is over.
pub(super) fn alertmanager(edge: &str, notices: &[Notice], now: SystemTime) -> Vec<u8> {
    let mut all = Vec::new();
    for notice in notices {
        if let Change::Changed(before) = notice.change {
            let over = Moment(now.max(notice.since.0));
            all.push(posted(edge, notice, before, over));
        }
        let ends = notice
            .until
            .unwrap_or_else(|| Moment(now + REPEATED_EVERY * GOOD_FOR));
        all.push(posted(edge, notice, notice.status, ends));
    }
    written(&all)
}

fn posted<'n>(edge: &'n str, notice: &'n Notice, severity: Level, ends_at: Moment) -> Posted<'n> {
    let mut labels = BTreeMap::from([
        ("alertname", "UsherStatus"),
        ("edge", edge),
        ("part", &notice.key.part),
        ("severity", severity.word()),
    ]);
    if let Some(instance) = &notice.key.instance {
        labels.insert("instance", instance);
    }
    let mut annotations = BTreeMap::from([("summary", notice.text.clone())]);
    if !notice.also.is_empty() {
        annotations.insert("consequences", notice.also.join("; "));
    }
    if notice.flapping {
        annotations.insert("flapping", "it comes and goes".to_owned());
    }
    Posted {
        labels,
        annotations,
        starts_at: notice.since,
        ends_at,
    }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| unreachable!("texts and moments are JSON"))
}

//! All instances on one screen, the worst first.

use std::sync::Arc;
use std::time::SystemTime;

use maud::{Markup, html};

use super::super::history::{History, Sample};
use super::super::snapshot::Snapshot;
use super::badge::{asleep, badge};
use super::chart;
use super::pieces::Pieces;
use super::replicas::dots;
use super::summary::summary;
use super::words::{ago, count, days_until, number, rate};
use crate::control::Status;
use crate::control::status::{Decision, InstanceStatus, Level, NodeStatus, ServiceStatus};
use crate::moment::{self, Moment};
use crate::shared::List;

/// With more instances than this, healthy ones fold into one line.
const FITS: usize = 20;
/// Certificates that end sooner are marked, in days.
const ENDS_SOON: i64 = 14;
const ENDS_VERY_SOON: i64 = 7;

/// The pieces of the status page. `all`: nothing is folded.
pub(in super::super) fn overview(
    snapshot: &Snapshot,
    status: &Status,
    history: &History,
    all: bool,
) -> Pieces {
    let now = snapshot.at;
    let (shown, folded) = choose(&status.instances, all);
    let rows = shown.into_iter().map(|instance| {
        let spark = history
            .of(&instance.name)
            .map(|series| series.hour.peaks(now, 6))
            .unwrap_or_default();
        let id = format!("row-{}", instance.name);
        let row = row(&id, instance, snapshot.rate(&instance.name), &spark, now);
        (id, row.into_string())
    });
    let rates: f32 = status
        .instances
        .iter()
        .map(|own| snapshot.rate(&own.name))
        .sum();
    Pieces {
        title: title(status),
        level: status.status,
        rows: rows.collect(),
        fixed: vec![
            ("summary", summary(status, now).into_string()),
            ("totals", totals(status, rates, now).into_string()),
            ("folded", fold(&folded, snapshot).into_string()),
        ],
    }
}

/// The pieces in their places.
pub(super) fn content(pieces: &Pieces) -> Markup {
    html! {
        (pieces.piece("summary"))
        (pieces.piece("totals"))
        section.instances aria-labelledby="instances" {
            h2.hidden #instances { "Instances, the worst first" }
            table role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        @for (class, name) in [
                            ("who", "Instance"), ("number", "Sessions"), ("trend", "Last hour"),
                            ("number", "Requests/s"), ("", "Replicas"), ("", "Certificate"),
                            ("", "Next event"), ("", "Last decision"),
                        ] {
                            th class=(class) role="columnheader" scope="col" { (name) }
                        }
                    }
                }
                tbody #rows role="rowgroup" { (pieces.rows()) }
            }
            (pieces.piece("folded"))
        }
    }
}

fn title(status: &Status) -> String {
    format!("{}: usher on {}", status.status.word(), status.edge)
}

/// Which have a row, the worst first, and which fold.
fn choose(
    instances: &List<InstanceStatus>,
    all: bool,
) -> (Vec<&InstanceStatus>, Vec<&InstanceStatus>) {
    let mut sorted: Vec<&InstanceStatus> = instances.iter().map(Arc::as_ref).collect();
    let place = |own: &&InstanceStatus| {
        (
            std::cmp::Reverse(own.status),
            own.rests().is_some(),
            own.name.clone(),
        )
    };
    sorted.sort_by_cached_key(place);
    if all || sorted.len() <= FITS {
        return (sorted, Vec::new());
    }
    let (mut shown, mut healthy): (Vec<_>, Vec<_>) = sorted
        .into_iter()
        .partition(|own| own.status != Level::Healthy);
    // The line of the folded ones takes a place as well.
    let room = (FITS - 1).saturating_sub(shown.len());
    healthy.sort_by_key(|own| std::cmp::Reverse(own.websockets + own.streams));
    let folded = healthy.split_off(room.min(healthy.len()));
    healthy.sort_by_cached_key(place);
    shown.extend(healthy);
    (shown, folded)
}

fn totals(status: &Status, requests: f32, now: SystemTime) -> Markup {
    let totals = &status.totals;
    html! {
        dl #totals .facts {
            (fact("Sessions", html! { (number(totals.websockets + totals.streams)) }))
            (fact("Connections", html! { (number(totals.connections)) }))
            (fact("Requests/s", html! { (rate(requests)) }))
            (fact("In flight", html! { (number(totals.requests_in_flight)) }))
            (fact("Waiting", html! { (number(totals.held)) }))
            @for node in &status.nodes { (host(node)) }
            (fact("Engine", html! {
                (status.engine.kind)
                @if !status.engine.connected { " " b.warning { "not connected" } }
            }))
            (fact("Up", html! { (ago(status.started, now)) }))
        }
    }
}

fn host(node: &NodeStatus) -> Markup {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    html! {
        @if let Some(load) = node.load_15m_per_core {
            (fact("Load per core", html! { (format!("{load:.2}")) }))
        }
        @if let Some(share) = node.memory_available {
            (fact("Memory free", html! { (percent(share)) }))
        }
        @if let Some(share) = node.disk_available {
            (fact("Disk free", html! { (percent(share)) }))
        }
        @if let Some(member) = &node.swarm && member.state != "ready" {
            (fact("Node", html! { (node.name) " " b.warning { (member.state) } }))
        }
    }
}

pub(super) fn fact(name: &str, value: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn row(
    id: &str,
    own: &InstanceStatus,
    requests: f32,
    spark: &[Option<Sample>],
    now: SystemTime,
) -> Markup {
    let sessions = own.websockets + own.streams;
    let points: Vec<Option<f32>> = spark
        .iter()
        .map(|sample| sample.map(|sample| chart_value(sample.sessions)))
        .collect();
    let peak = spark.iter().flatten().map(|sample| sample.sessions).max();
    let trend = format!("at most {} sessions in the last hour", peak.unwrap_or(0));
    html! {
        tr id=(id) role="row" class=(own.status.word()) {
            th.who role="rowheader" scope="row" {
                (state(own))
                a.open id={ "open-" (own.name) } href={ "/instance/" (own.name) } { (own.name) }
                @if let Some(domain) = own.domains.first() { span.muted.domain { (domain) } }
                @if let Some(why) = own.reasons.first() {
                    span.why { (why.text) span.muted { " for " (ago(why.since, now)) } }
                }
            }
            td.number role="cell" data-label="Sessions" { (number(sessions)) }
            td.trend role="cell" data-label="Last hour" { (chart::sparkline(&points, &trend)) }
            td.number role="cell" data-label="Requests/s" { (rate(requests)) }
            td.replicas role="cell" data-label="Replicas" {
                @for service in own.services.iter().filter(|service| is_worth_dots(service)) {
                    (dots(service))
                }
            }
            td.certificate role="cell" data-label="Certificate" { (certificate(own, now)) }
            td.event role="cell" data-label="Next event" { (next_event(own)) }
            td.decision role="cell" data-label="Last decision" { (last_decision(own, now)) }
        }
    }
}

/// Sessions of one instance are few enough for a picture.
#[expect(clippy::cast_precision_loss, reason = "a point of a picture")]
pub(super) fn chart_value(count: u32) -> f32 {
    count as f32
}

/// Badge of an instance.
pub(super) fn state(own: &InstanceStatus) -> Markup {
    match own.rests() {
        Some(word) => asleep(word),
        None => badge(own.status, own.status.word()),
    }
}

/// Those that are scaled, and of the others those that are not as they should be.
fn is_worth_dots(service: &ServiceStatus) -> bool {
    service.role != "fixed" || service.replicas.iter().any(|own| own.state != "ready")
}

/// The certificate that ends first, or the one that is not there.
pub(super) fn certificate(own: &InstanceStatus, now: SystemTime) -> Markup {
    let worst = own
        .certificates
        .iter()
        .min_by_key(|known| known.not_after.map(|end| days_until(end, now)));
    let Some(worst) = worst else {
        return html! { span.muted { "none" } };
    };
    let name = worst.names.first().map_or("", String::as_str);
    let Some(end) = worst.not_after else {
        return html! { b.warning title=(name) { (worst.state) } };
    };
    let days = days_until(end, now);
    let words = match days {
        ..0 => "expired".to_owned(),
        0 => "ends today".to_owned(),
        1 => "1 day".to_owned(),
        days @ 2..1_000 => format!("{days} days"),
        days => format!("{} years", days / 365),
    };
    let title = format!("{name} until {}", moment::text(end.0));
    html! {
        @if days < ENDS_VERY_SOON { b.critical title=(title) { (words) } }
        @else if days < ENDS_SOON { b.warning title=(title) { (words) } }
        @else { span title=(title) { (words) } }
    }
}

pub(super) fn next_event(own: &InstanceStatus) -> Markup {
    let Some(event) = &own.next_event else {
        return html! { span.muted { "–" } };
    };
    let start = moment::text(event.start.0);
    let day = start.get(..16).unwrap_or(&start).replace('T', " ");
    html! {
        span.clip title={ (event.name) ", " (start) } { (day) " " (event.name) }
        @if !event.fits { " " b.warning { "does not fit" } }
    }
}

fn last_decision(own: &InstanceStatus, now: SystemTime) -> Markup {
    let Some(newest) = own.decisions.back() else {
        return html! { span.muted { "–" } };
    };
    // What follows is decided with what it follows, and says less.
    let leads = |decision: &&Arc<Decision>| {
        let services = own.services.iter();
        let mut leaders = services.filter(|service| service.role == "sessions");
        decision.at == newest.at && leaders.any(|leader| leader.name == decision.service)
    };
    let last = own.decisions.iter().rev().find(leads).unwrap_or(newest);
    html! {
        span.line { b { (last.service) " " (last.from) " → " (last.to) } span.muted { (since(last.at, now)) } }
        span.clip.muted title=(last.reason) { (last.reason) }
    }
}

fn since(at: Moment, now: SystemTime) -> Markup {
    html! { (ago(at, now)) " ago" }
}

/// The healthy ones that have no row: how many, and what they do together.
fn fold(folded: &[&InstanceStatus], snapshot: &Snapshot) -> Markup {
    let sessions: u64 = folded
        .iter()
        .map(|own| u64::from(own.websockets) + u64::from(own.streams))
        .sum();
    let requests: f32 = folded.iter().map(|own| snapshot.rate(&own.name)).sum();
    let services = || folded.iter().flat_map(|own| own.services.iter());
    let ready: u64 = services().map(|service| u64::from(service.ready)).sum();
    html! {
        p #folded .folded hidden[folded.is_empty()] {
            @if !folded.is_empty() {
                (badge(Level::Healthy, "healthy"))
                a href="/?show=all" { (count(folded.len(), "more instance", "more instances")) }
                span { (number(sessions)) " sessions" }
                span { (rate(requests)) " requests/s" }
                span { (number(ready)) " replicas ready" }
            }
        }
    }
}

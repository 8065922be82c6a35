//! One instance: what it consists of, who serves it, what was decided, and what failed.

use std::time::SystemTime;

use maud::{Markup, html};

use super::super::history::{History, Sample};
use super::super::snapshot::Snapshot;
use super::chart::{Line, Shape, chart};
use super::graph::graph;
use super::output::link;
use super::overview::{certificate, chart_value, fact, next_event, state};
use super::pieces::Pieces;
use super::replicas::dot;
use super::summary::reason;
use super::words::{ago, clock, count, number, rate, span};
use crate::control::status::{InstanceStatus, Level, ReplicaStatus, ServiceStatus};
use crate::moment;
use crate::plan::Failures;

/// Of an instance that is not there any more, all that is said is that.
pub(in super::super) fn instance(
    snapshot: &Snapshot,
    history: &History,
    name: &str,
    failures: Failures,
) -> Pieces {
    let now = snapshot.at;
    let found = snapshot
        .status
        .instances
        .iter()
        .find(|own| own.name == name);
    let Some(own) = found else {
        let gone = html! {
            section #summary .summary { h1 { (name) " is not there any more" } }
        };
        return Pieces {
            title: format!("{name}: gone"),
            level: Level::Warning,
            fixed: vec![("summary", gone.into_string())],
            rows: Vec::new(),
        };
    };
    let day = history
        .of(name)
        .map(|series| series.day.peaks(now, 5))
        .unwrap_or_default();
    let pieces = [
        ("summary", summary(own, now)),
        ("facts", facts(own, snapshot.rate(name), now)),
        ("parts", parts(own)),
        ("charts", charts(own, snapshot.rate(name), &day)),
        ("replicas", replicas(own, now)),
        ("decisions", decisions(own, now)),
        ("failures", failed(&failures, now)),
    ];
    Pieces {
        title: format!("{}: {name}", own.status.word()),
        level: own.status,
        rows: Vec::new(),
        fixed: pieces
            .into_iter()
            .map(|(id, piece)| (id, piece.into_string()))
            .collect(),
    }
}

/// The pieces in their places.
pub(super) fn content(pieces: &Pieces, output: &Markup) -> Markup {
    html! {
        (pieces.piece("summary"))
        (pieces.piece("facts"))
        div.columns {
            (pieces.piece("charts"))
            (pieces.piece("parts"))
        }
        (pieces.piece("replicas"))
        div.columns {
            (pieces.piece("decisions"))
            (pieces.piece("failures"))
        }
        (output)
    }
}

fn summary(own: &InstanceStatus, now: SystemTime) -> Markup {
    let tone = match own.rests() {
        Some(_) => "asleep",
        None => own.status.word(),
    };
    html! {
        section #summary class={ "summary " (tone) } aria-label="How it is" {
            h1 {
                (state(own))
                span.why { (own.name) }
                span.domains {
                    @for domain in own.domains.iter().take(4) {
                        // A wildcard is no place to go to.
                        @if domain.starts_with('*') { span.muted { (domain) } }
                        @else { a href={ "https://" (domain) "/" } rel="noreferrer" { (domain) } }
                    }
                    @if own.domains.len() > 4 { span.muted { "and " (own.domains.len() - 4) " more" } }
                }
            }
            @if !own.reasons.is_empty() {
                ul.reasons { @for told in &own.reasons { (reason(told, now)) } }
            }
        }
    }
}

fn facts(own: &InstanceStatus, requests: f32, now: SystemTime) -> Markup {
    let of = |value: u32, limit: u32| {
        html! { (number(value)) span.muted { " of " (number(limit)) } }
    };
    html! {
        dl #facts .facts {
            (fact("Sessions", of(own.websockets + own.streams, own.limits.sessions)))
            (fact("Connections", of(own.connections, own.limits.connections)))
            (fact("Requests/s", html! { (rate(requests)) }))
            (fact("In flight", of(own.requests_in_flight, own.limits.requests_in_flight)))
            (fact("Waiting", html! { (number(own.held)) }))
            (fact("Certificate", certificate(own, now)))
            (fact("Next event", next_event(own)))
            (fact("Stack", html! { (own.stack) }))
        }
    }
}

fn parts(own: &InstanceStatus) -> Markup {
    html! {
        section #parts .card aria-labelledby="parts-title" {
            h2 #parts-title { "Parts" span.muted { " and what they need" } }
            (graph(&own.name, own.status, &own.parts))
        }
    }
}

fn charts(own: &InstanceStatus, requests: f32, day: &[Option<Sample>]) -> Markup {
    let points =
        |of: fn(&Sample) -> f32| day.iter().map(|sample| sample.as_ref().map(of)).collect();
    let sessions = Line {
        name: "sessions",
        class: "first",
        shape: Shape::Area,
        points: points(|sample| chart_value(sample.sessions)),
    };
    let requested = Line {
        name: "requests/s",
        class: "first",
        shape: Shape::Area,
        points: points(|sample| sample.requests_per_second),
    };
    let replicas = [
        Line {
            name: "wanted",
            class: "second",
            shape: Shape::Steps,
            points: points(|sample| f32::from(sample.desired)),
        },
        Line {
            name: "ready",
            class: "first",
            shape: Shape::Steps,
            points: points(|sample| f32::from(sample.ready)),
        },
    ];
    let ready: u32 = own
        .services
        .iter()
        .filter(|service| service.role == "sessions")
        .map(|service| service.ready)
        .sum();
    html! {
        section #charts .card aria-labelledby="charts-title" {
            h2 #charts-title { "Last 24 hours" }
            @if day.iter().all(Option::is_none) {
                p.muted { "No sessions yet: the history begins with the first." }
            } @else {
                (chart("Sessions", "sessions", &number(own.websockets + own.streams), &[sessions]))
                (chart("Replicas", "ready or wanted", &number(ready), &replicas))
                (chart("Requests per second", "per second", &rate(requests), &[requested]))
            }
        }
    }
}

fn replicas(own: &InstanceStatus, now: SystemTime) -> Markup {
    html! {
        section #replicas .card aria-labelledby="replicas-title" {
            h2 #replicas-title { "Replicas" }
            @for service in &own.services { (service_table(&own.name, service, now)) }
            @if own.services.is_empty() { p.muted { "None: the stack has not been seen." } }
        }
    }
}

fn service_table(instance: &str, service: &ServiceStatus, now: SystemTime) -> Markup {
    html! {
        h3 {
            (service.name)
            span.muted {
                " " (scaling(service))
                @if let Some(limit) = &service.limited_by { ", limited by " (limit) }
                @if let Some(until) = service.override_until {
                    ", set by an operator until " (clock(until.0, now))
                }
            }
        }
        @if service.replicas.is_empty() { p.muted { "No replica." } }
        @else {
            table.plain role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        @for (class, name) in [
                            ("", "Replica"), ("", "State"), ("number", "Sessions"),
                            ("number", "Requests"), ("", "Since"), ("", "Where"), ("", "Image"),
                        ] {
                            th class=(class) role="columnheader" scope="col" { (name) }
                        }
                    }
                }
                tbody role="rowgroup" {
                    @for replica in &service.replicas { (replica_row(instance, replica, now)) }
                }
            }
        }
    }
}

fn scaling(service: &ServiceStatus) -> String {
    match (service.desired, service.min, service.max) {
        (Some(desired), Some(min), Some(max)) => format!(
            "{} ready, {desired} wanted, {min} to {max}, mode {}",
            service.ready, service.mode
        ),
        _ => count(service.replicas.len(), "replica", "replicas"),
    }
}

fn replica_row(instance: &str, replica: &ReplicaStatus, now: SystemTime) -> Markup {
    let left = replica
        .drain_deadline
        .map(|end| end.0.duration_since(now).unwrap_or_default());
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { span.line {
                // An address, of which no engine knows more.
                @if replica.id == replica.name { (replica.name) }
                @else { (link(instance, &replica.name)) span.muted.id { (replica.id) } }
             } }
            td.state role="cell" data-label="State" {
                (dot(replica.state)) " " (replica.state)
                @if let Some(left) = left { span.muted { ", ends within " (span(left)) } }
            }
            td.number role="cell" data-label="Sessions" { (number(replica.websockets + replica.streams)) }
            td.number role="cell" data-label="Requests" { (number(replica.requests_in_flight)) }
            td role="cell" data-label="Since" { (ago(replica.since, now)) }
            td role="cell" data-label="Where" { (replica.address.as_deref().unwrap_or("–")) }
            td role="cell" data-label="Image" { span.clip title=(replica.image) { (replica.image) } }
        }
    }
}

fn decisions(own: &InstanceStatus, now: SystemTime) -> Markup {
    html! {
        section #decisions .card aria-labelledby="decisions-title" {
            h2 #decisions-title { "Decisions" span.muted { " the newest first" } }
            @if own.decisions.is_empty() { p.muted { "None since the start." } }
            @else {
                ol.log tabindex="0" aria-labelledby="decisions-title" {
                    @for taken in own.decisions.iter().rev() {
                        li {
                            time datetime=(moment::text(taken.at.0)) { (clock(taken.at.0, now)) }
                            span {
                                b { (taken.service) " " (taken.from) " → " (taken.to) }
                                " " (taken.reason)
                            }
                        }
                    }
                }
            }
        }
    }
}

fn failed(failures: &Failures, now: SystemTime) -> Markup {
    html! {
        section #failures .card aria-labelledby="failures-title" {
            h2 #failures-title {
                "Failures"
                span.muted {
                    " the last " (failures.kept.len())
                    @if failures.left_out > 0 { ", " (number(failures.left_out)) " more were too many to keep" }
                }
            }
            @if failures.kept.is_empty() { p.muted { "None since the start." } }
            @else {
                ol.log tabindex="0" aria-labelledby="failures-title" {
                    @for failure in &failures.kept {
                        li {
                            time datetime=(moment::text(failure.at)) { (clock(failure.at, now)) }
                            span {
                                b { (failure.status) } " " (failure.cause)
                                span.muted { " " (failure.method) " " (failure.path) }
                                @if let Some(replica) = &failure.replica { " " (replica) }
                            }
                        }
                    }
                }
            }
        }
    }
}

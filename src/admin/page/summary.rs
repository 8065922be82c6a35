//! What somebody who has one second reads: how everything is, and the sentence why.

use std::time::SystemTime;

use maud::{Markup, html};

use super::badge::badge;
use super::words::{ago, count};
use crate::control::Status;
use crate::control::status::{Level, Reason};

/// Of the reasons, so many are told at the top; each is with its instance as well.
const MOST_REASONS: usize = 5;

pub(super) fn summary(status: &Status, now: SystemTime) -> Markup {
    let (sentence, told) = sentence(status);
    // What the sentence says already is not said twice.
    let others = || {
        let reasons = status.reasons.iter();
        reasons.filter(move |reason| told.is_none_or(|told| !std::ptr::eq(told, *reason)))
    };
    let more = others().count().saturating_sub(MOST_REASONS);
    html! {
        section #summary class={ "summary " (status.status.word()) } aria-label="How everything is" {
            h1 {
                (badge(status.status, status.status.word()))
                span.why {
                    (sentence)
                    @if let Some(told) = told { span.muted { " for " (ago(told.since, now)) } }
                }
            }
            @if others().next().is_some() {
                ul.reasons {
                    @for other in others().take(MOST_REASONS) { (reason(other, now)) }
                    @if more > 0 { li.muted { span { } "and " (more) " more, with their instances below" } }
                }
            }
        }
    }
}

/// What somebody who has one second reads, and the reason that it tells in full.
fn sentence(status: &Status) -> (String, Option<&Reason>) {
    let all = count(status.instances.len(), "instance", "instances");
    let bad = |level: Level| {
        let instances = status.instances.iter();
        instances.filter(|own| own.status == level).count()
    };
    let (critical, warning) = (bad(Level::Critical), bad(Level::Warning));
    let shared = status
        .reasons
        .iter()
        .find(|reason| !reason.part.starts_with("instance:"));
    let whole = |reason: &Reason| format!("{}: {}", reason.part, reason.text);
    if let Some(shared) = shared
        && (critical + warning == 0 || shared.status == Level::Critical)
        && shared.also.is_empty()
    {
        return (whole(shared), Some(shared));
    }
    let text = match (shared, critical, warning) {
        (None, 0, 0) if status.instances.is_empty() => "no instances yet".to_owned(),
        (None, 0, 0) => format!("{all}, everything works"),
        (Some(shared), 0, 0) => whole(shared),
        (_, 0, 1) => format!("1 of {all} wants a look"),
        (_, 0, many) => format!("{many} of {all} want a look"),
        (_, 1, 0) => format!("1 of {all} does not work"),
        (_, many, 0) => format!("{many} of {all} do not work"),
        (_, 1, looks) => format!("1 of {all} does not work, {looks} want a look"),
        (_, many, looks) => format!("{many} of {all} do not work, {looks} want a look"),
    };
    (text, None)
}

/// A reason, with what follows from it.
pub(super) fn reason(told: &Reason, now: SystemTime) -> Markup {
    html! {
        li class=(told.status.word()) {
            (badge(told.status, told.status.word()))
            span.text {
                @if let Some(name) = told.part.strip_prefix("instance:") {
                    a href={ "/instance/" (name) } { (name) } ": "
                } @else {
                    b { (told.part) } ": "
                }
                (told.text)
                span.muted { " for " (ago(told.since, now)) }
                @if !told.also.is_empty() {
                    ul.also { @for also in &told.also { li { (also) } } }
                }
            }
        }
    }
}

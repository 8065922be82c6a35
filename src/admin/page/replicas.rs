//! Replicas as dots that fill: a ring starts, a half leaves, a full one takes sessions.

use maud::{Markup, html};

use super::words::count;
use crate::control::status::ServiceStatus;

/// More of one service are a number.
const MOST_DOTS: usize = 16;

/// The dots of a service, with the same in words for whoever does not see them.
pub(super) fn dots(service: &ServiceStatus) -> Markup {
    let shown = service.replicas.iter().take(MOST_DOTS);
    let more = service.replicas.len().saturating_sub(MOST_DOTS);
    // Wanted and not there yet.
    let missing = service
        .desired
        .map_or(0, |desired| usize::try_from(desired).unwrap_or(0))
        .saturating_sub(service.replicas.len())
        .min(MOST_DOTS.saturating_sub(service.replicas.len()));
    html! {
        span.service title=(words(service)) {
            span.name { (service.name) }
            span.dots role="img" aria-label=(words(service)) {
                @for replica in shown { (dot(replica.state)) }
                @for _ in 0..missing { (dot("ordered")) }
                @if more > 0 { span.more { "+" (more) } }
                @if service.replicas.is_empty() && missing == 0 { span.none { "none" } }
            }
        }
    }
}

/// One replica's dot.
pub(super) fn dot(state: &str) -> Markup {
    html! {
        svg class={ "dot " (state) } viewBox="0 0 12 12" aria-hidden="true" focusable="false" {
            circle.ring cx="6" cy="6" r="4.6" { }
            @match state {
                "ready" => circle.fill cx="6" cy="6" r="4.6" { },
                "draining" | "cutting" | "stopping" => path.fill d="M6 1.4a4.6 4.6 0 0 0 0 9.2Z" { },
                "failed" | "unhealthy" => path.cross d="M3.8 3.8l4.4 4.4M8.2 3.8l-4.4 4.4" { },
                // Starting and ordered ones are empty.
                _ => {},
            }
        }
    }
}

/// "web: 4 ready, 1 starting of 5 wanted".
fn words(service: &ServiceStatus) -> String {
    const STATES: [&str; 7] = [
        "ready",
        "starting",
        "draining",
        "cutting",
        "stopping",
        "unhealthy",
        "failed",
    ];
    let parts: Vec<String> = STATES
        .iter()
        .filter_map(|state| {
            let replicas = service.replicas.iter();
            let many = replicas.filter(|replica| replica.state == *state).count();
            (many > 0).then(|| format!("{many} {state}"))
        })
        .collect();
    let there = match parts.is_empty() {
        true => "no replica".to_owned(),
        false => parts.join(", "),
    };
    match service.desired {
        Some(desired) => format!("{}: {there}, {desired} wanted", service.name),
        None => format!(
            "{}: {there} of {}",
            service.name,
            count(service.replicas.len(), "replica", "replicas")
        ),
    }
}

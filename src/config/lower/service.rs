//! The services of an instance, from what was written to what is meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::values::{parse_list, port, socket_address, value_or};
use crate::config::issue::{At, Issues, report};
use crate::config::model::{Bounds, Probe, Reserved, Role, Service};
use crate::config::raw::{RawPlacement, RawRole, RawService};
use crate::config::reader::Field;
use crate::config::units::Size;
use crate::config::upstream_tls::lower_tls;
use crate::names::ServiceName;
use crate::plan::Placement;

pub(super) fn lower_services(
    at: &At,
    raw: Vec<(Field<String>, RawService)>,
    issues: &Issues,
) -> BTreeMap<ServiceName, Service> {
    let mut services = BTreeMap::new();
    let declared: Vec<String> = raw.iter().map(|(name, _)| name.value.clone()).collect();
    let follows: Vec<Field<String>> = raw
        .iter()
        .filter_map(|(_, service)| service.of.clone())
        .collect();
    for (name, service) in raw {
        match name.value.parse::<ServiceName>() {
            Ok(parsed) => {
                // An entry inherited as a whole (from a preset or a pattern) is not expected.
                let expected = service.declared_in(at);
                if let Some(service) = service.lower(&name.at, expected, issues) {
                    services.insert(parsed, service);
                }
            }
            Err(error) => {
                let text = format!("`{}` {error}", name.value);
                report(issues, name.at.error(text));
            }
        }
    }
    let sessions: Vec<&str> = services
        .iter()
        .filter(|(_, service)| matches!(service.role, Role::Sessions { .. }))
        .map(|(name, _)| name.as_str())
        .collect();
    for of in follows {
        // One that is declared and was rejected has its own complaint already.
        let rejected = declared.contains(&of.value) && !services.contains_key(of.value.as_str());
        if !rejected && !sessions.contains(&of.value.as_str()) {
            let text = format!(
                "`{}` is no service with the role sessions; here: {}",
                of.value,
                if sessions.is_empty() {
                    "none".to_owned()
                } else {
                    sessions.join(", ")
                }
            );
            report(issues, of.at.error(text));
        }
    }
    services
}

impl RawService {
    fn declared_in(&self, at: &At) -> bool {
        [
            self.role.as_ref().map(|field| &field.at),
            self.port.as_ref().map(|field| &field.at),
            self.probe.as_ref().map(|field| &field.at),
        ]
        .into_iter()
        .flatten()
        .any(|own| Arc::ptr_eq(&own.source, &at.source))
    }

    fn lower(self, at: &At, expected: bool, issues: &Issues) -> Option<Service> {
        let Self {
            role,
            of,
            ratio,
            requests_each,
            min,
            max,
            port: listens,
            tls,
            keep_alive,
            probe,
            placement,
            addresses,
            command,
            memory,
            cpus,
        } = self;
        let Some(role) = role else {
            let key = at.below("role").key;
            let told = issues.borrow().iter().any(|issue| issue.key == key);
            if !told {
                let text = "needs a `role`: \"sessions\", \"ratio\" or \"fixed\"";
                report(issues, at.error(text));
            }
            return None;
        };
        let addresses =
            addresses.map_or_else(Vec::new, |field| parse_list(&field, issues, socket_address));
        let bounds = |default_max: u32| {
            let most = max.as_ref().map_or(default_max, |field| field.value);
            let bounds = Bounds {
                min: min
                    .as_ref()
                    .map_or_else(|| 1.min(most), |field| field.value),
                max: most,
            };
            if bounds.min > bounds.max {
                let place = max.as_ref().or(min.as_ref()).map_or(at, |field| &field.at);
                let text = format!("`max` ({most}) must be at least `min` ({})", bounds.min);
                report(issues, place.error(text));
            }
            bounds
        };
        let role = match role.value {
            RawRole::Fixed => {
                for (key, present) in [("min", min.is_some()), ("max", max.is_some())] {
                    if present {
                        report(
                            issues,
                            at.below(key).error("has no meaning for a fixed service"),
                        );
                    }
                }
                Role::Fixed
            }
            RawRole::Sessions => Role::Sessions { bounds: bounds(16) },
            RawRole::Ratio => Role::Ratio {
                of: lower_of(at, of.as_ref(), issues)?,
                ratio: lower_ratio(ratio.as_ref(), issues),
                requests_each: lower_requests_each(requests_each.as_ref(), issues),
                bounds: bounds(64),
            },
        };
        if matches!(role, Role::Fixed) {
            let misplaced = memory
                .iter()
                .map(|field| &field.at)
                .chain(cpus.iter().map(|field| &field.at));
            for at in misplaced {
                let text = "has a meaning only for a service that is scaled";
                report(issues, at.error(text));
            }
        }
        if !matches!(role, Role::Ratio { .. }) {
            let misplaced = of
                .map(|field| field.at)
                .into_iter()
                .chain(ratio.map(|field| field.at))
                .chain(requests_each.map(|field| field.at));
            for at in misplaced {
                report(
                    issues,
                    at.error("has a meaning only for a service with the role ratio"),
                );
            }
        }
        Some(Service {
            role,
            port: listens.and_then(|field| port(&field, issues)),
            tls: tls.and_then(|field| lower_tls(field, issues)),
            keep_alive: value_or(keep_alive, true),
            probe: probe.and_then(|field| lower_probe(&field, issues)),
            placement: match placement.map(|field| field.value) {
                None | Some(RawPlacement::Least) => Placement::Least,
                Some(RawPlacement::Client) => Placement::Client,
            },
            addresses,
            command: command.map_or_else(Vec::new, |field| {
                if field.value.is_empty() {
                    report(issues, field.at.error("names no program"));
                }
                field.value
            }),
            reserved: Reserved {
                memory: memory.and_then(|field| lower_memory(&field, issues)),
                processor: cpus.and_then(|field| lower_cpus(&field, issues)),
            },
            expected,
        })
    }
}

fn lower_of(at: &At, of: Option<&Field<String>>, issues: &Issues) -> Option<ServiceName> {
    let Some(field) = of else {
        report(
            issues,
            at.error("has the role ratio and needs `of`, the service it follows"),
        );
        return None;
    };
    field
        .value
        .parse()
        .map_err(|error| report(issues, field.at.error(format!("`{}` {error}", field.value))))
        .ok()
}

/// What a worker of Channels bears: it works on one and has a few waiting.
const REQUESTS_EACH: u32 = 8;

fn lower_requests_each(each: Option<&Field<u32>>, issues: &Issues) -> u32 {
    let Some(field) = each else {
        return REQUESTS_EACH;
    };
    if !(1..=100_000).contains(&field.value) {
        report(issues, field.at.error("must be between 1 and 100000"));
    }
    field.value
}

fn lower_memory(field: &Field<Size>, issues: &Issues) -> Option<u64> {
    if field.value.0.is_none_or(|bytes| bytes == 0) {
        let text = "must be the memory that one replica needs, for example \"300MiB\"";
        report(issues, field.at.error(text));
        return None;
    }
    field.value.0
}

/// In thousandths.
fn lower_cpus(field: &Field<f64>, issues: &Issues) -> Option<u64> {
    if !(field.value.is_finite() && field.value > 0.0 && field.value <= 1_000.0) {
        report(issues, field.at.error("must be above 0 and at most 1000"));
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a million at most, and above 0"
    )]
    let thousandths = (field.value * 1_000.0).ceil() as u64;
    Some(thousandths)
}

fn lower_ratio(ratio: Option<&Field<f64>>, issues: &Issues) -> f64 {
    let Some(field) = ratio else {
        return 1.0;
    };
    if !(field.value.is_finite() && field.value > 0.0 && field.value <= 1_000.0) {
        report(issues, field.at.error("must be above 0 and at most 1000"));
    }
    field.value
}

fn lower_probe(field: &Field<String>, issues: &Issues) -> Option<Probe> {
    let text = field.value.as_str();
    if text == "tcp" {
        return Some(Probe::Tcp { port: None });
    }
    if let Some(port) = text.strip_prefix("tcp:") {
        if let Some(port) = port.parse().ok().filter(|port| *port != 0) {
            return Some(Probe::Tcp { port: Some(port) });
        }
    } else if text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(Probe::Http {
            path: text.to_owned(),
        });
    }
    let text = format!("`{text}` is no probe; write a path like \"/\", \"tcp\" or \"tcp:6379\"");
    report(issues, field.at.error(text));
    None
}

pub(super) fn lower_depends(
    field: Option<Field<BTreeMap<String, Vec<String>>>>,
    services: &BTreeMap<ServiceName, Service>,
    issues: &Issues,
) -> BTreeMap<ServiceName, Vec<ServiceName>> {
    let Some(field) = field else {
        return BTreeMap::new();
    };
    let find = |text: &str| {
        let found = services.get_key_value(text).map(|(name, _)| name.clone());
        if found.is_none() {
            report(
                issues,
                field
                    .at
                    .error(format!("`{text}` is no service of this instance")),
            );
        }
        found
    };
    let mut depends = BTreeMap::new();
    for (who, needs) in &field.value {
        let needs = needs.iter().filter_map(|name| find(name)).collect();
        if let Some(who) = find(who) {
            depends.insert(who, needs);
        }
    }
    depends
}

#[cfg(test)]
mod tests;

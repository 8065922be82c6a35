//! One instance, from what was written to what is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::global::{Issues, networks, only, parse_list, report, socket_address, value_or};
use super::issue::At;
use super::model::{
    Bounds, Drain, FileSource, Instance, Probe, Role, Route, RouteTarget, ScaleMode, ScalePolicy,
    Service,
};
use super::raw::{
    RawFiles, RawHttps, RawInstance, RawLimits, RawRole, RawRoute, RawScale, RawScaleMode,
    RawService,
};
use super::reader::Field;
use super::units::Span;
use crate::names::{Domain, Hostname, InstanceName, ServiceName, StackName};
use crate::plan::{Https, Limits, Site};

/// Lowers a merged entry. Problems go to `issues`; with any error among them the result is not to
/// be used.
///
/// `{stack}` in domains and folders stands for `stack`.
pub(super) fn lower(
    raw: RawInstance,
    name: InstanceName,
    stack: StackName,
    issues: &Issues,
) -> Instance {
    let RawInstance {
        at,
        name: _,
        matching: _,
        except: _,
        stack: _,
        domains,
        redirect_from,
        preset: _,
        https,
        hsts,
        standby,
        allow,
        deny,
        headers,
        certificate,
        acme_email,
        limits,
        scale,
        services,
        depends,
        routes,
    } = raw;

    let domains = lower_domains(&at, domains, &stack, issues);
    let redirect_from = redirect_from.map_or_else(Vec::new, |field| {
        parse_list(&field, issues, |text| name_from::<Hostname>(text, &stack))
    });
    if let (Some(Domain::Below(_)), false) = (domains.first(), redirect_from.is_empty()) {
        report(
            issues,
            at.below("redirect-from")
                .error("redirects to the first of `domains`, which must not be a wildcard then"),
        );
    }
    let services = lower_services(&at, services, issues);
    let routes = lower_routes(&at, routes, &services, &stack, issues);
    let depends = lower_depends(depends, &services, issues);
    let headers = headers.map_or_else(Vec::new, |field| lower_headers(field, issues));
    let (limits, drain, close_code) = limits.lower(issues);
    if let Some(certificate) = &certificate
        && Path::new(&certificate.value).components().count() != 1
    {
        report(
            issues,
            certificate.at.error("is the name of a pair, not a path"),
        );
    }
    let hsts = match hsts {
        None => Some("max-age=31536000".to_owned()),
        Some(field) if field.value == "off" => None,
        Some(field) => {
            check_header_value(&field.at, &field.value, issues);
            Some(field.value)
        }
    };
    Instance {
        name,
        file: at.source.name().into(),
        stack,
        site: Arc::new(Site {
            domains,
            redirect_from,
            https: match https.map(|field| field.value) {
                None | Some(RawHttps::Redirect) => Https::Redirect,
                Some(RawHttps::Both) => Https::Both,
                Some(RawHttps::Off) => Https::Off,
                Some(RawHttps::Only) => Https::Only,
            },
            hsts,
            headers,
            allow: networks(allow, issues),
            deny: networks(deny, issues),
            limits,
            close_code,
        }),
        standby: value_or(standby, false),
        certificate: certificate.map(|field| field.value),
        acme_email: acme_email.map(|field| field.value),
        drain,
        scale: scale.lower(issues),
        services,
        depends,
        routes,
    }
}

/// Replaces `{stack}`, which is filled only from names that are one DNS label once `_` is `-`.
fn fill(text: &str, stack: &StackName) -> Result<String, String> {
    if !text.contains("{stack}") {
        return Ok(text.to_owned());
    }
    let label = stack.as_str();
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = label.bytes().next().is_some_and(lower)
        && label.bytes().all(|b| lower(b) || matches!(b, b'-' | b'_'));
    if !fits {
        return Err(format!(
            "is not filled from the stack name `{label}`: only lower-case letters, digits, `-` and `_`"
        ));
    }
    Ok(text.replace("{stack}", &label.replace('_', "-")))
}

fn name_from<T>(text: &str, stack: &StackName) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    fill(text, stack)?
        .parse()
        .map_err(|error: T::Err| error.to_string())
}

fn lower_domains(
    at: &At,
    field: Option<Field<Vec<String>>>,
    stack: &StackName,
    issues: &Issues,
) -> Vec<Domain> {
    let Some(field) = field.filter(|field| !field.value.is_empty()) else {
        report(issues, at.error("needs at least one name in `domains`"));
        return Vec::new();
    };
    let domains = parse_list(&field, issues, |text| name_from::<Domain>(text, stack));
    let distinct: BTreeSet<_> = domains.iter().collect();
    if distinct.len() != domains.len() {
        report(issues, field.at.error("names a domain twice"));
    }
    domains
}

fn lower_services(
    at: &At,
    raw: Vec<(Field<String>, RawService)>,
    issues: &Issues,
) -> BTreeMap<ServiceName, Service> {
    if raw.is_empty() {
        report(
            issues,
            at.error("declares no service; add [instance.service.web] with a role, or a `preset`"),
        );
    }
    let mut services = BTreeMap::new();
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
    for (name, service) in &services {
        if let Role::Ratio { of, .. } = &service.role
            && !matches!(
                services.get(of),
                Some(Service {
                    role: Role::Sessions { .. },
                    ..
                })
            )
        {
            let text = format!("`{of}` is no service with the role sessions");
            report(issues, at.below(&format!("service.{name}.of")).error(text));
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
            min,
            max,
            port,
            probe,
            addresses,
            command,
        } = self;
        let Some(role) = role else {
            report(
                issues,
                at.error("needs a `role`: \"sessions\", \"ratio\" or \"fixed\""),
            );
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
                bounds: bounds(64),
            },
        };
        if !matches!(role, Role::Ratio { .. }) {
            let misplaced = of
                .map(|field| field.at)
                .into_iter()
                .chain(ratio.map(|field| field.at));
            for at in misplaced {
                report(
                    issues,
                    at.error("has a meaning only for a service with the role ratio"),
                );
            }
        }
        if let Some(port) = port.as_ref().filter(|port| port.value == 0) {
            report(issues, port.at.error("must be between 1 and 65535"));
        }
        Some(Service {
            role,
            port: port.map(|field| field.value),
            probe: probe.and_then(|field| lower_probe(&field, issues)),
            addresses,
            command: command.map_or_else(Vec::new, |field| {
                if field.value.is_empty() {
                    report(issues, field.at.error("names no program"));
                }
                field.value
            }),
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

fn lower_routes(
    at: &At,
    raw: Vec<RawRoute>,
    services: &BTreeMap<ServiceName, Service>,
    stack: &StackName,
    issues: &Issues,
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for route in raw {
        let place = route
            .prefix
            .as_ref()
            .map_or_else(|| route.at.clone(), |prefix| prefix.at.clone());
        let Some(route) = route.lower(services, stack, issues) else {
            continue;
        };
        if routes.iter().any(|other| other.prefix == route.prefix) {
            report(
                issues,
                place.error(format!("`{}` has a route already", route.prefix)),
            );
        }
        routes.push(route);
    }
    if routes.is_empty() {
        routes.extend(default_route(at, services, issues));
    }
    routes
}

/// Without any route everything goes to `web`, or to the one service that carries sessions.
fn default_route(
    at: &At,
    services: &BTreeMap<ServiceName, Service>,
    issues: &Issues,
) -> Option<Route> {
    let carrying = services
        .iter()
        .filter(|(_, service)| matches!(service.role, Role::Sessions { .. }))
        .map(|(name, _)| name);
    let all = services.keys();
    let web = services.keys().find(|name| name.as_str() == "web");
    let Some(service) = web.or_else(|| sole(carrying)).or_else(|| sole(all)) else {
        if !services.is_empty() {
            report(
                issues,
                at.error("needs a route: it has no service `web`, and several others"),
            );
        }
        return None;
    };
    Some(Route {
        prefix: "/".to_owned(),
        loose: false,
        allow: Vec::new(),
        cache_control: None,
        target: RouteTarget::Service(service.clone()),
    })
}

fn sole<'a, T>(mut items: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let first = items.next();
    if items.next().is_some() { None } else { first }
}

impl RawRoute {
    fn lower(
        self,
        services: &BTreeMap<ServiceName, Service>,
        stack: &StackName,
        issues: &Issues,
    ) -> Option<Route> {
        let Self {
            at,
            prefix,
            loose,
            to,
            files,
            file,
            stub_status,
            cache_control,
            allow,
        } = self;
        let Some(prefix) = prefix else {
            report(issues, at.error("needs a `prefix`"));
            return None;
        };
        let path = prefix.value.as_str();
        if !path.starts_with('/') || path.contains("//") || path.contains(['?', '#', '%', '\\']) {
            report(
                issues,
                prefix.at.error("must be a plain path that begins with `/`"),
            );
        }
        if let Some(field) = &cache_control {
            check_header_value(&field.at, &field.value, issues);
        }
        let stub_status = stub_status.filter(|field| field.value);
        let mut targets = Vec::new();
        targets.extend(to.and_then(|to| lower_to(&to, services, issues)));
        targets.extend(
            files
                .and_then(|files| files.lower(stack, issues))
                .map(RouteTarget::Files),
        );
        targets.extend(
            file.and_then(|file| file.lower(stack, issues))
                .map(RouteTarget::File),
        );
        targets.extend(stub_status.map(|_| RouteTarget::StubStatus));
        if targets.len() != 1 {
            report(
                issues,
                at.error("needs exactly one of `to`, `files`, `file` and `stub-status`"),
            );
        }
        Some(Route {
            prefix: prefix.value,
            loose: value_or(loose, false),
            allow: networks(allow, issues),
            cache_control: cache_control.map(|field| field.value),
            target: targets.pop()?,
        })
    }
}

fn lower_to(
    to: &Field<String>,
    services: &BTreeMap<ServiceName, Service>,
    issues: &Issues,
) -> Option<RouteTarget> {
    match services.get_key_value(to.value.as_str()) {
        Some((
            _,
            Service {
                role: Role::Ratio { .. },
                ..
            },
        )) => {
            report(
                issues,
                to.at.error(format!(
                    "`{}` has the role ratio and takes no traffic",
                    to.value
                )),
            );
            None
        }
        Some((name, _)) => Some(RouteTarget::Service(name.clone())),
        None => {
            let known: Vec<_> = services.keys().map(ServiceName::as_str).collect();
            let text = format!(
                "`{}` is no service of this instance; it has {}",
                to.value,
                known.join(", ")
            );
            report(issues, to.at.error(text));
            None
        }
    }
}

impl RawFiles {
    fn lower(self, stack: &StackName, issues: &Issues) -> Option<FileSource> {
        let Self {
            at,
            dir,
            volume,
            path,
        } = self;
        let path = path.map_or_else(PathBuf::new, |field| {
            let plain = |part| matches!(part, Component::Normal(_));
            if !field.value.components().all(plain) {
                report(
                    issues,
                    field
                        .at
                        .error("must lie inside, without `..` and a leading `/`"),
                );
            }
            field.value
        });
        match (dir, volume) {
            (Some(dir), None) => {
                let Some(text) = dir.value.to_str() else {
                    report(issues, dir.at.error("is not valid UTF-8"));
                    return None;
                };
                match fill(text, stack) {
                    Ok(dir) => Some(FileSource::Dir {
                        dir: dir.into(),
                        path,
                    }),
                    Err(why) => {
                        report(issues, dir.at.error(format!("`{text}` {why}")));
                        None
                    }
                }
            }
            (None, Some(volume)) => Some(FileSource::Volume {
                volume: volume.value,
                path,
            }),
            _ => {
                report(issues, at.error("needs either `dir` or `volume`"));
                None
            }
        }
    }
}

fn lower_depends(
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

fn lower_headers(field: Field<BTreeMap<String, String>>, issues: &Issues) -> Vec<(String, String)> {
    // These frame the message; a constant in their place would break every answer.
    const FRAMING: [&str; 5] = [
        "connection",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "keep-alive",
    ];
    for (name, value) in &field.value {
        let lower = name.to_ascii_lowercase();
        if http::HeaderName::from_bytes(lower.as_bytes()).is_err() {
            report(
                issues,
                field.at.error(format!("`{name}` is no header name")),
            );
        } else if FRAMING.contains(&lower.as_str()) {
            report(
                issues,
                field.at.error(format!(
                    "`{name}` belongs to the connection and cannot be set"
                )),
            );
        }
        check_header_value(&field.at, value, issues);
    }
    field.value.into_iter().collect()
}

fn check_header_value(at: &At, value: &str, issues: &Issues) {
    if http::HeaderValue::from_str(value).is_err() {
        report(
            issues,
            at.error(format!(
                "`{}` cannot be sent in a header",
                value.escape_debug()
            )),
        );
    }
}

impl RawLimits {
    pub(super) fn lower(self, issues: &Issues) -> (Limits, Drain, u16) {
        let Self {
            max_body,
            connections,
            sessions,
            requests_in_flight,
            sessions_hard,
            header_timeout,
            request_timeout,
            websocket_idle,
            replica_drain,
            replica_drain_max,
            replica_stop,
            close_code,
        } = self;
        let default = Limits::default();
        let span = |field: Option<Field<Span>>, default: Duration| {
            if let Some(field) = field.as_ref().filter(|field| field.value.0.is_zero()) {
                report(issues, field.at.error("must be longer than nothing"));
            }
            field.map_or(default, |field| field.value.0)
        };
        let count = |field: Option<Field<u32>>, default: u32| {
            if let Some(field) = field.as_ref().filter(|field| field.value == 0) {
                report(issues, field.at.error("must be at least 1"));
            }
            value_or(field, default)
        };
        if let Some(field) = &close_code {
            // RFC 6455 §7.4: 1004 to 1006 and 1015 never appear on the wire.
            let sendable = matches!(field.value, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if !sendable {
                report(
                    issues,
                    field.at.error("is no code that a close frame may carry"),
                );
            }
        }
        let drain = Drain {
            // Zero is a wish here: cut at once.
            natural: replica_drain.map_or(Duration::from_secs(900), |field| field.value.0),
            at_most: replica_drain_max
                .as_ref()
                .map_or(Duration::from_secs(3_600), |field| field.value.0),
            stop: replica_stop.map_or(Duration::from_secs(10), |field| field.value.0),
        };
        if let Some(field) = replica_drain_max.filter(|_| drain.at_most < drain.natural) {
            report(issues, field.at.error("must be at least `replica-drain`"));
        }
        let limits = Limits {
            max_body: max_body.map_or(default.max_body, |field| field.value.0),
            connections: count(connections, default.connections),
            sessions: count(sessions, default.sessions),
            requests_in_flight: count(requests_in_flight, default.requests_in_flight),
            sessions_hard: count(sessions_hard, default.sessions_hard),
            header_timeout: span(header_timeout, default.header_timeout),
            request_timeout: span(request_timeout, default.request_timeout),
            websocket_idle: span(websocket_idle, default.websocket_idle),
        };
        (limits, drain, close_code.map_or(1012, |field| field.value))
    }
}

impl RawScale {
    pub(super) fn lower(self, issues: &Issues) -> ScalePolicy {
        let Self {
            sessions_per_replica,
            down_after,
            idle_to_zero,
            mode,
            weight,
        } = self;
        only(
            idle_to_zero.as_ref(),
            &"never".to_owned(),
            "`\"never\"`",
            issues,
        );
        only(weight.as_ref(), &1, "`1`", issues);
        if let Some(field) = sessions_per_replica
            .as_ref()
            .filter(|field| field.value == 0)
        {
            report(issues, field.at.error("must be at least 1"));
        }
        ScalePolicy {
            sessions_per_replica: value_or(sessions_per_replica, 150),
            down_after: down_after.map_or(Duration::from_secs(600), |field| field.value.0),
            mode: match mode.map(|field| field.value) {
                None | Some(RawScaleMode::Auto) => ScaleMode::Auto,
                Some(RawScaleMode::Hold) => ScaleMode::Hold,
                Some(RawScaleMode::Off) => ScaleMode::Off,
                Some(RawScaleMode::Recommend) => ScaleMode::Recommend,
            },
        }
    }
}

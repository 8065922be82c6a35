//! The routes of an instance, and the places its files are in.

use std::collections::BTreeMap;
use std::path::{Component, PathBuf};

use super::values::{check_header_value, fill, networks, port, value_or};
use crate::config::issue::{At, Issues, report};
use crate::config::model::{FileSource, Role, Route, RouteTarget, Service};
use crate::config::raw::{RawAuth, RawFiles, RawRoute};
use crate::config::reader::Field;
use crate::config::upstream_tls::lower_tls;
use crate::names::{PathPattern, ServiceName, StackName};
use crate::plan::{BasicAuth, Listing, Upstream};

pub(super) fn lower_routes(
    at: &At,
    raw: Vec<RawRoute>,
    services: &BTreeMap<ServiceName, Service>,
    stack: &StackName,
    issues: &Issues,
) -> Vec<Route> {
    if raw.is_empty() {
        return default_route(at, services, issues).into_iter().collect();
    }
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
        pattern: None,
        loose: false,
        allow: Vec::new(),
        auth: None,
        cache_control: None,
        replace_prefix: None,
        upstream: services
            .get(service)
            .map_or_else(Upstream::default, upstream_of),
        target: RouteTarget::Service(service.clone()),
    })
}

fn sole<'a, T>(mut items: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let first = items.next();
    if items.next().is_some() { None } else { first }
}

/// How the replicas of a service are spoken to, where a route says nothing else.
fn upstream_of(service: &Service) -> Upstream {
    Upstream {
        port: None,
        tls: service.tls.clone(),
        keep_alive: service.keep_alive,
    }
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
            port: listens,
            tls,
            files,
            file,
            stub_status,
            not_found,
            cache_control,
            replace_prefix,
            allow,
            auth,
        } = self;
        let Some(prefix) = prefix else {
            report(issues, at.error("needs a `prefix`"));
            return None;
        };
        let path = prefix.value.as_str();
        let mut pattern = None;
        if PathPattern::is_meant(path) {
            match PathPattern::parse(path) {
                Ok(parsed) => pattern = Some(parsed),
                Err(error) => report(issues, prefix.at.error(format!("`{path}` {error}"))),
            }
            // All of them are about what stands behind a prefix.
            let misplaced = [
                loose
                    .as_ref()
                    .filter(|field| field.value)
                    .map(|field| &field.at),
                replace_prefix.as_ref().map(|field| &field.at),
                files.as_ref().map(|files| &files.at),
            ];
            for at in misplaced.into_iter().flatten() {
                report(issues, at.error("does not go with a pattern in `prefix`"));
            }
        } else if !path.starts_with('/')
            || path.contains("//")
            || path.contains(['?', '#', '%', '\\'])
        {
            report(
                issues,
                prefix.at.error(
                    "must be a plain path that begins with `/`, or a pattern that begins with `~`",
                ),
            );
        }
        if let Some(field) = replace_prefix.as_ref().filter(|to| !is_plain(&to.value)) {
            let text = "must be a plain path of ASCII that begins with `/`";
            report(issues, field.at.error(text));
        }
        if let Some(field) = replace_prefix.as_ref().filter(|_| to.is_none()) {
            report(
                issues,
                field.at.error("is for routes that lead to a service"),
            );
        }
        let elsewhere = [
            listens.as_ref().map(|field| &field.at),
            tls.as_ref().map(|field| &field.at),
        ];
        for at in elsewhere.into_iter().flatten().filter(|_| to.is_none()) {
            report(issues, at.error("is for routes that lead to a service"));
        }
        let service = to.as_ref().and_then(|to| services.get(to.value.as_str()));
        if let (Some(field), Some(service)) = (&listens, service)
            && !service.command.is_empty()
        {
            let text =
                "has no meaning for a service with a `command`: each of its processes has one";
            report(issues, field.at.error(text));
        }
        let usual = service.map_or_else(Upstream::default, upstream_of);
        let upstream = Upstream {
            port: listens.and_then(|field| port(&field, issues)),
            tls: match tls {
                Some(field) => lower_tls(field, issues),
                None => usual.tls,
            },
            keep_alive: usual.keep_alive,
        };
        if let Some(field) = &cache_control {
            check_header_value(&field.at, &field.value, issues);
        }
        let stub_status = stub_status.filter(|field| field.value);
        let mut targets = Vec::new();
        targets.extend(to.and_then(|to| lower_to(&to, services, issues)));
        targets.extend(files.and_then(|mut files| {
            let listing = match files.listing.take() {
                Some(field) if field.value => Listing::Shown,
                Some(_) | None => Listing::Hidden,
            };
            let source = files.lower(stack, issues)?;
            Some(RouteTarget::Files(source, listing))
        }));
        targets.extend(file.and_then(|file| {
            if let Some(field) = &file.listing {
                let text = "is for `files`: a single file has nothing to list";
                report(issues, field.at.error(text));
            }
            file.lower(stack, issues).map(RouteTarget::File)
        }));
        targets.extend(stub_status.map(|_| RouteTarget::StubStatus));
        let not_found = not_found.filter(|field| field.value);
        targets.extend(not_found.map(|_| RouteTarget::Nothing));
        if targets.len() != 1 {
            report(
                issues,
                at.error(
                    "needs exactly one of `to`, `files`, `file`, `stub-status` and `not-found`",
                ),
            );
        }
        Some(Route {
            prefix: prefix.value,
            pattern,
            loose: value_or(loose, false),
            allow: networks(allow, issues),
            // One that is wrong is an error, and the entry is not applied: never an open door.
            auth: auth.and_then(|auth| auth.lower(stack, issues)),
            cache_control: cache_control.map(|field| field.value),
            replace_prefix: replace_prefix.map(|field| field.value),
            upstream,
            target: targets.pop()?,
        })
    }
}

/// Whether it can be written into a request as it is.
fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && path.bytes().all(|b| b.is_ascii_graphic())
        && !path.contains(['?', '#', '%', '\\'])
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

impl RawAuth {
    fn lower(self, stack: &StackName, issues: &Issues) -> Option<BasicAuth> {
        let Self { at, basic, realm } = self;
        let Some(basic) = basic else {
            let text = "needs `basic`, a file with a line NAME:HASH for each who may come in";
            report(issues, at.error(text));
            return None;
        };
        if let Some(realm) = &realm {
            // It stands between quotation marks (RFC 9110 §5.6.4).
            let plain = |letter: char| letter != '"' && letter != '\\' && !letter.is_control();
            if !realm.value.chars().all(plain) {
                let text = "must have no quotation marks, backslashes and control characters";
                report(issues, realm.at.error(text));
            }
        }
        match fill(&basic.value, stack) {
            Ok(file) => Some(BasicAuth {
                file: file.into(),
                realm: value_or(realm, "Restricted".to_owned()),
            }),
            Err(why) => {
                report(issues, basic.at.error(format!("`{}` {why}", basic.value)));
                None
            }
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
            set,
            // Taken by the route, which knows whether it is one file or many.
            listing: _,
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
        let set = set.map(|field| {
            if field.value.as_os_str().is_empty() || !path.starts_with(&field.value) {
                let text = "is the folder that is made anew as a whole: `path` must lie in it";
                report(issues, field.at.error(text));
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
                        set,
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
                set,
            }),
            _ => {
                report(issues, at.error("needs either `dir` or `volume`"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;

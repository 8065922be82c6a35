//! One instance, from what was written to what is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::dates::{lower_events, lower_rental};
use super::no_route;
use super::route::lower_routes;
use super::service::{lower_depends, lower_services};
use super::values::{
    check_header_value, fill, lower_key_type, networks, parse_list, port, value_or,
};
use crate::config::issue::{At, Issues, report};
use crate::config::model::Instance;
use crate::config::raw::{RawHttps, RawInstance, RawOrigin};
use crate::config::reader::Field;
use crate::names::{Domain, Hostname, InstanceName, StackName};
use crate::plan::{Declared, ExternalPorts, Https, NonGetRedirect, Site};

/// Lowers a merged entry. Problems go to `issues`; with any error among them the result is not to
/// be used.
///
/// `{stack}` in domains and folders stands for `stack`.
pub(in crate::config) fn lower(
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
        patterns,
        redirect_from,
        preset: _,
        https,
        http_without_certificate,
        no_route,
        external_http_port,
        external_https_port,
        non_get_redirect,
        http2,
        websocket_origin,
        hsts,
        hsts_of_variables,
        standby,
        rental,
        allow,
        deny,
        headers,
        certificate,
        client_ca,
        error_page,
        trust_default_cert,
        key_type,
        acme_email,
        acme_directory,
        staging,
        orders,
        export_certificate,
        limits,
        scale,
        services,
        depends,
        routes,
        events,
    } = raw;

    let domains = match domains {
        None if !patterns.is_empty() => Vec::new(),
        domains => lower_domains(&at, domains, &stack, issues),
    };
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
    if services.is_empty() && routes.is_empty() {
        let text = "declares neither a service nor a route; add [instance.service.web] with a role, \
                    or a `preset`";
        report(issues, at.error(text));
    }
    let services = lower_services(&at, services, issues);
    let routes = lower_routes(&at, routes, &services, &stack, issues);
    let depends = lower_depends(depends, &services, issues);
    let headers = headers.map_or_else(Vec::new, |field| lower_headers(field, issues));
    let (limits, drain, close_code) = limits.lower(issues);
    let (scale, no_wake) = scale.lower(issues);
    if let Some(certificate) = &certificate
        && Path::new(&certificate.value).components().count() != 1
    {
        report(
            issues,
            certificate.at.error("is the name of a pair, not a path"),
        );
    }
    let method = https.map_or(RawHttps::Redirect, |field| field.value);
    let https = match method {
        RawHttps::Redirect => Https::Redirect,
        RawHttps::Both | RawHttps::NoRedirect => Https::Both,
        RawHttps::Off => Https::Off,
        RawHttps::Only => Https::Only,
    };
    if let (Some(client_ca), Https::Both | Https::Off) = (&client_ca, https)
        && client_ca.value.is_required()
    {
        let text =
            "would be passed by over plain HTTP; it needs `https` as \"redirect\" or \"only\"";
        report(issues, client_ca.at.error(text));
    }
    let non_get_redirect = non_get_redirect.map_or_else(NonGetRedirect::default, |field| {
        NonGetRedirect::of(field.value).unwrap_or_else(|| {
            report(issues, field.at.error("must be 307 or 308"));
            NonGetRedirect::default()
        })
    });
    let hsts = lower_hsts(hsts, hsts_of_variables, method, issues);
    Instance {
        name,
        file: at.source.name().into(),
        stack,
        declared: Declared::ByName,
        site: Arc::new(Site {
            domains,
            patterns,
            redirect_from,
            https,
            http_without_certificate: value_or(http_without_certificate, true),
            no_route: no_route::lower(no_route, issues),
            external_ports: ExternalPorts {
                http: external_http_port.and_then(|field| port(&field, issues)),
                https: external_https_port.and_then(|field| port(&field, issues)),
            },
            non_get_redirect,
            http2: value_or(http2, true),
            client_ca: client_ca.and_then(|field| field.value.authorities),
            error_page: error_page.and_then(|field| field.value.body),
            strict_origin: websocket_origin.is_some_and(|field| field.value == RawOrigin::Strict),
            hsts,
            headers,
            allow: networks(allow, issues),
            deny: networks(deny, issues),
            limits,
            close_code,
            no_wake,
        }),
        standby: value_or(standby, false),
        rental: rental.and_then(|field| lower_rental(&field, &TimeZone::system(), issues)),
        certificate: certificate.map(|field| field.value),
        acme_email: acme_email.map(|field| field.value),
        acme_directory: acme_directory.map(|field| field.value),
        staging: value_or(staging, false),
        key_type: key_type.and_then(|field| lower_key_type(&field, issues)),
        trust_default_cert: value_or(trust_default_cert, false),
        orders: orders.unwrap_or_default(),
        export_certificate: export_certificate.map(|field| field.value.volume),
        drain,
        scale,
        services,
        depends,
        routes,
        events: lower_events(events, issues).into(),
    }
}

/// What a file says holds whatever the method is; what variables say does as nginx-proxy has it.
fn lower_hsts(
    written: Option<Field<String>>,
    of_variables: Option<Field<String>>,
    method: RawHttps,
    issues: &Issues,
) -> Option<String> {
    let field = match (written, of_variables, method) {
        (None, _, RawHttps::NoRedirect) | (None, Some(_), RawHttps::Both) => return None,
        (None, None, _) => return Some("max-age=31536000".to_owned()),
        (Some(field), _, _) | (None, Some(field), _) => field,
    };
    if field.value == "off" {
        return None;
    }
    check_header_value(&field.at, &field.value, issues);
    Some(field.value)
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

#[cfg(test)]
mod tests;

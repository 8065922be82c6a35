//! When the status is bad and who is told, from what was written to what is meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Uri;

use super::values::value_or;
use crate::config::issue::{Issues, report};
use crate::config::model::{Alert, AlertTarget, MinStatus, Threshold, Thresholds};
use crate::config::raw::{RawAlert, RawAlertFormat, RawMinStatus, RawStatus};
use crate::config::reader::Field;

impl RawStatus {
    pub(in crate::config) fn lower(self, issues: &Issues) -> Thresholds {
        let Self {
            load_per_core,
            memory_available,
            disk_available,
        } = self;
        let pair = |field: Option<Field<[f64; 2]>>, default: [f64; 2]| {
            if let Some(field) = field.as_ref() {
                let [warning, critical] = field.value;
                if (warning < critical) != (default[0] < default[1]) {
                    report(issues, field.at.error("is written [warning, critical]"));
                }
            }
            let [warning, critical] = value_or(field, default);
            Threshold { warning, critical }
        };
        Thresholds {
            load_per_core: pair(load_per_core, [1.0, 2.0]),
            memory_available: pair(memory_available, [0.15, 0.05]),
            disk_available: pair(disk_available, [0.15, 0.05]),
        }
    }
}

/// Where Alertmanager takes alerts, below whatever prefix it has.
const ALERTMANAGER: &str = "/api/v2/alerts";

pub(in crate::config) fn lower_alerts(alerts: Vec<RawAlert>, issues: &Issues) -> Arc<[Alert]> {
    let mut known = BTreeSet::new();
    let mut told = Vec::new();
    for raw in alerts {
        let at = raw.at.clone();
        let Some(alert) = raw.lower(issues) else {
            continue;
        };
        if known.insert(alert.to.clone()) {
            told.push(alert);
        } else {
            let text = "names a receiver for the second time; each would hear everything twice";
            report(issues, at.error(text));
        }
    }
    told.into()
}

impl RawAlert {
    /// `None` where nobody could be told, which is an issue.
    fn lower(self, issues: &Issues) -> Option<Alert> {
        let Self {
            at,
            url,
            command,
            format,
            min_status,
        } = self;
        let to = match (url, command) {
            (Some(url), None) => good_url(url, format, issues),
            (None, Some(command)) => {
                if let Some(format) = format {
                    let text = "is about a `url`; a command always gets JSON";
                    report(issues, format.at.error(text));
                }
                good_command(command, issues)
            }
            (Some(_), Some(command)) => {
                let text = "stands beside a `url`; write a second [[alert]] for it";
                report(issues, command.at.error(text));
                None
            }
            (None, None) => {
                report(issues, at.error("needs a `url` or a `command`"));
                None
            }
        };
        Some(Alert {
            to: to?,
            min_status: match min_status.map(|field| field.value) {
                None | Some(RawMinStatus::Warning) => MinStatus::Warning,
                Some(RawMinStatus::Critical) => MinStatus::Critical,
            },
        })
    }
}

fn good_url(
    field: Field<String>,
    format: Option<Field<RawAlertFormat>>,
    issues: &Issues,
) -> Option<AlertTarget> {
    let Field { value: url, at } = field;
    let problem = match url.parse::<Uri>() {
        Err(error) => Some(format!("is no URL: {error}")),
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => Some(
            "is no URL that can be posted to; write for example \
             \"http://127.0.0.1:9093/api/v2/alerts\""
                .to_owned(),
        ),
        // It would be in every log and every list of processes that shows the configuration.
        Ok(uri)
            if uri
                .authority()
                .is_some_and(|host| host.as_str().contains('@')) =>
        {
            Some(
                "must not hold a password; where one is asked for, let a `command` send the alert"
                    .to_owned(),
            )
        }
        Ok(_) => None,
    };
    if let Some(text) = problem {
        report(issues, at.error(text));
        return None;
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let alertmanager = match format.map(|field| field.value) {
        Some(format) => format == RawAlertFormat::Alertmanager,
        None => path.trim_end_matches('/').ends_with(ALERTMANAGER),
    };
    Some(if alertmanager {
        AlertTarget::Alertmanager { url }
    } else {
        AlertTarget::Json { url }
    })
}

fn good_command(field: Field<Vec<String>>, issues: &Issues) -> Option<AlertTarget> {
    let Field { value: command, at } = field;
    match command.first() {
        Some(program) if program.starts_with('/') => Some(AlertTarget::Command(command)),
        Some(_) => {
            report(issues, at.error("needs the whole path of its program"));
            None
        }
        None => {
            report(issues, at.error("names no program"));
            None
        }
    }
}

#[cfg(test)]
mod tests;

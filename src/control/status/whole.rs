//! The whole: what all instances share, and how they are together.

use std::collections::BTreeSet;

use super::super::controller::Controller;
use super::super::event::Now;
use super::super::tenant::Tenant;
use super::super::touched::Touched;
use super::finding::{Finding, Level};
use super::memory::Memory;
use super::model::{NodeStatus, Reason};
use super::shown::Shown;
use crate::config::model::Service;
use crate::names::InstanceName;
use crate::plan;

/// Stacks that are not served, and old proxies that run, beside the first.
const MISFITS_SHOWN: usize = 20;

impl Tenant {
    /// Whether it serves, and has something that is scaled.
    fn waits_to_be_scaled(&self) -> bool {
        let scaled = |service: &Service| service.bounds().is_some();
        let serves = !self.instance.standby && self.rented;
        serves && self.instance.services.values().any(scaled)
    }
}

impl Controller {
    pub(super) fn judge_whole(
        &self,
        shown: &Shown,
        touched: &Touched,
        node: &NodeStatus,
        memory: &mut Memory,
        now: Now,
    ) -> (Level, Vec<Reason>) {
        let mut shared: Vec<(&str, Finding)> = vec![
            ("engine", self.judge_engine()),
            ("configuration", self.judge_configuration()),
            ("host", self.judge_host(node)),
            ("listeners", self.judge_listeners()),
            ("state", self.judge_state()),
            ("swarm", self.judge_swarm()),
        ];
        let mut misfits = self
            .misfits
            .iter()
            .map(|(stack, why)| format!("stack {stack} is not served: {why}"));
        if let Some(first) = misfits.next() {
            shared.push(("stacks", Some((Level::Warning, first))));
        }
        let mut beside = self.superseded().into_iter();
        if let Some(first) = beside.next() {
            shared.push(("proxies", Some((Level::Warning, first))));
        }
        let alerts = self.current.config.alerts.iter();
        // Two may be at one place.
        let names: BTreeSet<String> = alerts.map(|alert| alert.to.name()).collect();
        let receivers: Vec<(String, Finding)> = names
            .into_iter()
            .map(|name| {
                let why = self.undelivered.get(&name);
                let text = why.map(|why| format!("alerts do not reach {name}: {why}"));
                let finding = text.map(|text| (Level::Warning, text));
                (format!("alert:{name}"), finding)
            })
            .collect();
        shared.extend(
            receivers
                .iter()
                .map(|(part, finding)| (part.as_str(), finding.clone())),
        );
        let misfits: Vec<String> = misfits.take(MISFITS_SHOWN).collect();
        let beside: Vec<String> = beside.take(MISFITS_SHOWN).collect();
        let mut reasons = Vec::new();
        for (part, finding) in shared {
            let (finding, since) = memory.steadied(part, finding, now);
            if let Some((status, text)) = finding {
                reasons.push(Reason {
                    part: part.to_owned(),
                    status,
                    text,
                    since,
                    also: match part {
                        "proxies" => beside.clone(),
                        "stacks" => misfits.clone(),
                        _ => Vec::new(),
                    },
                });
            }
        }
        let shared_critical = reasons
            .iter()
            .any(|reason| reason.status == Level::Critical);
        let looked_at = touched.names(shown.all().keys());
        let all: BTreeSet<&InstanceName> = looked_at.chain(shown.troubled()).collect();
        for instance in all.into_iter().filter_map(|name| shown.all().get(name)) {
            let part = format!("instance:{}", instance.name);
            let since = memory.since(&part, instance.status, now);
            if let Some(first) = instance.reasons.first() {
                reasons.push(Reason {
                    part,
                    status: instance.status,
                    text: first.text.clone(),
                    since,
                    also: instance
                        .reasons
                        .iter()
                        .skip(1)
                        .map(|also| also.text.clone())
                        .collect(),
                });
            }
        }
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.status));
        let level = if shared_critical || shown.is_critical() {
            Level::Critical
        } else if reasons.is_empty() {
            Level::Healthy
        } else {
            Level::Warning
        };
        (level, reasons)
    }

    fn judge_engine(&self) -> Finding {
        let Some(error) = &self.listing.error else {
            let awaited = || (Level::Warning, "the first listing is awaited".to_owned());
            return self.listing.inventory.is_none().then(awaited);
        };
        let level = match self.tenants.values().any(Tenant::waits_to_be_scaled) {
            true => Level::Critical,
            false => Level::Warning,
        };
        let text = match self.listing.inventory {
            Some(_) => format!("{error}; what is known is served, nothing is started or stopped"),
            None => error.to_string(),
        };
        Some((level, text))
    }

    fn judge_configuration(&self) -> Finding {
        let why = self.current.last_reload.as_ref().err()?;
        let mut text = format!("the file is not what is in force: {why}");
        let mut errors = self
            .current
            .issues
            .iter()
            .filter(|issue| issue.level == crate::config::Level::Error);
        if let Some(first) = errors.next() {
            text.push_str(&format!("; {first}"));
        }
        match errors.count() {
            0 => {}
            more => text.push_str(&format!("; and {more} more, see `usher check`")),
        }
        Some((Level::Warning, text))
    }

    fn judge_state(&self) -> Finding {
        let why = self.unkept.as_ref()?;
        let text = format!("what operators ask for now is forgotten at a restart: {why}");
        Some((Level::Critical, text))
    }

    fn judge_host(&self, node: &NodeStatus) -> Finding {
        if node.status == Level::Healthy {
            return None;
        }
        let percent = |share: Option<f64>| {
            share.map_or_else(|| "?".to_owned(), |share| format!("{:.0} %", share * 100.0))
        };
        Some((
            node.status,
            format!(
                "load per core {}, memory available {}, disk available {}",
                node.load_15m_per_core
                    .map_or_else(|| "?".to_owned(), |load| load.to_string()),
                percent(node.memory_available),
                percent(node.disk_available),
            ),
        ))
    }

    fn judge_listeners(&self) -> Finding {
        let (level, text) = match self.report.edge.level {
            plan::Level::Calm => return None,
            plan::Level::Tight => (
                Level::Warning,
                "nearly full: connections are not kept for another request",
            ),
            plan::Level::Shedding => (
                Level::Warning,
                "nearly full: instances with more than their share get no new requests",
            ),
            plan::Level::Full => (
                Level::Critical,
                "full: nobody is accepted; what is open goes on",
            ),
        };
        let text = format!(
            "{text} ({} connections; raise `listen.max-connections`, the limit of open files or \
             the memory)",
            self.report.edge.connections
        );
        Some((level, text))
    }
}

//! The rules: which fact is how bad, and what it does to the whole.
//!
//! A part is judged after what it depends on, and a cause is told once with its consequences under
//! it. Parts that stand in for each other are bad together only: some down is a warning, none left
//! is critical.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::controller::Controller;
use super::super::drain::drains::grace;
use super::super::event::Now;
use super::super::loops::CAUSE;
use super::super::replica::{Replica, State};
use super::super::sentences::together;
use super::super::service::ServiceState;
use super::super::tenant::Tenant;
use super::certificates::{judge_certificates, judge_folder};
use super::finding::{Finding, Level};
use super::memory::Memory;
use super::model::{Part, Reason};
use super::together::judge_together;
use crate::autoscaler::{Kept, next_event};
use crate::config::Instance;
use crate::config::model::{Orders, Role, Service};
use crate::inventory::Reach;
use crate::names::ServiceName;
use crate::plan::{CertificateReport, CertificateState, FileRoot, Https, Target};

/// An event that begins sooner than this has to find room.
const EVENT_IS_NEAR: Duration = Duration::from_secs(86_400);

/// Beyond the time a replica has to stop, an engine takes no longer than this.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// A turn to start comes sooner than this, unless starts on the host get stuck.
const TURN_WITHIN: Duration = Duration::from_secs(60);

/// What the rules say about one instance.
pub(super) struct Judged {
    pub(super) level: Level,
    pub(super) reasons: Vec<Reason>,
    pub(super) parts: Vec<Part>,
}

/// Whether there should be this certificate: what containers serve without asking for one, or naming
/// a pair, may go without.
fn is_expected(instance: &Instance, certificate: &CertificateReport) -> bool {
    let Orders::Asked { names, .. } = &instance.orders else {
        return true;
    };
    let missing = certificate.state == CertificateState::Missing;
    let asked = certificate.names.iter().any(|name| names.contains(name));
    !missing || asked || instance.certificate.is_some()
}

impl Controller {
    pub(super) fn judge_instance(
        &self,
        tenant: &Tenant,
        certificates: &[CertificateReport],
        memory: &mut Memory,
        now: Now,
    ) -> Judged {
        let instance = &tenant.instance;
        let mut findings: BTreeMap<String, (Finding, Vec<String>)> = BTreeMap::new();
        for (name, service) in &instance.services {
            let Some(state) = tenant.services.get(name) else {
                continue;
            };
            let depends: Vec<String> = instance
                .depends
                .get(name)
                .into_iter()
                .flatten()
                .map(service_part)
                .collect();
            let unknown = self.listing.inventory.is_none()
                && state.replicas.is_empty()
                && !matches!(service.role, Role::Fixed);
            // What is not to run cannot be missing.
            let asleep = tenant.is_asleep() && service.bounds().is_some();
            let finding = if asleep {
                Some(None)
            } else if unknown {
                let text = format!("{name} is not known yet: the engine has not answered");
                Some(Some((Level::Warning, text)))
            } else {
                judge_service(tenant, name, service, state, now)
            };
            if let Some(finding) = finding {
                findings.insert(service_part(name), (finding, depends));
            }
        }
        let present: Vec<String> = findings.keys().cloned().collect();
        for (_, depends) in findings.values_mut() {
            depends.retain(|part| present.contains(part));
        }
        if instance.site.https != Https::Off && !instance.standby && tenant.rented {
            let asked: Vec<&CertificateReport> = certificates
                .iter()
                .filter(|certificate| is_expected(instance, certificate))
                .collect();
            let finding = judge_certificates(&asked, now.wall);
            findings.insert("certificate".to_owned(), (finding, Vec::new()));
        }
        if instance.export_certificate.is_some() {
            let why = self.exports.get(&instance.name);
            let finding = why.map(|why| (Level::Warning, why.clone()));
            findings.insert("certificate-export".to_owned(), (finding, Vec::new()));
        }
        if let Some(finding) = self.judge_mounts(tenant) {
            findings.insert("certificate-folder".to_owned(), (Some(finding), Vec::new()));
        }
        let inventory = self.listing.inventory.as_deref();
        let stack = inventory.and_then(|all| all.stacks.get(&instance.stack));
        if let Some(finding) = stack.and_then(|stack| judge_together(stack)) {
            findings.insert("databases".to_owned(), (Some(finding), Vec::new()));
        }
        if let Some(why) = tenant.claim.refusal() {
            let finding = Some((Level::Warning, why.to_owned()));
            findings.insert("management".to_owned(), (finding, Vec::new()));
        }
        if !tenant.claims.is_empty() {
            let finding = Some((Level::Warning, together(&tenant.claims)));
            findings.insert("claims".to_owned(), (finding, Vec::new()));
        }
        if let Some(why) = tenant.ignored_labels() {
            findings.insert(
                "labels".to_owned(),
                (Some((Level::Warning, why)), Vec::new()),
            );
        }
        findings.insert("static".to_owned(), (self.judge_static(tenant), Vec::new()));
        if let Some(finding) = self.judge_calendar(tenant, now) {
            findings.insert("calendar".to_owned(), (finding, Vec::new()));
        }
        findings.insert(
            "configuration".to_owned(),
            (self.judge_kept(tenant), Vec::new()),
        );

        let mut parts = Vec::new();
        let mut reasons: Vec<Reason> = Vec::new();
        for (name, (finding, depends_on)) in findings {
            let key = format!("{}/{name}", instance.name);
            let (finding, since) = memory.steadied(&key, finding, now);
            let level = finding.as_ref().map_or(Level::Healthy, |(level, _)| *level);
            parts.push(Part {
                name: name.clone(),
                status: level,
                since,
                depends_on,
            });
            if let Some((status, text)) = finding {
                reasons.push(Reason {
                    part: name,
                    status,
                    text,
                    since,
                    also: Vec::new(),
                });
            }
        }
        gather_consequences(&mut reasons, &parts);
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.status));
        // Nobody expects an answer.
        let silent = instance.standby || tenant.paused || !tenant.rented;
        let level = if silent {
            Level::Healthy
        } else {
            reasons
                .iter()
                .map(|reason| reason.status)
                .max()
                .unwrap_or(Level::Healthy)
        };
        Judged {
            level,
            reasons: if silent { Vec::new() } else { reasons },
            parts,
        }
    }

    /// Whether the next event will find room; `None` while none is near.
    fn judge_calendar(&self, tenant: &Tenant, now: Now) -> Option<Finding> {
        let event = next_event(&tenant.instance.events, now.wall)?;
        let begins = event.start.duration_since(now.wall).unwrap_or_default();
        (begins <= EVENT_IS_NEAR).then(|| {
            let fits = self.event_fits(tenant, event);
            fits.err().map(|why| (Level::Warning, why))
        })
    }

    fn judge_static(&self, tenant: &Tenant) -> Finding {
        let name = &tenant.instance.name;
        let plan = self.plan.instances.get(name)?;
        let seen = || {
            let why = self.unserved.get(name.as_str())?;
            Some((Level::Warning, why.clone()))
        };
        let known = plan.routes.iter().find_map(|route| match &route.target {
            Target::File(FileRoot::Missing(why)) | Target::Files(FileRoot::Missing(why), _) => {
                Some((
                    Level::Warning,
                    format!("{} answers 503: {why}", route.prefix),
                ))
            }
            _ => None,
        });
        known.or_else(seen)
    }

    /// Whether the stack sees the keys of other tenants.
    fn judge_mounts(&self, tenant: &Tenant) -> Option<(Level, String)> {
        // With nobody beside it there is nothing to see.
        if self.tenants.len() < 2 {
            return None;
        }
        let stack = self.listing.inventory.as_deref()?;
        let stack = stack.stacks.get(&tenant.instance.stack)?;
        let units = stack.services.values().flatten();
        judge_folder(units, &self.current.config.certs.dir)
    }

    /// Whether the file says something about this instance that could not be applied.
    fn judge_kept(&self, tenant: &Tenant) -> Finding {
        let key = format!("instance.{}", tenant.instance.name);
        let about = |issue: &&crate::config::Issue| {
            issue.key == key || issue.key.starts_with(&format!("{key}."))
        };
        self.current
            .issues
            .iter()
            .find(about)
            .map(|issue| (Level::Warning, issue.to_string()))
    }
}

fn service_part(name: &ServiceName) -> String {
    format!("service:{name}")
}

/// `None`: it is no part of this stack, and nobody said it should be.
fn judge_service(
    tenant: &Tenant,
    name: &ServiceName,
    service: &Service,
    state: &ServiceState,
    now: Now,
) -> Option<Finding> {
    if state.replicas.is_empty() {
        return judge_absent(tenant, name, service, state);
    }
    let all = state.replicas.len();
    let ready = state
        .replicas
        .values()
        .filter(|replica| replica.state() == State::Ready)
        .count();
    let leaving = state
        .replicas
        .values()
        .filter(|replica| {
            matches!(
                replica.state(),
                State::Draining { .. } | State::Cutting { .. } | State::Stopping { .. }
            )
        })
        .count();
    let bad = all - ready - leaving;
    let worst = state.replicas.values().find(|replica| {
        matches!(replica.state(), State::Unhealthy | State::Failed) || !replica.is_reachable()
    });
    if ready == 0 {
        if worst.is_none() && state.count(|state| state == State::Starting) > 0 {
            return Some(Some((Level::Warning, format!("{name} is starting"))));
        }
        let why = worst.map_or_else(|| "all are leaving".to_owned(), complaint);
        return Some(Some((
            Level::Critical,
            format!("no replica of {name} is ready: {why}"),
        )));
    }
    if let (true, Some(worst)) = (bad > 0, worst) {
        let text = format!("{bad} of {all} {name} replicas: {}", complaint(worst));
        return Some(Some((Level::Warning, text)));
    }
    if state.loops.are_told(now.at) {
        return Some(Some((Level::Warning, format!("{name}: {CAUSE}"))));
    }
    if let Some(trouble) = &state.starts.trouble {
        let text = match service.bounds() {
            Some(_) => format!("no further replica of {name} could be started: {trouble}"),
            None => format!("{name} does not last: {trouble}, three times within five minutes"),
        };
        return Some(Some((Level::Warning, text)));
    }
    if let Some(stuck) = state
        .replicas
        .values()
        .find(|one| is_stuck(tenant, service, one, now))
    {
        let text = format!(
            "{} was told to stop {} min ago and still runs; what does the engine say?",
            stuck.unit.name,
            stuck.been_so_for(now).as_secs() / 60
        );
        return Some(Some((Level::Warning, text)));
    }
    let braked = state
        .decision
        .as_ref()
        .filter(|decision| decision.kept == Some(Kept::NotTheWorkers));
    if let Some(decision) = braked {
        let text = format!("more of {name} would be no help: {decision}");
        return Some(Some((Level::Warning, text)));
    }
    let waits = state
        .waits_since
        .is_some_and(|since| now.at.duration_since(since) > TURN_WITHIN);
    if let (true, Some(decision)) = (waits, &state.decision) {
        let text = format!(
            "{name} has waited for its turn to start for over a minute; what starts on the host does \
             not become ready: {decision}"
        );
        return Some(Some((Level::Warning, text)));
    }
    let short = state
        .decision
        .as_ref()
        .filter(|decision| decision.falls_short());
    Some(short.map(|decision| {
        (
            Level::Warning,
            format!("{name} has fewer replicas than it needs: {decision}"),
        )
    }))
}

/// Whether it has not ended long after the engine should have ended it.
fn is_stuck(tenant: &Tenant, service: &Service, replica: &Replica, now: Now) -> bool {
    let stopping = matches!(replica.state(), State::Stopping { .. });
    let grace = grace(service, tenant.instance.drain.stop);
    stopping && replica.been_so_for(now) > grace + ENDS_WITHIN
}

fn judge_absent(
    tenant: &Tenant,
    name: &ServiceName,
    service: &Service,
    state: &ServiceState,
) -> Option<Finding> {
    if state.laid_down && state.coming {
        return Some(Some((Level::Warning, format!("{name} is starting"))));
    }
    let needed = tenant
        .instance
        .depends
        .values()
        .flatten()
        .any(|needs| needs == name);
    if !state.ended.is_empty() && state.ended.iter().all(|(_, code)| *code == 0) {
        // Whoever does his work once and ends is asked for nothing afterwards. A database that is
        // stopped ends with 0 too, and is missed.
        let once = service.role == Role::Fixed && !needed && service.probe.is_none();
        return Some((!once).then(|| (Level::Critical, format!("{name} was stopped"))));
    }
    if let Some((container, code)) = state.ended.first() {
        let text = format!("{container} ended with exit code {code}");
        return Some(Some((Level::Critical, text)));
    }
    if let Some(trouble) = &state.starts.trouble {
        return Some(Some((
            Level::Critical,
            format!("{name} does not start: {trouble}"),
        )));
    }
    match (&service.role, service.expected) {
        (Role::Fixed, false) => None,
        (Role::Fixed, true) if !needed && tenant.stack_exists() => Some(Some((
            Level::Warning,
            format!("the stack has no service {name}"),
        ))),
        _ if !tenant.stack_exists() => Some(Some((
            Level::Critical,
            format!("the stack {} does not run", tenant.instance.stack),
        ))),
        _ => Some(Some((
            Level::Critical,
            format!("the stack has no service {name}"),
        ))),
    }
}

/// What is wrong with one replica, in words.
fn complaint(replica: &Replica) -> String {
    let name = &replica.unit.name;
    if let Reach::Unreachable { why, .. } = &replica.unit.reach {
        return format!("{name} cannot be reached: {why}");
    }
    match replica.health.last_failure() {
        Some(failure) => format!("{name} does not answer its probe: {failure}"),
        None if replica.unit.health == Some(false) => {
            format!("{name} is unhealthy by its own health check")
        }
        None => format!("{name} is {}", replica.state().word()),
    }
}

/// Moves what follows from a critical part under the reason for that part.
fn gather_consequences(reasons: &mut Vec<Reason>, parts: &[Part]) {
    let causes: Vec<Option<usize>> = reasons
        .iter()
        .map(|reason| {
            let part = parts.iter().find(|part| part.name == reason.part)?;
            reasons.iter().position(|other| {
                other.status == Level::Critical && part.depends_on.contains(&other.part)
            })
        })
        .collect();
    // Only a reason without a cause of its own gathers; in a circle everybody speaks for himself.
    let root = |index: usize| {
        let cause = causes.get(index).copied().flatten()?;
        causes
            .get(cause)
            .is_some_and(Option::is_none)
            .then_some(cause)
    };
    let texts: Vec<String> = reasons.iter().map(|reason| reason.text.clone()).collect();
    for (index, text) in texts.into_iter().enumerate() {
        if let Some(cause) = root(index).and_then(|cause| reasons.get_mut(cause))
            && cause.text != text
            && !cause.also.contains(&text)
        {
            cause.also.push(text);
        }
    }
    let mut index = 0;
    reasons.retain(|_| {
        let keep = root(index).is_none();
        index += 1;
        keep
    });
}

//! The controller: takes events in, and says what must be done.
//!
//! No IO, no clock, no failure: the same state, moment and event give the same actions. Bad input
//! becomes a sentence in the status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::warn;

use super::event::{Command, Event, Now, Wish};
use super::guard::Guard;
use super::kept::Kept;
use super::loops;
use super::rebuild::{Built, Fitted};
use super::room::{Census, Room};
use super::status::{Memory, Shown, Totals};
use super::tenant::Tenant;
use super::touched::{Stale, Touched};
use crate::autoscaler::Resources;
use crate::compat::Compat;
use crate::config::watch::Current;
use crate::engine::{Action, Listing};
use crate::host::Host;
use crate::moment;
use crate::names::{InstanceName, StackName};
use crate::plan::{Certificates, Plan, Report, Wanted};
use crate::prober::Targets;

/// A report older than this says nothing about now.
const REPORT_GOOD_FOR: Duration = Duration::from_secs(4);
/// Everybody is looked at as often, whatever happens.
const EVERYBODY_EVERY: Duration = Duration::from_millis(900);
/// Everybody is brought in line with the listing as often: a little less than the engine is listed
/// of itself. Listings after events come many times a second and are about those they differ in.
const RELISTED_EVERY: Duration = Duration::from_secs(25);

/// Everything the control plane knows.
#[derive(Debug)]
pub struct Controller {
    pub(super) current: Current,
    pub(super) engine: EngineFacts,
    pub(super) listing: Listing,
    pub(super) tenants: BTreeMap<InstanceName, Tenant>,
    pub(super) targets: Arc<Targets>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) shown: Shown,
    /// What tenants were last brought in line with.
    pub(super) built: Built,
    /// What the entries for many make of stacks.
    pub(super) fitted: BTreeMap<StackName, Fitted>,
    /// Stacks that an entry for many fits and that cannot become instances, with the reason.
    pub(super) misfits: BTreeMap<StackName, String>,
    pub(super) compat: Compat,
    /// What was said about the claims of containers, so that it is logged once.
    pub(super) told: BTreeSet<String>,
    /// As `told`, about proxies that run beside usher.
    pub(super) told_beside: Vec<String>,
    pub(super) report: Arc<Report>,
    /// Of all instances in it.
    pub(super) totals: Totals,
    pub(super) certificates: Arc<Certificates>,
    /// Certificates that could not be exported, and why.
    pub(super) exports: Arc<BTreeMap<InstanceName, String>>,
    /// Files that cannot be served, and why.
    pub(super) unserved: Arc<BTreeMap<String, String>>,
    /// Receivers of alerts that cannot be told, and why.
    pub(super) undelivered: Arc<BTreeMap<String, String>>,
    /// Why the state cannot be kept on disk, while it cannot.
    pub(super) unkept: Option<String>,
    pub(super) host: Host,
    pub(super) plan: Arc<Plan>,
    pub(super) memory: Memory,
    /// Networks an action is about, and when it may be tried again.
    pub(super) networks: BTreeMap<String, Option<Instant>>,
    /// What replicas may still take. `None`: nobody knows.
    pub(super) room: Option<Room>,
    /// What was started since the last look at the host.
    pub(super) started: Resources,
    pub(super) census: Census,
    /// When replicas were last given their share of the processors.
    pub(super) weighed_at: Option<Instant>,
    pub(super) guard: Guard,
    /// Stacks that are this usher's to change.
    pub(super) leases: BTreeSet<StackName>,
    reported_at: Option<Instant>,
    /// What the stages have not looked at yet.
    pub(super) stale: Stale,
    /// When everybody was looked at last.
    all_settled_at: Option<Instant>,
    /// When everybody was brought in line with a listing.
    all_listed_at: Option<Instant>,
    /// What an earlier process kept of instances that are not there yet.
    pub(super) kept: Kept,
    /// When usher did.
    pub(super) began: SystemTime,
}

/// What the controller has to know of its engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineFacts {
    pub kind: &'static str,
    /// Whether a service without any replica can be started. A Compose service without one was
    /// stopped by its operator, and there is nothing to copy.
    pub starts_from_nothing: bool,
    /// Whether another usher may command the same engine.
    pub shared: bool,
    /// How long a stack has to be left alone by others before usher adds to it; see [`QUIET`].
    pub quiet: Duration,
}

/// After somebody else made or removed containers of a stack, usher adds none for this long: a
/// deployment is under way, and a sibling made now would be one of the old.
pub const QUIET: Duration = Duration::from_secs(30);

impl Controller {
    pub fn new(current: Current, engine: EngineFacts, now: Now) -> Self {
        let mut controller = Self {
            current,
            engine,
            listing: Listing {
                inventory: None,
                last_sync: None,
                error: None,
            },
            tenants: BTreeMap::new(),
            targets: Arc::default(),
            wanted: Arc::default(),
            shown: Shown::default(),
            built: Built::default(),
            fitted: BTreeMap::new(),
            misfits: BTreeMap::new(),
            compat: Compat::default(),
            told: BTreeSet::new(),
            told_beside: Vec::new(),
            report: Arc::default(),
            totals: Totals::default(),
            certificates: Arc::default(),
            exports: Arc::default(),
            unserved: Arc::default(),
            undelivered: Arc::default(),
            unkept: None,
            host: Host::default(),
            plan: Arc::default(),
            memory: Memory::new(now),
            networks: BTreeMap::new(),
            room: None,
            started: Resources::default(),
            census: Census::default(),
            weighed_at: None,
            guard: Guard::default(),
            leases: BTreeSet::new(),
            reported_at: None,
            stale: Stale::everything(),
            all_settled_at: None,
            all_listed_at: None,
            kept: Kept::default(),
            began: now.wall,
        };
        controller.rebuild(now, true);
        controller
    }

    /// Takes one event in.
    pub fn take(&mut self, now: Now, event: Event) {
        match &event {
            // These say themselves whom they are about.
            Event::Acted(_)
            | Event::Certificates(_)
            | Event::Listing(_)
            | Event::Probe(_)
            | Event::Report(_) => {}
            // The next look at everybody is soon enough.
            Event::Metered(_) => {}
            Event::Tick if self.is_recent(now) => {}
            _ => self.stale = Stale::everything(),
        }
        match event {
            Event::Acted(acted) => self.acted(now, acted),
            Event::Alerts(undelivered) => self.undelivered = undelivered,
            Event::Certificates(certificates) => self.heed_certificates(certificates),
            Event::Command(Command { wish, reply }) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.obey(now, &wish));
            }
            Event::Config(current) => {
                self.current = current;
                let tenants = self.tenants.values_mut();
                for service in tenants.flat_map(|tenant| tenant.services.values_mut()) {
                    service.starts.has_changed();
                }
                self.rebuild(now, true);
            }
            Event::Exports(exports) => self.exports = exports,
            Event::Files(unserved) => self.unserved = unserved,
            Event::Listing(listing) => self.list(now, listing),
            Event::Host(host) => {
                self.host = host;
                self.started = Resources::default();
                self.room = self.room_now(now);
            }
            Event::Metered(metered) => self.meter(now, metered),
            Event::Probe(outcome) => {
                let subject = &outcome.subject;
                let service = self
                    .tenants
                    .get_mut(&subject.instance)
                    .and_then(|tenant| tenant.services.get_mut(&subject.service));
                // Most say what was known.
                if let Some(service) = service
                    && service.observe(&subject.replica, outcome.result, now)
                {
                    self.stale.touch(&subject.instance);
                }
            }
            Event::Report(report) => self.heed_report(now, report),
            Event::State(why) => self.unkept = why,
            Event::Tick => {
                if self.compat.again_at().is_some_and(|at| at <= now.at) {
                    self.rebuild(now, true);
                }
            }
        }
    }

    /// Whether everybody was looked at less than a second ago: a report does what a tick would.
    fn is_recent(&self, now: Now) -> bool {
        let passed = self.all_settled_at.map(|at| now.at.duration_since(at));
        passed.is_some_and(|passed| passed < EVERYBODY_EVERY)
    }

    fn list(&mut self, now: Now, listing: Listing) {
        let (known, new) = (&self.listing.inventory, &listing.inventory);
        let is_same = match (known, new) {
            (Some(known), Some(new)) => Arc::ptr_eq(known, new),
            _ => false,
        };
        let passed = self.all_listed_at.map(|at| now.at.duration_since(at));
        // Whether the engine answers and who orders certificates beside usher concerns everybody.
        let all = passed.is_none_or(|passed| passed >= RELISTED_EVERY)
            || self.listing.error != listing.error
            || match (known, new) {
                (Some(known), Some(new)) => {
                    known.superseded != new.superseded || known.published != new.published
                }
                _ => true,
            };
        self.listing = listing;
        if !all && is_same {
            return;
        }
        if all {
            self.all_listed_at = Some(now.at);
        }
        self.rebuild(now, all);
        self.heed_lost_leases(now);
        self.stale.doors = true;
    }

    fn heed_certificates(&mut self, certificates: Arc<Certificates>) {
        let before = std::mem::replace(&mut self.certificates, certificates);
        for found in before.differences(&self.certificates) {
            self.stale.touch(found.name);
        }
    }

    /// Takes the newest counts in. An instance that is reported by the same value as before has not
    /// been counted anew.
    fn heed_report(&mut self, now: Now, report: Arc<Report>) {
        let before = std::mem::replace(&mut self.report, report);
        self.reported_at = Some(now.at);
        let empty = Arc::default();
        let mut counted = 0;
        for found in before.instances.differences(&self.report.instances) {
            let name = found.name;
            found
                .before
                .iter()
                .for_each(|old| self.totals.subtract(old));
            found.now.iter().for_each(|new| self.totals.add(new));
            let Some(tenant) = self.tenants.get_mut(name) else {
                continue;
            };
            counted += 1;
            self.stale.touch(name);
            let report = found.now.unwrap_or(&empty);
            tenant.visits.count(report);
            for (service, state) in &mut tenant.services {
                state.load(report);
                if let Some(totals) = report.services.get(service)
                    && state.count_totals(totals, now)
                {
                    warn!(instance = %name, %service, reason = loops::CAUSE, "requests go round");
                }
            }
        }
        if counted == self.tenants.len() {
            self.stale = Stale::everything();
        }
    }

    /// Whether anything has happened that somebody has to look at.
    pub fn has_news(&self) -> bool {
        self.stale.has_news()
    }

    /// Says what must be done now. Called after the events of a moment have been taken in.
    pub fn settle(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let next = self.plan.generation.next();
        let frozen = self.listing.inventory.is_none() || self.listing.error.is_some();
        // The engine has not been listed yet, and nothing says that it cannot be.
        let unknown = self.listing.inventory.is_none() && self.listing.error.is_none();
        let fresh = self
            .reported_at
            .is_some_and(|at| now.at.duration_since(at) <= REPORT_GOOD_FOR);
        let turned = |tenant: &Tenant| tenant.rented != tenant.is_rented_at(now.wall);
        if self.stale.settle.is_everybody() && self.tenants.values().any(turned) {
            self.rebuild(now, true);
        }
        let mut touched = self.stale.settle.take();
        // Of whom nothing is scaled takes nothing of the host, and gets nothing.
        let scales = touched.is_everybody()
            || touched
                .of(&self.tenants)
                .any(|(_, tenant)| tenant.is_changed_here());
        if scales {
            self.room = self.room_now(now);
        }
        self.decide(&touched, now, fresh);
        if scales && !touched.is_everybody() && self.is_full() {
            // What one gets of a full host is taken from others.
            let others = touched.others(self.tenants.keys());
            self.decide(&others, now, fresh);
            self.stale = Stale::everything();
            touched = self.stale.settle.take();
        }
        if touched.is_everybody() {
            self.all_settled_at = Some(now.at);
        }
        if scales {
            self.share_host(now.wall);
        }
        let today = moment::text(now.wall);
        // RFC 3339: the year and the month.
        let month = today.get(..7).unwrap_or_default();
        touched.each(&mut self.tenants, |_, tenant| {
            if tenant.is_scaled() {
                let running = tenant.replicas_running();
                tenant.ledger.count(running, month, now);
            }
        });
        // Without the engine nothing can be started, and acting on a stale listing would be acting
        // blindly.
        if scales && !frozen {
            let engine = self.engine;
            let mut allowance = self.allowance(now);
            for name in self.by_turn(&touched, now.wall) {
                if let Some(tenant) = self.tenants.get_mut(&name) {
                    tenant.scale(now, next, engine, &mut allowance, &mut actions);
                }
            }
            self.settle_allowance(&allowance, now);
        }
        if !frozen && touched.is_everybody() {
            self.give_leases_back(&mut actions);
            self.weigh(now, &mut actions);
        }
        let (report, engine) = (&self.report, self.engine);
        touched.each(&mut self.tenants, |_, tenant| {
            // What is another's to change is not stopped here.
            let barred = frozen || (engine.shared && !tenant.is_held());
            tenant.advance_drains(now, next, report, barred, &mut actions);
            tenant.foresee(now, unknown, engine);
        });
        if !frozen && !touched.is_nobody() {
            self.settle_networks(&touched, now, &mut actions);
        }
        actions
    }

    fn decide(&mut self, touched: &Touched, now: Now, fresh: bool) {
        // The history that decisions need is kept whether or not they can be carried out.
        let decides = self.listing.inventory.is_some();
        touched.each(&mut self.tenants, |_, tenant| {
            tenant.watch(now);
            if decides {
                tenant.decide(now, fresh);
            }
        });
    }

    fn obey(&mut self, now: Now, wish: &Wish) -> Result<String, String> {
        let next = self.plan.generation.next();
        let (Wish::Auto { instance }
        | Wish::Drain { instance, .. }
        | Wish::Pause { instance }
        | Wish::Resume { instance }
        | Wish::Scale { instance, .. }
        | Wish::Start { instance, .. }
        | Wish::Stop { instance, .. }) = wish;
        let engine = self.engine;
        let Some(tenant) = self.tenants.get_mut(instance) else {
            let known: Vec<_> = self.tenants.keys().map(InstanceName::as_str).collect();
            return Err(format!(
                "there is no instance `{instance}`; there is {}",
                known.join(", ")
            ));
        };
        match wish {
            Wish::Auto { .. } => {
                for service in tenant.services.values_mut() {
                    service.over = None;
                    service.starts.has_changed();
                }
                Ok(format!("{instance}: the autoscaler decides"))
            }
            Wish::Drain {
                service, replica, ..
            } => tenant.dismiss(now, next, service, replica),
            Wish::Pause { .. } => Ok(tenant.pause(true)),
            Wish::Resume { .. } => Ok(tenant.pause(false)),
            Wish::Scale {
                service,
                replicas,
                span,
                ..
            } => tenant.override_with(now, service, *replicas, *span),
            Wish::Start { service, .. } => {
                tenant.start_fixed(now, service, engine.starts_from_nothing)
            }
            Wish::Stop { service, .. } => tenant.stop_fixed(now, next, service),
        }
    }
}

/// Sentences as one, the first of them if there are many.
pub(super) fn together(sentences: &[String]) -> String {
    const SHOWN: usize = 3;
    let (shown, more) = sentences.split_at(sentences.len().min(SHOWN));
    let mut text = shown.join("; ");
    if !more.is_empty() {
        text.push_str(&format!("; and {} more, see the log", more.len()));
    }
    text
}

#[cfg(test)]
mod tests;

//! One instance and the stack it stands for: listed and watched. How it is scaled is in `scaling`, how its
//! drains end in `drains`, what operators ask of it in `wishes`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{info, warn};

use super::claim::Claim;
use super::event::Now;
use super::facts::EngineFacts;
use super::ledger::Ledger;
use super::outgoing::reach::{OwnPorts, bar_impostors};
use super::replica::{Replica, State};
use super::scaler::Scaler;
use super::sentences::together;
use super::service::ServiceState;
use crate::autoscaler::Kind;
use crate::config::Instance;
use crate::config::model::{Role, RouteTarget, ScaleMode, Service};
use crate::inventory::{Origin, Phase, Reach, Stack, Unit};
use crate::names::{Generation, ReplicaId, ServiceName};
use crate::plan::InstanceReport;

/// Requests that say that somebody is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Visits {
    /// In flight.
    pub(super) now: u32,
    /// Since the last decision.
    pub(super) new: u32,
    known: u64,
}

impl Visits {
    /// Takes the newest counts in.
    pub(super) fn count(&mut self, report: &InstanceReport) {
        self.now = report.visitors;
        // Fewer than before: they are counted anew.
        let new = report.visits.checked_sub(self.known);
        let new = u32::try_from(new.unwrap_or(report.visits)).unwrap_or(u32::MAX);
        self.new = self.new.saturating_add(new);
        self.known = report.visits;
    }
}

/// One instance and its stack.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) instance: Arc<Instance>,
    pub(super) services: BTreeMap<ServiceName, ServiceState>,
    pub(super) scaler: Scaler,
    pub(super) ledger: Ledger,
    /// As it was listed last.
    stack: Option<Arc<Stack>>,
    /// An operator lets nothing new through.
    pub(super) paused: bool,
    pub(super) claim: Claim,
    /// Whether it is within its rental; without one it always is.
    pub(super) rented: bool,
    pub(super) visits: Visits,
    /// Whether its replicas have been seen at all.
    looked_at: bool,
    /// What its containers claim and do not get.
    pub(super) claims: Arc<[String]>,
    /// Labels for usher that its containers have and that mean nothing.
    pub(super) unknown_labels: BTreeSet<String>,
    /// No starts before this.
    quiet_until: Option<Instant>,
    /// What was removed is expected back before this.
    deployed_until: Option<Instant>,
    /// When one of those that follow others was last seen to be stopped.
    pub(super) follower_stopped: Option<Instant>,
}

impl Tenant {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        Self {
            scaler: Scaler::new(&instance),
            ledger: Ledger::default(),
            instance,
            services: BTreeMap::new(),
            stack: None,
            paused: false,
            claim: Claim::Unasked,
            rented: true,
            visits: Visits::default(),
            looked_at: false,
            claims: Arc::default(),
            unknown_labels: BTreeSet::new(),
            quiet_until: None,
            deployed_until: None,
            follower_stopped: None,
        }
    }

    pub(super) fn stack_exists(&self) -> bool {
        self.stack.is_some()
    }

    /// Says what there is now.
    pub(super) fn pause(&mut self, paused: bool) -> String {
        let name = &self.instance.name;
        let already = if self.paused == paused {
            " already"
        } else {
            ""
        };
        self.paused = paused;
        if paused {
            format!("{name}: paused{already}; what is open goes on, what is new waits")
        } else {
            format!("{name}: serves{already}")
        }
    }

    /// `quiet`: how long nothing is added after somebody else changed the stack. `own`: the ports that
    /// lead to usher.
    pub(super) fn list(
        &mut self,
        stack: Option<&Arc<Stack>>,
        now: Now,
        next: Generation,
        quiet: Duration,
        own: &OwnPorts,
    ) {
        let existed = self.stack.is_some();
        self.stack = stack.cloned();
        let stack = self.stack.clone().unwrap_or_default();
        let instance = Arc::clone(&self.instance);
        self.rented = self.is_rented_at(now.wall);
        if self.unknown_labels != stack.unknown_labels {
            self.unknown_labels = stack.unknown_labels.clone();
            if let Some(reason) = self.ignored_labels() {
                warn!(instance = %instance.name, %reason, "labels of containers");
            }
        }
        self.services
            .retain(|name, _| instance.services.contains_key(name));
        let mut stopped = false;
        let mut replaced = false;
        for (name, service) in &instance.services {
            let state = self.services.entry(name.clone()).or_default();
            let mut units = stack.services.get(name).cloned().unwrap_or_default();
            let routes = instance.routes.iter();
            let routed = routes
                .filter(|route| matches!(&route.target, RouteTarget::Service(to) if to == name))
                .filter_map(|route| route.upstream.port);
            bar_impostors(&mut units, service, routed, own);
            // Outside the rental an address is as good as withdrawn.
            if self.rented {
                units.extend(fixed_units(service, now.wall));
            }
            let withdrawn = withdrawn(state, &units);
            units.extend(withdrawn.iter().cloned());
            let disturbance = state.list(&units, service, now, next, quiet);
            stopped |= disturbance.stopped;
            replaced |= disturbance.replaced;
            state.drain_withdrawn(&withdrawn, service, now, next);
            if let Some(count) = stack
                .counts
                .get(name)
                .filter(|_| service.bounds().is_some())
            {
                state.heed(*count, now);
            }
        }
        if stopped || replaced {
            info!(instance = %instance.name, replaced, "replicas were changed by somebody else");
            self.quiet_until = Some(now.at + quiet);
        }
        if replaced {
            self.deployed_until = self.quiet_until;
        }
        if existed && self.stack.is_none() {
            self.forget();
        }
    }

    /// Whether there is nothing new about it.
    pub(super) fn is_as(
        &self,
        instance: &Arc<Instance>,
        stack: Option<&Arc<Stack>>,
        claims: &Arc<[String]>,
    ) -> bool {
        Arc::ptr_eq(&self.instance, instance)
            && self.stack.as_ref() == stack
            && (Arc::ptr_eq(&self.claims, claims) || self.claims == *claims)
    }

    /// What its containers ask for by labels that nobody reads.
    pub(super) fn ignored_labels(&self) -> Option<String> {
        let labels: Vec<String> = self
            .unknown_labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        (!labels.is_empty()).then(|| {
            format!(
                "labels that usher does not know are ignored ({}); what a stack may have is said in \
                 its `[[instance]]`, and by label only `usher.autoscale`",
                together(&labels)
            )
        })
    }

    /// The stack was taken down: what comes under its name is another one. An operator's number
    /// is about the service and stays.
    fn forget(&mut self) {
        info!(instance = %self.instance.name, stack = %self.instance.stack, "the stack is gone");
        self.quiet_until = None;
        self.deployed_until = None;
        for state in self.services.values_mut() {
            if state.replicas.is_empty() {
                let over = std::mem::take(state).over;
                state.over = over;
            }
        }
    }

    /// Whether it is rented at this moment.
    pub(super) fn is_rented_at(&self, wall: SystemTime) -> bool {
        let rental = self.instance.rental;
        rental.is_none_or(|rental| rental.includes(wall))
    }

    /// Takes a new configuration; what is known of the past stays.
    pub(super) fn configure(&mut self, instance: Arc<Instance>) {
        if *self.instance != *instance {
            self.scaler.configure(&instance);
        }
        self.instance = instance;
    }

    /// Notices what time alone changes.
    pub(super) fn watch(&mut self, now: Now) {
        for (name, state) in &mut self.services {
            state.forgive(now);
            if let Some(wish) = state.heed_what_was_done_by_hand(now) {
                let instance = &self.instance.name;
                info!(%instance, service = %name, ?wish, "replicas were changed by hand; that counts for half an hour, or until `usher auto`");
            }
            if state
                .over
                .is_some_and(|over| over.until.is_some_and(|until| until.at <= now.at))
            {
                state.over = None;
            }
            let late = state
                .replicas
                .values_mut()
                .filter(|replica| replica.is_reachable())
                .filter_map(|replica| replica.fail_if_late(now).then_some(&*replica))
                .filter(|replica| matches!(replica.unit.origin, Origin::Added { .. }))
                .map(|replica| {
                    let why = replica.health.last_failure().unwrap_or("it never answered");
                    format!("{} did not become ready: {why}", replica.unit.name)
                })
                .last();
            if let Some(why) = late {
                state.starts.stillborn(now, why);
            }
        }
    }

    /// Foresees what requests will find, once everything of this moment is decided and ordered.
    /// `unknown`: the engine has not been listed yet.
    pub(super) fn foresee(&mut self, now: Now, unknown: bool, engine: EngineFacts) {
        // Somebody else removed replicas of a stack that is still there: a deployment, mostly.
        let deployed =
            self.deployed_until.is_some_and(|until| until > now.at) && self.stack_exists();
        let asleep = self.is_asleep();
        let services = &self.scaler.policy.services;
        let is_scaled = |name: &ServiceName| {
            let mut services = services.iter();
            services.any(|one| *one.name == *name.as_str() && one.kind != Kind::Fixed)
        };
        // Who put it to rest before usher was started anew, nobody knows any more.
        let first = !self.looked_at && !unknown;
        self.looked_at |= first;
        let found_at_rest = first
            && self.instance.rental.is_some()
            && self
                .services
                .iter()
                .all(|(name, state)| !is_scaled(name) || state.replicas.is_empty());
        let resting = asleep || !self.rented;
        for (name, state) in &mut self.services {
            if is_scaled(name) {
                state.laid_down |= found_at_rest;
                state.foresee(now, resting, asleep, engine.starts_from_nothing);
            } else {
                state.coming = state.is_coming(now);
            }
            state.coming |= unknown || deployed;
        }
    }

    /// Whether anything of it is scaled at all.
    pub(super) fn is_scaled(&self) -> bool {
        !self.instance.standby && self.instance.scale.mode != ScaleMode::Off
    }

    /// Whether nobody has come for long, and nothing is to run until somebody does.
    pub(super) fn is_asleep(&self) -> bool {
        // Whoever only recommends leaves everything running.
        let acts = !self.instance.standby && self.instance.scale.mode == ScaleMode::Auto;
        acts && self.rented && self.scaler.state.is_asleep()
    }

    /// Whether an operator waits for something to be started or stopped.
    pub(super) fn was_told(&self) -> bool {
        self.services.values().any(|state| state.told.is_some())
    }

    pub(super) fn replicas(&self, service: &ServiceName) -> impl Iterator<Item = &Replica> {
        self.services
            .get(service)
            .into_iter()
            .flat_map(|state| state.replicas.values())
    }

    /// Replicas that are ready of the services that follow this one, if any do.
    pub(super) fn workers_of(&self, leader: &ServiceName) -> Option<u32> {
        let services = self.instance.services.iter();
        let follows = |role: &Role| matches!(role, Role::Ratio { of, .. } if of == leader);
        services
            .filter(|(_, service)| follows(&service.role))
            .map(|(name, _)| {
                let state = self.services.get(name);
                state.map_or(0, |state| state.count(|state| state == State::Ready))
            })
            .reduce(u32::saturating_add)
    }

    /// What it scales.
    pub(super) fn scaled_services(&self) -> impl Iterator<Item = (&Service, &ServiceState)> {
        let policies = self.scaler.policy.services.iter();
        policies
            .filter(|policy| policy.kind != Kind::Fixed)
            .filter_map(|policy| {
                let service = self.instance.services.get(&*policy.name)?;
                Some((service, self.services.get(&*policy.name)?))
            })
    }

    /// Whether somebody else has just changed the stack.
    pub(super) fn is_quiet(&self, now: Now) -> bool {
        self.quiet_until.is_some_and(|until| until > now.at)
    }
}

/// Replicas that no engine manages are listed as if one did.
fn fixed_units(service: &Service, wall: SystemTime) -> Vec<Unit> {
    service
        .addresses
        .iter()
        .map(|address| Unit {
            id: ReplicaId::new(&address.to_string(), u64::from(address.port())),
            name: address.to_string(),
            image: String::new(),
            make: String::new(),
            phase: Phase::Running,
            dismissed: false,
            since: wall,
            reach: Reach::At(address.ip()),
            networks: Vec::new(),
            ports: vec![address.port()],
            mounts: Vec::new(),
            health: None,
            origin: Origin::Fixed,
            task: None,
            claims: Arc::default(),
        })
        .collect()
}

/// Addresses that are no longer declared, and that visitors may still be connected to.
fn withdrawn(state: &ServiceState, units: &[Unit]) -> Vec<Unit> {
    state
        .replicas
        .values()
        .map(|replica| &replica.unit)
        .filter(|unit| unit.origin == Origin::Fixed)
        .filter(|unit| !units.iter().any(|listed| listed.id == unit.id))
        .cloned()
        .collect()
}

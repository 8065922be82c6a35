//! The controller: takes events in, and says what must be done.
//!
//! No IO, no clock, no failure: the same state, moment and event give the same actions. Bad input
//! becomes a sentence in the status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::info;

use super::event::{Command, Event, Now, Wish};
use super::replica::{State, Who};
use super::service::{Override, ServiceState};
use super::status::Memory;
use crate::autoscaler::{self, Decision, Direction};
use crate::config::model::{Role, ScaleMode, Service};
use crate::config::watch::Current;
use crate::config::{Instance, Issue};
use crate::engine::act::Acted;
use crate::engine::{Action, Listing};
use crate::host::Host;
use crate::inventory::{Inventory, Origin, Phase, Reach, Stack, Unit};
use crate::names::{Domain, Generation, InstanceName, ReplicaId, ServiceName, StackName};
use crate::plan::{CertificateReport, Plan, Report};

/// After somebody else removed containers of a stack, usher adds none for this long: a deployment
/// is under way, and a sibling made now would be one of the old.
const QUIET: Duration = Duration::from_secs(30);
/// A report older than this says nothing about now.
const REPORT_GOOD_FOR: Duration = Duration::from_secs(4);
/// After a network could not be joined or left.
const NETWORK_BACKOFF: Duration = Duration::from_secs(10);

/// Everything the control plane knows.
#[derive(Debug)]
pub struct Controller {
    pub(super) current: Current,
    pub(super) engine: EngineFacts,
    pub(super) listing: Listing,
    pub(super) tenants: BTreeMap<InstanceName, Tenant>,
    /// Stacks that an entry for many fits and that cannot become instances, with the reason.
    pub(super) misfits: BTreeMap<StackName, String>,
    pub(super) report: Arc<Report>,
    pub(super) certificates: Arc<[CertificateReport]>,
    pub(super) host: Host,
    pub(super) plan: Arc<Plan>,
    pub(super) memory: Memory,
    /// Networks an action is about, and when it may be tried again.
    networks: BTreeMap<String, Option<Instant>>,
    reported_at: Option<Instant>,
}

/// What the controller has to know of its engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineFacts {
    pub kind: &'static str,
    /// Whether a service without any replica can be started. A Compose service without one was
    /// stopped by its operator, and there is nothing to copy.
    pub starts_from_nothing: bool,
}

/// One instance and its stack.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) instance: Arc<Instance>,
    pub(super) services: BTreeMap<ServiceName, ServiceState>,
    pub(super) stack_exists: bool,
    /// No starts before this.
    quiet_until: Option<Instant>,
}

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
            misfits: BTreeMap::new(),
            report: Arc::default(),
            certificates: Arc::from([]),
            host: Host::default(),
            plan: Arc::default(),
            memory: Memory::new(now),
            networks: BTreeMap::new(),
            reported_at: None,
        };
        controller.rebuild(now);
        controller
    }

    /// Takes one event in.
    pub fn take(&mut self, now: Now, event: Event) {
        match event {
            Event::Acted(acted) => self.acted(now, acted),
            Event::Certificates(certificates) => self.certificates = certificates,
            Event::Command(Command { wish, reply }) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.obey(now, &wish));
            }
            Event::Config(current) => {
                self.current = current;
                self.rebuild(now);
            }
            Event::Listing(listing) => {
                self.listing = listing;
                self.rebuild(now);
            }
            Event::Host(host) => self.host = host,
            Event::Probe(outcome) => {
                let replica = self
                    .tenants
                    .values_mut()
                    .flat_map(|tenant| tenant.services.values_mut())
                    .find_map(|service| service.replicas.get_mut(&outcome.replica));
                if let Some(replica) = replica {
                    replica.observe(outcome.result, now);
                }
            }
            Event::Report(report) => {
                self.report = report;
                self.reported_at = Some(now.at);
                let empty = crate::plan::InstanceReport::default();
                for (name, tenant) in &mut self.tenants {
                    let report = self.report.instances.get(name).unwrap_or(&empty);
                    for service in tenant.services.values_mut() {
                        service.load(report);
                    }
                }
            }
            Event::Tick => {}
        }
    }

    /// Says what must be done now. Called after the events of a moment have been taken in.
    pub fn settle(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let next = self.plan.generation.next();
        let frozen = self.listing.inventory.is_none() || self.listing.error.is_some();
        let fresh = self
            .reported_at
            .is_some_and(|at| now.at.duration_since(at) <= REPORT_GOOD_FOR);
        for tenant in self.tenants.values_mut() {
            tenant.watch(now, fresh);
            if frozen {
                // Without the engine nothing can be started or stopped, and deciding on a stale
                // listing would be deciding blindly.
                continue;
            }
            tenant.scale(now, next, self.engine, &mut actions);
            tenant.advance_drains(now, next, &self.report, &mut actions);
        }
        if !frozen {
            self.settle_networks(now, &mut actions);
        }
        actions
    }

    /// Brings tenants and replicas in line with the newest configuration and listing.
    fn rebuild(&mut self, now: Now) {
        let inventory = self.listing.inventory.clone().unwrap_or_default();
        let wanted = self.wanted(&inventory);
        self.tenants.retain(|name, _| wanted.contains_key(name));
        let next = self.plan.generation.next();
        let silent = Stack::default();
        for (name, instance) in wanted {
            let stack = inventory.stacks.get(&instance.stack);
            let tenant = self.tenants.entry(name).or_insert_with(|| Tenant {
                instance: Arc::clone(&instance),
                services: BTreeMap::new(),
                stack_exists: false,
                quiet_until: None,
            });
            tenant.instance = instance;
            tenant.stack_exists = stack.is_some();
            tenant.list(stack.unwrap_or(&silent), now, next);
        }
    }

    /// The declared instances, and those that stacks become by an entry for many.
    fn wanted(&mut self, inventory: &Inventory) -> BTreeMap<InstanceName, Arc<Instance>> {
        let config = Arc::clone(&self.current.config);
        let mut wanted = config.instances.clone();
        let mut taken: BTreeSet<Domain> = config.served_names();
        self.misfits.clear();
        for (stack, content) in &inventory.stacks {
            let made = config.instance_by_pattern(stack, content.services.keys());
            let instance = match made {
                None => continue,
                Some(Ok(instance)) => instance,
                Some(Err(issues)) => {
                    let text: Vec<_> = issues.iter().map(Issue::to_string).collect();
                    self.misfits.insert(stack.clone(), text.join("; "));
                    continue;
                }
            };
            if wanted.contains_key(&instance.name) {
                let text = format!("an instance `{}` with another stack exists", instance.name);
                self.misfits.insert(stack.clone(), text);
                continue;
            }
            let claimed = instance
                .site
                .domains
                .iter()
                .find(|domain| taken.contains(domain));
            if let Some(domain) = claimed {
                let text = format!("`{domain}` belongs to another instance");
                self.misfits.insert(stack.clone(), text);
                continue;
            }
            taken.extend(instance.site.domains.iter().cloned());
            // An equal instance keeps its allocation, and with it its plan and table.
            let known = self
                .tenants
                .get(&instance.name)
                .filter(|tenant| *tenant.instance == instance)
                .map(|tenant| Arc::clone(&tenant.instance));
            let instance = known.unwrap_or_else(|| Arc::new(instance));
            wanted.insert(instance.name.clone(), instance);
        }
        wanted
    }

    fn acted(&mut self, now: Now, acted: Acted) {
        let Acted { action, result } = acted;
        match &action {
            Action::Join { network, .. } | Action::Leave { network } => {
                let again = result.is_err().then(|| now.at + NETWORK_BACKOFF);
                match again {
                    Some(_) => self.networks.insert(network.id.clone(), again),
                    None => self.networks.remove(&network.id),
                };
            }
            Action::Start { stack, service, .. } => {
                if let Some(service) = self.service_mut(stack, service) {
                    match result {
                        Ok(()) => service.starts.succeeded(now),
                        Err(failure) => service.starts.failed(now, failure.text, failure.passing),
                    }
                }
            }
            Action::Stop {
                stack,
                service,
                replica,
                ..
            } => {
                let replica = self
                    .service_mut(stack, service)
                    .and_then(|service| service.replicas.get_mut(replica));
                if let (Some(replica), Err(_)) = (replica, result) {
                    replica.not_stopped(now);
                }
            }
        }
    }

    fn service_mut(
        &mut self,
        stack: &StackName,
        service: &ServiceName,
    ) -> Option<&mut ServiceState> {
        self.tenants
            .values_mut()
            .find(|tenant| tenant.instance.stack == *stack)?
            .services
            .get_mut(service)
    }

    fn obey(&mut self, now: Now, wish: &Wish) -> Result<String, String> {
        let (Wish::Auto { instance } | Wish::Scale { instance, .. }) = wish;
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
                }
                Ok(format!("{instance}: the autoscaler decides"))
            }
            Wish::Scale {
                service,
                replicas,
                span,
                ..
            } => tenant.override_with(now, service, *replicas, *span),
        }
    }

    fn settle_networks(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(inventory) = self.listing.inventory.clone() else {
            return;
        };
        self.networks
            .retain(|_, again| again.is_none_or(|at| at > now.at));
        let mut used = BTreeSet::new();
        for tenant in self.tenants.values() {
            for replica in tenant
                .services
                .values()
                .flat_map(|service| service.replicas.values())
            {
                used.extend(replica.unit.networks.iter().cloned());
                let Reach::Unreachable { joinable, .. } = &replica.unit.reach else {
                    continue;
                };
                let Some(network) = joinable.first() else {
                    continue;
                };
                if !self.networks.contains_key(&network.id) {
                    self.networks.insert(network.id.clone(), None);
                    actions.push(Action::Join {
                        stack: tenant.instance.stack.clone(),
                        network: network.clone(),
                    });
                }
            }
        }
        for network in &inventory.joined {
            if !used.contains(&network.id) && !self.networks.contains_key(&network.id) {
                self.networks.insert(network.id.clone(), None);
                actions.push(Action::Leave {
                    network: network.clone(),
                });
            }
        }
    }
}

impl Tenant {
    fn list(&mut self, stack: &Stack, now: Now, next: Generation) {
        let instance = Arc::clone(&self.instance);
        self.services
            .retain(|name, _| instance.services.contains_key(name));
        let mut vanished = 0;
        for (name, service) in &instance.services {
            let mut units = stack.services.get(name).cloned().unwrap_or_default();
            units.extend(fixed_units(service, now.wall));
            let state = self.services.entry(name.clone()).or_default();
            vanished += state.list(&units, service, now, next);
        }
        if vanished > 0 {
            info!(instance = %instance.name, vanished, "replicas were removed by somebody else");
            self.quiet_until = Some(now.at + QUIET);
        }
    }

    /// Keeps the history that decisions need, whether or not anything can be decided now.
    fn watch(&mut self, now: Now, fresh: bool) {
        for state in self.services.values_mut() {
            if fresh {
                let demand = state.demand_now();
                state
                    .demand
                    .push(now.at, demand, self.instance.scale.down_after);
            }
            state.forgive(now);
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
                state.starts.failed(now, why, true);
            }
        }
    }

    fn scale(
        &mut self,
        now: Now,
        next: Generation,
        engine: EngineFacts,
        actions: &mut Vec<Action>,
    ) {
        let instance = Arc::clone(&self.instance);
        if instance.standby || instance.scale.mode == ScaleMode::Off {
            return;
        }
        for (name, service) in leaders_first(&instance) {
            let leaders = match &service.role {
                Role::Ratio { of, .. } => self.services.get(of).map(|leader| leader.desired(now)),
                _ => None,
            };
            let Some(state) = self.services.get_mut(name) else {
                continue;
            };
            let Some(decision) = state.decide(now, &instance, service, leaders) else {
                continue;
            };
            let quiet = self.quiet_until.is_some_and(|until| until > now.at);
            let orders = Orders {
                instance: &instance,
                name,
                service,
                may_start: !quiet
                    && (engine.starts_from_nothing || !state.replicas.is_empty())
                    && service.addresses.is_empty(),
            };
            state.approach(now, next, &decision, &orders, actions);
            state.decision = Some(decision);
        }
    }

    fn advance_drains(
        &mut self,
        now: Now,
        next: Generation,
        report: &Report,
        actions: &mut Vec<Action>,
    ) {
        let instance = Arc::clone(&self.instance);
        if instance.scale.mode == ScaleMode::Off {
            return;
        }
        for (name, service) in &instance.services {
            let Some(state) = self.services.get_mut(name) else {
                continue;
            };
            let routed = !matches!(service.role, Role::Ratio { .. });
            let room = state.room(instance.scale.sessions_per_replica);
            for (id, replica) in &mut state.replicas {
                let (State::Draining {
                    from,
                    by: Who::Usher,
                }
                | State::Cutting { from, .. }) = replica.state()
                else {
                    continue;
                };
                if replica.is_empty(report, routed && replica.is_reachable()) {
                    replica.stopping(now, from);
                    actions.push(Action::Stop {
                        stack: instance.stack.clone(),
                        service: name.clone(),
                        replica: id.clone(),
                        grace: instance.drain.stop,
                    });
                    continue;
                }
                let drained_for = replica.been_so_for(now);
                let due = drained_for >= instance.drain.natural && room >= replica.sessions();
                let overdue = drained_for >= instance.drain.at_most;
                if matches!(replica.state(), State::Draining { .. }) && (due || overdue) {
                    replica.cut(now, next);
                }
            }
        }
    }

    fn override_with(
        &mut self,
        now: Now,
        service: &ServiceName,
        replicas: u32,
        span: Option<Duration>,
    ) -> Result<String, String> {
        let name = &self.instance.name;
        let (Some(declared), Some(state)) = (
            self.instance.services.get(service),
            self.services.get_mut(service),
        ) else {
            let known: Vec<_> = self.services.keys().map(ServiceName::as_str).collect();
            return Err(format!(
                "{name} has no service `{service}`; it has {}",
                known.join(", ")
            ));
        };
        let Some(bounds) = declared.role.bounds() else {
            return Err(format!("{name}/{service} is fixed and never scaled"));
        };
        if replicas > bounds.max {
            return Err(format!(
                "{name}/{service} may have at most {} replicas (`max`)",
                bounds.max
            ));
        }
        state.over = Some(Override {
            replicas,
            until: span.map(|span| Now {
                at: now.at + span,
                wall: now.wall + span,
            }),
        });
        let until = span.map_or_else(
            || format!("until `usher auto {name}`"),
            |span| format!("for {}", crate::config::format_span(span)),
        );
        Ok(format!("{name}/{service}: {replicas} replicas {until}"))
    }
}

/// What a service may do to get nearer to its decision.
struct Orders<'a> {
    instance: &'a Instance,
    name: &'a ServiceName,
    service: &'a Service,
    may_start: bool,
}

impl ServiceState {
    /// How many replicas there should be, as last decided; what there is, before the first.
    fn desired(&self, now: Now) -> u32 {
        self.decision
            .as_ref()
            .map_or_else(|| self.crew(now).present, |decision| decision.desired)
    }

    fn decide(
        &self,
        now: Now,
        instance: &Instance,
        service: &Service,
        leaders: Option<u32>,
    ) -> Option<Decision> {
        let crew = self.crew(now);
        let bounds = service.role.bounds()?;
        let mut decision = match &service.role {
            Role::Fixed => return None,
            Role::Sessions { .. } => autoscaler::sessions(
                &instance.scale,
                bounds,
                now.at,
                self.demand_now(),
                &self.demand,
                crew,
            ),
            Role::Ratio { of, ratio, .. } => {
                autoscaler::follow(*ratio, bounds, leaders?, of.as_str(), crew)
            }
        };
        if let Some(over) = self.over {
            decision.desired = over.replicas;
            decision.limited_by = None;
            decision.reason = format!("the operator set {}", over.replicas);
        } else if instance.scale.mode == ScaleMode::Hold {
            decision.desired = crew.present.max(bounds.min);
            decision.limited_by = None;
            decision.reason = format!("{}; mode hold keeps what there is", decision.reason);
        }
        Some(decision)
    }

    /// One step towards the decision: a drain taken back, a start, or a drain.
    fn approach(
        &mut self,
        now: Now,
        next: Generation,
        decision: &Decision,
        orders: &Orders<'_>,
        actions: &mut Vec<Action>,
    ) {
        if orders.instance.scale.mode == ScaleMode::Recommend {
            return;
        }
        let present = self.crew(now).present;
        let (desired, reason) = (decision.desired, decision.reason.as_str());
        if desired > present {
            let reopened = self
                .reopenable()
                .and_then(|id| self.replicas.get_mut(&id))
                .map(|replica| {
                    let probed = super::service::is_probed(orders.service, &replica.unit);
                    replica.reopen(now, probed);
                });
            if reopened.is_some() {
                self.record(Direction::Up, present, desired, reason, now);
            } else if orders.may_start && self.starts.allowed(now) && !self.is_stuck() {
                self.record(Direction::Up, present, desired, reason, now);
                self.last_up = Some(now.at);
                self.starts.ordered();
                actions.push(Action::Start {
                    stack: orders.instance.stack.clone(),
                    service: orders.name.clone(),
                    command: orders.service.command.clone(),
                });
            }
        } else if let Some(id) = self.surplus(now, desired)
            && let Some(replica) = self.replicas.get_mut(&id)
        {
            replica.drain(now, next);
            self.last_drain = Some(now.at);
            self.record(Direction::Down, present, desired, reason, now);
        }
    }

    /// Whoever is to leave: one too many, or one of usher's own that never became ready.
    fn surplus(&self, now: Now, desired: u32) -> Option<ReplicaId> {
        if desired < self.crew(now).present {
            return self.victim();
        }
        self.replicas
            .iter()
            .find(|(_, replica)| {
                replica.state() == State::Failed
                    && matches!(replica.unit.origin, Origin::Added { .. })
            })
            .map(|(id, _)| id.clone())
    }

    /// Nobody is ready and somebody failed: more of the same would fail the same way.
    fn is_stuck(&self) -> bool {
        self.count(|state| state == State::Failed) > 0
            && self.count(|state| state == State::Ready) == 0
    }
}

/// Followers are decided after those they follow, in the same step.
fn leaders_first(instance: &Instance) -> impl Iterator<Item = (&ServiceName, &Service)> {
    let follows = |service: &Service| matches!(service.role, Role::Ratio { .. });
    let leaders = instance
        .services
        .iter()
        .filter(move |(_, service)| !follows(service));
    let followers = instance
        .services
        .iter()
        .filter(move |(_, service)| follows(service));
    leaders.chain(followers)
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
            phase: Phase::Running,
            since: wall,
            reach: Reach::At(address.ip()),
            networks: Vec::new(),
            ports: vec![address.port()],
            health: None,
            origin: Origin::Declared { number: 0 },
        })
        .collect()
}

#[cfg(test)]
mod tests;

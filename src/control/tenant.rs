//! One instance and the stack it stands for: listed, watched, scaled, drained.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::info;

use super::event::Now;
use super::replica::{State, Who};
use super::scaling::Orders;
use super::service::{Override, ServiceState};
use super::step::EngineFacts;
use crate::config::Instance;
use crate::config::model::{Role, ScaleMode, Service};
use crate::engine::Action;
use crate::inventory::{Origin, Phase, Reach, Stack, Unit};
use crate::names::{Generation, ReplicaId, ServiceName};
use crate::plan::Report;

/// After somebody else removed containers of a stack, usher adds none for this long: a deployment
/// is under way, and a sibling made now would be one of the old.
const QUIET: Duration = Duration::from_secs(30);
/// One instance and its stack.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) instance: Arc<Instance>,
    pub(super) services: BTreeMap<ServiceName, ServiceState>,
    pub(super) stack_exists: bool,
    /// An operator lets nothing new through.
    pub(super) paused: bool,
    /// No starts before this.
    quiet_until: Option<Instant>,
}

impl Tenant {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        Self {
            instance,
            services: BTreeMap::new(),
            stack_exists: false,
            paused: false,
            quiet_until: None,
        }
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

    pub(super) fn list(&mut self, stack: &Stack, now: Now, next: Generation) {
        let instance = Arc::clone(&self.instance);
        self.services
            .retain(|name, _| instance.services.contains_key(name));
        let mut vanished = 0;
        for (name, service) in &instance.services {
            let state = self.services.entry(name.clone()).or_default();
            let mut units = stack.services.get(name).cloned().unwrap_or_default();
            units.extend(fixed_units(service, now.wall));
            let withdrawn = withdrawn(state, &units);
            units.extend(withdrawn.iter().cloned());
            vanished += state.list(&units, service, now, next);
            state.drain_withdrawn(&withdrawn, service, now, next);
        }
        if vanished > 0 {
            info!(instance = %instance.name, vanished, "replicas were removed by somebody else");
            self.quiet_until = Some(now.at + QUIET);
        }
    }

    /// Keeps the history that decisions need, whether or not anything can be decided now.
    ///
    /// `fresh`: the newest counts are of now. `unknown`: the engine has not been listed yet.
    pub(super) fn watch(&mut self, now: Now, fresh: bool, unknown: bool) {
        // Somebody else removed replicas of a stack that is still there: a deployment, mostly.
        let quiet = self.quiet_until.is_some_and(|until| until > now.at);
        let deployed = quiet && self.stack_exists;
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
            state.coming = unknown || deployed || state.is_coming(now);
        }
    }

    pub(super) fn scale(
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
                may_start: !quiet && (engine.starts_from_nothing || !state.replicas.is_empty()),
            };
            state.approach(now, next, &decision, &orders, actions);
            state.decision = Some(decision);
        }
    }

    /// Lets drains end: the empty stop, the overdue are cut. `frozen`: nothing can be stopped now.
    pub(super) fn advance_drains(
        &mut self,
        now: Now,
        next: Generation,
        report: &Report,
        frozen: bool,
        actions: &mut Vec<Action>,
    ) {
        let instance = Arc::clone(&self.instance);
        let off = instance.scale.mode == ScaleMode::Off;
        for (name, service) in &instance.services {
            let Some(state) = self.services.get_mut(name) else {
                continue;
            };
            let routed = !matches!(service.role, Role::Ratio { .. });
            let room = state.room(instance.scale.sessions_per_replica);
            state.replicas.retain(|id, replica| {
                let (State::Draining {
                    from,
                    by: Who::Usher,
                }
                | State::Cutting { from, .. }) = replica.state()
                else {
                    return true;
                };
                let fixed = replica.unit.origin == Origin::Fixed;
                if !fixed && (frozen || off) {
                    return true;
                }
                if replica.is_empty(report, routed && replica.is_reachable()) {
                    if fixed {
                        info!(replica = %replica.unit.name, "address left");
                        return false;
                    }
                    replica.stopping(now, from);
                    actions.push(Action::Stop {
                        stack: instance.stack.clone(),
                        service: name.clone(),
                        replica: id.clone(),
                        grace: instance.drain.stop,
                    });
                    return true;
                }
                let drained_for = replica.been_so_for(now);
                let due = drained_for >= instance.drain.natural && room >= replica.sessions();
                let overdue = drained_for >= instance.drain.at_most;
                if matches!(replica.state(), State::Draining { .. }) && (due || overdue) {
                    replica.cut(now, next);
                }
                true
            });
        }
    }

    pub(super) fn override_with(
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
        let Some(bounds) = declared.bounds() else {
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
            origin: Origin::Fixed,
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

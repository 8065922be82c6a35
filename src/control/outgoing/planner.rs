//! From what is known to the plan of the data plane.

use std::sync::Arc;

use super::super::controller::Controller;
use super::super::replica::{Replica, State, Who};
use super::super::service::ServiceState;
use super::super::tenant::Tenant;
use super::place::{in_set, volume_root};
use super::reach::address;
use crate::config::model::{self, FileSource, Role, RouteTarget, Service};
use crate::inventory::{Phase, Stack};
use crate::names::{InstanceName, ServiceName};
use crate::plan::{
    Condition, EdgePolicy, EndpointPlan, FileRoot, InstancePlan, LeavingPlan, Plan, Route,
    ServicePlan, Target, Usage,
};

/// A tenth of what one is to hold is as good as equal.
const AHEAD: u32 = 10;

impl Controller {
    /// The next plan, or `None` while the last one still says it all.
    pub fn plan(&mut self) -> Option<Arc<Plan>> {
        let touched = self.stale.plan.take();
        if touched.is_nobody() && !self.stale.doors {
            return None;
        }
        let edge = match std::mem::take(&mut self.stale.doors) {
            true => self.edge_policy(),
            false => Arc::clone(&self.plan.edge),
        };
        let inventory = self.listing.inventory.as_deref();
        let before = &self.plan.instances;
        let gone = touched.gone(before, &self.tenants);
        let fresh: Vec<(InstanceName, Arc<InstancePlan>)> = touched
            .of(&self.tenants)
            .filter_map(|(name, tenant)| {
                let stack = inventory.and_then(|all| all.stacks.get(&tenant.instance.stack));
                let fresh = tenant.plan(stack.map(Arc::as_ref));
                // An unchanged instance keeps its allocation: nothing of it is rebuilt.
                let known = before.get(name);
                let same = known.is_some_and(|known| **known == fresh);
                (!same).then(|| (name.clone(), Arc::new(fresh)))
            })
            .collect();
        let same = Arc::ptr_eq(&edge, &self.plan.edge) && gone.is_empty() && fresh.is_empty();
        if same && self.plan.generation.0 > 0 {
            return None;
        }
        let mut instances = before.clone();
        gone.iter().for_each(|name| drop(instances.remove(name)));
        instances.extend(fresh);
        self.plan = Arc::new(Plan {
            generation: self.plan.generation.next(),
            edge,
            instances,
        });
        Some(Arc::clone(&self.plan))
    }

    fn edge_policy(&self) -> Arc<EdgePolicy> {
        let config = &self.current.config;
        let edge = EdgePolicy {
            trusted_proxies: config.listen.trusted_proxies.clone(),
            proxy_protocol: config.listen.proxy_protocol,
            default_host: config.listen.default_host.clone(),
            header_timeout: config.header_timeout,
            doors: self.doors(),
            error_page: config.mounted.error_page().cloned(),
            webroot: config.certs.webroot.clone(),
        };
        if *self.plan.edge == edge {
            Arc::clone(&self.plan.edge)
        } else {
            Arc::new(edge)
        }
    }
}

impl Tenant {
    /// Who is to be stopped and is no endpoint of the plan.
    fn leaving(&self) -> Vec<LeavingPlan> {
        let mut leaving = Vec::new();
        for (name, service) in &self.instance.services {
            let routed = !matches!(service.role, Role::Ratio { .. });
            for replica in self.replicas(name) {
                let usage = match replica.state() {
                    State::Draining { by: Who::Usher, .. } | State::Stopping { .. } => Usage::Drain,
                    State::Cutting { closing, .. } => closing.usage(),
                    _ => continue,
                };
                let nowhere = || address(service, &replica.unit).is_none();
                if !routed || !replica.is_reachable() || nowhere() {
                    leaving.push(LeavingPlan {
                        service: name.clone(),
                        id: replica.unit.id.clone(),
                        usage,
                    });
                }
            }
        }
        leaving
    }

    /// Requests that may be with them at a time. A count of those who are ready may be wrong, and shuts
    /// nobody out: one is always taken for ready.
    fn requests_with_workers_of(&self, leader: &ServiceName) -> u32 {
        let services = self.instance.services.iter();
        let followers = services.filter_map(|(name, service)| match &service.role {
            Role::Ratio {
                of, requests_each, ..
            } if of == leader => {
                let state = self.services.get(name);
                let ready = state.map_or(0, |state| state.count(|state| state == State::Ready));
                Some((*requests_each, ready))
            }
            _ => None,
        });
        let (mut sum, mut least) = (0_u32, 0);
        for (each, ready) in followers {
            sum = sum.saturating_add(each.saturating_mul(ready));
            least = least.max(each);
        }
        sum.max(least)
    }

    fn plan(&self, stack: Option<&Stack>) -> InstancePlan {
        let instance = &self.instance;
        let routed = |role: &Role| !matches!(role, Role::Ratio { .. });
        InstancePlan {
            name: instance.name.clone(),
            site: Arc::clone(&instance.site),
            condition: if instance.standby {
                Condition::Standby
            } else if !self.rented {
                Condition::Unrented
            } else if self.paused {
                Condition::Paused
            } else {
                Condition::Serving
            },
            routes: instance
                .routes
                .iter()
                .map(|route| lower_route(route, stack))
                .collect(),
            services: instance
                .services
                .iter()
                .filter(|(_, service)| routed(&service.role))
                .map(|(name, service)| {
                    let state = self.services.get(name);
                    let plan = ServicePlan {
                        workers: self.workers_of(name),
                        requests: self.requests_with_workers_of(name),
                        ahead: self.instance.scale.sessions_per_replica / AHEAD,
                        ..state
                            .map_or_else(ServicePlan::default, |state| service_plan(service, state))
                    };
                    (name.clone(), plan)
                })
                .collect(),
            leaving: self.leaving(),
        }
    }
}

fn service_plan(service: &Service, state: &ServiceState) -> ServicePlan {
    // When nobody answers, the least bad is better than nobody: a probe can fail for being slow.
    let nobody = state.count(|state| state == State::Ready) == 0;
    let usage = |replica: &Replica| match replica.state() {
        State::Starting | State::Failed => None,
        State::Ready => Some(Usage::Serve),
        State::Unhealthy if nobody => Some(Usage::Serve),
        State::Unhealthy | State::Draining { .. } | State::Stopping { .. } => Some(Usage::Drain),
        State::Cutting { closing, .. } => Some(closing.usage()),
    };
    let endpoints = state
        .replicas
        .values()
        .filter_map(|replica| {
            Some(EndpointPlan {
                id: replica.unit.id.clone(),
                name: replica.unit.name.as_str().into(),
                address: address(service, &replica.unit)?,
                usage: usage(replica)?,
                turn: replica.turn(),
            })
        })
        .collect::<Vec<_>>();
    let running = state
        .replicas
        .values()
        .filter(|replica| replica.unit.phase == Phase::Running)
        .collect::<Vec<_>>();
    ServicePlan {
        workers: None,
        requests: 0,
        ahead: 0,
        coming: state.coming,
        asleep: state.asleep,
        failing: state.is_failing(),
        placement: service.placement,
        stranded: !running.is_empty() && !running.iter().any(|replica| replica.is_reachable()),
        endpoints,
    }
}

fn lower_route(route: &model::Route, stack: Option<&Stack>) -> Route {
    let place = |source: &FileSource| match source {
        FileSource::Dir { dir, path, set } => in_set(
            FileRoot::At {
                root: dir.as_path().into(),
                path: path.clone(),
            },
            set.as_deref(),
        ),
        FileSource::Volume { volume, path, set } => {
            in_set(volume_root(volume, path.clone(), stack), set.as_deref())
        }
    };
    Route {
        prefix: route.prefix.clone(),
        pattern: route.pattern.clone(),
        loose: route.loose,
        allow: route.allow.clone(),
        auth: route.auth.clone(),
        cache_control: route.cache_control.clone(),
        replace_prefix: route.replace_prefix.clone(),
        upstream: route.upstream.clone(),
        target: match &route.target {
            RouteTarget::File(source) => Target::File(place(source)),
            RouteTarget::Files(source, listing) => Target::Files(place(source), *listing),
            RouteTarget::Nothing => Target::Nothing,
            RouteTarget::Service(name) => Target::Service(name.clone()),
            RouteTarget::StubStatus => Target::StubStatus,
        },
    }
}

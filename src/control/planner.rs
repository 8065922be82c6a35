//! From what is known to what should be: the plan, the probes, the certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reach::{address, question};
use super::replica::{Replica, State, Who};
use super::service::ServiceState;
use super::step::Controller;
use super::tenant::Tenant;
use crate::config::Instance;
use crate::config::model::{self, FileSource, Orders, Role, RouteTarget, Service};
use crate::inventory::{Phase, Stack, Volume};
use crate::names::{Domain, HostPattern, InstanceName, ServiceName};
use crate::plan::{
    Condition, EdgePolicy, EndpointPlan, Export, FileRoot, Https, InstancePlan, LeavingPlan, Plan,
    Route, ServicePlan, Target, Usage, Wanted, WantedCertificate,
};
use crate::prober::{self};

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

    /// Every replica that has to be asked whether it is ready.
    pub fn targets(&mut self) -> Arc<prober::Targets> {
        let touched = self.stale.targets.take();
        for name in touched.gone(&self.targets, &self.tenants) {
            Arc::make_mut(&mut self.targets).remove(&name);
        }
        for (name, tenant) in touched.of(&self.tenants) {
            let fresh = tenant.targets();
            if self.targets.get(name).map_or(&[][..], |known| known) == fresh {
                continue;
            }
            let all = Arc::make_mut(&mut self.targets);
            match fresh.is_empty() {
                true => drop(all.remove(name)),
                false => drop(all.insert(name.clone(), fresh.into())),
            }
        }
        Arc::clone(&self.targets)
    }

    /// Every certificate that should be there.
    pub fn certificates(&mut self) -> Arc<Wanted> {
        let touched = self.stale.certificates.take();
        for name in touched.gone(&self.wanted.0, &self.tenants) {
            Arc::make_mut(&mut self.wanted).0.remove(&name);
        }
        let fresh: Vec<_> = touched
            .of(&self.tenants)
            .map(|(name, tenant)| (name.clone(), self.certificates_of(tenant)))
            .filter(|(name, fresh)| {
                self.wanted
                    .0
                    .get(name)
                    .is_none_or(|known| **known != **fresh)
            })
            .map(|(name, fresh)| (name, fresh.into()))
            .collect();
        if !fresh.is_empty() {
            Arc::make_mut(&mut self.wanted).0.extend(fresh);
        }
        Arc::clone(&self.wanted)
    }

    fn certificates_of(&self, tenant: &Tenant) -> Vec<WantedCertificate> {
        let instance = &tenant.instance;
        let has_tls = instance.site.https != Https::Off;
        if !has_tls && instance.site.patterns.is_empty() {
            return Vec::new();
        }
        let inventory = self.listing.inventory.as_deref();
        // A stack that does not run reads nothing.
        let stack = inventory.and_then(|all| all.stacks.get(&instance.stack));
        let export = stack.zip(instance.export_certificate.as_ref());
        let export = export.map(|(stack, volume)| Export {
            volume: volume.clone(),
            place: volume_root(volume, PathBuf::new(), Some(stack)),
        });
        let place = export.as_ref().map(|export| &export.place);
        let left = self.leaves_orders_in(&self.current.config.certs.dir)
            || place.is_some_and(|place| self.leaves_orders_at(place));
        let sets = sets(instance).into_iter();
        sets.map(|set| {
            let mut names = Vec::new();
            let mut wildcards = Vec::new();
            for domain in set.names {
                match domain {
                    Domain::Exact(host) => names.push(host),
                    Domain::Below(host) => wildcards.push(host),
                }
            }
            WantedCertificate {
                instance: instance.name.clone(),
                patterns: set.patterns,
                local: self.local_names(instance),
                names,
                wildcards,
                pinned: instance.certificate.clone().filter(|_| has_tls),
                may_order: set.may_order && !left && !instance.standby && tenant.rented,
                staging: instance.staging,
                directory: instance.acme_directory.clone(),
                email: instance.acme_email.clone(),
                key_type: instance
                    .key_type
                    .unwrap_or(self.current.config.certs.key_type),
                trust_default: instance.trust_default_cert,
                declared: instance.declared,
                export: export.clone(),
            }
        })
        .collect()
    }
}

/// Names that one certificate should cover.
struct NameSet {
    names: Vec<Domain>,
    patterns: Vec<HostPattern>,
    may_order: bool,
}

/// The certificates of an instance: one for all of its names, or those that its containers ask for and
/// one for the rest.
fn sets(instance: &Instance) -> Vec<NameSet> {
    let site = &instance.site;
    if site.https == Https::Off {
        // Whose they are is told all the same: no other's pair is for them.
        return vec![NameSet {
            names: Vec::new(),
            patterns: site.patterns.clone(),
            may_order: false,
        }];
    }
    let mut all: Vec<Domain> = site.domains.clone();
    all.extend(site.redirect_from.iter().cloned().map(Domain::Exact));
    let (asked, apart) = match &instance.orders {
        Orders::All => {
            return vec![NameSet {
                names: all,
                patterns: site.patterns.clone(),
                may_order: true,
            }];
        }
        Orders::Asked { names, apart } => (names.clone(), *apart),
    };
    all.retain(|name| !asked.contains(name));
    let mut sets: Vec<NameSet> = if apart {
        let alone = |name| NameSet {
            names: vec![name],
            patterns: Vec::new(),
            may_order: true,
        };
        asked.into_iter().map(alone).collect()
    } else {
        vec![NameSet {
            names: asked,
            patterns: Vec::new(),
            may_order: true,
        }]
    };
    sets.push(NameSet {
        names: all,
        patterns: site.patterns.clone(),
        may_order: false,
    });
    sets.retain(|set| !set.names.is_empty() || !set.patterns.is_empty());
    sets
}

impl Controller {
    /// The names of an instance that no authority is ever asked for. Those of a stack that nobody has
    /// written down are left out: a container must not choose what this machine vouches for.
    fn local_names(&self, instance: &Instance) -> Vec<Domain> {
        let config = &self.current.config;
        if instance.certificate.is_some() || !config.instances.contains_key(&instance.name) {
            return Vec::new();
        }
        let kept = config.acme.as_ref().is_none_or(|acme| acme.preflight);
        let is_local = |domain: &Domain| {
            let host = match domain {
                Domain::Exact(host) | Domain::Below(host) => host,
            };
            if kept {
                !host.is_public()
            } else {
                !host.is_delegated()
            }
        };
        let redirects = instance.site.redirect_from.iter().cloned();
        let all = instance.site.domains.iter().cloned();
        all.chain(redirects.map(Domain::Exact))
            .filter(is_local)
            .collect()
    }
}

impl Tenant {
    fn targets(&self) -> Vec<prober::Target> {
        let mut targets = Vec::new();
        if self.instance.standby || !self.rented {
            return targets;
        }
        let host = self.first_host();
        for (name, service) in &self.instance.services {
            for replica in self.replicas(name) {
                let leaves = matches!(
                    replica.state(),
                    State::Stopping { .. } | State::Cutting { .. }
                );
                let asked = question(service, &replica.unit, host);
                let Some(asked) = asked.filter(|_| !leaves) else {
                    continue;
                };
                targets.push(prober::Target {
                    subject: prober::Subject {
                        instance: self.instance.name.clone(),
                        service: name.clone(),
                        replica: replica.unit.id.clone(),
                    },
                    address: asked.address,
                    tls: asked.tls,
                    question: asked.question,
                });
            }
        }
        targets
    }

    fn first_host(&self) -> &str {
        match self.instance.site.domains.first() {
            Some(Domain::Exact(host) | Domain::Below(host)) => host.as_str(),
            None => "localhost",
        }
    }

    fn replicas(&self, service: &ServiceName) -> impl Iterator<Item = &Replica> {
        self.services
            .get(service)
            .into_iter()
            .flat_map(|state| state.replicas.values())
    }

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

/// A place that lies in a folder which is made anew as a whole.
fn in_set(place: FileRoot, set: Option<&Path>) -> FileRoot {
    match (place, set) {
        (FileRoot::At { root, path }, Some(set)) => FileRoot::InSet {
            root,
            // The configuration has made sure that it does.
            path: path
                .strip_prefix(set)
                .map_or_else(|_| PathBuf::new(), Path::to_owned),
            set: set.to_owned(),
        },
        (place, _) => place,
    }
}

fn volume_root(volume: &str, path: PathBuf, stack: Option<&Stack>) -> FileRoot {
    let Some(stack) = stack else {
        return FileRoot::Missing("the stack does not run".to_owned());
    };
    match stack.volumes.get(volume) {
        Some(Volume::At(root)) => FileRoot::At {
            root: root.clone(),
            path,
        },
        Some(Volume::Invisible { why }) => FileRoot::Missing(why.clone()),
        None => {
            let known: Vec<_> = stack.volumes.keys().map(String::as_str).collect();
            FileRoot::Missing(if known.is_empty() {
                format!("the stack has no volume `{volume}`")
            } else {
                format!(
                    "the stack has no volume `{volume}`; it has {}",
                    known.join(", ")
                )
            })
        }
    }
}

//! The table: every host and where its requests go. Immutable; swapped whole.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::balance::Pool;
use super::counters::{Counters, ServiceCounters};
use super::endpoint::Endpoint;
use super::held::Held;
use super::hosts::Hosts;
use super::load::Load;
use super::matcher::RouteList;
use crate::names::{
    Domain, Generation, HostPattern, Hostname, InstanceName, ReplicaId, ServiceName,
};
use crate::plan::{Condition, EdgePolicy, InstancePlan, InstanceReport, Plan, Route};
use crate::shared::Map;

/// As many requests go on at a time when a pause ends.
const AT_ONCE_AFTER_A_PAUSE: usize = 32;

/// Everything that decides where a request goes. A request reads one table once.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) generation: Generation,
    /// Who waits, over all instances.
    held: Arc<Held>,
    edge: Arc<EdgePolicy>,
    hosts: Hosts<Host>,
    /// By the name below which all hosts are meant.
    below: Hosts<Host>,
    /// In the order they are asked.
    patterns: Vec<(HostPattern, Host)>,
    pub(super) instances: Map<InstanceName, InstanceTable>,
    /// What those were built of.
    plans: Map<InstanceName, InstancePlan>,
}

/// What a host leads to.
#[derive(Clone, Debug)]
pub struct Host {
    pub instance: Arc<InstanceTable>,
    /// Set for names that only redirect.
    pub redirect_to: Option<Hostname>,
}

impl Host {
    fn of(instance: &Arc<InstanceTable>) -> Self {
        Self {
            instance: Arc::clone(instance),
            redirect_to: None,
        }
    }
}

/// One instance, ready to serve.
#[derive(Debug)]
pub struct InstanceTable {
    plan: Arc<InstancePlan>,
    routes: RouteList,
    pub(super) pools: HashMap<ServiceName, Arc<Pool>>,
    /// Of everybody in the plan.
    pub(super) loads: HashMap<LoadKey, Arc<Load>>,
    /// Of whoever was in a plan before, as long as somebody is inside or may still enter.
    lost: HashMap<LoadKey, Weak<Load>>,
    counters: Arc<Counters>,
}

/// A replica may be in two services of one instance, and leave one of them.
pub(super) type LoadKey = (ServiceName, ReplicaId);

impl Table {
    /// Builds the table of a plan. What did not change is taken over from `old`: whole instances
    /// where the plan kept them, counts of endpoints and instances in any case.
    pub(super) fn build(plan: &Plan, old: &Self) -> Self {
        let mut table = Self {
            generation: plan.generation,
            held: Arc::clone(&old.held),
            edge: Arc::clone(&plan.edge),
            hosts: old.hosts.clone(),
            below: old.below.clone(),
            patterns: old.patterns.clone(),
            instances: old.instances.clone(),
            plans: plan.instances.clone(),
        };
        let changed = || old.plans.differences(&plan.instances);
        // All names that may change hands are free before anybody takes one.
        for found in changed() {
            if let Some(known) = table.instances.remove(found.name) {
                table.free(&known);
            }
        }
        for found in changed() {
            if let Some(plan) = found.now {
                let known = old.instances.get(found.name);
                let built = Arc::new(InstanceTable::build(plan, known, &old.held));
                table.claim(&built);
                table.instances.insert(found.name.clone(), built);
            }
        }
        let mut plans = changed().flat_map(|found| found.before.into_iter().chain(found.now));
        if plans.any(|plan| !plan.site.patterns.is_empty()) {
            table.order_patterns();
        }
        table
    }

    fn order_patterns(&mut self) {
        let instances = self.instances.values();
        self.patterns = instances
            .flat_map(|instance| {
                let patterns = instance.plan.site.patterns.iter().cloned();
                patterns.map(|pattern| (pattern, Host::of(instance)))
            })
            .collect();
        // Stable: among expressions the order of the instances decides.
        let precedence = |(pattern, _): &(HostPattern, Host)| Reverse(pattern.precedence());
        self.patterns.sort_by_key(precedence);
    }

    fn claim(&mut self, instance: &Arc<InstanceTable>) {
        let site = &instance.plan.site;
        let host = Host::of(instance);
        for domain in &site.domains {
            match domain {
                Domain::Exact(name) => self.hosts.set(name.clone(), host.clone()),
                Domain::Below(name) => self.below.set(name.clone(), host.clone()),
            }
        }
        if let Some(Domain::Exact(first)) = site.domains.first() {
            for name in &site.redirect_from {
                let host = Host {
                    redirect_to: Some(first.clone()),
                    ..host.clone()
                };
                self.hosts.set(name.clone(), host);
            }
        }
    }

    /// What [`Self::claim`] took.
    fn free(&mut self, instance: &InstanceTable) {
        let site = &instance.plan.site;
        let is_theirs = |host: &Host| host.instance.name() == instance.name();
        for domain in &site.domains {
            match domain {
                Domain::Exact(name) => self.hosts.free(name, is_theirs),
                Domain::Below(name) => self.below.free(name, is_theirs),
            }
        }
        for name in &site.redirect_from {
            self.hosts.free(name, is_theirs);
        }
    }

    /// Who answers for a host: the exact name, else the closest wildcard above it, else the first
    /// pattern that fits.
    pub fn find(&self, host: &Hostname) -> Option<&Host> {
        if let Some(found) = self.hosts.get(host.as_str()) {
            return Some(found);
        }
        let mut parent = host.parent();
        while let Some(name) = parent {
            if let Some(found) = self.below.get(name) {
                return Some(found);
            }
            parent = name.split_once('.').map(|(_, rest)| rest);
        }
        let fits = |(pattern, _): &&(HostPattern, Host)| pattern.fits(host);
        self.patterns.iter().find(fits).map(|(_, host)| host)
    }

    /// As [`Self::find`], with the host that stands for those nobody has.
    pub fn find_or_default(&self, host: &Hostname) -> Option<&Host> {
        let other = || self.find(self.edge.default_host.as_ref()?);
        self.find(host).or_else(other)
    }

    /// So much time has passed: windows are judged, and those who wait are told.
    pub(super) fn pass(&self, time: Duration) {
        for instance in self.instances.values() {
            instance.pools.values().for_each(|pool| pool.pass(time));
        }
        self.tell();
    }

    fn tell(&self) {
        let instances = self.instances.values();
        instances.for_each(|instance| instance.tell());
    }

    pub fn instance(&self, name: &InstanceName) -> Option<&Arc<InstanceTable>> {
        self.instances.get(name)
    }

    pub fn edge(&self) -> &EdgePolicy {
        &self.edge
    }
}

impl InstanceTable {
    fn build(plan: &Arc<InstancePlan>, old: Option<&Arc<Self>>, held: &Arc<Held>) -> Self {
        let counters = old.map_or_else(
            || Arc::new(Counters::of(held.stack())),
            |old| Arc::clone(&old.counters),
        );
        let mut loads = HashMap::new();
        let mut load_of = |service: &ServiceName, replica: &ReplicaId| {
            let key = (service.clone(), replica.clone());
            let load = old
                .and_then(|old| old.load(&key))
                .unwrap_or_else(|| Arc::new(Load::new(replica.clone())));
            loads.insert(key, Arc::clone(&load));
            load
        };
        for leaving in &plan.leaving {
            load_of(&leaving.service, &leaving.id);
        }
        let pools = plan
            .services
            .iter()
            .map(|(name, service)| {
                let known = old.and_then(|old| old.pools.get(name));
                let counters = known.map_or_else(
                    || Arc::new(ServiceCounters::of(&counters)),
                    |known| Arc::clone(&known.counters),
                );
                let endpoints = service
                    .endpoints
                    .iter()
                    .map(|endpoint| {
                        let load = load_of(name, &endpoint.id);
                        Arc::new(Endpoint {
                            id: endpoint.id.clone(),
                            name: Arc::clone(&endpoint.name),
                            address: endpoint.address,
                            usage: endpoint.usage,
                            turn: endpoint.turn,
                            pool_key: pool_key(&plan.name, &endpoint.id),
                            load,
                        })
                    })
                    .collect();
                let pool = Pool::new(name.clone(), endpoints, service, counters);
                (name.clone(), Arc::new(pool))
            })
            .collect();
        Self {
            lost: old.map_or_else(HashMap::new, |old| old.lost_without(&loads)),
            loads,
            plan: Arc::clone(plan),
            routes: RouteList::new(&plan.routes),
            pools,
            counters,
        }
    }

    /// The counts of a replica, whether or not it is in the plan now: who lost their address may get
    /// one again, or be asked for as leaving.
    fn load(&self, key: &LoadKey) -> Option<Arc<Load>> {
        let lost = || self.lost.get(key).and_then(Weak::upgrade);
        self.loads.get(key).cloned().or_else(lost)
    }

    /// What the next table has to remember beside these.
    fn lost_without(&self, loads: &HashMap<LoadKey, Arc<Load>>) -> HashMap<LoadKey, Weak<Load>> {
        let now = self
            .loads
            .iter()
            .map(|(key, load)| (key, Arc::downgrade(load)));
        let before = self.lost.iter().map(|(key, load)| (key, load.clone()));
        now.chain(before)
            .filter(|(key, load)| !loads.contains_key(key) && load.strong_count() > 0)
            .map(|(key, load)| (key.clone(), load))
            .collect()
    }

    /// Tells those who wait that it may be worth trying.
    pub(super) fn tell(&self) {
        self.pools.values().for_each(|pool| pool.tell());
        if self.plan.condition != Condition::Paused {
            self.counters.paused().tell(AT_ONCE_AFTER_A_PAUSE);
        }
    }

    /// What it serves at this moment.
    pub(super) fn report(&self, now: Instant) -> InstanceReport {
        let mut report = self.counters.snapshot();
        report.held = self.held();
        for pool in self.pools.values() {
            let totals = pool.report(now);
            report.services.insert(pool.service().clone(), totals);
            for endpoint in &pool.endpoints {
                let load = endpoint.load().report();
                report.endpoints.insert(endpoint.id.clone(), load);
            }
        }
        report.drained = self
            .loads
            .iter()
            .filter_map(|((_, replica), load)| Some((replica.clone(), load.proof(now)?)))
            .collect();
        report
    }

    /// How many wait, for whatever it is.
    pub fn held(&self) -> u32 {
        let pools = self.pools.values().map(|pool| pool.holding().count());
        self.counters.holding().count() + pools.sum::<u32>()
    }

    pub fn name(&self) -> &InstanceName {
        &self.plan.name
    }

    pub fn plan(&self) -> &InstancePlan {
        &self.plan
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The route of a decoded path: of a pattern that fits, else of the longest prefix.
    pub fn route(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.find(path)
    }

    /// Whether anything of it waits for somebody to come.
    pub fn is_asleep(&self) -> bool {
        self.pools.values().any(|pool| pool.is_asleep())
    }

    pub fn pool(&self, service: &ServiceName) -> Option<&Arc<Pool>> {
        self.pools.get(service)
    }
}

impl Endpoint {
    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

/// A number that differs between instances, containers and their lives. Two that collide would
/// still need the same address to share a connection.
fn pool_key(instance: &InstanceName, replica: &ReplicaId) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (instance, replica).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;

//! What a restart should find again is gathered, and given back to whom it is of.

use std::collections::BTreeMap;
use std::time::Duration;

use super::controller::Controller;
use super::event::Now;
use super::kept::{Kept, KeptInstance, KeptService, seconds};
use super::tenant::Tenant;
use crate::names::InstanceName;

/// An instance that nobody has seen for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 86_400);

const DAY: u64 = 86_400;

impl Controller {
    /// What a restart should find again. What it found itself and has no use for yet stays in.
    pub fn kept(&self, now: Now) -> Kept {
        let seen = seconds(now.wall);
        let oldest = seen.saturating_sub(FORGOTTEN_AFTER.as_secs());
        let waiting = self.kept.instances.iter();
        let waiting = waiting.filter(|(_, instance)| instance.seen >= oldest);
        let mut instances: BTreeMap<String, KeptInstance> = waiting
            .map(|(name, instance)| (name.clone(), instance.clone()))
            .collect();
        for (name, tenant) in &self.tenants {
            let kept = tenant.kept(seen);
            if kept.says_something() {
                instances.insert(name.to_string(), kept);
            }
        }
        Kept {
            instances,
            names: self.compat.kept(now),
        }
    }

    /// Another number whenever a name that containers claim has another owner.
    pub fn owners_version(&self) -> u64 {
        self.compat.owners_version()
    }

    /// Takes in what an earlier process kept. Instances that are not there yet get theirs when they
    /// are.
    pub fn remember(&mut self, mut kept: Kept, now: Now) {
        self.compat.remember(std::mem::take(&mut kept.names), now);
        self.kept = kept;
        let names: Vec<InstanceName> = self.tenants.keys().cloned().collect();
        for name in names {
            self.recall(&name, now);
        }
    }

    /// Gives an instance what was kept of it.
    pub(super) fn recall(&mut self, name: &InstanceName, now: Now) {
        if let Some(tenant) = self.tenants.get_mut(name)
            && let Some(kept) = self.kept.instances.remove(name.as_str())
        {
            tenant.recall(kept, now);
        }
    }
}

impl Tenant {
    fn kept(&self, seen: u64) -> KeptInstance {
        let mut services: BTreeMap<String, KeptService> = BTreeMap::new();
        for (name, state) in &self.services {
            if let Some(over) = state.over {
                services.entry(name.to_string()).or_default().wish = Some(over.into());
            }
            if !state.weights.own.is_empty() {
                let kept = services.entry(name.to_string()).or_default();
                kept.shares = state.weights.own.clone();
            }
        }
        for (name, peaks) in self.scaler.peaks() {
            services.entry(name.to_owned()).or_default().peaks = peaks;
        }
        let (savings, past_savings) = self.ledger.kept();
        KeptInstance {
            seen,
            paused: self.paused,
            savings,
            past_savings,
            services,
        }
    }

    fn recall(&mut self, kept: KeptInstance, now: Now) {
        let KeptInstance {
            seen,
            paused,
            savings,
            past_savings,
            services,
        } = kept;
        self.paused |= paused;
        self.ledger.remember(savings, past_savings);
        let days_ago = seconds(now.wall).saturating_sub(seen) / DAY;
        for (name, service) in services {
            if let Some(state) = self.services.get_mut(&*name) {
                state.weights.own.extend(service.shares);
                let wish = service.wish.and_then(|wish| wish.of(now));
                state.over = wish.or(state.over);
            }
            let days_ago = usize::try_from(days_ago).unwrap_or(usize::MAX);
            self.scaler.remember(&name, &service.peaks, days_ago, now);
        }
    }
}

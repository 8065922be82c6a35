//! What the control plane keeps over a restart: what operators asked for, how many people there were,
//! what scaling saved, and which stack has which name. Nothing of it is needed to serve; who loses it
//! loses no session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::event::Now;
use super::service::Wished;
use super::step::Controller;
use super::tenant::Tenant;
use crate::autoscaler::Override;
use crate::compat::KeptNames;
use crate::names::InstanceName;

/// An instance that nobody has seen for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 86_400);

const DAY: u64 = 86_400;

/// Everything that is kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Kept {
    /// By their names.
    pub(super) instances: BTreeMap<String, KeptInstance>,
    /// Who has the names that containers claim.
    names: KeptNames,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct KeptInstance {
    /// When it was last there, in seconds since 1970.
    seen: u64,
    paused: bool,
    savings: Savings,
    /// Of the twelve months before, the newest first.
    past_savings: Vec<Savings>,
    services: BTreeMap<String, KeptService>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct KeptService {
    wish: Option<Wish>,
    /// The most sessions of each of the last days, that of `seen` first.
    peaks: Vec<u32>,
    /// Shares of the processors that usher has given, by what the replicas were made of.
    shares: BTreeMap<String, BTreeSet<u64>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Wish {
    replicas: u32,
    kind: Kind,
    /// In seconds since 1970; `None`: until it is taken back.
    until: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    AtLeast,
    AtMost,
    Exactly,
}

/// What [`super::ledger`] counts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Savings {
    /// `2026-12`.
    pub(super) month: String,
    /// In whole seconds.
    pub(super) used: u64,
    pub(super) watched: u64,
    pub(super) most: u32,
}

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

impl KeptInstance {
    /// Whether it is worth keeping.
    fn says_something(&self) -> bool {
        let saved = self.savings.watched > 0 || !self.past_savings.is_empty();
        self.paused || !self.services.is_empty() || saved
    }
}

impl From<Wished> for Wish {
    fn from(Wished { wish, until, .. }: Wished) -> Self {
        let (replicas, kind) = match wish {
            Override::Floor(replicas) => (replicas, Kind::AtLeast),
            Override::Cap(replicas) => (replicas, Kind::AtMost),
            Override::Exact(replicas) => (replicas, Kind::Exactly),
        };
        Self {
            replicas,
            kind,
            until: until.map(|until| seconds(until.wall)),
        }
    }
}

impl Wish {
    /// What is left of it now.
    fn of(self, now: Now) -> Option<Wished> {
        let until = match self.until {
            None => None,
            Some(until) => {
                let wall = UNIX_EPOCH + Duration::from_secs(until);
                let left = wall.duration_since(now.wall).ok()?;
                Some(Now {
                    at: now.at + left,
                    wall,
                })
            }
        };
        let wish = match self.kind {
            Kind::AtLeast => Override::Floor(self.replicas),
            Kind::AtMost => Override::Cap(self.replicas),
            Kind::Exactly => Override::Exact(self.replicas),
        };
        Some(Wished {
            wish,
            since: now,
            until,
        })
    }
}

fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

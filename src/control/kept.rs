//! What the control plane keeps over a restart: what operators asked for, how many people there were,
//! what scaling saved, and which stack has which name. Nothing of it is needed to serve; who loses it
//! loses no session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::event::Now;
use super::operator::wished::Wished;
use crate::autoscaler::Override;
use crate::compat::KeptNames;

/// Everything that is kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Kept {
    /// By their names.
    pub(super) instances: BTreeMap<String, KeptInstance>,
    /// Who has the names that containers claim.
    pub(super) names: KeptNames,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct KeptInstance {
    /// When it was last there, in seconds since 1970.
    pub(super) seen: u64,
    pub(super) paused: bool,
    pub(super) savings: Savings,
    /// Of the twelve months before, the newest first.
    pub(super) past_savings: Vec<Savings>,
    pub(super) services: BTreeMap<String, KeptService>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct KeptService {
    pub(super) wish: Option<Wish>,
    /// The most sessions of each of the last days, that of `seen` first.
    pub(super) peaks: Vec<u32>,
    /// Shares of the processors that usher has given, by what the replicas were made of.
    pub(super) shares: BTreeMap<String, BTreeSet<u64>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Wish {
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

impl KeptInstance {
    /// Whether it is worth keeping.
    pub(super) fn says_something(&self) -> bool {
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
    pub(super) fn of(self, now: Now) -> Option<Wished> {
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

pub(super) fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

//! The owners of names, as a restart finds them again.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::conflicts::{KEPT_FOR, Owner, Owners};
use crate::moment::Now;
use crate::names::StackName;

/// Names by the stacks that have them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct KeptNames(BTreeMap<String, Vec<Held>>);

/// Names of a stack that stand alike.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Held {
    names: Vec<String>,
    /// Who asked for them.
    services: Vec<String>,
    /// In seconds since 1970; `None`: the stack ran.
    until: Option<u64>,
}

impl Owners {
    /// What a restart should find again.
    pub(super) fn kept(&self, now: Now) -> KeptNames {
        let mut kept: BTreeMap<String, Vec<Held>> = BTreeMap::new();
        for (name, state) in &self.names {
            let Some(owner) = &state.owner else { continue };
            let until = owner.until.map(|until| {
                let left = until.saturating_duration_since(now.at);
                let at = now.wall + left;
                at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
            });
            let services = owner.services.iter();
            let services: Vec<String> = services.map(ToString::to_string).collect();
            let all = kept.entry(owner.stack.to_string()).or_default();
            let alike = |held: &&mut Held| held.until == until && held.services == services;
            match all.iter_mut().find(alike) {
                Some(held) => held.names.push(name.to_string()),
                None => all.push(Held {
                    names: vec![name.to_string()],
                    services,
                    until,
                }),
            }
        }
        KeptNames(kept)
    }

    /// Takes in what an earlier process kept.
    pub(super) fn remember(&mut self, KeptNames(kept): KeptNames, now: Now) {
        for (stack, held) in kept {
            let Ok(stack) = stack.parse::<StackName>() else {
                continue;
            };
            for held in held {
                let services = held.services.iter();
                let services: Vec<_> = services.filter_map(|name| name.parse().ok()).collect();
                let until = held.until.map(|until| left(until, now));
                for name in held.names {
                    let owner = Owner {
                        stack: stack.clone(),
                        services: services.clone(),
                        until,
                    };
                    self.give(&name, owner);
                }
            }
        }
    }
}

/// The same moment by the other clock, which may have been set back meanwhile.
fn left(until: u64, now: Now) -> Instant {
    let until = UNIX_EPOCH + Duration::from_secs(until);
    let left = until.duration_since(now.wall).unwrap_or_default();
    now.at + left.min(KEPT_FOR)
}

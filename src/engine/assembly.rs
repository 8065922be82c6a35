//! Containers put together into stacks.
//!
//! Pure: what the engine said in, stacks of the inventory out. A stack of which nothing has changed is
//! the very same value as in the listing before, and whoever reads listings tells so by looking at its
//! address: of a thousand stacks, one that changes costs what one costs.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{self, ContainerInspectResponse};
use tracing::warn;

use super::containers::{Family, Paths, another_name, said, unit, visible};
use super::docker::PROJECT;
use super::labels::note_unknown;
use super::memory::{Inspected, Known, Place};
use super::swarm::NAMESPACE;
use crate::inventory::{Claims, Reach, Stack, Volume};
use crate::names::{ServiceName, StackName};

/// From where containers and volumes are seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Standpoint {
    /// The id of usher's own container.
    pub(super) own: Option<String>,
    pub(super) paths: Paths,
    /// What is mounted into it; `None` on the host.
    pub(super) mounts: Option<Vec<(PathBuf, PathBuf)>>,
    pub(super) family: Family,
}

/// What was put together last, and of what.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    standpoint: Option<Standpoint>,
    listed_volumes: Arc<Vec<models::Volume>>,
    volumes: Volumes,
    made: BTreeMap<StackName, Made>,
    /// Those of a Swarm, which are put together elsewhere.
    deployed: BTreeMap<StackName, Arc<Stack>>,
}

#[derive(Debug)]
struct Made {
    group: Group,
    stack: Arc<Stack>,
}

/// What a stack is put together of.
#[derive(Debug, Default)]
struct Group {
    parts: Vec<Part>,
    /// Those who only say they are of it: a sentence each.
    left_out: Vec<String>,
}

/// One container of a stack.
#[derive(Debug)]
struct Part {
    service: ServiceName,
    container: Arc<ContainerInspectResponse>,
    claims: Arc<Claims>,
    leaving: bool,
}

/// Where volumes are, by the names that stacks use.
#[derive(Debug, Default)]
struct Volumes {
    of_stacks: BTreeMap<StackName, BTreeMap<String, Volume>>,
    /// External ones: whoever names one in the configuration may mean it.
    of_all: BTreeMap<String, Volume>,
}

impl Assembly {
    /// The stacks of what was seen. `strangers`: who only says he is of one, by his id, and why he is
    /// not. `is_leaving`: whether this life of a container was told to end.
    pub(super) fn assemble(
        &mut self,
        seen: &Known,
        standpoint: &Standpoint,
        strangers: &HashMap<&str, String>,
        is_leaving: impl Fn(&ContainerInspectResponse) -> bool,
    ) -> BTreeMap<StackName, Arc<Stack>> {
        let moved = self.standpoint.as_ref() != Some(standpoint);
        if moved || !Arc::ptr_eq(&self.listed_volumes, &seen.volumes) {
            self.volumes = Volumes::new(&seen.volumes, standpoint.mounts.as_deref());
            self.listed_volumes = Arc::clone(&seen.volumes);
            self.standpoint = Some(standpoint.clone());
            self.made.clear();
        }
        let mut before = std::mem::take(&mut self.made);
        for (name, group) in grouped(seen, strangers, is_leaving) {
            let known = before.remove(&name);
            let known = known.filter(|known| known.is_of(&group));
            let made = known.unwrap_or_else(|| {
                let volumes = self.volumes.of(&name);
                let stack = Arc::new(stack(&group, standpoint, volumes));
                Made { group, stack }
            });
            self.made.insert(name, made);
        }
        let stacks = self.made.iter();
        stacks
            .map(|(name, made)| (name.clone(), Arc::clone(&made.stack)))
            .collect()
    }

    /// Completes the stacks that a Swarm has added to those that were assembled.
    pub(super) fn complete(&mut self, stacks: &mut BTreeMap<StackName, Arc<Stack>>) {
        let before = std::mem::take(&mut self.deployed);
        let added = stacks.iter_mut();
        for (name, stack) in added.filter(|(name, _)| !self.made.contains_key(*name)) {
            Arc::make_mut(stack).volumes = self.volumes.of(name);
            if let Some(known) = before.get(name).filter(|known| *known == stack) {
                *stack = Arc::clone(known);
            }
            self.deployed.insert(name.clone(), Arc::clone(stack));
        }
    }
}

impl Made {
    fn is_of(&self, group: &Group) -> bool {
        let (known, parts) = (&self.group.parts, &group.parts);
        let same = |(known, part): (&Part, &Part)| {
            Arc::ptr_eq(&known.container, &part.container)
                && known.claims == part.claims
                && known.leaving == part.leaving
        };
        let all = known.len() == parts.len() && known.iter().zip(parts).all(same);
        all && self.group.left_out == group.left_out
    }
}

/// Containers by the stacks they are of, those of each in the order of their ids.
fn grouped(
    seen: &Known,
    strangers: &HashMap<&str, String>,
    is_leaving: impl Fn(&ContainerInspectResponse) -> bool,
) -> BTreeMap<StackName, Group> {
    let mut stacks: BTreeMap<StackName, Group> = BTreeMap::new();
    let mut alone = Vec::new();
    let part = |inspected: &Inspected, service: &ServiceName| Part {
        service: service.clone(),
        container: Arc::clone(&inspected.container),
        claims: inspected.claims.clone().unwrap_or_default(),
        leaving: is_leaving(&inspected.container),
    };
    for inspected in seen.containers.values() {
        match &inspected.place {
            Place::Project(stack, service) => {
                let group = stacks.entry(stack.clone()).or_default();
                let id = inspected.container.id.as_deref().unwrap_or_default();
                match strangers.get(id) {
                    Some(why) => group.left_out.push(why.clone()),
                    None => group.parts.push(part(inspected, service)),
                }
            }
            // Who is of no project is served if he asks for it.
            Place::Alone(stack, service) => {
                let part = part(inspected, service);
                if !part.claims.is_empty() {
                    alone.push((stack, part));
                }
            }
            Place::Nowhere => {}
        }
    }
    // A project has its name for itself, whatever others are called.
    alone.sort_by(|(_, one), (_, other)| one.container.name.cmp(&other.container.name));
    for (stack, part) in alone {
        let names = [Some(stack.clone()), another_name(stack)];
        let mut names = names.into_iter().flatten();
        match names.find(|name| !stacks.contains_key(name)) {
            Some(name) => stacks.entry(name).or_default().parts.push(part),
            None => {
                let container = part.container.name.as_deref().unwrap_or_default();
                warn!(%container, "not served: rename it, a stack is called like that");
            }
        }
    }
    for Group { parts, left_out } in stacks.values_mut() {
        left_out.sort_unstable();
        parts.sort_by(|one, other| one.container.id.cmp(&other.container.id));
    }
    stacks
}

fn stack(group: &Group, standpoint: &Standpoint, volumes: BTreeMap<String, Volume>) -> Stack {
    let mut stack = Stack {
        volumes,
        left_out: group.left_out.clone(),
        ..Stack::default()
    };
    let mounts = standpoint.mounts.as_deref();
    for part in &group.parts {
        let Standpoint { paths, family, .. } = standpoint;
        let found = unit(&part.container, part.leaving, paths, *family, mounts);
        let Some(mut unit) = found else {
            continue;
        };
        let labels = said(&part.container).labels.into_iter().flatten();
        note_unknown(labels.map(|(label, _)| label), &mut stack.unknown_labels);
        unit.claims = Arc::clone(&part.claims);
        if standpoint.own.is_some() && standpoint.own == part.container.id {
            // What usher has itself is shared with nobody by that.
            unit.mounts.clear();
            unit.reach = Reach::Unreachable {
                why: "it is usher's own container, which would ask itself".to_owned(),
                joinable: Vec::new(),
            };
        }
        let units = stack.services.entry(part.service.clone()).or_default();
        units.push(unit);
    }
    for units in stack.services.values_mut() {
        units.sort_by_key(|unit| (unit.origin, unit.id.clone()));
    }
    stack
}

impl Volumes {
    fn new(listed: &[models::Volume], mounts: Option<&[(PathBuf, PathBuf)]>) -> Self {
        let mut volumes = Self::default();
        for volume in listed {
            let place = visible(Path::new(&volume.mountpoint), mounts);
            match owner(volume) {
                Some((stack, key)) => {
                    let own = volumes.of_stacks.entry(stack).or_default();
                    own.insert(key, place);
                }
                None => drop(volumes.of_all.insert(volume.name.clone(), place)),
            }
        }
        volumes
    }

    fn of(&self, stack: &StackName) -> BTreeMap<String, Volume> {
        let mut volumes = self.of_all.clone();
        volumes.extend(self.of_stacks.get(stack).cloned().unwrap_or_default());
        volumes
    }
}

/// The stack a volume was made for, and what it calls it.
fn owner(volume: &models::Volume) -> Option<(StackName, String)> {
    let deployed = || {
        let stack = volume.labels.get(NAMESPACE)?;
        let key = volume.name.strip_prefix(stack.as_str())?;
        Some((stack.parse().ok()?, key.strip_prefix('_')?.to_owned()))
    };
    let composed = || {
        let project = volume.labels.get(PROJECT)?.parse().ok()?;
        let key = volume.labels.get("com.docker.compose.volume")?;
        Some((project, key.clone()))
    };
    deployed().or_else(composed)
}

#[cfg(test)]
mod tests;

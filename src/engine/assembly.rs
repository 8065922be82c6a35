//! Containers put together into stacks.
//!
//! Pure: what the engine said in, stacks of the inventory out. A stack of which nothing has changed is
//! the very same value as in the listing before, and whoever reads listings tells so by looking at its
//! address: of a thousand stacks, one that changes costs what one costs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bollard::models::{self, ContainerInspectResponse};
use tracing::warn;

mod members;
mod networks;
mod volumes;

use self::members::{Members, Part};
use self::networks::Networks;
use self::volumes::Volumes;
use super::containers::{Family, Paths, another_name, said, unit};
use super::kinship::strangers;
use super::labels::note_unknown;
use super::memory::Known;
use crate::inventory::{Reach, Stack, Volume};
use crate::names::StackName;
use crate::shared::Map;

/// From where containers and volumes are seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Standpoint {
    /// The id of usher's own container.
    pub(super) own: Option<String>,
    pub(super) paths: Paths,
    /// What is mounted into it; `None` on the host.
    pub(super) mounts: Option<Vec<(PathBuf, PathBuf)>>,
    pub(super) family: Family,
    /// Names of networks on which labels are believed.
    pub(super) trusted: Vec<String>,
}

/// What was put together last, and of what.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    standpoint: Option<Standpoint>,
    listed_volumes: Arc<Vec<models::Volume>>,
    volumes: Volumes,
    networks: Networks,
    members: Members,
    projects: BTreeMap<StackName, Made>,
    /// Of containers that are of no project.
    alone: BTreeMap<StackName, Made>,
    /// Those of a Swarm, which are put together elsewhere.
    deployed: Map<StackName, Stack>,
    /// What came of projects and of those that are of none.
    stacks: Map<StackName, Stack>,
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

impl Assembly {
    /// The stacks of what was seen. `is_leaving`: whether this life of a container was told to end.
    pub(super) fn assemble(
        &mut self,
        seen: &Known,
        standpoint: &Standpoint,
        is_leaving: impl Fn(&ContainerInspectResponse) -> bool,
    ) -> Map<StackName, Stack> {
        let mut changed = self.members.follow(seen, is_leaving);
        let moved = self.standpoint.as_ref() != Some(standpoint);
        let moved = moved || !Arc::ptr_eq(&self.listed_volumes, &seen.volumes);
        if moved {
            self.volumes = Volumes::new(&seen.volumes, standpoint.mounts.as_deref());
            self.listed_volumes = Arc::clone(&seen.volumes);
            self.standpoint = Some(standpoint.clone());
            self.projects.clear();
            self.alone.clear();
            self.stacks = Map::default();
        }
        // Who is of a project hangs on its networks.
        if self.networks.follow(&seen.networks) || moved {
            changed.extend(self.members.projects().cloned());
        }
        for name in changed {
            let known = self.projects.remove(&name);
            let Some(group) = self.project(&name, &standpoint.trusted) else {
                self.stacks.remove(&name);
                continue;
            };
            let made = self.made(&name, group, known, standpoint);
            self.stacks.insert(name.clone(), Arc::clone(&made.stack));
            self.projects.insert(name, made);
        }
        let mut before = std::mem::take(&mut self.alone);
        for (name, group) in self.groups_alone() {
            let made = self.made(&name, group, before.remove(&name), standpoint);
            self.stacks.insert(name.clone(), Arc::clone(&made.stack));
            self.alone.insert(name, made);
        }
        for name in before
            .keys()
            .filter(|name| !self.projects.contains_key(*name))
        {
            self.stacks.remove(name);
        }
        self.stacks.clone()
    }

    /// Containers of which events or a listing say that they are one of those in whose place usher is.
    pub(super) fn superseded(&self) -> impl Iterator<Item = &ContainerInspectResponse> {
        self.members.superseded()
    }

    /// The stacks of a Swarm that were completed last.
    pub(super) fn deployed(&self) -> &Map<StackName, Stack> {
        &self.deployed
    }

    fn made(
        &self,
        name: &StackName,
        group: Group,
        known: Option<Made>,
        standpoint: &Standpoint,
    ) -> Made {
        known
            .filter(|known| known.is_of(&group))
            .unwrap_or_else(|| {
                let stack = Arc::new(stack(&group, standpoint, self.volumes.of(name)));
                Made { group, stack }
            })
    }

    /// The containers of a project, in the order of their ids. `None`: there is none.
    fn project(&self, name: &StackName, trusted: &[String]) -> Option<Group> {
        let members = self.members.of(name)?;
        let containers = members.clone().map(|(_, placed)| &*placed.container);
        let networks = self.networks.about(name, containers.clone(), trusted);
        let strangers = strangers(containers, networks.iter().copied(), trusted);
        let mut group = Group::default();
        for (id, placed) in members {
            match strangers.get(id) {
                Some(why) => group.left_out.push(why.clone()),
                None => group.parts.extend(placed.part()),
            }
        }
        group.left_out.sort_unstable();
        Some(group)
    }

    /// Who is of no project is served if he asks for it.
    fn groups_alone(&self) -> BTreeMap<StackName, Group> {
        let mut groups: BTreeMap<StackName, Group> = BTreeMap::new();
        for (stack, part) in self.members.alone() {
            // A project has its name for itself, whatever others are called.
            let names = [Some(stack.clone()), another_name(&stack)];
            let mut names = names.into_iter().flatten();
            let is_free = |name: &StackName| !self.members.has(name) && !groups.contains_key(name);
            match names.find(is_free) {
                Some(name) => groups.entry(name).or_default().parts.push(part),
                None => {
                    let container = part.container.name.as_deref().unwrap_or_default();
                    warn!(%container, "not served: rename it, a stack is called like that");
                }
            }
        }
        groups
    }

    /// Completes the stacks that a Swarm has added to those that were assembled.
    pub(super) fn complete(&mut self, stacks: &mut Map<StackName, Stack>) {
        let mut deployed = Map::default();
        for found in self.stacks.differences(stacks) {
            let Some(added) = found.now else { continue };
            let mut stack = Arc::clone(added);
            Arc::make_mut(&mut stack).volumes = self.volumes.of(found.name);
            let known = self.deployed.get(found.name);
            let known = known.filter(|known| ***known == *stack);
            deployed.insert(found.name.clone(), known.map_or(stack, Arc::clone));
        }
        let added = deployed.iter();
        stacks.extend(added.map(|(name, stack)| (name.clone(), Arc::clone(stack))));
        self.deployed = deployed;
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

#[cfg(test)]
mod tests;

//! Where each container was put, and whose place may have changed since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bollard::models::ContainerInspectResponse;

use super::super::memory::{Inspected, Known, Place};
use super::super::superseded::is_one;
use crate::inventory::Claims;
use crate::names::{ServiceName, StackName};

#[derive(Debug, Default)]
pub(super) struct Members {
    /// By their ids.
    placed: HashMap<String, Placed>,
    projects: BTreeMap<StackName, BTreeSet<String>>,
    alone: BTreeSet<String>,
    superseded: BTreeSet<String>,
}

/// One container, as it was when it was put there.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) container: Arc<ContainerInspectResponse>,
    claims: Arc<Claims>,
    leaving: bool,
    place: Place,
}

/// One container of a stack.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) service: ServiceName,
    pub(super) container: Arc<ContainerInspectResponse>,
    pub(super) claims: Arc<Claims>,
    pub(super) leaving: bool,
}

impl Placed {
    /// As part of its stack. `None`: it is of none.
    pub(super) fn part(&self) -> Option<Part> {
        let (Place::Project(_, service) | Place::Alone(_, service)) = &self.place else {
            return None;
        };
        Some(Part {
            service: service.clone(),
            container: Arc::clone(&self.container),
            claims: Arc::clone(&self.claims),
            leaving: self.leaving,
        })
    }

    fn is_as(&self, inspected: &Inspected, leaving: bool) -> bool {
        let said = inspected.claims.as_ref();
        Arc::ptr_eq(&self.container, &inspected.container)
            && self.leaving == leaving
            && said.map_or(self.claims.is_empty(), |said| self.claims == *said)
    }
}

impl Members {
    /// Takes in what there is now. Returns the projects about which something is new.
    pub(super) fn follow(
        &mut self,
        seen: &Known,
        is_leaving: impl Fn(&ContainerInspectResponse) -> bool,
    ) -> BTreeSet<StackName> {
        let mut changed = BTreeSet::new();
        let ids: HashSet<&String> = match seen.changes.all {
            true => seen.containers.keys().chain(self.placed.keys()).collect(),
            false => seen.changes.some.iter().collect(),
        };
        let ids: Vec<String> = ids.into_iter().cloned().collect();
        for id in &ids {
            let Some(inspected) = seen.containers.get(id) else {
                self.remove(id, &mut changed);
                continue;
            };
            let leaving = is_leaving(&inspected.container);
            let known = self.placed.get(id);
            if known.is_some_and(|known| known.is_as(inspected, leaving)) {
                continue;
            }
            self.remove(id, &mut changed);
            let placed = Placed {
                container: Arc::clone(&inspected.container),
                claims: inspected.claims.clone().unwrap_or_default(),
                leaving,
                place: inspected.place.clone(),
            };
            self.insert(id, placed, &mut changed);
        }
        changed
    }

    fn insert(&mut self, id: &str, placed: Placed, changed: &mut BTreeSet<StackName>) {
        match &placed.place {
            Place::Project(stack, _) => {
                let members = self.projects.entry(stack.clone()).or_default();
                members.insert(id.to_owned());
                changed.insert(stack.clone());
            }
            Place::Alone(..) if !placed.claims.is_empty() => {
                self.alone.insert(id.to_owned());
            }
            Place::Alone(..) | Place::Nowhere => {}
        }
        if is_one(&placed.container) {
            self.superseded.insert(id.to_owned());
        }
        self.placed.insert(id.to_owned(), placed);
    }

    fn remove(&mut self, id: &str, changed: &mut BTreeSet<StackName>) {
        let Some(known) = self.placed.remove(id) else {
            return;
        };
        self.alone.remove(id);
        self.superseded.remove(id);
        if let Place::Project(stack, _) = known.place
            && let Some(members) = self.projects.get_mut(&stack)
        {
            members.remove(id);
            if members.is_empty() {
                self.projects.remove(&stack);
            }
            changed.insert(stack);
        }
    }

    pub(super) fn projects(&self) -> impl Iterator<Item = &StackName> {
        self.projects.keys()
    }

    pub(super) fn has(&self, project: &StackName) -> bool {
        self.projects.contains_key(project)
    }

    /// The containers that say they are of a project, in the order of their ids.
    pub(super) fn of(
        &self,
        project: &StackName,
    ) -> Option<impl Iterator<Item = (&str, &Placed)> + Clone> {
        let ids = self.projects.get(project)?.iter();
        Some(ids.filter_map(|id| Some((id.as_str(), self.placed.get(id)?))))
    }

    /// Containers of no project, in the order of their names, and what they are called as stacks.
    pub(super) fn alone(&self) -> Vec<(StackName, Part)> {
        let placed = self.alone.iter().filter_map(|id| self.placed.get(id));
        let mut alone: Vec<_> = placed
            .filter_map(|placed| match &placed.place {
                Place::Alone(stack, _) => Some((stack.clone(), placed.part()?)),
                _ => None,
            })
            .collect();
        alone.sort_by(|(_, one), (_, other)| one.container.name.cmp(&other.container.name));
        alone
    }

    pub(super) fn superseded(&self) -> impl Iterator<Item = &ContainerInspectResponse> {
        let placed = self.superseded.iter().filter_map(|id| self.placed.get(id));
        placed.map(|placed| &*placed.container)
    }
}

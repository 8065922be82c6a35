//! Which networks say something about a project.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, Network};

use super::super::kinship::{attached, project_of};
use crate::names::StackName;

/// Networks as they were listed last: of a thousand, a project is asked about its own.
#[derive(Debug, Default)]
pub(super) struct Networks {
    listed: Arc<Vec<Network>>,
    /// Places in the list, by the project a network was made for.
    of_projects: HashMap<String, Vec<usize>>,
    by_name: HashMap<String, usize>,
}

impl Networks {
    /// Takes a list in. Returns whether it says anything new.
    pub(super) fn follow(&mut self, listed: &Arc<Vec<Network>>) -> bool {
        if Arc::ptr_eq(&self.listed, listed) {
            return false;
        }
        *self = Self {
            listed: Arc::clone(listed),
            ..Self::default()
        };
        for (place, network) in listed.iter().enumerate() {
            if let Some(project) = project_of(network) {
                let own = self.of_projects.entry(project.to_owned()).or_default();
                own.push(place);
            }
            if let Some(name) = &network.name {
                self.by_name.insert(name.clone(), place);
            }
        }
        true
    }

    /// Those a project has, those its containers name, and those that are trusted.
    pub(super) fn about<'c>(
        &self,
        project: &StackName,
        containers: impl Iterator<Item = &'c ContainerInspectResponse>,
        trusted: &[String],
    ) -> Vec<&Network> {
        let own = self.of_projects.get(project.as_str()).into_iter().flatten();
        let mut places: BTreeSet<usize> = own.copied().collect();
        let place = |name: &str| self.by_name.get(name).copied();
        places.extend(trusted.iter().filter_map(|name| place(name)));
        for container in containers {
            let host = container.host_config.as_ref();
            let mode = host.and_then(|host| host.network_mode.as_deref());
            places.extend(mode.and_then(place));
            places.extend(attached(container).filter_map(|(name, _)| place(name)));
        }
        let listed = places.into_iter();
        listed.filter_map(|place| self.listed.get(place)).collect()
    }
}

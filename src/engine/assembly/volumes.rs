//! Where volumes are, and whose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bollard::models;

use super::super::clone::PROJECT;
use super::super::containers::visible;
use super::super::listed_volumes::LOCAL;
use super::super::swarm::NAMESPACE;
use crate::folder::{Folder, Presence};
use crate::inventory::Volume;
use crate::names::StackName;

/// Where volumes are, by the names that stacks use.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    of_stacks: BTreeMap<StackName, BTreeMap<String, Volume>>,
    /// External ones: whoever names one in the configuration may mean it.
    of_all: BTreeMap<String, Volume>,
}

impl Volumes {
    pub(super) fn new(listed: &[models::Volume], mounts: Option<&[(PathBuf, PathBuf)]>) -> Self {
        let mut volumes = Self::default();
        for volume in listed {
            let place = place(volume, mounts);
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

    pub(super) fn of(&self, stack: &StackName) -> BTreeMap<String, Volume> {
        let mut volumes = self.of_all.clone();
        volumes.extend(self.of_stacks.get(stack).cloned().unwrap_or_default());
        volumes
    }
}

/// Where its files are, and when.
fn place(volume: &models::Volume, mounts: Option<&[(PathBuf, PathBuf)]>) -> Volume {
    if volume.mountpoint.is_empty() {
        let why = format!(
            "the volume {} is not mounted: its driver {} does not say where; it does once a container \
             with it runs, if the driver works",
            volume.name, volume.driver
        );
        return Volume::Invisible { why };
    }
    match visible(Path::new(&volume.mountpoint), mounts) {
        Volume::At(folder) => Volume::At(Folder {
            presence: presence(volume),
            ..folder
        }),
        invisible @ Volume::Invisible { .. } => invisible,
    }
}

fn presence(volume: &models::Volume) -> Presence {
    // With these the engine's own driver calls mount(2), and else it makes a folder.
    let is_mounted = ["device", "type"].into_iter().any(|key| {
        let option = volume.options.get(key);
        option.is_some_and(|option| !option.is_empty())
    });
    match volume.driver.as_str() {
        LOCAL if is_mounted => Presence::Mounted,
        LOCAL => Presence::Always,
        _ => Presence::MountedOrFilled,
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

//! An answer of the engine about its volumes.

use bollard::models::Volume;

/// The engine's own driver, which answers whatever others do.
pub(super) const LOCAL: &str = "local";

/// What the engine says there is.
pub(super) struct ListedVolumes {
    pub(super) volumes: Vec<Volume>,
    /// Every driver has answered it. Of the volumes of one that has not, it says no place.
    pub(super) is_whole: bool,
}

impl ListedVolumes {
    /// With the places that were `known` of those whose driver has not answered.
    pub(super) fn completed(mut self, known: &[Volume]) -> Vec<Volume> {
        let unplaced = self
            .volumes
            .iter_mut()
            .filter(|one| one.mountpoint.is_empty());
        for volume in unplaced.filter(|_| !self.is_whole) {
            let before = known
                .iter()
                .find(|one| (&one.name, &one.driver) == (&volume.name, &volume.driver));
            if let Some(before) = before {
                volume.mountpoint.clone_from(&before.mountpoint);
            }
        }
        self.volumes
    }
}

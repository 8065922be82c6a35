//! One second of the read model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::control::Status;

/// How everything was at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) at: SystemTime,
    pub(super) status: Arc<Status>,
    /// Requests per second of each instance.
    pub(super) rates: BTreeMap<String, f32>,
}

impl Snapshot {
    pub(super) fn rate(&self, instance: &str) -> f32 {
        self.rates.get(instance).copied().unwrap_or_default()
    }
}

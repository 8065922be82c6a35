//! `[status]` and `[[alert]]`, as they are written.

use serde::Deserialize;

use crate::config::issue::At;
use crate::config::reader::{Leaf, Reader};

/// Pairs of warning and critical.
#[derive(Default)]
pub(in crate::config) struct RawStatus {
    pub(in crate::config) load_per_core: Leaf<[f64; 2]>,
    pub(in crate::config) memory_available: Leaf<[f64; 2]>,
    pub(in crate::config) disk_available: Leaf<[f64; 2]>,
}

impl RawStatus {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            load_per_core: table.leaf("load-per-core"),
            memory_available: table.leaf("memory-available"),
            disk_available: table.leaf("disk-available"),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            load_per_core,
            memory_available,
            disk_available,
        } = self;
        Self {
            load_per_core: load_per_core.or(below.load_per_core),
            memory_available: memory_available.or(below.memory_available),
            disk_available: disk_available.or(below.disk_available),
        }
    }
}

pub(in crate::config) struct RawAlert {
    pub(in crate::config) at: At,
    pub(in crate::config) url: Leaf<String>,
    pub(in crate::config) command: Leaf<Vec<String>>,
    pub(in crate::config) format: Leaf<RawAlertFormat>,
    pub(in crate::config) min_status: Leaf<RawMinStatus>,
}

impl RawAlert {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            url: table.leaf("url"),
            command: table.leaf("command"),
            format: table.leaf("format"),
            min_status: table.leaf("min-status"),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawAlertFormat {
    Alertmanager,
    Json,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawMinStatus {
    Critical,
    Warning,
}

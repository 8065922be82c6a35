//! When a measure is bad, and who is told.

/// Where a measure becomes a warning and where critical.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub load_per_core: Threshold,
    pub memory_available: Threshold,
    pub disk_available: Threshold,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub warning: f64,
    pub critical: f64,
}

/// Somebody who is told when the status changes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Alert {
    pub to: AlertTarget,
    pub min_status: MinStatus,
}

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AlertTarget {
    /// The whole address of an API of Alertmanager, version 2.
    Alertmanager { url: String },
    /// A program by its whole path, with its arguments; never empty.
    Command(Vec<String>),
    /// Takes each change as a JSON object.
    Json { url: String },
}

impl AlertTarget {
    /// The receiver without what may be a secret: where it is, or the program.
    pub fn name(&self) -> String {
        match self {
            Self::Alertmanager { url } | Self::Json { url } => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                format!("{scheme}://{host}")
            }
            Self::Command(command) => command.first().cloned().unwrap_or_default(),
        }
    }
}

/// What is bad enough to be told.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MinStatus {
    Critical,
    Warning,
}

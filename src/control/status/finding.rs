//! How good something is, and why it is no better.

use serde::Serialize;

use crate::config::model::Threshold;

/// How good something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Healthy,
    /// Works, wants a look.
    Warning,
    /// Does not work, wants a hand.
    Critical,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How one part is; `None` is healthy.
pub(super) type Finding = Option<(Level, String)>;

pub(super) fn above(value: Option<f64>, threshold: Threshold) -> Level {
    match value {
        Some(value) if value >= threshold.critical => Level::Critical,
        Some(value) if value >= threshold.warning => Level::Warning,
        _ => Level::Healthy,
    }
}

pub(super) fn below(value: Option<f64>, threshold: Threshold) -> Level {
    match value {
        Some(value) if value <= threshold.critical => Level::Critical,
        Some(value) if value <= threshold.warning => Level::Warning,
        _ => Level::Healthy,
    }
}

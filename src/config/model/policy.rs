//! How an instance is scaled and its replicas are emptied.

use std::time::Duration;

/// How a replica that leaves is emptied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Drain {
    /// Sessions end by themselves; then paced closes while others have room.
    pub natural: Duration,
    /// Then paced closes regardless.
    pub at_most: Duration,
    /// From the stop signal to the kill.
    pub stop: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScalePolicy {
    pub sessions_per_replica: u32,
    pub down_after: Duration,
    /// Nothing is scaled below its minimum unless nobody has been there for so long; `None`: never.
    pub idle_to_zero: Option<Duration>,
    pub mode: ScaleMode,
    /// The share of a full host, beside others'.
    pub weight: u32,
}

/// How far the autoscaler may go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ScaleMode {
    #[default]
    Auto,
    /// Keeps what there is.
    Hold,
    /// Touches nothing, not even a drain.
    Off,
    /// Says what it would do.
    Recommend,
}

impl ScaleMode {
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Hold => "hold",
            Self::Off => "off",
            Self::Recommend => "recommend",
        }
    }
}

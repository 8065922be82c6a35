//! What the control plane has to know of its engine.

use std::time::Duration;

/// What the controller has to know of its engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineFacts {
    pub kind: &'static str,
    /// Whether a service without any replica can be started. A Compose service without one was
    /// stopped by its operator, and there is nothing to copy.
    pub starts_from_nothing: bool,
    /// Whether another usher may command the same engine.
    pub shared: bool,
    /// How long a stack has to be left alone by others before usher adds to it; see [`QUIET`].
    pub quiet: Duration,
}

/// After somebody else made or removed containers of a stack, usher adds none for this long: a
/// deployment is under way, and a sibling made now would be one of the old.
pub const QUIET: Duration = Duration::from_secs(30);

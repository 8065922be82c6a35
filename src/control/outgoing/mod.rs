//! What goes out of what is known: the plan, the probes, the certificates that should be there.

pub(super) mod place;
pub(super) mod planner;
pub(super) mod reach;
pub(super) mod targets;
pub(super) mod wanted;

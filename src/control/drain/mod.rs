//! How replicas leave: who goes first, how the sessions end, and when the engine is told to stop.

pub(super) mod closing;
pub(super) mod cutting;
pub(super) mod drains;
pub(super) mod leaving;
pub(super) mod leftovers;
pub(super) mod turns;

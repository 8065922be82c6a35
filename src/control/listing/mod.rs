//! What a listing of the engine changes: who there is, and of what.

pub(super) mod built;
pub(super) mod listed;
pub(super) mod of_stacks;
pub(super) mod rebuild;
pub(super) mod strangers;
pub(super) mod superseded;

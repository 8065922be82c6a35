//! What operators want, by a command or by what they did by hand.

pub(super) mod by_hand;
pub(super) mod fixed;
pub(super) mod heeding;
pub(super) mod wished;
pub(super) mod wishes;

//! What the host has room for, who gets how much of it, and what may start at this moment.

pub(super) mod allowing;
pub(super) mod cost;
pub(super) mod fitting;
pub(super) mod guard;
pub(super) mod metering;
pub(super) mod room;
pub(super) mod sharing;
pub(super) mod takes;
pub(super) mod weighing;
pub(super) mod weights;

//! What an operator wants of a service: a number of replicas, or that it is started or stopped.

use std::time::Duration;

use super::super::event::Now;
use crate::autoscaler::Override;

/// An operator's number.
#[derive(Clone, Copy, Debug)]
pub(in crate::control) struct Wished {
    pub(in crate::control) wish: Override,
    pub(in crate::control) since: Now,
    /// `None`: until it is taken back.
    pub(in crate::control) until: Option<Now>,
}

impl Wished {
    /// For so long from now on, or until it is taken back.
    pub(in crate::control) fn within(wish: Override, span: Option<Duration>, now: Now) -> Self {
        Self {
            wish,
            since: now,
            until: span.map(|span| Now {
                at: now.at + span,
                wall: now.wall + span,
            }),
        }
    }
}

/// What an operator wants, until it is so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::control) enum Told {
    /// `ordered`: the engine is at it.
    Start { ordered: bool },
    /// Its replicas drain, however long that takes.
    Stop,
}

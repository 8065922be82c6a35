//! When an instance is rented and when its audience comes, as it is written.

use serde::Deserialize;

use crate::config::issue::At;
use crate::config::reader::{Datetime, Leaf, Reader};
use crate::config::units::Span;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRental {
    pub(in crate::config) from: Datetime,
    pub(in crate::config) until: Datetime,
}

#[derive(Clone, Debug)]
pub(in crate::config) struct RawEvent {
    pub(in crate::config) at: At,
    pub(in crate::config) name: Leaf<String>,
    pub(in crate::config) start: Leaf<Datetime>,
    pub(in crate::config) end: Leaf<Datetime>,
    pub(in crate::config) hours: Leaf<String>,
    pub(in crate::config) attendees: Leaf<u32>,
    pub(in crate::config) sessions_per_attendee: Leaf<f64>,
    pub(in crate::config) prewarm: Leaf<Span>,
}

impl RawEvent {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            name: table.leaf("name"),
            start: table.leaf("start"),
            end: table.leaf("end"),
            hours: table.leaf("hours"),
            attendees: table.leaf("attendees"),
            sessions_per_attendee: table.leaf("sessions-per-attendee"),
            prewarm: table.leaf("prewarm"),
        }
    }
}

//! The sessions of one instance as JSON.

use std::net::IpAddr;

use serde::Serialize;

use crate::moment::Moment;
use crate::plan::SessionFacts;

/// The answer to `/stats/INSTANCE/sessions`.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    /// The oldest first.
    open: Vec<Row>,
    /// The last hundred, the newest first.
    ended: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    service: String,
    replica: String,
    kind: &'static str,
    client: Option<IpAddr>,
    since: Moment,
    bytes_in: u64,
    bytes_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Listing {
    pub(super) fn new(sessions: Vec<SessionFacts>) -> Self {
        let (open, ended): (Vec<_>, Vec<_>) = sessions
            .into_iter()
            .partition(|session| session.ended.is_none());
        let rows = |sessions: Vec<SessionFacts>| sessions.into_iter().map(Row::new).collect();
        Self {
            open: rows(open),
            ended: rows(ended),
        }
    }
}

impl Row {
    fn new(session: SessionFacts) -> Self {
        Self {
            service: session.service.to_string(),
            replica: session.replica.to_string(),
            kind: session.kind,
            client: session.client,
            since: Moment(session.opened),
            bytes_in: session.bytes_in,
            bytes_out: session.bytes_out,
            ended: session.ended.map(|(at, _)| Moment(at)),
            reason: session.ended.map(|(_, why)| why.word()),
        }
    }
}

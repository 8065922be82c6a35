//! What is known of a request while it is served. Its guards count down whatever happens.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use super::decide::Served;
use super::encode::Encoding;
use super::exchange::Watched;
use super::failure::Failure;
use super::pushback::Ear;
use super::queue::Patience;
use super::trace::Trace;
use crate::listener::Connection;
use crate::names::ReplicaId;
use crate::plan::Signal;
use crate::routing::{Counted, Endpoint, Inside, InstanceTable, Pool, Turn, Working};

#[derive(Debug)]
pub struct Ctx {
    pub(super) began: Instant,
    pub(super) connection: Option<Arc<Connection>>,
    /// As soon as there is a head.
    pub(super) trace: Option<Trace>,
    /// Whose it is, as soon as that is known.
    pub(super) instance: Option<Arc<InstanceTable>>,
    pub(super) served: Option<Box<Served>>,
    /// Set once it is let in.
    pub(super) patience: Option<Patience>,
    /// Set while it is with a replica, or with usher itself.
    pub(super) in_flight: Option<Counted>,
    /// Set where it says that somebody is there.
    pub(super) visit: Option<Counted>,
    pub(super) pool: Option<Arc<Pool>>,
    pub(super) with: Option<With>,
    /// Where it has waited: others go on there when this one has an answer.
    pub(super) turns: Vec<Turn>,
    /// Replicas that have refused it, and the last of them.
    pub(super) tried: Vec<ReplicaId>,
    refused_by: Option<Arc<Endpoint>>,
    pub(super) failure: Option<Failure>,
    /// Listens for a word of back-pressure in the answer, and what was heard.
    pub(super) ear: Option<Ear>,
    pub(super) signal: Option<Signal>,
    /// What was answered, where pingora does not know.
    pub(super) answered: Option<StatusCode>,
    /// Compresses the answer of a replica on its way.
    pub(super) encoding: Option<Encoding>,
    /// Whether the log knows of the session that it has become.
    pub(super) told_open: bool,
    pub(super) body_in: u64,
    /// As it leaves.
    pub(super) body_out: u64,
}

/// The replica a request is with.
#[derive(Debug)]
pub(super) struct With {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) asked: Instant,
    pub(super) watched: Watched,
    pub(super) work: Work,
    /// Last, so that nothing outlives the place it holds.
    pub(super) _inside: Inside,
}

/// Where a request is on its way through the workers.
#[derive(Debug)]
pub(super) enum Work {
    /// It is not whole yet, so none can begin.
    Coming,
    /// With them, where there are any.
    Begun {
        _counted: Option<Working>,
    },
    Answered,
}

impl Ctx {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            connection: None,
            trace: None,
            instance: None,
            served: None,
            patience: None,
            in_flight: None,
            visit: None,
            pool: None,
            with: None,
            turns: Vec::new(),
            tried: Vec::new(),
            refused_by: None,
            failure: None,
            ear: None,
            signal: None,
            answered: None,
            encoding: None,
            told_open: false,
            body_in: 0,
            body_out: 0,
        }
    }

    /// Whether the replica it is with has said nothing yet.
    pub(super) fn is_unanswered(&self) -> bool {
        let with = self.with.as_ref();
        with.is_some_and(|with| !matches!(with.work, Work::Answered))
    }

    /// The replica it is with has not taken it, or has gone with it.
    pub(super) fn refused(&mut self) {
        if let Some(with) = self.with.take() {
            self.tried.push(with.endpoint.id.clone());
            self.refused_by = Some(with.endpoint);
        }
    }

    /// The replica it is with, or that was the last to refuse it.
    pub(super) fn replica(&self) -> Option<&str> {
        let with = self.with.as_ref().map(|with| &with.endpoint);
        let endpoint = with.or(self.refused_by.as_ref())?;
        Some(&*endpoint.name)
    }
}

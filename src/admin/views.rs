//! What is made of one second of the read model: each view once, for everybody.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use super::history::History;
use super::page::{self, Pieces};
use super::scope::Scope;
use super::snapshot::Snapshot;
use crate::control::Status;
use crate::control::status::{EngineStatus, Level, NodeStatus, Reason, Totals};
use crate::moment::Moment;
use crate::plan::{FailureList, SessionList};

/// A view that can be watched.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Topic {
    /// The page of one instance.
    Instance(Arc<str>),
    /// The status page; `all`: nothing is folded.
    Overview { scope: Scope, all: bool },
    /// The statistics as JSON.
    Stats(Scope),
}

/// Where views take from what the status does not have.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) history: Mutex<History>,
    pub(super) sessions: Arc<dyn SessionList>,
    pub(super) failures: Arc<dyn FailureList>,
}

/// How everything was at one moment, as far as somebody has asked.
#[derive(Debug)]
pub(super) struct Views {
    pub(super) of: Snapshot,
    made: Mutex<HashMap<Topic, Arc<Rendered>>>,
    /// The first record of each view that somebody began to watch in this second.
    firsts: Mutex<HashMap<Topic, Bytes>>,
}

/// A view, made.
#[derive(Debug)]
pub(super) enum Rendered {
    Page(Pieces),
    Stats {
        status: Arc<Status>,
        at: SystemTime,
        instances: BTreeMap<String, Bytes>,
    },
}

/// What all instances have together, in every record but the first.
#[derive(Serialize)]
struct Head<'s> {
    at: Moment,
    generation: u64,
    status: Level,
    reasons: &'s [Reason],
    totals: &'s Totals,
    engine: &'s EngineStatus,
    nodes: &'s [NodeStatus],
}

impl Views {
    pub(super) fn new(of: Snapshot) -> Self {
        Self {
            of,
            made: Mutex::default(),
            firsts: Mutex::default(),
        }
    }

    /// The view, made when somebody asks for it first.
    pub(super) fn view(&self, topic: &Topic, sources: &Sources) -> Arc<Rendered> {
        // Whole views only: good after every operation, whoever panicked in between.
        let mut views = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = views.get(topic) {
            return Arc::clone(made);
        }
        let made = Arc::new(self.make(topic, sources));
        views.insert(topic.clone(), Arc::clone(&made));
        made
    }

    /// Everything of a view as one record, which `write` makes once.
    pub(super) fn first(
        &self,
        topic: &Topic,
        sources: &Sources,
        write: impl FnOnce(&[u8]) -> Bytes,
    ) -> Bytes {
        let mut firsts = self.firsts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = firsts.get(topic) {
            return record.clone();
        }
        let record = write(&self.view(topic, sources).whole());
        firsts.insert(topic.clone(), record.clone());
        record
    }

    fn make(&self, topic: &Topic, sources: &Sources) -> Rendered {
        let history = || {
            let history = sources.history.lock();
            history.unwrap_or_else(PoisonError::into_inner)
        };
        match topic {
            Topic::Instance(name) => Rendered::Page(page::instance(
                &self.of,
                &history(),
                name,
                sources.failures.of(name),
            )),
            Topic::Overview { scope, all } => {
                let status = scope.status(&self.of.status);
                Rendered::Page(page::overview(&self.of, &status, &history(), *all))
            }
            Topic::Stats(scope) => {
                let status = scope.status(&self.of.status);
                let instances = status.instances.iter().map(|instance| {
                    // A value without maps of odd keys can be written.
                    let text = serde_json::to_vec(instance).unwrap_or_default();
                    (instance.name.clone(), Bytes::from(text))
                });
                Rendered::Stats {
                    at: self.of.at,
                    instances: instances.collect(),
                    status,
                }
            }
        }
    }
}

impl Rendered {
    /// Everything, as JSON.
    pub(super) fn whole(&self) -> Vec<u8> {
        match self {
            Self::Page(pieces) => pieces.changes(None),
            Self::Stats { status, .. } => serde_json::to_vec(&**status).unwrap_or_default(),
        }
    }

    /// What is not as it was, as JSON.
    pub(super) fn changes(&self, before: &Self) -> Vec<u8> {
        match (self, before) {
            (Self::Page(pieces), Self::Page(before)) => pieces.changes(Some(before)),
            (
                Self::Stats {
                    status,
                    at,
                    instances,
                },
                Self::Stats {
                    instances: before, ..
                },
            ) => {
                let head = Head {
                    at: Moment(*at),
                    generation: status.generation,
                    status: status.status,
                    reasons: &status.reasons,
                    totals: &status.totals,
                    engine: &status.engine,
                    nodes: &status.nodes,
                };
                let mut text = serde_json::to_vec(&head).unwrap_or_default();
                text.pop();
                text.extend_from_slice(b",\"instances\":[");
                let changed = instances
                    .iter()
                    .filter(|(name, text)| before.get(*name) != Some(*text));
                for (index, (_, instance)) in changed.enumerate() {
                    if index > 0 {
                        text.push(b',');
                    }
                    text.extend_from_slice(instance);
                }
                let gone: Vec<&String> = before
                    .keys()
                    .filter(|name| !instances.contains_key(*name))
                    .collect();
                text.extend_from_slice(b"],\"gone\":");
                text.extend(serde_json::to_vec(&gone).unwrap_or_default());
                text.push(b'}');
                text
            }
            // One topic has one kind of view.
            _ => self.whole(),
        }
    }
}

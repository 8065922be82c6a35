//! Stacks of a Swarm, seen from one of its managers: listed beside Compose projects, and scaled by
//! the number that a service has.
//!
//! What a manager says is kept. While too few managers are there nobody can be asked, and what runs
//! goes on running; so the last answer stands, and the status says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use self::counts::Counts;
use self::listing::{Look, machines};
use self::tasks::Around;
use self::wire::Info;
use super::containers::Paths;
use super::docker::{Engine, TASK};
use super::{EngineError, Printer};
use crate::inventory::{self, Inventory};
use crate::names::{ServiceName, StackName};

mod counts;
mod listing;
mod nodes;
mod scale;
mod tasks;
mod turns;
mod wire;

pub(super) use self::listing::NAMESPACE;

/// Managers that cannot agree would make the listing of everything else wait.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const WHILE_SOMETHING_MOVES: Duration = Duration::from_secs(1);
/// All tasks of a Swarm are a long answer, and mostly the same.
const WHILE_ALL_IS_AT_REST: Duration = Duration::from_secs(6);

/// The Swarm whose manager the engine is, if it is one.
#[derive(Debug, Default)]
pub(super) struct Swarm {
    known: Mutex<Known>,
    counts: Mutex<Counts>,
    /// Of each service, by its id, whose turn it is to change it: what Swarm does next follows from
    /// what there is.
    queues: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    wrong_tasks: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// The engine was no manager when it was asked last.
    is_none: bool,
    look: Option<Arc<Look>>,
    lost: Option<String>,
    /// The stacks that are in the inventory.
    served: BTreeSet<StackName>,
}

impl Swarm {
    /// Asks the manager. `only_containers`: nothing has happened but to containers, and by that no engine
    /// becomes one.
    ///
    /// # Errors
    /// The engine does not answer at all.
    pub(super) async fn look(
        &self,
        engine: &Engine,
        only_containers: bool,
    ) -> Result<(), EngineError> {
        if only_containers && self.known().is_none {
            return Ok(());
        }
        let asked = async {
            match engine.raw_get("/swarm").await {
                Ok(_) => {}
                Err(error) if is_no_manager(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
            // Services are as new as their tasks: tasks of a number that is not seen yet would be
            // too many, and drain.
            let tasks = engine.raw_get("/tasks").await?;
            let (info, services, nodes) = tokio::try_join!(
                engine.raw_get("/info"),
                engine.raw_get("/services"),
                engine.raw_get("/nodes")
            )?;
            Ok(Some(Look {
                local: tell::<Info>(&info)?.swarm.node_id,
                services: tell(&services)?,
                tasks: tell(&tasks)?,
                nodes: tell(&nodes)?,
            }))
        };
        let lost = match timeout(ANSWERS_WITHIN, asked).await {
            Ok(Ok(None)) => {
                *self.known() = Known {
                    is_none: true,
                    ..Known::default()
                };
                *self.counts() = Counts::default();
                return Ok(());
            }
            Ok(Ok(Some(look))) => {
                look.count(&mut self.counts(), wall());
                let there = |id: &String| look.services.iter().any(|service| service.id == *id);
                self.queues().retain(|id, _| there(id));
                let mut known = self.known();
                known.is_none = false;
                known.look = Some(Arc::new(look));
                None
            }
            Ok(Err(EngineError::Refused { why, .. })) => Some(why),
            Ok(Err(error)) => return Err(error),
            Err(_) => Some(format!("no answer within {} s", ANSWERS_WITHIN.as_secs())),
        };
        self.known().lost = lost.map(|why| lost_sentence(&why));
        Ok(())
    }

    /// Adds what is known to the inventory.
    pub(super) fn add_to(
        &self,
        inventory: &mut Inventory,
        paths: &Paths,
        mounts: Option<&[(PathBuf, PathBuf)]>,
        reads_claims: bool,
    ) {
        let Known { look, lost, .. } = self.known().clone();
        let nothing = Look::default();
        let Some(look) = look.as_deref().or_else(|| lost.as_ref().map(|_| &nothing)) else {
            return;
        };
        let around = Around {
            nodes: &nodes::by_id(&look.nodes),
            local: &look.local,
            paths,
            mounts,
            reads_claims,
        };
        let composed: BTreeSet<StackName> = inventory.stacks.keys().cloned().collect();
        let left_out = look.add_to(inventory, &self.counts(), &around);
        self.known().served = inventory
            .stacks
            .keys()
            .filter(|stack| !composed.contains(*stack))
            .cloned()
            .collect();
        inventory.swarm = Some(inventory::Swarm {
            nodes: machines(look),
            lost,
            left_out,
            wrong_tasks: self.wrong_tasks.load(Ordering::Relaxed),
        });
    }

    /// Whether a stack is one of the Swarm's.
    pub(super) fn has(&self, stack: &StackName) -> bool {
        self.known().served.contains(stack)
    }

    /// After which time to ask again, if something may change of which the engine's events tell nothing:
    /// they are about services and nodes, and about the containers of this machine.
    ///
    /// Where something is on its way the end of that is awaited. Where all is at rest, a task on another
    /// node may still end by itself; its probe tells that as soon, and this what comes in its place.
    pub(super) fn ask_again_after(&self) -> Option<Duration> {
        let known = self.known();
        let look = known.look.as_ref();
        if known.lost.is_some() || look.is_some_and(|look| look.is_unsettled()) {
            return Some(WHILE_SOMETHING_MOVES);
        }
        let many = look.is_some_and(|look| look.nodes.len() > 1);
        many.then_some(WHILE_ALL_IS_AT_REST)
    }

    /// The tasks of a stack, by name; several of one slot by age.
    pub(super) fn printers(&self, stack: &StackName) -> Vec<Printer> {
        let Some(look) = self.known().look.clone() else {
            return Vec::new();
        };
        let nodes = nodes::by_id(&look.nodes);
        let mut printers = Vec::new();
        for service in &look.services {
            let Some((_, name)) = listing::place(service).filter(|(at, _)| at == stack) else {
                continue;
            };
            let mut tasks: Vec<_> = look.tasks_of(service).collect();
            tasks.sort_by(|one, other| one.created_at.cmp(&other.created_at));
            printers.extend(tasks.into_iter().map(|task| {
                let node = nodes.get(task.node_id.as_str());
                let node = node.map_or("", |node| node.description.hostname.as_str());
                Printer {
                    service: name.clone(),
                    name: task.name(&service.spec.name, node),
                    id: format!("{TASK}{}", task.id),
                }
            }));
        }
        printers.sort_by(|one, other| one.name.cmp(&other.name));
        printers
    }

    fn service_id(&self, stack: &StackName, service: &ServiceName) -> Option<String> {
        let look = self.known().look.clone()?;
        look.find(stack, service).map(|found| found.id.clone())
    }

    fn local(&self) -> String {
        let known = self.known();
        let look = known.look.as_ref();
        look.map(|look| look.local.clone()).unwrap_or_default()
    }

    /// Waits until nobody else changes the service.
    async fn queue(&self, service: &str) -> Option<OwnedSemaphorePermit> {
        let queue = Arc::clone(
            self.queues()
                .entry(service.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(1))),
        );
        // Nobody closes it.
        queue.acquire_owned().await.ok()
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Semaphore>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong_task(&self) {
        self.wrong_tasks.fetch_add(1, Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Whole answers; each is good after every write.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the engine is of no Swarm, a worker of one, or does not let usher know.
fn is_no_manager(error: &EngineError) -> bool {
    match error {
        EngineError::Refused { status, why, .. } => {
            matches!(status, Some(403 | 404 | 501)) || why.contains("not a swarm manager")
        }
        _ => false,
    }
}

fn lost_sentence(why: &str) -> String {
    let remedy = if nodes::is_leaderless(why) {
        "bring back managers until more than half of them are there, or make this one the only one \
         with `docker swarm init --force-new-cluster`"
    } else {
        "see the engine's log"
    };
    format!("the Swarm cannot be asked: {why}; {remedy}")
}

/// Reads what the engine told.
///
/// # Errors
/// It is in a form that usher does not know.
fn tell<T: DeserializeOwned>(told: &Value) -> Result<T, EngineError> {
    T::deserialize(told).map_err(|error| EngineError::Refused {
        what: "describe its Swarm".to_owned(),
        why: format!("the answer is in a form that usher does not know: {error}"),
        status: None,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a number was seen to have changed"
)]
fn wall() -> SystemTime {
    SystemTime::now()
}

//! Stacks that are Compose projects: listing them, and one sibling more or less.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, ContainerSummary, EndpointSettings};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use serde_json::Value;
use tokio::time::Instant;
use tracing::info;

use super::clone::{CLONE_OF, sibling};
use super::containers::{
    Paths, belongs, endpoints, is_alive, is_clone, is_one_off, is_running, label, number,
    own_mounts, place, started_at, unit, visible,
};
use super::docker::{self, PROJECT};
use super::{Action, Engine, EngineError, here};
use crate::inventory::{Inventory, Network, Stack};
use crate::names::{ReplicaId, ServiceName, StackName};

/// Marks an attachment of usher to a network as its own doing.
const JOINED: &str = "usher-joined";
/// A container that two sources claim the number of is renamed and tried again.
const NAME_TRIES: u32 = 3;
/// How long what an inspection said is believed when no event spoke against it.
const INSPECTION_GOOD_FOR: Duration = Duration::from_secs(25);

/// A Docker engine whose stacks are Compose projects.
#[derive(Debug)]
pub struct Compose {
    engine: docker::Engine,
    networks: NetworkPolicy,
    /// The container usher runs in.
    own: Option<String>,
    inspections: Mutex<HashMap<String, Inspection>>,
}

/// How containers may be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkPolicy {
    /// Join in a network namespace of its own, else reach.
    Auto,
    Join,
    None,
    Reach,
}

#[derive(Clone, Debug)]
struct Inspection {
    /// The listed facts it was made under; with others it is not believed any more.
    state: String,
    at: Instant,
    container: ContainerInspectResponse,
}

impl Compose {
    /// Nothing is contacted yet. `endpoints` are tried in order.
    pub fn new(endpoints: Vec<String>, networks: NetworkPolicy) -> Self {
        Self {
            engine: docker::Engine::new(endpoints),
            networks,
            own: here::container_id(),
            inspections: Mutex::default(),
        }
    }

    /// usher's own container, where it is one of this engine and has a network of its own.
    async fn own_container(&self) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let Some(id) = &self.own else {
            return Ok(None);
        };
        let container = self.engine.inspect(id).await?;
        Ok(container.filter(|container| {
            let mode = container
                .host_config
                .as_ref()
                .and_then(|host| host.network_mode.as_deref());
            mode != Some("host")
        }))
    }

    fn paths(&self, own: Option<&ContainerInspectResponse>) -> Paths {
        let ids = || {
            endpoints(own)
                .into_values()
                .filter_map(|settings| settings.network_id)
                .collect()
        };
        match (self.networks, own) {
            (NetworkPolicy::None, _) => Paths::Nowhere,
            (NetworkPolicy::Auto | NetworkPolicy::Join | NetworkPolicy::Reach, None) => Paths::Host,
            (NetworkPolicy::Auto | NetworkPolicy::Join, Some(_)) => Paths::Attached {
                ids: ids(),
                join: true,
            },
            (NetworkPolicy::Reach, Some(_)) => Paths::Attached {
                ids: ids(),
                join: false,
            },
        }
    }

    /// Inspects what changed since the last time, a few at once.
    async fn inspect_all(
        &self,
        listed: Vec<ContainerSummary>,
    ) -> Result<Vec<ContainerInspectResponse>, EngineError> {
        let now = now();
        let touched = self.engine.take_touched();
        let known = lock(&self.inspections).clone();
        let inspected: Vec<(String, Option<Inspection>)> = stream::iter(listed)
            .filter_map(|summary| async move {
                let state = format!("{:?} {:?}", summary.state, summary.network_settings);
                Some((summary.id?, state))
            })
            .map(|(id, state)| {
                let known = known.get(&id).filter(|known| {
                    known.state == state
                        && now.duration_since(known.at) < INSPECTION_GOOD_FOR
                        && !touched.contains(&id)
                });
                async move {
                    if let Some(known) = known {
                        return Ok((id, Some(known.clone())));
                    }
                    let container = self.engine.inspect(&id).await?;
                    let inspection = container.map(|container| Inspection {
                        state,
                        at: now,
                        container,
                    });
                    Ok::<_, EngineError>((id, inspection))
                }
            })
            .buffer_unordered(8)
            .try_collect()
            .await?;
        let fresh: HashMap<_, _> = inspected
            .into_iter()
            .filter_map(|(id, inspection)| Some((id, inspection?)))
            .collect();
        let containers = fresh
            .values()
            .map(|inspection| inspection.container.clone())
            .collect();
        *lock(&self.inspections) = fresh;
        Ok(containers)
    }

    async fn start(&self, stack: &StackName, service: &ServiceName) -> Result<(), EngineError> {
        let unclonable = |why: String| EngineError::Unclonable {
            service: service.clone(),
            why,
        };
        let siblings: Vec<ContainerSummary> = self
            .engine
            .containers()
            .await?
            .into_iter()
            .filter(|container| belongs(container, stack, service))
            .collect();
        // A declared sibling that rests is started before another one is made.
        let resting = siblings
            .iter()
            .filter(|container| !is_clone(container) && !is_running(container))
            .min_by_key(|container| number(container));
        if let Some(id) = resting.and_then(|container| container.id.as_deref()) {
            return self.engine.start(id).await;
        }
        let source = siblings
            .iter()
            .filter(|container| is_running(container))
            .min_by_key(|container| (is_clone(container), number(container)))
            .and_then(|container| container.id.as_deref())
            .ok_or_else(|| unclonable("no container of it runs that could be copied".to_owned()))?;
        let inspected = self
            .engine
            .raw_get(&format!("/containers/{source}/json"))
            .await?;
        let image = self.image_for(&inspected).await?;
        let highest = siblings.iter().map(number).max().unwrap_or(0);
        let mut taken = None;
        for attempt in 1..=NAME_TRIES {
            let clone = sibling(&inspected, highest + attempt, &image).map_err(unclonable)?;
            match self.create_and_start(&clone).await {
                Err(EngineError::Refused { what, why }) if why.contains("(409") => {
                    taken = Some(EngineError::Refused { what, why });
                }
                other => return other,
            }
        }
        Err(taken.unwrap_or_else(|| unclonable("no free name was found".to_owned())))
    }

    async fn create_and_start(&self, clone: &super::clone::Clone) -> Result<(), EngineError> {
        let path = format!("/containers/create?name={}", clone.name);
        let created = self.engine.raw_post(&path, &clone.create).await?;
        let Some(id) = created["Id"].as_str() else {
            return Err(EngineError::Refused {
                what: format!("create {}", clone.name),
                why: "the answer names no container".to_owned(),
            });
        };
        let started = async {
            for (network, settings) in &clone.attach {
                let body = serde_json::json!({ "Container": id, "EndpointConfig": settings });
                let path = format!("/networks/{network}/connect");
                self.engine.raw_post(&path, &body).await?;
            }
            self.engine.start(id).await
        };
        if let Err(error) = started.await {
            // What was created and never ran helps nobody. The first error is the one to tell.
            if let Err(leftover) = self.engine.remove(id).await {
                info!(container = %id, error = %leftover, "a container that never ran is left");
            }
            return Err(error);
        }
        Ok(())
    }

    /// The tag where it still means the image the source runs, else that image's id.
    async fn image_for(&self, inspected: &Value) -> Result<String, EngineError> {
        let id = inspected["Image"].as_str().unwrap_or_default();
        let tag = inspected["Config"]["Image"].as_str().unwrap_or_default();
        match self.engine.raw_get(&format!("/images/{tag}/json")).await {
            Ok(image) if image["Id"] == id => Ok(tag.to_owned()),
            Ok(_) | Err(EngineError::Refused { .. }) => Ok(id.to_owned()),
            Err(error) => Err(error),
        }
    }

    async fn stop(&self, replica: &ReplicaId, grace: Duration) -> Result<(), EngineError> {
        let id = replica.unit();
        let Some(container) = self.engine.inspect(id).await? else {
            return Ok(());
        };
        // Another life of the same container is not the replica that was drained.
        if is_alive(&container) && started_at(&container) != replica.started() {
            return Ok(());
        }
        self.engine.stop(id, grace).await?;
        if label(&container, CLONE_OF).is_some() {
            self.engine.remove(id).await?;
        }
        Ok(())
    }

    async fn join(&self, network: &Network) -> Result<(), EngineError> {
        let Some(own) = &self.own else {
            return Ok(());
        };
        let settings = EndpointSettings {
            aliases: Some(vec![JOINED.to_owned()]),
            ..EndpointSettings::default()
        };
        self.engine.join(&network.id, own, settings).await
    }
}

#[async_trait]
impl Engine for Compose {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        self.engine.connect().await?;
        lock(&self.inspections).clear();
        self.engine.events()
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        let listed = self.engine.containers().await?;
        let listed = listed
            .into_iter()
            .filter(|container| !is_one_off(container))
            .collect();
        let own = self.own_container().await?;
        let paths = self.paths(own.as_ref());
        let names: HashMap<String, String> = self
            .engine
            .networks()
            .await?
            .into_iter()
            .filter_map(|network| Some((network.id?, network.name?)))
            .collect();
        let mut inventory = Inventory::default();
        for container in self.inspect_all(listed).await? {
            let Some((stack, service)) = place(&container) else {
                continue;
            };
            let leaving = container
                .id
                .as_deref()
                .is_some_and(|id| self.engine.is_leaving(id, started_at(&container)));
            let stack = inventory.stacks.entry(stack).or_default();
            if let Some(unit) = unit(&container, leaving, &paths) {
                stack.services.entry(service).or_default().push(unit);
            }
        }
        for stack in inventory.stacks.values_mut() {
            for units in stack.services.values_mut() {
                units.sort_by_key(|unit| (unit.origin, unit.id.clone()));
            }
        }
        let mounts = own_mounts(own.as_ref());
        for volume in self.engine.volumes().await? {
            let project = volume
                .labels
                .get(PROJECT)
                .and_then(|name| name.parse().ok());
            let place = visible(Path::new(&volume.mountpoint), mounts.as_deref());
            let key = volume.labels.get("com.docker.compose.volume");
            if let (Some(project), Some(key)) = (project, key) {
                let stack: &mut Stack = match inventory.stacks.get_mut::<StackName>(&project) {
                    Some(stack) => stack,
                    None => continue,
                };
                stack.volumes.insert(key.clone(), place);
            } else {
                // An external volume: whoever names it in the configuration may mean it.
                for stack in inventory.stacks.values_mut() {
                    stack
                        .volumes
                        .entry(volume.name.clone())
                        .or_insert_with(|| place.clone());
                }
            }
        }
        inventory.joined = endpoints(own.as_ref())
            .into_values()
            .filter(|settings| {
                let aliases = settings.aliases.as_deref().unwrap_or_default();
                aliases.iter().any(|alias| alias == JOINED)
            })
            .filter_map(|settings| settings.network_id)
            .map(|id| Network {
                name: names.get(&id).cloned().unwrap_or_default(),
                id,
            })
            .collect();
        inventory.joined.sort();
        Ok(inventory)
    }

    async fn act(&self, action: &Action) -> Result<(), EngineError> {
        match action {
            Action::Join { network, .. } => self.join(network).await,
            Action::Leave { network } => match &self.own {
                Some(own) => self.engine.leave(&network.id, own).await,
                None => Ok(()),
            },
            Action::Start { stack, service, .. } => self.start(stack, service).await,
            Action::Stop { replica, grace, .. } => self.stop(replica, *grace).await,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of a cache")]
fn now() -> Instant {
    Instant::now()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A map of cached answers is good after every operation, whoever panicked in between.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

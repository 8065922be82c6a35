//! Stacks that are Compose projects: what there is of them, and how usher gets there. Those of a
//! Swarm are listed beside them where the engine is a manager of one.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, ContainerSummary, EndpointSettings, ImageInspect};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::containers::{
    Paths, another_name, endpoints, is_one_off, own_mounts, place, place_alone, printers, said,
    said_by_image, started_at, unit, visible,
};
use super::docker::{self, PROJECT};
use super::lease::Leases;
use super::swarm::{NAMESPACE, Swarm};
use super::{Action, Engine, EngineError, Line, Printer, Span, claims, here};
use crate::inventory::{Claims, Inventory, Network, Stack};
use crate::names::StackName;

/// Marks an attachment of usher to a network as its own doing.
const JOINED: &str = "usher-joined";
/// How long what an inspection said is believed when no event spoke against it.
const INSPECTION_GOOD_FOR: Duration = Duration::from_secs(25);

/// How often a Swarm is looked at while something changes that no event tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A Docker engine whose stacks are Compose projects, and those of its Swarm.
#[derive(Debug)]
pub struct Compose {
    pub(super) engine: docker::Engine,
    networks: NetworkPolicy,
    /// The container usher runs in.
    own: Option<String>,
    inspections: Mutex<HashMap<String, Inspection>>,
    /// Whether what containers claim is listed, and those of no project that claim something.
    reads_claims: bool,
    /// By their ids: an image never changes.
    images: Mutex<HashMap<String, Arc<ImageInspect>>>,
    leases: Leases,
    acted: Arc<Notify>,
    swarm: Arc<Swarm>,
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
            reads_claims: false,
            images: Mutex::default(),
            leases: Leases::default(),
            acted: Arc::default(),
            swarm: Arc::default(),
        }
    }

    /// Speaks to engines over TCP only with the certificates of this folder.
    #[must_use]
    pub fn proving(mut self, certificates: Option<PathBuf>) -> Self {
        self.engine.prove_with(certificates);
        self
    }

    /// As if usher ran in this container of the engine.
    pub fn inside(mut self, container: &str) -> Self {
        self.own = Some(container.to_owned());
        self
    }

    /// Lists what containers claim too.
    #[must_use]
    pub fn reading_claims(mut self, reads_claims: bool) -> Self {
        self.reads_claims = reads_claims;
        self
    }

    /// What containers claim, by their ids. Only those that might are in it.
    async fn claims(
        &self,
        containers: &[ContainerInspectResponse],
    ) -> HashMap<String, Arc<Claims>> {
        let mut images: HashMap<String, Arc<ImageInspect>> = HashMap::new();
        let mut claims = HashMap::new();
        let asking = containers.iter().filter(|one| said(one).claims());
        for container in asking.filter(|_| self.reads_claims) {
            let (Some(id), Some(image)) = (&container.id, &container.image) else {
                continue;
            };
            let known = images.get(image).cloned();
            let known = known.or_else(|| lock(&self.images).get(image).cloned());
            let found = match known {
                Some(known) => Ok(Some(known)),
                None => self
                    .engine
                    .image(image)
                    .await
                    .map(|found| found.map(Arc::new)),
            };
            let claimed = match found {
                Ok(Some(found)) => {
                    let claimed = claims::claims(said(container), said_by_image(&found));
                    images.insert(image.clone(), found);
                    claimed
                }
                Ok(None) => claims::unknown("it was removed"),
                // The listing is good all the same, and the next one asks again.
                Err(error) => claims::unknown(&error.to_string()),
            };
            claims.insert(id.clone(), Arc::new(claimed));
        }
        *lock(&self.images) = images;
        claims
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

    async fn claim(&self, stack: &StackName) -> Result<(), EngineError> {
        let engine = self.engine.id().await?;
        match self.leases.take(&engine, stack) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(EngineError::Claimed {
                stack: stack.clone(),
            }),
            Err(error) => Err(EngineError::Refused {
                what: format!("let usher claim {stack}"),
                why: error.to_string(),
                status: None,
            }),
        }
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
        let events = self.engine.events()?;
        let acted = stream::unfold(Arc::clone(&self.acted), |acted| async move {
            acted.notified().await;
            Some((Some(()), acted))
        });
        // Ends with the events, which end with the connection.
        let events = events.map(Some).chain(stream::once(async { None }));
        let looks = stream::unfold(Arc::clone(&self.swarm), |swarm| async move {
            let mut waited = Duration::ZERO;
            loop {
                sleep(LOOK_EVERY).await;
                waited += LOOK_EVERY;
                if swarm.ask_again_after().is_some_and(|after| waited >= after) {
                    return Some((Some(()), swarm));
                }
            }
        });
        let hints = stream::select(events, stream::select(acted, looks));
        Ok(hints
            .take_while(|hint| std::future::ready(hint.is_some()))
            .map(drop)
            .boxed())
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        let listed = match self.reads_claims {
            true => self.engine.all_containers().await?,
            false => self.engine.containers().await?,
        };
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
        let mounts = own_mounts(own.as_ref());
        let mut inventory = Inventory::default();
        let containers = self.inspect_all(listed).await?;
        let mut claims = self.claims(&containers).await;
        let mut alone = Vec::new();
        for container in containers {
            let claimed = container.id.as_ref().and_then(|id| claims.remove(id));
            let claimed = claimed.unwrap_or_default();
            let is_alone = !claimed.is_empty();
            let (stack, service) = match (place(&container), place_alone(&container)) {
                (Some(place), _) => place,
                (None, Some(place)) if is_alone => place,
                (None, _) => continue,
            };
            let leaving = container
                .id
                .as_deref()
                .is_some_and(|id| self.engine.is_leaving(id, started_at(&container)));
            let is_own = own.as_ref().is_some_and(|own| own.id == container.id);
            let Some(mut unit) = unit(&container, leaving, &paths, mounts.as_deref()) else {
                continue;
            };
            unit.claims = claimed;
            if is_own {
                // What usher has itself is shared with nobody by that.
                unit.mounts.clear();
            }
            if place(&container).is_none() {
                alone.push((stack, service, unit));
                continue;
            }
            let stack = inventory.stacks.entry(stack).or_default();
            stack.services.entry(service).or_default().push(unit);
        }
        // A project has its name for itself, whatever others are called.
        alone.sort_by(|one, other| one.2.name.cmp(&other.2.name));
        for (stack, service, unit) in alone {
            let name = [Some(stack.clone()), another_name(&stack)]
                .into_iter()
                .flatten()
                .find(|name| !inventory.stacks.contains_key(name));
            let Some(name) = name else {
                warn!(container = %unit.name, "not served: rename it, a stack is called like that");
                continue;
            };
            let alone = Stack {
                services: BTreeMap::from([(service, vec![unit])]),
                ..Stack::default()
            };
            inventory.stacks.insert(name, alone);
        }
        for stack in inventory.stacks.values_mut() {
            for units in stack.services.values_mut() {
                units.sort_by_key(|unit| (unit.origin, unit.id.clone()));
            }
        }
        self.swarm.look(&self.engine).await?;
        self.swarm
            .add_to(&mut inventory, &paths, mounts.as_deref(), self.reads_claims);
        for volume in self.engine.volumes().await? {
            let project = volume
                .labels
                .get(PROJECT)
                .and_then(|name| name.parse().ok());
            let place = visible(Path::new(&volume.mountpoint), mounts.as_deref());
            let key = volume.labels.get("com.docker.compose.volume");
            let deployed = volume.labels.get(NAMESPACE).and_then(|stack| {
                let key = volume.name.strip_prefix(stack.as_str())?;
                let name: StackName = stack.parse().ok()?;
                Some((name, key.strip_prefix('_')?.to_owned()))
            });
            if let Some((name, key)) = deployed {
                if let Some(stack) = inventory.stacks.get_mut(&name) {
                    stack.volumes.insert(key, place);
                }
            } else if let (Some(project), Some(key)) = (project, key) {
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
        let result = self.carry_out(action).await;
        // Events may be lost; what was done here shows in a listing all the same.
        self.acted.notify_one();
        result
    }

    async fn printers(&self, stack: &StackName) -> Result<Vec<Printer>, EngineError> {
        if self.swarm.has(stack) {
            return Ok(self.swarm.printers(stack));
        }
        let listed = self.engine.containers().await?;
        Ok(printers(&listed, stack))
    }

    async fn output(
        &self,
        printer: &str,
        span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        self.engine.output(printer, span)
    }
}

impl Compose {
    async fn carry_out(&self, action: &Action) -> Result<(), EngineError> {
        match action {
            Action::Claim { stack } => self.claim(stack).await,
            Action::Join { network, .. } => self.join(network).await,
            Action::Leave { network } => match &self.own {
                Some(own) => self.engine.leave(&network.id, own).await,
                None => Ok(()),
            },
            Action::Remove { replica, .. } => self.clear(replica).await,
            Action::Start { stack, service, .. } if self.swarm.has(stack) => {
                self.swarm.start(&self.engine, stack, service).await
            }
            Action::Stop {
                stack,
                service,
                proof,
                others,
                when,
                ..
            } if self.swarm.has(stack) => {
                let place = (stack, service);
                self.swarm
                    .stop(&self.engine, proof, others, *when, place)
                    .await
            }
            Action::Start { stack, service, .. } => self.start(stack, service).await,
            Action::Stop {
                proof, when, grace, ..
            } => self.stop(proof, *when, *grace).await,
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

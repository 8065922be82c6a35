//! What the engine has said about its containers, networks and volumes, as long as it is believed.
//!
//! Asking a thousand containers after each event of one would keep usher busy, and the engine ten
//! times as much. So an event makes stale what it is about and nothing else; that events may be lost
//! is answered by a listing of everything, which comes at least every half minute.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryNetworkSettings,
    ContainerSummaryStateEnum, ImageInspect, Network, Volume,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::containers::{
    is_composed, is_one_off, place, place_alone, ran_once, said, said_by_image,
};
use super::docker::Engine;
use super::heard::Touched;
use super::volumes::AskedVolumes;
use super::{EngineError, claims};
use crate::inventory::Claims;
use crate::names::{ServiceName, StackName};

/// Shortly before the listing that comes of itself.
const GOOD_FOR: Duration = Duration::from_secs(25);
/// Containers asked about at once.
const AT_ONCE: usize = 8;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<Arc<Known>>,
    /// By their ids: an image never changes.
    images: Mutex<HashMap<String, Arc<ImageInspect>>>,
    asked: AskedVolumes,
}

/// Which containers are asked about.
pub(super) struct Wanted<'w> {
    /// Those of no project too, and what all of them claim.
    pub(super) claims: bool,
    /// By key and value, as the engine takes them.
    pub(super) filters: &'w [(String, String)],
}

/// Everything, as it was at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// By their ids.
    pub(super) containers: HashMap<String, Inspected>,
    pub(super) networks: Arc<Vec<Network>>,
    pub(super) volumes: Arc<Vec<Volume>>,
    /// Since what was made of it last.
    pub(super) changes: Changes,
    /// When everything was listed.
    listed_at: Option<Instant>,
}

/// Which containers may not be what they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) all: bool,
    /// By their ids; some may have gone.
    pub(super) some: HashSet<String>,
}

/// One container.
#[derive(Clone, Debug)]
pub(super) struct Inspected {
    pub(super) container: Arc<ContainerInspectResponse>,
    pub(super) place: Place,
    /// What it claims, once that has been found out.
    pub(super) claims: Option<Arc<Claims>>,
    at: Instant,
    /// How it was listed then; listed in another way it is asked about again. `None`: an event told
    /// of it, and how it is listed is not known.
    listed: Option<Listed>,
}

/// What a container is part of, by its labels and its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Project(StackName, ServiceName),
    /// Of no project: a stack of its own, if it asks for a name.
    Alone(StackName, ServiceName),
    Nowhere,
}

impl Place {
    fn of(container: &ContainerInspectResponse) -> Self {
        if let Some((stack, service)) = place(container) {
            return Self::Project(stack, service);
        }
        match place_alone(container) {
            Some((stack, service)) => Self::Alone(stack, service),
            None => Self::Nowhere,
        }
    }
}

/// What a list says of a container that may change.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    state: Option<ContainerSummaryStateEnum>,
    networks: Option<ContainerSummaryNetworkSettings>,
}

impl Inspected {
    /// What was known of it is the same value where the engine says the same again.
    pub(super) fn new(
        container: ContainerInspectResponse,
        before: Option<&Self>,
        at: Instant,
    ) -> Self {
        let same = before.filter(|before| *before.container == container);
        let (container, place) = match same {
            Some(before) => (Arc::clone(&before.container), before.place.clone()),
            None => {
                let place = Place::of(&container);
                (Arc::new(container), place)
            }
        };
        Self {
            container,
            place,
            claims: None,
            at,
            listed: None,
        }
    }
}

impl Memory {
    /// The connection is a new one: what happened before is not known.
    pub(super) fn forget(&self) {
        self.asked.forget();
        *lock(&self.known) = Arc::default();
    }

    /// One, as it was known last.
    pub(super) fn container(&self, id: &str) -> Option<Arc<ContainerInspectResponse>> {
        let known = lock(&self.known);
        Some(Arc::clone(&known.containers.get(id)?.container))
    }

    /// Everything as it is now.
    pub(super) async fn refreshed(
        &self,
        engine: &Engine,
        wanted: &Wanted<'_>,
        now: Instant,
    ) -> Result<Arc<Known>, EngineError> {
        let touched = engine.heard.take_touched();
        // Where this fails, or nobody waits for its end, everything is listed the next time.
        let mut shared = std::mem::take(&mut *lock(&self.known));
        let known = Arc::make_mut(&mut shared);
        let is_recent = known
            .listed_at
            .is_some_and(|at| now.duration_since(at) < GOOD_FOR);
        // Only the engine knows what fits a filter.
        let by_one = wanted.filters.is_empty() && !touched.others;
        if is_recent && touched.is_something() && by_one {
            retouched(engine, known, &self.asked, &touched, wanted, now).await?;
        } else {
            relisted(engine, known, &self.asked, &touched, wanted, now).await?;
            let containers = known.containers.values();
            let used = containers.filter_map(|one| one.container.image.as_ref());
            let used: HashSet<&String> = used.collect();
            lock(&self.images).retain(|image, _| used.contains(image));
        }
        if wanted.claims {
            self.find_claims(engine, known).await;
        }
        *lock(&self.known) = Arc::clone(&shared);
        Ok(shared)
    }

    /// Of these something has been made. What is said from now on is what has changed.
    pub(super) fn heeded(&self, seen: Arc<Known>) {
        let mut known = lock(&self.known);
        let same = Arc::ptr_eq(&known, &seen);
        drop(seen);
        // Whoever has asked meanwhile knows more than was heeded.
        if let (true, Some(known)) = (same, Arc::get_mut(&mut known)) {
            known.changes = Changes::default();
        }
    }

    async fn find_claims(&self, engine: &Engine, known: &mut Known) {
        let Known {
            containers,
            changes,
            ..
        } = known;
        // Only of what was asked about anew is not known what it claims.
        let anew: Vec<String> = match changes.all {
            true => containers.keys().cloned().collect(),
            false => changes.some.iter().cloned().collect(),
        };
        for id in anew {
            let Some(inspected) = containers.get_mut(&id) else {
                continue;
            };
            if inspected.claims.is_some() {
                continue;
            }
            let container = &inspected.container;
            inspected.claims = match &container.image {
                Some(image) if said(container).claims() => {
                    match self.image(engine, image).await {
                        Ok(Some(found)) => {
                            let claims = claims::claims(said(container), said_by_image(&found));
                            Some(Arc::new(claims))
                        }
                        Ok(None) => Some(Arc::new(claims::unknown("it was removed"))),
                        // The listing is good all the same, and the next one asks again.
                        Err(error) => {
                            let unknown = claims::unknown(&error.to_string());
                            inspected.at =
                                inspected.at.checked_sub(GOOD_FOR).unwrap_or(inspected.at);
                            Some(Arc::new(unknown))
                        }
                    }
                }
                _ => Some(Arc::default()),
            };
        }
    }

    async fn image(
        &self,
        engine: &Engine,
        image: &str,
    ) -> Result<Option<Arc<ImageInspect>>, EngineError> {
        let known = lock(&self.images).get(image).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = engine.image(image).await?.map(Arc::new);
        if let Some(found) = &found {
            lock(&self.images).insert(image.to_owned(), Arc::clone(found));
        }
        Ok(found)
    }
}

/// Asks about what events have told of.
async fn retouched(
    engine: &Engine,
    known: &mut Known,
    asked: &AskedVolumes,
    touched: &Touched,
    wanted: &Wanted<'_>,
    now: Instant,
) -> Result<(), EngineError> {
    let found: Vec<_> = stream::iter(touched.containers.clone())
        .map(|id| async move {
            let container = engine.inspect(&id).await?;
            Ok::<_, EngineError>((id, container))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    known
        .changes
        .some
        .extend(touched.containers.iter().cloned());
    for (id, container) in found {
        let container =
            container.filter(|one| (wanted.claims || is_composed(one)) && !ran_once(one));
        match container {
            Some(container) => {
                let inspected = Inspected::new(container, known.containers.get(&id), now);
                known.containers.insert(id, inspected);
            }
            None => drop(known.containers.remove(&id)),
        }
    }
    if touched.networks {
        renew(&mut known.networks, engine.networks().await?);
    }
    if touched.volumes {
        let volumes = asked.volumes(engine, &known.volumes).await?;
        renew(&mut known.volumes, volumes);
    }
    Ok(())
}

/// Lists everything, and asks about what is new, listed in another way than before, told of by an
/// event or not asked about for long.
async fn relisted(
    engine: &Engine,
    known: &mut Known,
    asked: &AskedVolumes,
    touched: &Touched,
    wanted: &Wanted<'_>,
    now: Instant,
) -> Result<(), EngineError> {
    let listed = match wanted.claims {
        true => engine.all_containers(wanted.filters).await?,
        false => engine.containers(wanted.filters).await?,
    };
    renew(&mut known.networks, engine.networks().await?);
    let volumes = asked.volumes(engine, &known.volumes).await?;
    renew(&mut known.volumes, volumes);
    let before = std::mem::take(&mut known.containers);
    let believed = |id: &String, listed: &Listed| {
        let inspected = before.get(id)?;
        let is_fresh = now.duration_since(inspected.at) < GOOD_FOR;
        let is_same = inspected.listed.as_ref() == Some(listed);
        (is_fresh && is_same && !touched.containers.contains(id)).then(|| inspected.clone())
    };
    let listed = listed.into_iter().filter(|summary| !is_one_off(summary));
    known.containers = stream::iter(listed)
        .filter_map(|summary| async move { summarised(summary) })
        .map(|(id, listed)| {
            let believed = believed(&id, &listed);
            let earlier = before.get(&id);
            async move {
                let inspected = match believed {
                    Some(inspected) => Some(inspected),
                    None => {
                        let container = engine.inspect(&id).await?;
                        container.map(|container| Inspected::new(container, earlier, now))
                    }
                };
                let inspected = inspected.map(|inspected| Inspected {
                    listed: Some(listed),
                    ..inspected
                });
                Ok::<_, EngineError>((id, inspected))
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|(id, inspected)| async move {
            // What has gone meanwhile is not there.
            Ok(inspected.map(|inspected| (id, inspected)))
        })
        .try_collect()
        .await?;
    known.changes.all = true;
    known.listed_at = Some(now);
    Ok(())
}

/// What is said again stays the value it is.
fn renew<T: PartialEq>(known: &mut Arc<T>, found: T) {
    if **known != found {
        *known = Arc::new(found);
    }
}

fn summarised(summary: ContainerSummary) -> Option<(String, Listed)> {
    let listed = Listed {
        state: summary.state,
        networks: summary.network_settings,
    };
    Some((summary.id?, listed))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is remembered is whole after every operation, whoever panicked in between.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

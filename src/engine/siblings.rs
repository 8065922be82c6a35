//! One sibling of a Compose container more, or one less.
//!
//! Whatever fails after a container was created, nothing of it is left; what a killed usher could
//! not clear away is listed, and cleared away by its successor ([`Action::Remove`]).
//!
//! [`Action::Remove`]: super::Action::Remove

use std::collections::HashSet;
use std::time::Duration;

use bollard::models::ContainerSummary;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::warn;

use super::clone::{
    CLONE_OF, Clone, NoSibling, PROJECT, refuse_control_groups, shows_control_groups, sibling,
};
use super::compose::Compose;
use super::containers::{
    belongs, is_alive, is_clone, is_resting, is_running, is_unhealthy, label, number, started_at,
    summary_label,
};
use super::docker::{Engine, Remove};
use super::kinship::{as_inspected, strangers};
use super::{EngineError, LOOKED_AT_FOR, StopWhen};
use crate::cause::chain;
use crate::drain::DrainProof;
use crate::names::{ReplicaId, ServiceName, StackName};

/// How often a name that somebody else took in the same moment is answered with the next.
const NAME_TRIES: u32 = 3;

impl Compose {
    /// The containers that say they are of a stack, as they are now, and the ids of those that only say
    /// so.
    async fn project(
        &self,
        stack: &StackName,
    ) -> Result<(Vec<ContainerSummary>, HashSet<String>), EngineError> {
        let mut project = self.engine.containers(&[]).await?;
        project.retain(|container| summary_label(container, PROJECT) == Some(stack.as_str()));
        let networks = self.engine.networks().await?;
        let inspected: Vec<_> = project.iter().map(as_inspected).collect();
        let strangers = strangers(inspected.iter(), networks.iter(), &self.trusted);
        let strangers = strangers.into_keys().map(ToOwned::to_owned).collect();
        Ok((project, strangers))
    }

    /// Starts the declared containers that rest, one after the other.
    pub(super) async fn wake(
        &self,
        stack: &StackName,
        service: &ServiceName,
    ) -> Result<(), EngineError> {
        let (project, strangers) = self.project(stack).await?;
        let mut resting: Vec<_> = project
            .iter()
            .filter(|container| belongs(container, stack, service))
            .filter(|container| !is_clone(container) && is_resting(container))
            .collect();
        resting.sort_by_key(|container| number(container));
        for id in resting
            .into_iter()
            .filter_map(|container| container.id.as_deref())
        {
            if !strangers.contains(id) {
                self.engine.start(id).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn start(
        &self,
        stack: &StackName,
        service: &ServiceName,
    ) -> Result<(), EngineError> {
        let mut taken = None;
        let mut last_number = 0;
        for _ in 0..NAME_TRIES {
            // Listed anew each time: whoever took the name is in there.
            let (project, strangers) = self.project(stack).await?;
            let siblings: Vec<_> = project
                .iter()
                .filter(|container| belongs(container, stack, service))
                .collect();
            // Who only says that it is a sibling is neither started nor copied.
            let kin = || {
                let all = siblings.iter().copied();
                all.filter(|container| {
                    let id = container.id.as_deref();
                    id.is_some_and(|id| !strangers.contains(id))
                })
            };
            // A declared sibling that rests is started before another one is made.
            let resting = kin()
                .filter(|container| !is_clone(container) && is_resting(container))
                .min_by_key(|container| number(container));
            if let Some(id) = resting.and_then(|container| container.id.as_deref()) {
                return self.engine.start(id).await;
            }
            let source = kin()
                .filter(|container| is_running(container))
                .min_by_key(|container| {
                    let unhealthy = is_unhealthy(container);
                    (is_clone(container), unhealthy, number(container))
                })
                .and_then(|container| container.id.as_deref());
            let Some(source) = source else {
                let why = "no container of it runs that could be copied";
                return Err(refusal(service, why.into()));
            };
            let path = format!("/containers/{source}/json");
            let inspected = self.engine.raw_get(&path).await?;
            if shows_control_groups(&inspected) {
                let info = self.engine.raw_get("/info").await?;
                refuse_control_groups(&inspected, &info).map_err(|why| refusal(service, why))?;
            }
            let image = self.image_for(&inspected).await?;
            // Compose counts those that rest as well, and fills no gap.
            let highest = siblings.iter().copied().map(number).max().unwrap_or(0);
            last_number = highest.max(last_number) + 1;
            let clone = sibling(&inspected, last_number, &image, self.engine.attach()?)
                .map_err(|why| refusal(service, why))?;
            match self.create_and_start(&clone).await {
                Err(Unmade::NameTaken(error)) => taken = Some(error),
                Err(Unmade::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(taken.unwrap_or_else(|| refusal(service, "no free name was found".into())))
    }

    async fn create_and_start(&self, clone: &Clone) -> Result<(), Unmade> {
        let path = format!("/containers/create?name={}", clone.name);
        let created = match self.engine.raw_post(&path, &clone.create).await {
            Ok(created) => created,
            Err(
                error @ EngineError::Refused {
                    status: Some(409), ..
                },
            ) => return Err(Unmade::NameTaken(error)),
            Err(error) => return Err(Unmade::Failed(error)),
        };
        let Some(id) = created["Id"].as_str() else {
            return Err(Unmade::Failed(EngineError::Refused {
                what: format!("create {}", clone.name),
                why: "the answer names no container".to_owned(),
                status: None,
            }));
        };
        let started = async {
            for (network, settings) in &clone.attach {
                let body = json!({ "Container": id, "EndpointConfig": settings });
                let path = format!("/networks/{network}/connect");
                self.engine.raw_post(&path, &body).await?;
            }
            self.engine.start(id).await
        };
        if let Err(error) = started.await {
            // What was created and never ran helps nobody. The first error is the one to tell.
            if let Err(leftover) = self.engine.remove(id, Remove::Whatever).await {
                warn!(container = %id, error = %chain(&leftover), "a container that never ran is left");
            }
            return Err(Unmade::Failed(error));
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

    pub(super) async fn stop(
        &self,
        proof: &DrainProof,
        when: StopWhen,
        grace: Duration,
    ) -> Result<(), EngineError> {
        let replica = proof.replica();
        let id = replica.unit();
        let Some(container) = self.engine.inspect(id).await? else {
            return Ok(());
        };
        // Another life of the same container is not the replica that was drained.
        if is_alive(&container) && started_at(&container) != replica.started() {
            return Ok(());
        }
        if when != StopWhen::Now && is_alive(&container) {
            idle(&self.engine, replica, id).await?;
        }
        self.engine.stop(id, grace).await?;
        if label(&container, CLONE_OF).is_some() {
            self.engine.remove(id, Remove::Whatever).await?;
        }
        Ok(())
    }

    /// Removes one of usher's own that does not run.
    pub(super) async fn clear(&self, replica: &ReplicaId) -> Result<(), EngineError> {
        let id = replica.unit();
        match self.engine.inspect(id).await? {
            Some(container) if label(&container, CLONE_OF).is_some() && !is_alive(&container) => {
                // It may be started between the two calls.
                self.engine.remove(id, Remove::Resting).await
            }
            _ => Ok(()),
        }
    }
}

/// # Errors
/// It has something to do, or the engine does not say.
pub(super) async fn idle(
    engine: &Engine,
    replica: &ReplicaId,
    container: &str,
) -> Result<(), EngineError> {
    let path = format!("/containers/{container}/stats?stream=false&one-shot=true");
    let used = async || {
        let stats = engine.raw_get(&path).await?;
        // Nanoseconds of all cores since its start.
        let used = stats["cpu_stats"]["cpu_usage"]["total_usage"].as_u64();
        used.map(Duration::from_nanos)
            .ok_or_else(|| EngineError::Refused {
                what: format!("say how busy {replica} is"),
                why: "the answer has no `total_usage`".to_owned(),
                status: None,
            })
    };
    let before = used().await?;
    sleep(LOOKED_AT_FOR).await;
    let share = used()
        .await?
        .saturating_sub(before)
        .div_duration_f64(LOOKED_AT_FOR);
    super::idle(replica, share)
}

enum Unmade {
    /// Somebody else has the name.
    NameTaken(EngineError),
    Failed(EngineError),
}

fn refusal(service: &ServiceName, why: NoSibling) -> EngineError {
    match why {
        NoSibling::Never(why) => EngineError::Unclonable {
            service: service.clone(),
            why,
        },
        NoSibling::NotNow(why) => EngineError::Refused {
            what: format!("add a replica of {service}"),
            why,
            status: None,
        },
    }
}

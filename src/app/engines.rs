//! Which engine runs the stacks.

use std::sync::Arc;

use super::{StartError, StateDir};
use crate::config::Config;
use crate::config::model::{EngineChoice, NamesFromContainers, Networks};
use crate::control::{EngineFacts, QUIET};
use crate::engine::{Compose, DockerHost, Engine, NetworkPolicy, Nobody, Processes};

/// The engine the configuration names, unless the variables of the docker command name another.
///
/// The state folder has to be this process' own: an engine of processes ends what the last owner
/// left.
///
/// # Errors
/// When the record of child processes cannot be kept.
pub fn engine_for(
    config: &Config,
    _state: &StateDir,
    told: DockerHost,
) -> Result<(Arc<dyn Engine>, EngineFacts), StartError> {
    let facts = |kind, starts_from_nothing| EngineFacts {
        kind,
        starts_from_nothing,
        shared: kind == "docker",
        quiet: QUIET,
    };
    Ok(match &config.engine {
        EngineChoice::None => (Arc::new(Nobody), facts("none", false)),
        EngineChoice::Processes => {
            let engine = Processes::open(&config.state_dir);
            let engine = engine.map_err(|source| StartError::State {
                path: config.state_dir.clone(),
                source,
            })?;
            (Arc::new(engine), facts("processes", true))
        }
        EngineChoice::Docker {
            endpoint,
            networks,
            filters,
            prefer_ipv6,
            trusted_networks,
        } => {
            let names = config.names_from_containers;
            let docker = docker_for(endpoint.clone(), *networks, names, told)
                .filtered(filters.clone())
                .preferring_ipv6(*prefer_ipv6)
                .trusting(trusted_networks.clone());
            (Arc::new(docker), facts("docker", false))
        }
    })
}

/// A Docker engine; nothing is contacted yet.
pub fn docker_for(
    endpoint: Option<String>,
    networks: Networks,
    names: NamesFromContainers,
    told: DockerHost,
) -> Compose {
    let endpoints = match told.endpoint.or(endpoint) {
        Some(endpoint) => vec![endpoint],
        None => ["/var/run/docker.sock", "/tmp/docker.sock"]
            .map(|path| format!("unix://{path}"))
            .into(),
    };
    let policy = match networks {
        Networks::Auto => NetworkPolicy::Auto,
        Networks::Join => NetworkPolicy::Join,
        Networks::None => NetworkPolicy::None,
        Networks::Reach => NetworkPolicy::Reach,
    };
    let reads_claims = names != NamesFromContainers::Off;
    Compose::new(endpoints, policy)
        .proving(told.certificates)
        .reading_claims(reads_claims)
}

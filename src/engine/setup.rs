//! What runs, as somebody wants to know it who sets usher up in the place of another proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bollard::models::ContainerInspectResponse;

use super::compose::Compose;
use super::containers::{is_alive, label, place};
pub use super::superseded::is_superseded;
use super::{Engine, EngineError};
use crate::inventory::Inventory;
use crate::names::{ServiceName, StackName};

/// The longest value that is looked at: the names of a hundred hosts.
const LONGEST: usize = 8 * 1024;

/// Everything that runs.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Containers of no project that claim something are in there too.
    pub inventory: Inventory,
    pub proxies: Vec<Proxy>,
    /// The names of containers that are of no project.
    pub alone: BTreeSet<String>,
    /// Containers that ask for a certificate and for no host: name, and the names they ask for.
    pub certified: Vec<(String, String)>,
}

/// A proxy, or its companion, in whose place usher comes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proxy {
    pub name: String,
    pub image: String,
    pub alive: bool,
    /// Where it is of a Compose project.
    pub place: Option<(StackName, ServiceName)>,
    /// Where Compose was called.
    pub folder: Option<String>,
    /// What it was told.
    pub variables: BTreeMap<String, String>,
    /// Folders and files of the host, and where they are in it.
    pub mounts: Vec<(PathBuf, PathBuf)>,
}

impl Compose {
    /// Everything there is, for who reads what containers claim.
    ///
    /// # Errors
    /// The engine is away, or says no.
    pub async fn seen(&self) -> Result<Seen, EngineError> {
        // Connects; what changes from now on is of no interest.
        let _hints = self.subscribe().await?;
        let inventory = self.list().await?;
        let known = self.known().await?;
        let mut seen = Seen {
            inventory,
            ..Seen::default()
        };
        for container in &known {
            let name = container.name.as_deref().unwrap_or_default();
            let name = name.trim_start_matches('/');
            let variables = variables(container);
            if is_superseded(&image(container)) {
                seen.proxies.push(Proxy {
                    name: name.to_owned(),
                    image: image(container),
                    alive: is_alive(container),
                    place: place(container),
                    folder: label(container, "com.docker.compose.project.working_dir")
                        .map(str::to_owned),
                    variables,
                    mounts: mounts(container),
                });
                continue;
            }
            let certified = ["ACME_HOST", "LETSENCRYPT_HOST"];
            let certified = certified.iter().find_map(|key| variables.get(*key));
            let hosts = ["VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS"];
            if let Some(names) = certified.filter(|names| !names.trim().is_empty())
                && !hosts.iter().any(|key| variables.contains_key(*key))
            {
                seen.certified.push((name.to_owned(), names.clone()));
            }
            if place(container).is_none() {
                seen.alone.insert(name.to_owned());
            }
        }
        seen.proxies.sort_by(|one, other| one.name.cmp(&other.name));
        seen.certified.sort_unstable();
        Ok(seen)
    }
}

fn image(container: &ContainerInspectResponse) -> String {
    let config = container.config.as_ref();
    config
        .and_then(|config| config.image.clone())
        .unwrap_or_default()
}

fn variables(container: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let config = container.config.as_ref();
    let variables = config.and_then(|config| config.env.as_deref());
    let pairs = variables.unwrap_or_default().iter().filter_map(|variable| {
        let (name, value) = variable.split_once('=')?;
        (value.len() <= LONGEST).then(|| (name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn mounts(container: &ContainerInspectResponse) -> Vec<(PathBuf, PathBuf)> {
    let mounts = container.mounts.as_deref().unwrap_or_default().iter();
    let pairs = mounts.filter_map(|mount| {
        let source = PathBuf::from(mount.source.as_deref()?);
        Some((source, PathBuf::from(mount.destination.as_deref()?)))
    });
    pairs.collect()
}

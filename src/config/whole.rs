//! The whole configuration, as it is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::issue::Issue;
use super::model::{
    Acme, Admin, Alert, Certs, Compat, EngineChoice, Instance, Listen, Log, NamesFromContainers,
    Thresholds,
};
use super::mounted::Mounted;
use super::pattern::Pattern;
use super::raw::{RawInstance, RawLimits, RawScale};
use super::variables::Layer;
use crate::names::{Domain, InstanceName, ServiceName, StackName};

/// The whole configuration. The global part applies whole or not at all; each instance alone.
#[derive(Clone, Debug)]
pub struct Config {
    pub state_dir: PathBuf,
    pub listen: Listen,
    pub admin: Admin,
    pub engine: EngineChoice,
    pub names_from_containers: NamesFromContainers,
    /// What holds where the files say nothing.
    pub asked: Option<Asked>,
    /// Whether there is no file, and everything is as it is without one.
    pub without_file: bool,
    pub certs: Certs,
    pub compat: Compat,
    /// What the files say that were mounted for nginx-proxy.
    pub mounted: Arc<Mounted>,
    /// Without it no certificate is ordered.
    pub acme: Option<Acme>,
    /// Who is told when the status changes.
    pub alerts: Arc<[Alert]>,
    pub log: Log,
    pub thresholds: Thresholds,
    /// From TERM to the exit, paced closes included.
    pub stop_within: Duration,
    /// From the first byte of a request head to its last, while no instance is known.
    pub header_timeout: Duration,
    pub instances: BTreeMap<InstanceName, Arc<Instance>>,
    /// Entries that name no single stack.
    pub patterns: Vec<Arc<Pattern>>,
    /// What those instances were made of that containers may add to.
    pub entries: BTreeMap<InstanceName, Entry>,
    pub(super) defaults: Arc<Defaults>,
}

/// What is said outside of every file.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By the command line.
    pub names: NamesFromContainers,
    /// By the variables of the process.
    pub variables: Arc<Layer>,
}

/// An operator's entry with every layer below it but that of its containers.
#[derive(Clone, Debug)]
pub struct Entry(pub(super) Arc<RawInstance>);

/// The lowest layer of every instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    pub(super) limits: RawLimits,
    pub(super) scale: RawScale,
    /// What the variables of the process say of every instance.
    pub(super) instances: Option<RawInstance>,
}

impl Config {
    /// The instance that a stack becomes by an entry that stands for many, if any fits.
    ///
    /// # Errors
    /// What keeps the entry that fits from being applied to this stack.
    pub fn instance_by_pattern<'a>(
        &self,
        stack: &StackName,
        services: impl Iterator<Item = &'a ServiceName> + Clone,
    ) -> Option<Result<Instance, Vec<Issue>>> {
        let is_declared = || {
            let mut declared = self.instances.values();
            declared.any(|instance| instance.stack == *stack)
        };
        if self.patterns.is_empty() || is_declared() {
            return None;
        }
        self.patterns
            .iter()
            .find(|pattern| pattern.fits(stack, services.clone()))
            .map(|pattern| pattern.instantiate(stack))
    }

    /// The ports usher listens on.
    pub fn ports(&self) -> Vec<u16> {
        let Listen { http, https, .. } = &self.listen;
        let all = http.iter().chain(https).chain([&self.admin.listen]);
        all.map(SocketAddr::port).collect()
    }

    /// How many names are served.
    pub fn served_names(&self) -> BTreeSet<Domain> {
        self.instances
            .values()
            .flat_map(|instance| instance.names())
            .collect()
    }
}

//! What a container of a Compose project is to usher: its place, its phase and how to reach it.
//!
//! Pure: what the engine said in, units of the inventory out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, HealthStatusEnum, ImageInspect,
};

use super::Printer;
use super::claims::Said;
use super::clone::{CLONE_OF, CONFIG_HASH, NUMBER, PROJECT, SERVICE};
use crate::inventory::{Network, Origin, Phase, Reach, Unit, Volume};
use crate::names::{ReplicaId, ServiceName, StackName};

const ONE_OFF: &str = "com.docker.compose.oneoff";

/// How this listing reaches containers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Paths {
    /// Every bridge of this machine.
    Host,
    /// The networks usher is attached to, by id.
    Attached {
        ids: Vec<String>,
        join: bool,
        /// The host, as it is reached from there.
        host: Option<IpAddr>,
    },
    Nowhere,
}

/// Which address is taken of a container that has both.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Family {
    #[default]
    V4,
    V6,
}

pub(super) fn summary_label<'a>(container: &'a ContainerSummary, key: &str) -> Option<&'a str> {
    container.labels.as_ref()?.get(key).map(String::as_str)
}

/// Containers of `compose run` carry the labels of their service and are none of its replicas.
pub(super) fn is_one_off(container: &ContainerSummary) -> bool {
    summary_label(container, ONE_OFF).is_some_and(|value| value != "False")
}

/// As [`is_one_off`], of one that was asked about.
pub(super) fn ran_once(container: &ContainerInspectResponse) -> bool {
    label(container, ONE_OFF).is_some_and(|value| value != "False")
}

/// Whether it is of a Compose project.
pub(super) fn is_composed(container: &ContainerInspectResponse) -> bool {
    label(container, PROJECT).is_some()
}

pub(super) fn belongs(
    container: &ContainerSummary,
    stack: &StackName,
    service: &ServiceName,
) -> bool {
    !is_one_off(container)
        && summary_label(container, PROJECT) == Some(stack.as_str())
        && summary_label(container, SERVICE) == Some(service.as_str())
}

pub(super) fn is_clone(container: &ContainerSummary) -> bool {
    summary_label(container, CLONE_OF).is_some()
}

pub(super) fn is_running(container: &ContainerSummary) -> bool {
    use bollard::models::ContainerSummaryStateEnum::RUNNING;
    container.state == Some(RUNNING)
}

/// The name of one whose program is usher, as far as a list tells.
pub(super) fn runs_usher(container: &ContainerSummary) -> Option<String> {
    let program = container.command.as_deref()?.split_whitespace().next()?;
    let is_usher = Path::new(program.trim_matches(['"', '\''])).file_name()? == "usher";
    let name = container.names.as_deref()?.first()?;
    is_usher.then(|| name.trim_start_matches('/').to_owned())
}

/// Created or ended: what a start would bring to life.
pub(super) fn is_resting(container: &ContainerSummary) -> bool {
    use bollard::models::ContainerSummaryStateEnum::{CREATED, EXITED};
    matches!(container.state, Some(CREATED | EXITED))
}

/// By the engine's own health check, which a list tells in words: `Up 3 minutes (unhealthy)`.
pub(super) fn is_unhealthy(container: &ContainerSummary) -> bool {
    let status = container.status.as_deref().unwrap_or_default();
    status.contains("(unhealthy)") || status.contains("(health: starting)")
}

pub(super) fn number(container: &ContainerSummary) -> u32 {
    summary_label(container, NUMBER)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Those of a stack, the ended ones and those of `compose run` included, by name.
pub(super) fn printers(listed: &[ContainerSummary], stack: &StackName) -> Vec<Printer> {
    let mut printers: Vec<Printer> = listed
        .iter()
        .filter(|container| summary_label(container, PROJECT) == Some(stack.as_str()))
        .filter_map(|container| {
            let name = container.names.as_deref()?.first()?;
            Some(Printer {
                service: summary_label(container, SERVICE)?.parse().ok()?,
                name: name.trim_start_matches('/').to_owned(),
                id: container.id.clone()?,
            })
        })
        .collect();
    printers.sort_by(|one, other| one.name.cmp(&other.name));
    printers
}

pub(super) fn label<'a>(container: &'a ContainerInspectResponse, key: &str) -> Option<&'a str> {
    let labels = container.config.as_ref()?.labels.as_ref()?;
    labels.get(key).map(String::as_str)
}

pub(super) fn place(container: &ContainerInspectResponse) -> Option<(StackName, ServiceName)> {
    Some((
        label(container, PROJECT)?.parse().ok()?,
        label(container, SERVICE)?.parse().ok()?,
    ))
}

pub(super) fn is_alive(container: &ContainerInspectResponse) -> bool {
    container
        .state
        .as_ref()
        .and_then(|state| state.running)
        .unwrap_or(false)
}

/// Nanoseconds since 1970: what tells the lives of a container apart.
pub(super) fn started_at(container: &ContainerInspectResponse) -> u64 {
    container
        .state
        .as_ref()
        .and_then(|state| state.started_at.as_deref())
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .and_then(|timestamp| u64::try_from(timestamp.as_nanosecond()).ok())
        .unwrap_or(0)
}

pub(super) fn endpoints(
    container: Option<&ContainerInspectResponse>,
) -> BTreeMap<String, EndpointSettings> {
    container
        .and_then(|container| container.network_settings.as_ref())
        .and_then(|settings| settings.networks.clone())
        .unwrap_or_default()
        .into_iter()
        .collect()
}

pub(super) fn unit(
    container: &ContainerInspectResponse,
    leaving: bool,
    paths: &Paths,
    family: Family,
    own: Option<&[(PathBuf, PathBuf)]>,
) -> Option<Unit> {
    let id = container.id.as_deref()?;
    let started = started_at(container);
    let config = container.config.as_ref();
    let number = label(container, NUMBER)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    let mut ports: Vec<u16> = config
        .and_then(|config| config.exposed_ports.as_ref())
        .into_iter()
        .filter(|_| !is_on_host(container))
        .flat_map(|ports| ports.iter())
        .filter_map(|port| port.strip_suffix("/tcp")?.parse().ok())
        .collect();
    ports.sort_unstable();
    Some(Unit {
        id: ReplicaId::new(id, started),
        name: container
            .name
            .as_deref()
            .unwrap_or(id)
            .trim_start_matches('/')
            .to_owned(),
        image: config
            .and_then(|config| config.image.clone())
            .unwrap_or_default(),
        make: make(container),
        phase: phase(container, leaving),
        dismissed: leaving,
        since: UNIX_EPOCH
            .checked_add(Duration::from_nanos(started))
            .unwrap_or(SystemTime::UNIX_EPOCH),
        reach: reach(container, paths, family),
        networks: endpoints(Some(container))
            .into_values()
            .filter_map(|settings| settings.network_id)
            .collect(),
        mounts: mounts(container, own),
        ports,
        health: health(container),
        origin: if label(container, CLONE_OF).is_some() {
            Origin::Added { number }
        } else {
            Origin::Declared { number }
        },
        task: None,
        claims: Arc::default(),
    })
}

/// What a container says about itself, its own words and those of its image not told apart.
pub(super) fn said(container: &ContainerInspectResponse) -> Said<'_> {
    let config = container.config.as_ref();
    Said {
        variables: config.and_then(|config| config.env.as_deref()),
        labels: config.and_then(|config| config.labels.as_ref()),
    }
}

/// What the image of a container says.
pub(super) fn said_by_image(image: &ImageInspect) -> Said<'_> {
    let config = image.config.as_ref();
    Said {
        variables: config.and_then(|config| config.env.as_deref()),
        labels: config.and_then(|config| config.labels.as_ref()),
    }
}

/// What names are cut to.
const LONGEST_NAME: usize = 63;

/// The stack and service that a container of no project is: both are called like itself.
pub(super) fn place_alone(
    container: &ContainerInspectResponse,
) -> Option<(StackName, ServiceName)> {
    if label(container, PROJECT).is_some() {
        return None;
    }
    let name = container.name.as_deref()?.trim_start_matches('/');
    // The engine has ASCII names only.
    let name = name.get(..LONGEST_NAME).unwrap_or(name);
    Some((name.replace('.', "-").parse().ok()?, name.parse().ok()?))
}

/// What the stack of a container alone is called where its own name is taken.
pub(super) fn another_name(stack: &StackName) -> Option<StackName> {
    const MARK: &str = "-alone";
    let name = stack.as_str();
    let head = name.get(..LONGEST_NAME - MARK.len()).unwrap_or(name);
    format!("{head}{MARK}").parse().ok()
}

/// What it was made from: Compose's hash of the configuration, and the image itself.
fn make(container: &ContainerInspectResponse) -> String {
    let configuration = label(container, CONFIG_HASH).unwrap_or_default();
    let image = container.image.as_deref().unwrap_or_default();
    format!("{configuration} {image}")
}

pub(super) fn phase(container: &ContainerInspectResponse, leaving: bool) -> Phase {
    use bollard::models::ContainerStateStatusEnum as Status;
    let Some(state) = &container.state else {
        return Phase::Other;
    };
    match state.status {
        Some(Status::CREATED) => Phase::Created,
        Some(Status::RUNNING) if leaving => Phase::Leaving,
        Some(Status::RUNNING) => Phase::Running,
        Some(Status::EXITED) => Phase::Exited {
            code: state.exit_code.unwrap_or(-1),
        },
        _ => Phase::Other,
    }
}

pub(super) fn health(container: &ContainerInspectResponse) -> Option<bool> {
    let status = container.state.as_ref()?.health.as_ref()?.status?;
    match status {
        HealthStatusEnum::HEALTHY => Some(true),
        HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY => Some(false),
        _ => None,
    }
}

/// Whether it uses the host's network, where what its image exposes says nothing.
fn is_on_host(container: &ContainerInspectResponse) -> bool {
    let host = container.host_config.as_ref();
    host.and_then(|host| host.network_mode.as_deref()) == Some("host")
}

pub(super) fn reach(container: &ContainerInspectResponse, paths: &Paths, family: Family) -> Reach {
    let unreachable = |why: &str| Reach::Unreachable {
        why: why.to_owned(),
        joinable: Vec::new(),
    };
    if is_on_host(container) {
        return match paths {
            Paths::Host => Reach::Host(IpAddr::from([127, 0, 0, 1])),
            Paths::Attached {
                host: Some(host), ..
            } => Reach::Host(*host),
            Paths::Attached { host: None, .. } => unreachable(
                "it uses the host's network, and usher is on no network from which the host is reached",
            ),
            Paths::Nowhere => unreachable("`[engine] networks` is \"none\""),
        };
    }
    // Sorted by name, so that every listing chooses the same one.
    let attached = endpoints(Some(container));
    let usable = |settings: &EndpointSettings| match paths {
        Paths::Host => true,
        Paths::Attached { ids, .. } => settings
            .network_id
            .as_ref()
            .is_some_and(|id| ids.contains(id)),
        Paths::Nowhere => false,
    };
    let address = attached
        .iter()
        // The routing mesh of Swarm is not how one task is reached.
        .filter(|(name, settings)| name.as_str() != "ingress" && usable(settings))
        .find_map(|(_, settings)| address_of(settings, family));
    if let Some(address) = address {
        return Reach::At(address);
    }
    if let Paths::Nowhere = paths {
        return unreachable("`[engine] networks` is \"none\"");
    }
    let joinable: Vec<Network> = match paths {
        Paths::Attached { join: true, .. } => attached
            .into_iter()
            .filter(|(name, _)| !matches!(name.as_str(), "host" | "none" | "ingress"))
            .filter_map(|(name, settings)| {
                Some(Network {
                    id: settings.network_id.filter(|id| !id.is_empty())?,
                    name,
                })
            })
            .collect(),
        _ => Vec::new(),
    };
    let why = match paths {
        Paths::Host => "it has no address on any network",
        _ => "it is on no network that usher is attached to",
    };
    Reach::Unreachable {
        why: why.to_owned(),
        joinable,
    }
}

pub(super) fn address_of(settings: &EndpointSettings, family: Family) -> Option<IpAddr> {
    let v4 = ip(settings.ip_address.as_deref());
    let v6 = ip(settings.global_ipv6_address.as_deref());
    match family {
        Family::V4 => v4.or(v6),
        Family::V6 => v6.or(v4),
    }
}

/// What the engine gives as an address; an empty text is none.
pub(super) fn ip(text: Option<&str>) -> Option<IpAddr> {
    text?.parse().ok()
}

/// What is mounted into a container, where usher sees it too.
fn mounts(
    container: &ContainerInspectResponse,
    own: Option<&[(PathBuf, PathBuf)]>,
) -> Vec<PathBuf> {
    let mounts = container.mounts.as_deref().unwrap_or_default().iter();
    let sources = mounts.filter_map(|mount| mount.source.as_deref());
    let mut seen: Vec<PathBuf> = sources
        .filter_map(|source| match visible(Path::new(source), own) {
            Volume::At(folder) => Some(folder.path),
            Volume::Invisible { .. } => None,
        })
        .collect();
    // The engine lists them in another order every time.
    seen.sort_unstable();
    seen
}

/// Ports of the host that lead to usher's own container.
pub(super) fn published(own: Option<&ContainerInspectResponse>) -> Vec<u16> {
    let settings = own.and_then(|own| own.network_settings.as_ref());
    let ports = settings.and_then(|settings| settings.ports.as_ref());
    let bindings = ports.into_iter().flatten().flat_map(|(_, to)| to).flatten();
    let mut ports: Vec<u16> = bindings
        .filter_map(|binding| binding.host_port.as_deref()?.parse().ok())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Where folders of the host appear in usher's own container; `None` on the host itself.
pub(super) fn own_mounts(
    own: Option<&ContainerInspectResponse>,
) -> Option<Vec<(PathBuf, PathBuf)>> {
    let mounts = own?.mounts.as_deref().unwrap_or_default();
    let pairs = mounts.iter().filter_map(|mount| {
        Some((
            PathBuf::from(mount.source.as_deref()?),
            PathBuf::from(mount.destination.as_deref()?),
        ))
    });
    Some(pairs.collect())
}

/// A path of the host as usher sees it.
pub(super) fn visible(path: &Path, mounts: Option<&[(PathBuf, PathBuf)]>) -> Volume {
    let Some(mounts) = mounts else {
        return Volume::At(path.into());
    };
    let seen = mounts
        .iter()
        .filter_map(|(source, destination)| {
            let rest = path.strip_prefix(source).ok()?;
            Some((source.as_os_str().len(), destination.join(rest)))
        })
        .max();
    match seen {
        Some((_, path)) => Volume::At(path.into()),
        None => Volume::Invisible {
            why: format!(
                "{} is not mounted into usher's container; mount the volumes' parent folder read-only",
                path.display()
            ),
        },
    }
}

#[cfg(test)]
mod tests;

//! What a task of a Swarm is to usher: its phase and how to reach it.
//!
//! A task lives once: what takes its place has another id. Its address is its own on a network that
//! usher shares; behind the service's virtual address no replica could be counted or drained.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::super::claims::{Said, claims};
use super::super::containers::{Paths, visible};
use super::wire::{self, Attachment, Service, Task};
use crate::inventory::{self, Claims, Network, Origin, Phase, Reach, Unit, Volume};
use crate::names::ReplicaId;

/// What is around a task.
pub(super) struct Around<'a> {
    pub(super) nodes: &'a BTreeMap<&'a str, &'a wire::Node>,
    /// The node whose engine is asked.
    pub(super) local: &'a str,
    pub(super) paths: &'a Paths,
    /// Where folders of the host appear in usher's own container.
    pub(super) mounts: Option<&'a [(PathBuf, PathBuf)]>,
    /// Whether what services claim is listed.
    pub(super) reads_claims: bool,
}

/// `None` for what is no replica any more, and for what was lost with its node.
pub(super) fn unit(
    service: &Service,
    task: &Task,
    turn: Option<u32>,
    around: &Around<'_>,
) -> Option<Unit> {
    let node = around.nodes.get(task.node_id.as_str());
    let phase = phase(task, node.is_some_and(|node| node.is_down()))?;
    let node_name = node.map_or_else(String::new, |node| node.description.hostname.clone());
    let number = u32::try_from(task.slot).unwrap_or(u32::MAX);
    let attached = task.networks_attachments.as_deref().unwrap_or_default();
    Some(Unit {
        id: id(task),
        name: task.name(&service.spec.name, &node_name),
        image: image(task).to_owned(),
        make: make(task),
        phase,
        dismissed: false,
        since: moment(&task.status.timestamp),
        reach: reach(attached, node.copied(), around.paths),
        networks: attached
            .iter()
            .map(|attachment| attachment.network.id.clone())
            .collect(),
        mounts: binds(task, around),
        ports: published(service),
        // Swarm calls a task running when its own health check says so, and ends it when not.
        health: None,
        origin: Origin::Declared { number },
        task: Some(inventory::Task {
            node: node_name,
            turn,
        }),
        claims: Arc::new(if around.reads_claims {
            claimed(service)
        } else {
            Claims::default()
        }),
    })
}

/// What the service says for its tasks. What their image says is not in there.
fn claimed(service: &Service) -> Claims {
    let container = &service.spec.task_template["ContainerSpec"];
    let variables: Vec<String> = container["Env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| variable.as_str().map(ToOwned::to_owned))
        .collect();
    let own = service.spec.labels.iter().flatten();
    let own = own.map(|(key, value)| (key.clone(), value.clone()));
    let of_tasks = container["Labels"].as_object().into_iter().flatten();
    let of_tasks =
        of_tasks.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    // As with every label of usher, that of the service itself comes first.
    let labels: HashMap<String, String> = of_tasks.chain(own).collect();
    claims(
        Said {
            variables: Some(&variables),
            labels: Some(&labels),
        },
        Said::default(),
    )
}

pub(super) fn id(task: &Task) -> ReplicaId {
    let created = moment(&task.created_at)
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|created| u64::try_from(created.as_nanos()).ok());
    ReplicaId::new(&task.id, created.unwrap_or(0))
}

fn moment(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>()
        .map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
}

fn phase(task: &Task, lost: bool) -> Option<Phase> {
    let wanted = task.is_wanted();
    match task.status.state.as_str() {
        "running" if lost => None,
        "running" if wanted => Some(Phase::Running),
        "running" => Some(Phase::Leaving),
        "complete" | "failed" | "rejected" => {
            let status = task.status.container_status.as_ref();
            let code = status.and_then(|status| status.exit_code);
            let usual = if task.status.state == "complete" {
                0
            } else {
                -1
            };
            Some(Phase::Exited {
                code: code.unwrap_or(usual),
            })
        }
        // Ended because that was wanted, or lost with its node.
        "orphaned" | "remove" | "shutdown" => None,
        // On its way.
        _ => wanted.then_some(Phase::Created),
    }
}

fn image(task: &Task) -> &str {
    task.spec["ContainerSpec"]["Image"]
        .as_str()
        .unwrap_or_default()
}

/// The whole template, shortened: tasks of one deployment have the same.
fn make(task: &Task) -> String {
    let mut hasher = DefaultHasher::new();
    task.spec.to_string().hash(&mut hasher);
    format!("{:016x} {}", hasher.finish(), image(task))
}

/// The image's own ports are not told; what the service publishes of its containers is.
fn published(service: &Service) -> Vec<u16> {
    let spec = service.spec.endpoint_spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref());
    let mut ports: Vec<u16> = ports
        .unwrap_or_default()
        .iter()
        .filter(|port| port.protocol.as_deref().unwrap_or("tcp") == "tcp")
        .map(|port| port.target_port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Folders of this machine that are mounted into it.
fn binds(task: &Task, around: &Around<'_>) -> Vec<PathBuf> {
    if task.node_id != around.local {
        return Vec::new();
    }
    let mounts = task.spec["ContainerSpec"]["Mounts"].as_array();
    let mut seen: Vec<PathBuf> = mounts
        .into_iter()
        .flatten()
        .filter(|mount| mount["Type"] == "bind")
        .filter_map(|mount| mount["Source"].as_str())
        .filter_map(|source| match visible(Path::new(source), around.mounts) {
            Volume::At(folder) => Some(folder.path),
            Volume::Invisible { .. } => None,
        })
        .collect();
    seen.sort_unstable();
    seen
}

fn address_of(attachment: &Attachment) -> Option<IpAddr> {
    let addresses = attachment.addresses.as_deref()?.iter();
    addresses
        .filter_map(|address| address.split('/').next()?.parse().ok())
        .next()
}

fn reach(attached: &[Attachment], node: Option<&wire::Node>, paths: &Paths) -> Reach {
    let unreachable = |why: String, joinable| Reach::Unreachable { why, joinable };
    if let Paths::Nowhere = paths {
        return unreachable("`[engine] networks` is \"none\"".to_owned(), Vec::new());
    }
    // The routing mesh is not how one task is reached.
    let mut networks: Vec<&Attachment> = attached
        .iter()
        .filter(|attachment| !attachment.network.spec.ingress)
        .collect();
    networks.sort_by_key(|attachment| &attachment.network.spec.name);
    if networks
        .iter()
        .any(|attachment| attachment.network.spec.name == "host")
    {
        return on_host(node, paths);
    }
    let names: Vec<&str> = networks
        .iter()
        .map(|attachment| attachment.network.spec.name.as_str())
        .collect();
    let names = names.join(", ");
    let Paths::Attached { ids, join, host: _ } = paths else {
        let why = format!(
            "usher runs on the host, from where the overlay network {names} cannot be reached; \
             run usher as a container"
        );
        return unreachable(why, Vec::new());
    };
    let shared = networks
        .iter()
        .filter(|attachment| ids.contains(&attachment.network.id))
        .find_map(|attachment| address_of(attachment));
    if let Some(address) = shared {
        return Reach::At(address);
    }
    if networks.is_empty() {
        let why = "it is on no network of its own; give the service one that is attachable";
        return unreachable(why.to_owned(), Vec::new());
    }
    let attachable: Vec<Network> = networks
        .iter()
        .filter(|attachment| attachment.network.spec.attachable)
        .map(|attachment| Network {
            id: attachment.network.id.clone(),
            name: attachment.network.spec.name.clone(),
        })
        .collect();
    if attachable.is_empty() {
        let why = format!(
            "the overlay network {names} is not attachable, so usher cannot join it; set \
             `attachable: true` for it in the stack file, then remove the stack and deploy it again"
        );
        return unreachable(why, Vec::new());
    }
    let why = "it is on no network that usher is attached to".to_owned();
    unreachable(why, if *join { attachable } else { Vec::new() })
}

/// A task without a network of its own is where its node is.
fn on_host(node: Option<&wire::Node>, paths: &Paths) -> Reach {
    let address: Option<IpAddr> = node.and_then(|node| node.status.addr.parse().ok());
    match address {
        Some(address) if matches!(paths, Paths::Host) || !address.is_loopback() => {
            Reach::At(address)
        }
        _ => Reach::Unreachable {
            why: "it uses its node's network, and the node has told no address that can be \
                  reached from usher's container"
                .to_owned(),
            joinable: Vec::new(),
        },
    }
}

/// Power over its machine that usher does not give to one more, and how a stack file calls it.
pub(super) fn privilege(template: &Value) -> Option<&'static str> {
    let container = &template["ContainerSpec"];
    let some = |value: &Value| value.as_array().is_some_and(|all| !all.is_empty());
    if some(&container["CapabilityAdd"]) {
        return Some("cap_add");
    }
    let mounts = container["Mounts"].as_array();
    let socket = mounts.into_iter().flatten().any(|mount| {
        let source = mount["Source"].as_str().unwrap_or_default();
        mount["Type"] == "bind" && super::super::clone::leads_to_the_engine(source)
    });
    socket.then_some("a mount through which the engine can be commanded")
}

#[cfg(test)]
mod tests;

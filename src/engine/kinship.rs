//! Which containers are of the project that their labels name.
//!
//! Pure. Labels are written by whoever starts a container, those of Compose like any other. What a
//! stranger cannot write is a place on a network of the project: whoever may attach something there is
//! inside the project already. So a container that shares no network with the others of its project is
//! none of them, whatever it says, and that costs itself alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerSummary, EndpointSettings, HostConfig,
    Network, NetworkSettings,
};

use super::clone::{CONFIG_HASH, PROJECT};
use super::containers::label;

/// The engine's own bridge: everybody is on it who asks for nothing else.
const BRIDGE: &str = "bridge";

/// Containers that are none of the project they name, by their ids: why, as a sentence. `trusted`: names of
/// networks on which an operator believes what labels say.
pub(super) fn strangers<'c>(
    containers: impl Iterator<Item = &'c ContainerInspectResponse> + Clone,
    networks: impl Iterator<Item = &'c Network> + Clone,
    trusted: &[String],
) -> HashMap<&'c str, String> {
    let own: HashMap<&str, &str> = networks
        .clone()
        .filter_map(|network| Some((network.id.as_deref()?, project_of(network)?)))
        .collect();
    let is_at_home = |container: &ContainerInspectResponse, project: &str| {
        let mut ids =
            attached(container).filter_map(|(_, settings)| settings.network_id.as_deref());
        ids.any(|id| own.get(id) == Some(&project))
    };
    // Most are where Compose has put them, and of those nothing has to be compared.
    let composed = containers.filter_map(|one| Some((label(one, PROJECT)?, one)));
    let doubtful: HashSet<&str> = composed
        .clone()
        .filter(|(project, container)| !is_at_home(container, project))
        .map(|(project, _)| project)
        .collect();
    let mut projects: HashMap<&str, Vec<&ContainerInspectResponse>> = HashMap::new();
    for (project, container) in composed.filter(|(project, _)| doubtful.contains(project)) {
        projects.entry(project).or_default().push(container);
    }
    let mut networks_of: HashMap<&str, Vec<&Network>> = HashMap::new();
    let mut ids = HashMap::new();
    if !doubtful.is_empty() {
        for network in networks {
            ids.extend(network.name.as_deref().zip(network.id.as_deref()));
            if let Some(project) = project_of(network).filter(|one| doubtful.contains(one)) {
                networks_of.entry(project).or_default().push(network);
            }
        }
    }
    let mut all = HashMap::new();
    for (project, members) in projects {
        match networks_of.get(project) {
            None if members.len() == 1 => {}
            own => all.extend(of_project(
                &members,
                own.map_or(&[][..], Vec::as_slice),
                &ids,
            )),
        }
        if !trusted.is_empty() {
            for member in members {
                // By the engine's ids where it has told them: a name is anybody's.
                let mut on = attached(member).filter(|(name, _)| trusted.contains(name));
                let named = |(name, settings): (&String, &EndpointSettings)| {
                    settings.network_id.as_deref() == ids.get(name.as_str()).copied()
                };
                if on.any(named) {
                    member.id.as_deref().and_then(|id| all.remove(id));
                }
            }
        }
    }
    all
}

/// What a list says of a container, as far as it matters here.
pub(super) fn as_inspected(listed: &ContainerSummary) -> ContainerInspectResponse {
    let created = listed
        .created
        .and_then(|at| jiff::Timestamp::from_second(at).ok());
    let networks = listed.network_settings.as_ref();
    let host = listed.host_config.as_ref();
    ContainerInspectResponse {
        id: listed.id.clone(),
        created: created.map(|at| at.to_string()),
        config: Some(ContainerConfig {
            labels: listed.labels.clone(),
            ..ContainerConfig::default()
        }),
        host_config: Some(HostConfig {
            network_mode: host.and_then(|host| host.network_mode.clone()),
            ..HostConfig::default()
        }),
        network_settings: Some(NetworkSettings {
            networks: networks.and_then(|networks| networks.networks.clone()),
            ..NetworkSettings::default()
        }),
        ..ContainerInspectResponse::default()
    }
}

pub(super) fn attached(
    container: &ContainerInspectResponse,
) -> impl Iterator<Item = (&String, &EndpointSettings)> {
    let settings = container.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    networks.into_iter().flatten()
}

pub(super) fn project_of(network: &Network) -> Option<&str> {
    network.labels.as_ref()?.get(PROJECT).map(String::as_str)
}

/// A container of a project, and where it is attached.
struct Member<'c> {
    id: &'c str,
    name: &'c str,
    /// Whether Compose made it, as it says.
    composed: bool,
    created: Option<jiff::Timestamp>,
    networks: Vec<Tie<'c>>,
}

/// What two containers have in common that share it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Tie<'c> {
    /// The engine's own bridge says little: on it, what Compose made and what it did not are no kin.
    Bridge { composed: bool },
    /// By its id; a container's own, where nobody shares it.
    Network(&'c str),
    /// One that Compose made for the project.
    Own,
}

fn of_project<'c>(
    members: &[&'c ContainerInspectResponse],
    own: &[&'c Network],
    ids: &HashMap<&'c str, &'c str>,
) -> Vec<(&'c str, String)> {
    let own_ids: Vec<&str> = own
        .iter()
        .filter_map(|network| network.id.as_deref())
        .collect();
    let members: Vec<Member<'c>> = members
        .iter()
        .filter_map(|container| member(container, &own_ids, ids))
        // Those on no network at all are routed nowhere, and those on the host's are on all of them.
        .filter(|member| !member.networks.is_empty())
        .collect();
    let mut families = Families::default();
    for member in &members {
        for pair in member.networks.windows(2) {
            families.join(pair[0], pair[1]);
        }
    }
    let eldest = members.iter().min_by_key(|member| {
        let created = member.created.unwrap_or(jiff::Timestamp::MAX);
        (!member.composed, created, member.id)
    });
    let home = match (own.is_empty(), eldest) {
        (false, _) => Tie::Own,
        (true, Some(eldest)) => eldest.networks[0],
        (true, None) => return Vec::new(),
    };
    let home = families.head(home);
    let deserted = !members
        .iter()
        .any(|member| families.head(member.networks[0]) == home);
    let others = members
        .iter()
        .filter(|member| families.head(member.networks[0]) != home);
    let network = own.iter().filter_map(|network| network.name.as_deref());
    let network = network.min();
    let told = others.map(|member| {
        let apart = match (network, eldest) {
            (Some(network), _) if deserted => format!(
                "nothing is on the project's network {network} any more; if the container is one of \
                 the project and the network is left over, `docker network rm {network}`"
            ),
            (Some(network), _) => format!(
                "it is not on the project's network {network}; if it is one of the project, \
                 `docker network connect {network} {}`, or name a network of its own in `[engine] \
                 trusted-networks`",
                member.name
            ),
            (None, Some(eldest)) => format!(
                "it shares no network with {}; if it is one of the project, attach both to one",
                eldest.name
            ),
            (None, None) => "it shares no network with the others".to_owned(),
        };
        let text = format!(
            "container {} is left out: its label {PROJECT} names the project, and {apart}",
            member.name
        );
        (member.id, text)
    });
    told.collect()
}

fn member<'c>(
    container: &'c ContainerInspectResponse,
    own: &[&'c str],
    ids: &HashMap<&'c str, &'c str>,
) -> Option<Member<'c>> {
    let id = container.id.as_deref()?;
    let composed = label(container, CONFIG_HASH).is_some();
    // What it was created on counts like what it is on: nobody creates it there without being let in,
    // and one that was taken off its network for a while is still who it was.
    let host = container.host_config.as_ref();
    let mode = host.and_then(|host| host.network_mode.as_deref());
    let mode = mode.unwrap_or_default();
    let created_on = (!mode.contains(':')).then_some((mode, None));
    let attached = attached(container).map(|(name, settings)| (name.as_str(), Some(settings)));
    let tie = |(name, settings): (&'c str, Option<&'c EndpointSettings>)| {
        let told = settings.and_then(|settings| settings.network_id.as_deref());
        match name {
            "" | "default" | "host" | "ingress" | "none" => None,
            // A project that has networks is not held together by what everybody is on.
            BRIDGE if !own.is_empty() => Some(Tie::Network(id)),
            BRIDGE => Some(Tie::Bridge { composed }),
            name => {
                let id = told.filter(|id| !id.is_empty());
                let id = id.or_else(|| ids.get(name).copied()).unwrap_or(name);
                Some(match own.contains(&id) {
                    true => Tie::Own,
                    false => Tie::Network(id),
                })
            }
        }
    };
    let mut networks: Vec<Tie<'c>> = attached.chain(created_on).filter_map(tie).collect();
    networks.sort_unstable();
    networks.dedup();
    Some(Member {
        id,
        name: container
            .name
            .as_deref()
            .unwrap_or(id)
            .trim_start_matches('/'),
        composed,
        created: container
            .created
            .as_deref()
            .and_then(|text| text.parse().ok()),
        networks,
    })
}

/// Networks that are one because a container is on both.
#[derive(Default)]
struct Families<'c>(BTreeMap<Tie<'c>, Tie<'c>>);

impl<'c> Families<'c> {
    fn head(&self, mut tie: Tie<'c>) -> Tie<'c> {
        while let Some(above) = self.0.get(&tie) {
            tie = *above;
        }
        tie
    }

    fn join(&mut self, one: Tie<'c>, other: Tie<'c>) {
        let (one, other) = (self.head(one), self.head(other));
        if one != other {
            self.0.insert(one, other);
        }
    }
}

#[cfg(test)]
mod tests;

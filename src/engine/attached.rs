//! The networks that usher is on, and where it is reached on each.
//!
//! Pure: what the engine said in, attachments of the inventory out.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{ContainerInspectResponse, EndpointSettings, Network};
use ipnet::IpNet;

use super::clone::PROJECT;
use super::containers::{endpoints, ip};
use super::swarm::NAMESPACE;
use crate::inventory::{self, Attached};

/// Marks an attachment of usher to a network as its own doing.
pub(super) const JOINED: &str = "usher-joined";

/// Those of usher's container; on the host (`None`), all that have the host as their gateway.
pub(super) fn attached(
    own: Option<&ContainerInspectResponse>,
    networks: &[Network],
) -> Vec<Attached> {
    let mut attached: Vec<Attached> = match own {
        Some(_) => {
            let by_id: HashMap<&str, &Network> = networks
                .iter()
                .filter_map(|network| Some((network.id.as_deref()?, network)))
                .collect();
            let endpoints = endpoints(own).into_iter();
            endpoints
                .filter_map(|(name, settings)| of_container(&name, &settings, &by_id))
                .collect()
        }
        None => networks.iter().filter_map(of_host).collect(),
    };
    attached.sort_by(|one, other| one.network.cmp(&other.network));
    attached
}

/// The address of the host on the first network of usher's that leads out.
pub(super) fn host(own: Option<&ContainerInspectResponse>, networks: &[Network]) -> Option<IpAddr> {
    let is_internal = |settings: &EndpointSettings| {
        let mut networks = networks.iter();
        let known = networks.find(|network| network.id == settings.network_id);
        known.is_some_and(|network| network.internal == Some(true))
    };
    endpoints(own)
        .into_values()
        .filter(|settings| !is_internal(settings))
        .find_map(|settings| ip(settings.gateway.as_deref()))
}

fn of_container(
    name: &str,
    settings: &EndpointSettings,
    networks: &HashMap<&str, &Network>,
) -> Option<Attached> {
    let id = settings.network_id.clone().filter(|id| !id.is_empty())?;
    let known = networks.get(id.as_str());
    let addresses = [
        (&settings.ip_address, settings.ip_prefix_len),
        (
            &settings.global_ipv6_address,
            settings.global_ipv6_prefix_len,
        ),
    ];
    let addresses: Vec<IpNet> = addresses
        .into_iter()
        .filter_map(|(text, length)| {
            let length = u8::try_from(length?).ok()?;
            IpNet::new(ip(text.as_deref())?, length).ok()
        })
        .collect();
    let gateways = [&settings.gateway, &settings.ipv6_gateway];
    let aliases = settings.aliases.as_deref().unwrap_or_default();
    Some(Attached {
        network: inventory::Network {
            id,
            name: name.to_owned(),
        },
        addresses: addresses.iter().map(IpNet::addr).collect(),
        subnets: addresses.iter().map(IpNet::trunc).collect(),
        gateways: gateways
            .into_iter()
            .filter_map(|text| ip(text.as_deref()))
            .collect(),
        joined: aliases.iter().any(|alias| alias == JOINED),
        of_a_stack: known.is_some_and(|network| is_of_a_stack(network)),
    })
}

fn of_host(network: &Network) -> Option<Attached> {
    let pools = network.ipam.as_ref()?.config.as_deref()?;
    let gateways: Vec<IpAddr> = pools
        .iter()
        .filter_map(|pool| ip(pool.gateway.as_deref()))
        .collect();
    let subnets = pools
        .iter()
        .filter_map(|pool| pool.subnet.as_deref()?.parse().ok());
    let attached = Attached {
        network: inventory::Network {
            id: network.id.clone()?,
            name: network.name.clone()?,
        },
        addresses: gateways.clone(),
        subnets: subnets.collect(),
        gateways,
        joined: false,
        of_a_stack: is_of_a_stack(network),
    };
    (network.driver.as_deref() == Some("bridge")).then_some(attached)
}

/// Whether Compose or Swarm made it for a project.
fn is_of_a_stack(network: &Network) -> bool {
    let labels = network.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(PROJECT) || labels.contains_key(NAMESPACE))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn networks() -> Vec<Network> {
        serde_json::from_value(json!([
            {
                "Id": "n1", "Name": "congress_default", "Driver": "bridge",
                "Labels": { "com.docker.compose.project": "congress" },
                "IPAM": { "Config": [{ "Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1" }] },
            },
            {
                "Id": "n2", "Name": "bridge", "Driver": "bridge", "Labels": {},
                "IPAM": { "Config": [{ "Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1" }] },
            },
            {
                "Id": "n3", "Name": "inner", "Driver": "bridge", "Internal": true, "Labels": {},
                "IPAM": { "Config": [{ "Subnet": "172.19.0.0/16", "Gateway": "172.19.0.1" }] },
            },
            { "Id": "n4", "Name": "host", "Driver": "host", "IPAM": { "Config": [] } },
        ]))
        .expect("networks")
    }

    fn own(networks: Value) -> ContainerInspectResponse {
        let own = json!({ "NetworkSettings": { "Networks": networks } });
        serde_json::from_value(own).expect("an inspection")
    }

    #[test]
    fn a_container_is_reached_at_its_addresses_and_its_neighbours_are_known() {
        let own = own(json!({
            "congress_default": {
                "NetworkID": "n1", "IPAddress": "172.18.0.5", "IPPrefixLen": 16,
                "Gateway": "172.18.0.1", "GlobalIPv6Address": "fd00::5",
                "GlobalIPv6PrefixLen": 64, "IPv6Gateway": "fd00::1", "Aliases": ["usher-joined"],
            },
            "bridge": {
                "NetworkID": "n2", "IPAddress": "172.17.0.2", "IPPrefixLen": 16,
                "Gateway": "172.17.0.1", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            },
        }));
        let attached = attached(Some(&own), &networks());
        let [congress, bridge] = &attached[..] else {
            panic!("{attached:?}");
        };
        assert!(!bridge.joined && !bridge.of_a_stack, "{bridge:?}");
        assert!(congress.joined && congress.of_a_stack, "{congress:?}");
        let shown = |list: &[IpAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&congress.addresses), ["172.18.0.5", "fd00::5"]);
        assert_eq!(shown(&congress.gateways), ["172.18.0.1", "fd00::1"]);
        let subnets: Vec<String> = congress.subnets.iter().map(ToString::to_string).collect();
        assert_eq!(subnets, ["172.18.0.0/16", "fd00::/64"]);
    }

    #[test]
    fn on_the_host_every_bridge_is_a_network_and_its_gateway_the_way_in() {
        let attached = attached(None, &networks());
        let names: Vec<&str> = attached
            .iter()
            .map(|one| one.network.name.as_str())
            .collect();
        assert_eq!(names, ["congress_default", "bridge", "inner"]);
        assert_eq!(attached[0].addresses, attached[0].gateways);
        assert!(attached[0].of_a_stack && !attached[1].of_a_stack);
    }

    #[test]
    fn the_host_is_the_gateway_of_a_network_that_leads_out() {
        let own = own(json!({
            "a_inner": { "NetworkID": "n3", "Gateway": "172.19.0.1" },
            "bridge": { "NetworkID": "n2", "Gateway": "172.17.0.1" },
        }));
        let host = host(Some(&own), &networks());
        assert_eq!(host, Some(IpAddr::from([172, 17, 0, 1])));
    }
}

//! `[engine]`, as it is written.

use serde::Deserialize;

use crate::config::reader::{Leaf, Reader};

#[derive(Default)]
pub(in crate::config) struct RawEngine {
    pub(in crate::config) kind: Leaf<RawEngineKind>,
    pub(in crate::config) endpoint: Leaf<String>,
    pub(in crate::config) networks: Leaf<RawNetworks>,
    pub(in crate::config) names_from_containers: Leaf<String>,
    pub(in crate::config) container_filters: Leaf<Vec<String>>,
    pub(in crate::config) prefer_ipv6: Leaf<bool>,
    pub(in crate::config) trusted_networks: Leaf<Vec<String>>,
}

impl RawEngine {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            kind: table.leaf("kind"),
            endpoint: table.leaf("endpoint"),
            networks: table.leaf("networks"),
            names_from_containers: table.leaf("names-from-containers"),
            container_filters: table.leaf("container-filters"),
            prefer_ipv6: table.leaf("prefer-ipv6"),
            trusted_networks: table.leaf("trusted-networks"),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            kind,
            endpoint,
            networks,
            names_from_containers,
            container_filters,
            prefer_ipv6,
            trusted_networks,
        } = self;
        Self {
            kind: kind.or(below.kind),
            endpoint: endpoint.or(below.endpoint),
            networks: networks.or(below.networks),
            names_from_containers: names_from_containers.or(below.names_from_containers),
            container_filters: container_filters.or(below.container_filters),
            prefer_ipv6: prefer_ipv6.or(below.prefer_ipv6),
            trusted_networks: trusted_networks.or(below.trusted_networks),
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawEngineKind {
    #[default]
    Docker,
    None,
    Processes,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawNetworks {
    Auto,
    Join,
    None,
    Reach,
}

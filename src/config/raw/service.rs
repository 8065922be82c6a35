//! `[instance.service]`, as it is written.

use serde::Deserialize;

use crate::config::reader::{Field, Leaf, Reader};
use crate::config::units::Size;
use crate::config::upstream_tls::RawTls;

#[derive(Clone, Debug)]
pub(in crate::config) struct RawService {
    pub(in crate::config) role: Leaf<RawRole>,
    pub(in crate::config) of: Leaf<String>,
    pub(in crate::config) ratio: Leaf<f64>,
    pub(in crate::config) requests_each: Leaf<u32>,
    pub(in crate::config) min: Leaf<u32>,
    pub(in crate::config) max: Leaf<u32>,
    pub(in crate::config) port: Leaf<u16>,
    pub(in crate::config) tls: Leaf<RawTls>,
    pub(in crate::config) keep_alive: Leaf<bool>,
    pub(in crate::config) probe: Leaf<String>,
    pub(in crate::config) placement: Leaf<RawPlacement>,
    pub(in crate::config) addresses: Leaf<Vec<String>>,
    pub(in crate::config) command: Leaf<Vec<String>>,
    pub(in crate::config) memory: Leaf<Size>,
    pub(in crate::config) cpus: Leaf<f64>,
}

impl RawService {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            role: table.leaf("role"),
            of: table.leaf("of"),
            ratio: table.leaf("ratio"),
            requests_each: table.leaf("requests-each"),
            min: table.leaf("min"),
            max: table.leaf("max"),
            port: table.leaf("port"),
            tls: table.leaf("tls"),
            keep_alive: table.leaf("keep-alive"),
            probe: table.leaf("probe"),
            placement: table.leaf("placement"),
            addresses: table.leaf("addresses"),
            command: table.leaf("command"),
            memory: table.leaf("memory"),
            cpus: table.leaf("cpus"),
        }
    }

    fn over(self, below: &Self) -> Self {
        let Self {
            role,
            of,
            ratio,
            requests_each,
            min,
            max,
            port,
            tls,
            keep_alive,
            probe,
            placement,
            addresses,
            command,
            memory,
            cpus,
        } = self;
        Self {
            role: role.or_else(|| below.role.clone()),
            of: of.or_else(|| below.of.clone()),
            ratio: ratio.or_else(|| below.ratio.clone()),
            requests_each: requests_each.or_else(|| below.requests_each.clone()),
            min: min.or_else(|| below.min.clone()),
            max: max.or_else(|| below.max.clone()),
            port: port.or_else(|| below.port.clone()),
            tls: tls.or_else(|| below.tls.clone()),
            keep_alive: keep_alive.or_else(|| below.keep_alive.clone()),
            probe: probe.or_else(|| below.probe.clone()),
            placement: placement.or_else(|| below.placement.clone()),
            addresses: addresses.or_else(|| below.addresses.clone()),
            command: command.or_else(|| below.command.clone()),
            memory: memory.or_else(|| below.memory.clone()),
            cpus: cpus.or_else(|| below.cpus.clone()),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawRole {
    Fixed,
    Ratio,
    Sessions,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawPlacement {
    Client,
    Least,
}

type Services = Vec<(Field<String>, RawService)>;

/// Services of the same name are put together key by key.
pub(super) fn services_over(own: Services, below: &Services) -> Services {
    let mut merged = own;
    for (name, service) in below {
        match merged.iter_mut().find(|(own, _)| own.value == name.value) {
            Some((_, own)) => *own = own.clone().over(service),
            None => merged.push((name.clone(), service.clone())),
        }
    }
    merged
}

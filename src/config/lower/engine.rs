//! Who runs the replicas, from what was written to what is meant.

use super::filters;
use super::values::value_or;
use crate::config::issue::{Issues, report};
use crate::config::model::{EngineChoice, NamesFromContainers, Networks};
use crate::config::raw::{RawEngine, RawEngineKind, RawNetworks};

impl RawEngine {
    /// Also says whether containers may claim names, if it says anything about that.
    pub(in crate::config) fn lower(
        self,
        issues: &Issues,
    ) -> (EngineChoice, Option<NamesFromContainers>) {
        let Self {
            kind,
            endpoint,
            networks,
            names_from_containers,
            container_filters,
            prefer_ipv6,
            trusted_networks,
        } = self;
        let names = names_from_containers.and_then(|field| match field.value.parse() {
            Ok(names) => Some(names),
            Err(why) => {
                report(issues, field.at.error(why));
                None
            }
        });
        let choice = match value_or(kind, RawEngineKind::default()) {
            RawEngineKind::None => EngineChoice::None,
            RawEngineKind::Processes => EngineChoice::Processes,
            RawEngineKind::Docker => EngineChoice::Docker {
                endpoint: endpoint.and_then(|field| {
                    let known = ["unix://", "tcp://", "http://"];
                    if known.iter().any(|scheme| field.value.starts_with(scheme)) {
                        return Some(field.value);
                    }
                    let text = format!(
                        "`{}` is no endpoint; write for example unix:///var/run/docker.sock",
                        field.value
                    );
                    report(issues, field.at.error(text));
                    None
                }),
                networks: match networks.map(|field| field.value) {
                    None | Some(RawNetworks::Auto) => Networks::Auto,
                    Some(RawNetworks::Join) => Networks::Join,
                    Some(RawNetworks::None) => Networks::None,
                    Some(RawNetworks::Reach) => Networks::Reach,
                },
                filters: filters::lower(container_filters, issues),
                prefer_ipv6: value_or(prefer_ipv6, false),
                trusted_networks: value_or(trusted_networks, Vec::new()),
            },
        };
        (choice, names)
    }
}

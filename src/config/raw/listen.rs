//! `[listen]`, as it is written.

use serde::Deserialize;

use crate::config::reader::{Leaf, Reader};

#[derive(Default)]
pub(in crate::config) struct RawListen {
    pub(in crate::config) http: Leaf<Vec<String>>,
    pub(in crate::config) https: Leaf<Vec<String>>,
    pub(in crate::config) max_connections: Leaf<u32>,
    pub(in crate::config) trusted_proxies: Leaf<Vec<String>>,
    pub(in crate::config) proxy_protocol: Leaf<RawProxyProtocol>,
    pub(in crate::config) http2: Leaf<bool>,
    pub(in crate::config) default_host: Leaf<String>,
}

impl RawListen {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            http: table.leaf("http"),
            https: table.leaf("https"),
            max_connections: table.leaf("max-connections"),
            trusted_proxies: table.leaf("trusted-proxies"),
            proxy_protocol: table.leaf("proxy-protocol"),
            http2: table.leaf("http2"),
            default_host: table.leaf("default-host"),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            http,
            https,
            max_connections,
            trusted_proxies,
            proxy_protocol,
            http2,
            default_host,
        } = self;
        Self {
            http: http.or(below.http),
            https: https.or(below.https),
            max_connections: max_connections.or(below.max_connections),
            trusted_proxies: trusted_proxies.or(below.trusted_proxies),
            proxy_protocol: proxy_protocol.or(below.proxy_protocol),
            http2: http2.or(below.http2),
            default_host: default_host.or(below.default_host),
        }
    }
}

/// Whose connections begin with a PROXY header.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum RawProxyProtocol {
    OfTrusted(bool),
    OfAll(RawAll),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawAll {
    All,
}

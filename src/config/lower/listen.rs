//! Where clients come in, from what was written to what is meant.

use std::net::SocketAddr;

use super::values::{from_str, networks, parse_list, socket_address, value_or};
use crate::config::issue::{Issues, report};
use crate::config::model::Listen;
use crate::config::raw::{RawAll, RawListen, RawProxyProtocol};
use crate::config::reader::Field;
use crate::plan::ProxyProtocol;

impl RawListen {
    pub(in crate::config) fn lower(self, issues: &Issues) -> Listen {
        let Self {
            http,
            https,
            max_connections,
            trusted_proxies,
            proxy_protocol,
            http2,
            default_host,
        } = self;
        let trusted_proxies = networks(trusted_proxies, issues);
        let of_trusted = |field: &&Field<RawProxyProtocol>| {
            matches!(field.value, RawProxyProtocol::OfTrusted(true))
        };
        if let Some(on) = proxy_protocol.as_ref().filter(of_trusted)
            && trusted_proxies.is_empty()
        {
            let text =
                "would be accepted from nobody; name the load balancers in `trusted-proxies`";
            report(issues, on.at.error(text));
        }
        let addresses = |field: Option<Field<Vec<String>>>, port: u16| match field {
            Some(field) => parse_list(&field, issues, socket_address),
            None => vec![
                SocketAddr::from(([0, 0, 0, 0], port)),
                SocketAddr::from(([0_u16; 8], port)),
            ],
        };
        Listen {
            http: addresses(http, 80),
            https: addresses(https, 443),
            max_connections: value_or(max_connections, 60_000),
            trusted_proxies,
            proxy_protocol: match proxy_protocol.map(|field| field.value) {
                None | Some(RawProxyProtocol::OfTrusted(false)) => ProxyProtocol::Off,
                Some(RawProxyProtocol::OfTrusted(true)) => ProxyProtocol::Trusted,
                Some(RawProxyProtocol::OfAll(RawAll::All)) => ProxyProtocol::All,
            },
            http2: value_or(http2, true),
            default_host: default_host.and_then(|field| {
                let host = from_str(&field.value);
                host.map_err(|why| {
                    report(issues, field.at.error(format!("`{}` {why}", field.value)));
                })
                .ok()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::{good, issues};
    use crate::plan::ProxyProtocol;

    #[test]
    fn the_proxy_protocol_is_for_proxies_that_are_named() {
        let named = "[listen]\ntrusted-proxies = [\"10.0.0.0/8\"]\nproxy-protocol = true";
        assert_eq!(good(named).listen.proxy_protocol, ProxyProtocol::Trusted);
        let all = good("[listen]\nproxy-protocol = \"all\"");
        assert_eq!(all.listen.proxy_protocol, ProxyProtocol::All);
        assert!(
            issues("[listen]\nproxy-protocol = \"some\"")
                .join("")
                .contains("proxy-protocol")
        );
    }
}

//! What holds at the door, for all instances.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use crate::names::{Hostname, InstanceName};

/// What holds for every connection, whoever it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EdgePolicy {
    /// Peers whose `X-Forwarded-*` fields and PROXY headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub proxy_protocol: ProxyProtocol,
    /// Whoever asks for a name that nobody has is answered as if asking for this one.
    pub default_host: Option<Hostname>,
    /// Networks of stacks, which lead to their own stacks alone.
    pub doors: Vec<Door>,
    /// From the first byte of a request head to its last, where no instance says otherwise.
    pub header_timeout: Duration,
    /// The body of a 503 for a name that nobody has, in the place of usher's own page.
    pub error_page: Option<Bytes>,
    /// Where other programs leave their answers to authorities, below `.well-known/acme-challenge`.
    pub webroot: Option<PathBuf>,
}

/// Whose connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// Everybody's.
    All,
    #[default]
    Off,
    /// Those of trusted proxies.
    Trusted,
}

/// A network of stacks that usher is on: whoever comes from inside of it is one of theirs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Door {
    /// As the engine knows the network.
    pub network: Arc<str>,
    /// Where usher is reached on it.
    pub addresses: Vec<IpAddr>,
    /// Who is on it.
    pub subnets: Vec<IpNet>,
    /// The host's own addresses on it. Who comes from there came through a published port.
    pub gateways: Vec<IpAddr>,
    /// Whose names may be asked for.
    pub instances: BTreeSet<InstanceName>,
}

impl Door {
    /// Whether a connection between these came from inside the network.
    pub fn is_entered_by(&self, local: IpAddr, peer: IpAddr) -> bool {
        self.addresses.contains(&local)
            && self.subnets.iter().any(|subnet| subnet.contains(&peer))
            && !self.gateways.contains(&peer)
    }
}

impl EdgePolicy {
    /// The network of a stack that a connection came over. Proxies that are trusted come for everybody.
    pub fn door(&self, local: IpAddr, peer: IpAddr) -> Option<Arc<str>> {
        if self.trusts(peer.to_canonical()) && self.trusts_some_only() {
            return None;
        }
        self.entered(local, peer)
    }

    /// As [`Self::door`], whoever is trusted.
    pub fn entered(&self, local: IpAddr, peer: IpAddr) -> Option<Arc<str>> {
        /// Every network has such addresses, and none of them tells which it is.
        const LINK_LOCAL: &str = "link-local";
        let (local, peer) = (local.to_canonical(), peer.to_canonical());
        if let IpAddr::V6(v6) = local
            && v6.is_unicast_link_local()
            && !self.doors.is_empty()
        {
            return Some(LINK_LOCAL.into());
        }
        let mut doors = self.doors.iter();
        let door = doors.find(|door| door.is_entered_by(local, peer))?;
        Some(Arc::clone(&door.network))
    }

    /// Whether a connection that came over this network may ask for names of this instance.
    pub fn leads_to(&self, network: &str, instance: &InstanceName) -> bool {
        let mut doors = self.doors.iter();
        // A network that is not there any more leads nowhere.
        doors.any(|door| *door.network == *network && door.instances.contains(instance))
    }

    /// Whether those who are trusted were chosen: who trusts the whole world has chosen nobody.
    fn trusts_some_only(&self) -> bool {
        self.trusted_proxies.iter().all(|net| net.prefix_len() > 0)
    }

    /// Whether this address is a proxy that the operator runs or trusts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl Default for EdgePolicy {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            proxy_protocol: ProxyProtocol::default(),
            default_host: None,
            doors: Vec::new(),
            header_timeout: Duration::from_secs(10),
            error_page: None,
            webroot: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_entered_from_inside_and_not_through_the_host() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let net = |text: &str| text.parse::<IpNet>().expect("net");
        let mut edge = EdgePolicy {
            doors: vec![Door {
                network: "n1".into(),
                addresses: vec![ip("172.18.0.5"), ip("fd00::5")],
                subnets: vec![net("172.18.0.0/16"), net("fd00::/64")],
                gateways: vec![ip("172.18.0.1"), ip("fd00::1")],
                instances: BTreeSet::new(),
            }],
            ..EdgePolicy::default()
        };
        for (local, peer, over) in [
            ("172.18.0.5", "172.18.0.9", true),
            ("::ffff:172.18.0.5", "::ffff:172.18.0.9", true),
            ("fd00::5", "fd00::9", true),
            ("fe80::1", "fe80::2", true),
            // Through a published port: as whom the host lets in, or as the host itself.
            ("172.18.0.5", "203.0.113.5", false),
            ("172.18.0.5", "172.18.0.1", false),
            ("172.17.0.2", "172.17.0.9", false),
        ] {
            let door = edge.door(ip(local), ip(peer));
            assert_eq!(door.is_some(), over, "{local} {peer}");
        }
        edge.trusted_proxies = vec![net("172.18.0.9/32")];
        let balancer = (ip("172.18.0.5"), ip("172.18.0.9"));
        assert!(edge.door(balancer.0, balancer.1).is_none());
        assert!(edge.entered(balancer.0, balancer.1).is_some());
        // Who believes everybody has not chosen anybody.
        edge.trusted_proxies = vec![net("0.0.0.0/0")];
        assert!(edge.door(balancer.0, balancer.1).is_some());
    }
}

//! Where clients come in.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::names::Hostname;
use crate::plan::ProxyProtocol;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listen {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub max_connections: u32,
    pub trusted_proxies: Vec<IpNet>,
    pub proxy_protocol: ProxyProtocol,
    /// Whether HTTP/2 is offered in handshakes.
    pub http2: bool,
    /// Whoever asks for a name that nobody has is answered as if asking for this one.
    pub default_host: Option<Hostname>,
}

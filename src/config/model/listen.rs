//! Where usher is reached: by clients, and by who looks in.

use std::net::SocketAddr;
use std::path::PathBuf;

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

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admin {
    /// Anything but loopback only with a certificate, and tokens or an authority of clients.
    pub listen: SocketAddr,
    pub socket: PathBuf,
    pub allow: Vec<IpNet>,
    /// The pair below the folder of certificates; `None`: plain HTTP.
    pub certificate: Option<String>,
    pub token_file: Option<PathBuf>,
    /// PEM that signs certificates of clients.
    pub client_ca: Option<PathBuf>,
}

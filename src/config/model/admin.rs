//! Who may look in, and where.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

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

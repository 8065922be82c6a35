//! What is known about a client connection before its first request.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use crate::names::Hostname;
use crate::routing::Counted;

/// One client connection. It holds its place in its instance, and no table.
#[derive(Debug)]
pub struct Connection {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// The name of the TLS handshake; `None` on plain HTTP.
    pub server_name: Option<Hostname>,
    counted: OnceLock<Counted>,
}

impl Connection {
    pub fn new(peer: SocketAddr, local: SocketAddr, server_name: Option<Hostname>) -> Self {
        Self {
            peer: unmapped(peer),
            local: unmapped(local),
            server_name,
            counted: OnceLock::new(),
        }
    }

    pub fn is_tls(&self) -> bool {
        self.server_name.is_some()
    }

    /// Counts the connection with the instance of its first request. `None`: there is no room.
    pub fn count(&self, place: impl FnOnce() -> Option<Counted>) -> Option<()> {
        if self.counted.get().is_none() {
            // Two streams of one HTTP/2 connection may come here at once; one of them counts.
            let _ = self.counted.set(place()?);
        }
        Some(())
    }
}

/// IPv4 that came in over an IPv6 socket is IPv4.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), address.port()),
            None => address,
        },
        IpAddr::V4(_) => address,
    }
}

//! What is known about a client connection before its first request.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::arrival::unmapped;
use super::clients::Vouching;
use super::hello::Secured;
use crate::names::Hostname;
use crate::routing::Counted;

/// One client connection. It holds its place in its instance, and no table.
#[derive(Debug)]
pub struct Connection {
    /// The client: the peer of the socket, or whom a trusted proxy names in a PROXY header.
    pub peer: SocketAddr,
    /// Where that client connected to: the socket's address, or the one in the header.
    pub local: SocketAddr,
    /// The name of the TLS handshake; `None` on plain HTTP.
    pub server_name: Option<Hostname>,
    /// Who vouches for the client, if that was asked.
    pub vouching: Vouching,
    /// Whether every client believes the certificate it was shown; nothing was shown on plain HTTP.
    pub is_believed: bool,
    /// The network of a stack that it came over, which leads to that stack alone.
    pub door: Option<Arc<str>>,
    counted: OnceLock<Counted>,
}

impl Connection {
    /// Over plain HTTP, or with what a handshake has settled.
    pub fn new(peer: SocketAddr, local: SocketAddr, secured: Option<Secured>) -> Self {
        let (server_name, vouching, is_believed) = match secured {
            None => (None, Vouching::NotAsked, true),
            Some(Secured {
                server_name,
                vouching,
                is_believed,
            }) => (Some(server_name), vouching, is_believed),
        };
        Self {
            peer: unmapped(peer),
            local: unmapped(local),
            server_name,
            vouching,
            is_believed,
            door: None,
            counted: OnceLock::new(),
        }
    }

    /// That came over this network of a stack.
    pub fn over(self, door: Option<Arc<str>>) -> Self {
        Self { door, ..self }
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

//! Whose connection it is: the socket says so, or a proxy in front does.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proxy_protocol::{LONGEST, Malformed, Named, Verdict, inspect};

/// Both ends of a client connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Ends {
    /// Those of the socket. `None`: it has gone already.
    pub(super) fn of(tcp: &TcpStream, peer: SocketAddr) -> Option<Self> {
        Some(Self {
            peer: unmapped(peer),
            local: unmapped(tcp.local_addr().ok()?),
        })
    }
}

/// IPv4 that came in over an IPv6 socket is IPv4.
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), address.port()),
            None => address,
        },
        IpAddr::V4(_) => address,
    }
}

/// Why a connection that has to begin with a PROXY header is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unannounced {
    #[error("the connection ended before its header")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the header did not come within {} s", within.as_secs_f32())]
    TooSlow { within: Duration },
}

/// Reads the PROXY header and not one byte more. What it does not name stays as it is.
///
/// # Errors
/// No header, half of one within the time, or anything else.
pub(super) async fn announced(
    tcp: &mut TcpStream,
    ends: Ends,
    within: Duration,
) -> Result<Ends, Unannounced> {
    let named = timeout(within, header(tcp))
        .await
        .map_err(|_| Unannounced::TooSlow { within })??;
    Ok(named.map_or(ends, |named| Ends {
        peer: unmapped(named.source),
        local: unmapped(named.destination),
    }))
}

async fn header(tcp: &mut TcpStream) -> Result<Option<Named>, Unannounced> {
    let mut bytes = vec![0; LONGEST];
    let mut taken = 0;
    loop {
        // What lies behind the header is TLS' or HTTP's, so it is looked at before it is taken.
        let room = bytes.get_mut(taken..).unwrap_or_default();
        let seen = tcp.peek(room).await?;
        if seen == 0 {
            return Err(Unannounced::Ended);
        }
        let known = bytes.get(..taken + seen).unwrap_or_default();
        let (until, named) = match inspect(known) {
            // All of it belongs to the header, and none of it is looked at twice.
            Verdict::More => (known.len(), None),
            Verdict::Header { length, named } => (length, Some(named)),
            Verdict::Refuse(why) => return Err(why.into()),
        };
        let due = bytes.get_mut(taken..until).unwrap_or_default();
        tcp.read_exact(due).await?;
        taken = until;
        if let Some(named) = named {
            return Ok(named);
        }
    }
}

//! What the log holds.

use std::net::IpAddr;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    pub format: LogFormat,
    pub access: bool,
    pub addresses: Addresses,
    /// Whether the access log has what stands behind the `?`, where tokens travel.
    pub queries: bool,
    /// Of a line of the access log, in JSON.
    pub access_keys: AccessKeys,
    pub access_format: AccessFormat,
}

/// How a line of the access log is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AccessFormat {
    /// As nginx-proxy writes it, whatever the keys and the format.
    Combined,
    /// As the rest of the log.
    #[default]
    Usher,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// What the keys of a line of the access log are called.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AccessKeys {
    /// The twelve of nginx-proxy's `LOG_JSON`, whatever the format.
    NginxProxy,
    #[default]
    Usher,
}

/// How much of a client's address the access log tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Addresses {
    #[default]
    Full,
    /// The last 8 bits of IPv4 and the last 80 of IPv6 are zero.
    Masked,
    Off,
}

impl Addresses {
    /// The address as it may be written.
    pub fn shown(self, client: IpAddr) -> Option<IpAddr> {
        match (self, client) {
            (Self::Full, _) => Some(client),
            (Self::Off, _) => None,
            (Self::Masked, IpAddr::V4(v4)) => {
                let [a, b, c, _] = v4.octets();
                Some(IpAddr::from([a, b, c, 0]))
            }
            (Self::Masked, IpAddr::V6(v6)) => {
                let [a, b, c, ..] = v6.segments();
                Some(IpAddr::from([a, b, c, 0, 0, 0, 0, 0]))
            }
        }
    }
}

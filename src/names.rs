//! Names that cross rooms, each its own type.
//!
//! A value of these types is valid: it was parsed once, where it came in. The instance and its
//! services are what the operator *declares*; stack and replica are what the engine *shows*.

mod pattern;

pub use self::pattern::{HostPattern, PathPattern};

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a name. The sentence completes "`<text>` …".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct NameError {
    reason: &'static str,
}

const fn wrong(reason: &'static str) -> NameError {
    NameError { reason }
}

macro_rules! simple_name {
    ($(#[$doc:meta])* $name:ident, $inside:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it is written in files, logs and metrics.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_simple(text, $inside)?;
                Ok(Self(text.into()))
            }
        }
    };
}

simple_name! {
    /// One tenant, as the operator declares it.
    InstanceName, b"-_"
}
simple_name! {
    /// A tenant as the engine shows it: a Compose project or a set of child processes.
    StackName, b"-_"
}
simple_name! {
    /// A named part of a stack: `web`, `worker`, `redis`.
    ServiceName, b"-_."
}

/// The alphabets of Compose: projects have no dots, services may.
fn check_simple(text: &str, inside: &[u8]) -> Result<(), NameError> {
    let mut bytes = text.bytes();
    match bytes.next() {
        None => return Err(wrong("is empty")),
        Some(first) if !first.is_ascii_alphanumeric() => {
            return Err(wrong("must begin with a letter or a digit"));
        }
        Some(_) => {}
    }
    if text.len() > 63 {
        return Err(wrong("is longer than 63 characters"));
    }
    if !bytes.all(|b| b.is_ascii_alphanumeric() || inside.contains(&b)) {
        return Err(wrong(if inside.contains(&b'.') {
            "may hold only letters, digits, `-`, `_` and `.`"
        } else {
            "may hold only letters, digits, `-` and `_`"
        }));
    }
    Ok(())
}

/// One life of one container or process.
///
/// The same container started again is another replica: it must prove itself ready anew, and no
/// pooled connection of its former life may reach it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReplicaId {
    unit: Arc<str>,
    started: u64,
}

impl ReplicaId {
    /// `unit` is the engine's own id (container id, process slot); `started` tells its lives
    /// apart and only has to differ between them.
    pub fn new(unit: &str, started: u64) -> Self {
        Self {
            unit: unit.into(),
            started,
        }
    }

    /// The engine's id of the container or process.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// What tells this life from the others of the same unit.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// The unit as people know it: of a container's 64 digits the first twelve, as `docker ps`
    /// prints them.
    pub fn short(&self) -> &str {
        let of_container = self.unit.len() == 64;
        self.unit
            .get(..12)
            .filter(|_| of_container)
            .unwrap_or(&self.unit)
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The number of a plan; a higher one replaces a lower one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Generation(pub u64);

impl Generation {
    /// The number that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names that are never delegated (RFC 2606, RFC 6761, RFC 6762, RFC 8375).
pub const PRIVATE: [&str; 9] = [
    "localhost",
    "local",
    "internal",
    "test",
    "invalid",
    "example",
    "lan",
    "home",
    "home.arpa",
];

/// A DNS name as it appears in SNI and `Host`: lower case, no port, no trailing dot. Or an address, that of
/// IPv6 in brackets and as RFC 5952 writes it.
///
/// The only type that routes, picks certificates and is logged, so that no two rooms can disagree
/// about which name a request meant.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Splits a `Host` field or an `:authority` into the name and the port, if one is given.
    ///
    /// # Errors
    /// User information, a port that is no number and whatever is no name.
    pub fn from_authority(authority: &str) -> Result<(Self, Option<u16>), NameError> {
        // RFC 3986 §3.2.2: the colons of an address are within its brackets.
        let end = authority.strip_prefix('[').and_then(|rest| rest.find(']'));
        let parts = match end.and_then(|end| authority.split_at_checked(end + 2)) {
            None => authority.split_once(':'),
            Some((_, "")) => None,
            Some((name, rest)) => match rest.strip_prefix(':') {
                Some(port) => Some((name, port)),
                None => return Err(wrong("goes on behind the brackets of an address")),
            },
        };
        let (name, port) = match parts {
            None => (authority, None),
            Some((name, port)) => {
                // RFC 9110 §4.2.3: an empty port means the default one.
                if port.is_empty() {
                    (name, None)
                } else if port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) {
                    let port = port.parse().map_err(|_| wrong("has a port above 65535"))?;
                    (name, Some(port))
                } else {
                    return Err(wrong("has a port that is not a number"));
                }
            }
        };
        Ok((name.parse()?, port))
    }

    /// As a client writes it that asks for an address.
    pub fn of_address(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(address) => address.to_string().into(),
            IpAddr::V6(address) => format!("[{address}]").into(),
        })
    }

    /// The address that it is, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match literal(&self.0) {
            Some(inside) => inside.parse().map(IpAddr::V6).ok(),
            None => self.0.parse().ok(),
        }
    }

    /// The name without its first label: `a.b.c` gives `b.c`.
    pub fn parent(&self) -> Option<&str> {
        if literal(&self.0).is_some() {
            return None;
        }
        self.0.split_once('.').map(|(_, parent)| parent)
    }

    /// Whether a public certificate authority can know this name: not an address, not a single
    /// label, not below a name that is never delegated.
    pub fn is_public(&self) -> bool {
        self.is_delegated() && !self.is_private()
    }

    /// Whether it is below a name that is never delegated, so that it can be nobody's.
    pub fn is_private(&self) -> bool {
        let below = |suffix: &str| {
            self.0
                .strip_suffix(suffix)
                .is_some_and(|head| head.ends_with('.'))
        };
        PRIVATE.iter().any(|suffix| below(suffix))
    }

    /// Whether it could be a name in somebody's DNS: not an address, not a single label, not
    /// `localhost`.
    pub fn is_delegated(&self) -> bool {
        match self.0.rsplit_once('.') {
            // The end of an address may be written with dots.
            Some(_) if literal(&self.0).is_some() => false,
            Some((_, last)) => last != "localhost" && !last.bytes().all(|b| b.is_ascii_digit()),
            None => false,
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hostname {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(inside) = literal(text) {
            let address = inside.parse::<Ipv6Addr>();
            let address = address.map_err(|_| wrong("is no address of IPv6"))?;
            return Ok(Self::of_address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(wrong("is empty"));
        }
        if name.len() > 253 {
            return Err(wrong("is longer than 253 characters"));
        }
        if !name.is_ascii() {
            return Err(wrong("has to be written in its ASCII form (`xn--…`)"));
        }
        for label in name.split('.') {
            if label.is_empty() {
                return Err(wrong("has an empty label"));
            }
            if label.len() > 63 {
                return Err(wrong("has a label longer than 63 characters"));
            }
            // `_` is no host name by RFC 952, but Compose projects carry it into names.
            if !label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            {
                return Err(wrong("holds a character that no host name has"));
            }
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

/// What is inside the brackets of an address of IPv6.
fn literal(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// A name an instance answers to: one host, or every host directly or deeper below one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Domain {
    /// Exactly this host.
    Exact(Hostname),
    /// `*.name`: every host below it, not the name itself.
    Below(Hostname),
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(host) => write!(f, "*.{host}"),
        }
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("*.") {
            Some(rest) if literal(rest).is_some() => {
                Err(wrong("is below an address, where nothing is"))
            }
            Some(rest) => rest.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

#[cfg(test)]
mod tests;

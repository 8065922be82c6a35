//! Who is asked for certificates, and how names are proven.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Acme {
    pub email: Option<String>,
    /// Tried in this order.
    pub directories: Vec<Directory>,
    /// For instances on staging, instead of the others.
    pub staging: Directory,
    /// All that are declared or built in, for instances that choose one of them.
    pub known: Vec<Directory>,
    /// How the names are proven, the preferred way first. Never empty.
    pub challenges: Vec<ChallengeKind>,
    /// The command that changes the DNS for [`ChallengeKind::Dns01`], with its first arguments.
    pub dns_hook: Vec<String>,
    /// Names that no public authority can know are kept from it.
    pub preflight: bool,
    /// Names under `*` entries that get their first certificate within 24 hours.
    pub new_names_per_day: u32,
    /// The DNS server that preflight asks; `None`: those of the system.
    pub resolver: Option<SocketAddr>,
}

/// One certificate authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directory {
    pub name: String,
    pub url: String,
    /// PEM that signs the directory's own TLS.
    pub ca_bundle: Option<PathBuf>,
    pub external_account: Option<ExternalAccount>,
    pub profile: Option<String>,
    /// Whether orders keep to half of what Let's Encrypt allows.
    pub rate_limits: bool,
    /// What a CAA record calls the authority (RFC 8659); without it such records are not read.
    pub caa_issuer: Option<String>,
    pub requests_per_second: NonZeroU32,
}

/// What an authority may ask to see that a name leads here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChallengeKind {
    /// A record of the DNS (RFC 8555 §8.4); the only one for wildcards.
    Dns01,
    /// A file over plain HTTP (RFC 8555 §8.3).
    Http01,
    /// A certificate in a handshake (RFC 8737).
    TlsAlpn01,
}

impl ChallengeKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExternalAccount {
    pub kid: String,
    pub key: ExternalKey,
}

/// Where the key of an external account is, in base64url.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExternalKey {
    File(PathBuf),
    /// Of the environment.
    Variable(String),
}

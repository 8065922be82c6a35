//! What an instance promises its visitors, whatever its replicas do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use crate::names::{Domain, HostPattern, Hostname};

/// Who vouches for the clients of an instance: certificates that their own have to lead to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientAuthorities {
    certificates: Vec<Vec<u8>>,
    revocations: Vec<Vec<u8>>,
    verify: ClientVerify,
}

/// What becomes of a client that they do not vouch for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientVerify {
    /// It is asked for a certificate and served with any, and with none.
    Any,
    /// It is served without a certificate; one that it shows has to be good.
    Optional,
    #[default]
    Required,
}

impl ClientAuthorities {
    /// Of certificates and lists of what they have revoked (RFC 5280 §5), in DER, each fit to be used.
    pub fn new(
        certificates: Vec<Vec<u8>>,
        revocations: Vec<Vec<u8>>,
        verify: ClientVerify,
    ) -> Self {
        Self {
            certificates,
            revocations,
            verify,
        }
    }

    /// Those that vouch for nobody, so that nobody is served.
    pub fn nobody() -> Self {
        Self::new(Vec::new(), Vec::new(), ClientVerify::Required)
    }

    /// The same, for clients that are treated like this.
    pub fn verifying(&self, verify: ClientVerify) -> Self {
        Self {
            verify,
            ..self.clone()
        }
    }

    /// The certificates, in DER. None: these vouch for nobody.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(Vec::as_slice)
    }

    /// The lists of what they have revoked, in DER.
    pub fn revocations(&self) -> impl Iterator<Item = &[u8]> {
        self.revocations.iter().map(Vec::as_slice)
    }

    pub fn verify(&self) -> ClientVerify {
        self.verify
    }

    /// Whether a client without their word is turned away.
    pub fn is_required(&self) -> bool {
        self.verify == ClientVerify::Required
    }
}

/// What an instance promises its visitors, whatever its replicas do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    pub domains: Vec<Domain>,
    /// Hosts that no name of anybody means, by their shape. They have no certificates.
    pub patterns: Vec<HostPattern>,
    /// Names that only redirect to the first domain.
    pub redirect_from: Vec<Hostname>,
    pub https: Https,
    /// Whether plain HTTP is served where there is no certificate yet.
    pub http_without_certificate: bool,
    /// Where no route fits.
    pub no_route: NoRoute,
    /// Under which the site is reached from outside.
    pub external_ports: ExternalPorts,
    pub non_get_redirect: NonGetRedirect,
    /// Whether clients may speak HTTP/2.
    pub http2: bool,
    /// With it, clients are asked for a certificate.
    pub client_ca: Option<Arc<ClientAuthorities>>,
    /// The body of 500, 502, 503 and 504 in the place of usher's own page.
    pub error_page: Option<Bytes>,
    /// Whether a websocket has to say which page opened it.
    pub strict_origin: bool,
    /// The value of `Strict-Transport-Security`, sent over TLS only.
    pub hsts: Option<String>,
    /// Added to every answer.
    pub headers: Vec<(String, String)>,
    /// When not empty, only these may ask.
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
    pub limits: Limits,
    /// The code of the close frame that ends a drained websocket (RFC 6455 §7.4).
    pub close_code: u16,
    /// Paths whose requests are nobody's presence: they wake nothing and keep nothing awake.
    pub no_wake: Vec<String>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            patterns: Vec::new(),
            redirect_from: Vec::new(),
            https: Https::default(),
            http_without_certificate: true,
            no_route: NoRoute::default(),
            external_ports: ExternalPorts::default(),
            non_get_redirect: NonGetRedirect::default(),
            http2: true,
            client_ca: None,
            error_page: None,
            strict_origin: false,
            hsts: None,
            headers: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            limits: Limits::default(),
            close_code: 1012,
            no_wake: Vec::new(),
        }
    }
}

impl Site {
    /// Whether this is one of the hosts that are served, not one that only redirects.
    pub fn serves(&self, host: &Hostname) -> bool {
        let named = self.domains.iter().any(|domain| match domain {
            Domain::Exact(name) => name == host,
            Domain::Below(name) => {
                let rest = host.as_str().strip_suffix(name.as_str());
                rest.is_some_and(|rest| rest.ends_with('.'))
            }
        });
        named || self.patterns.iter().any(|pattern| pattern.fits(host))
    }

    /// Whether a client at this address may ask at all.
    pub fn admits(&self, client: IpAddr) -> bool {
        let listed = |list: &[IpNet]| list.iter().any(|net| net.contains(&client));
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
    }
}

/// Which of the two schemes an instance speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Https {
    /// Both, without a redirect.
    Both,
    /// TLS refused with `unrecognized_name`; plain HTTP is served.
    Off,
    /// Plain HTTP answers 503 once there is a certificate.
    Only,
    /// Plain HTTP redirects once there is a certificate.
    #[default]
    Redirect,
}

/// What is answered where no route fits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoRoute {
    /// `$scheme`, `$host` and `$request_uri` in `to` stand for what was asked.
    Redirect {
        status: u16,
        to: String,
    },
    Status(u16),
}

impl Default for NoRoute {
    fn default() -> Self {
        Self::Status(404)
    }
}

/// Ports that visitors write, where those are not the ones that usher listens on: somebody in front
/// maps them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ExternalPorts {
    pub http: Option<u16>,
    pub https: Option<u16>,
}

/// The status of a redirect whose request is neither GET nor HEAD: it keeps its method and its body
/// (RFC 9110 §15.4.8, §15.4.9).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NonGetRedirect {
    #[default]
    Permanent,
    Temporary,
}

impl NonGetRedirect {
    /// By its status code.
    pub fn of(code: u16) -> Option<Self> {
        match code {
            307 => Some(Self::Temporary),
            308 => Some(Self::Permanent),
            _ => None,
        }
    }

    pub fn code(self) -> u16 {
        match self {
            Self::Permanent => 308,
            Self::Temporary => 307,
        }
    }
}

/// Ceilings and deadlines of one instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of a request body; `None` is unlimited.
    pub max_body: Option<u64>,
    pub connections: u32,
    pub sessions: u32,
    pub requests_in_flight: u32,
    /// Sessions one replica may hold; a full one gets no more.
    pub sessions_hard: u32,
    pub header_timeout: Duration,
    /// From the last byte of the request to the first of the answer.
    pub request_timeout: Duration,
    /// Nothing in either direction, pings included.
    pub websocket_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: Some(100 << 20),
            connections: 16_384,
            sessions: 16_384,
            requests_in_flight: 2_000,
            sessions_hard: 250,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            websocket_idle: Duration::from_secs(600),
        }
    }
}

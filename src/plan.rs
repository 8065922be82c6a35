//! The two values that cross between the planes.
//!
//! The control plane says with a [`Plan`] what should be served; the data plane answers with a
//! [`Report`] what is being served. Both are whole, plain values: losing one costs an interval,
//! never correctness, and a process boundary could run between the planes tomorrow.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

mod report;

pub use self::report::{
    CertificateReport, CertificateSource, CertificateState, DURATION_BUCKETS, EdgeReport, Ending,
    EndpointReport, FailureFacts, FailureList, Failures, Handshake, InstanceReport, Level, Report,
    RequestTotals, SessionFacts, SessionList, SessionTotals, Signal,
};

use crate::names::{
    Domain, Generation, HostPattern, Hostname, InstanceName, PathPattern, ReplicaId, ServiceName,
};

/// What should be served. Numbered and immutable; an unchanged instance keeps its `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub generation: Generation,
    pub edge: Arc<EdgePolicy>,
    pub instances: BTreeMap<InstanceName, Arc<InstancePlan>>,
}

/// What holds for every connection, whoever it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EdgePolicy {
    /// Peers whose `X-Forwarded-*` fields and PROXY headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub proxy_protocol: ProxyProtocol,
    /// Whoever asks for a name that nobody has is answered as if asking for this one.
    pub default_host: Option<Hostname>,
    /// Networks of stacks, which lead to their own stacks alone.
    pub doors: Vec<Door>,
    /// From the first byte of a request head to its last, where no instance says otherwise.
    pub header_timeout: Duration,
    /// The body of a 503 for a name that nobody has, in the place of usher's own page.
    pub error_page: Option<Bytes>,
    /// Where other programs leave their answers to authorities, below `.well-known/acme-challenge`.
    pub webroot: Option<PathBuf>,
}

/// Whose connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// Everybody's.
    All,
    #[default]
    Off,
    /// Those of trusted proxies.
    Trusted,
}

/// A network of stacks that usher is on: whoever comes from inside of it is one of theirs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Door {
    /// As the engine knows the network.
    pub network: Arc<str>,
    /// Where usher is reached on it.
    pub addresses: Vec<IpAddr>,
    /// Who is on it.
    pub subnets: Vec<IpNet>,
    /// The host's own addresses on it. Who comes from there came through a published port.
    pub gateways: Vec<IpAddr>,
    /// Whose names may be asked for.
    pub instances: BTreeSet<InstanceName>,
}

impl Door {
    /// Whether a connection between these came from inside the network.
    pub fn is_entered_by(&self, local: IpAddr, peer: IpAddr) -> bool {
        self.addresses.contains(&local)
            && self.subnets.iter().any(|subnet| subnet.contains(&peer))
            && !self.gateways.contains(&peer)
    }
}

impl EdgePolicy {
    /// The network of a stack that a connection came over. Proxies that are trusted come for everybody.
    pub fn door(&self, local: IpAddr, peer: IpAddr) -> Option<Arc<str>> {
        if self.trusts(peer.to_canonical()) && self.trusts_some_only() {
            return None;
        }
        self.entered(local, peer)
    }

    /// As [`Self::door`], whoever is trusted.
    pub fn entered(&self, local: IpAddr, peer: IpAddr) -> Option<Arc<str>> {
        /// Every network has such addresses, and none of them tells which it is.
        const LINK_LOCAL: &str = "link-local";
        let (local, peer) = (local.to_canonical(), peer.to_canonical());
        if let IpAddr::V6(v6) = local
            && v6.is_unicast_link_local()
            && !self.doors.is_empty()
        {
            return Some(LINK_LOCAL.into());
        }
        let mut doors = self.doors.iter();
        let door = doors.find(|door| door.is_entered_by(local, peer))?;
        Some(Arc::clone(&door.network))
    }

    /// Whether a connection that came over this network may ask for names of this instance.
    pub fn leads_to(&self, network: &str, instance: &InstanceName) -> bool {
        let mut doors = self.doors.iter();
        // A network that is not there any more leads nowhere.
        doors.any(|door| *door.network == *network && door.instances.contains(instance))
    }

    /// Whether those who are trusted were chosen: who trusts the whole world has chosen nobody.
    fn trusts_some_only(&self) -> bool {
        self.trusted_proxies.iter().all(|net| net.prefix_len() > 0)
    }

    /// Whether this address is a proxy that the operator runs or trusts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl Default for EdgePolicy {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            proxy_protocol: ProxyProtocol::default(),
            default_host: None,
            doors: Vec::new(),
            header_timeout: Duration::from_secs(10),
            error_page: None,
            webroot: None,
        }
    }
}

/// One tenant, as it is to be served now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstancePlan {
    pub name: InstanceName,
    /// As declared; shared between plans until the declaration changes.
    pub site: Arc<Site>,
    pub condition: Condition,
    /// In no order; the router sorts.
    pub routes: Vec<Route>,
    /// The services that a route may name.
    pub services: BTreeMap<ServiceName, ServicePlan>,
    /// Replicas that are to be stopped and are no endpoint: no route leads to them, or no address
    /// does any more. They are here so that the report can say when nobody is inside.
    pub leaving: Vec<LeavingPlan>,
}

/// One replica that leaves and that nobody can be sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeavingPlan {
    pub service: ServiceName,
    pub id: ReplicaId,
    pub usage: Usage,
}

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

/// Whether an instance is to be served at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    Serving,
    /// What is open goes on; what is new waits a little, and gets the page of a maintenance.
    Paused,
    /// Declared and known, starts nothing, answers with its own page.
    Standby,
    /// Outside its rental: as on standby, with a page that says so.
    Unrented,
}

/// Which requests go where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// As it was written; with a pattern, that.
    pub prefix: String,
    /// The paths meant, where that is not said by the prefix.
    pub pattern: Option<PathPattern>,
    /// Any case, and the prefix need not end at a path segment.
    pub loose: bool,
    /// When not empty, only these may ask.
    pub allow: Vec<IpNet>,
    pub auth: Option<BasicAuth>,
    pub cache_control: Option<String>,
    /// What a replica is asked for in the place of the prefix.
    pub replace_prefix: Option<String>,
    pub upstream: Upstream,
    pub target: Target,
}

/// How the replicas that a route leads to are spoken to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upstream {
    /// In the place of their service's.
    pub port: Option<u16>,
    /// `None`: plain HTTP.
    pub tls: Option<UpstreamTls>,
    /// Whether a connection serves one request after the other.
    pub keep_alive: bool,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            port: None,
            tls: None,
            keep_alive: true,
        }
    }
}

impl Upstream {
    /// Where a replica is asked that listens here.
    pub fn at(&self, replica: SocketAddr) -> SocketAddr {
        let port = self.port.unwrap_or_else(|| replica.port());
        SocketAddr::new(replica.ip(), port)
    }
}

/// What TLS has to prove about a replica.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum UpstreamTls {
    /// Nothing: any certificate will do.
    Unverified,
    Verified(Arc<Verified>),
}

/// A replica's certificate has to be for this name, and of one of these authorities.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Verified {
    pub name: Hostname,
    /// In DER, each fit to be a trust anchor.
    pub authorities: Vec<Vec<u8>>,
}

impl Route {
    /// What a replica is asked for when a client asks for `target`, if that is something else.
    /// `path` is the path of it, decoded: what the route was found by.
    ///
    /// What stands behind the prefix arrives as the client wrote it, where the prefix is written out.
    pub fn rewritten(&self, target: &str, path: &str) -> Option<String> {
        let with = self.replace_prefix.as_deref()?;
        let (written, query) = match target.find('?') {
            Some(at) => target.split_at(at),
            None => (target, ""),
        };
        let rest = match written.strip_prefix(self.prefix.as_str()) {
            Some(rest) => rest.to_owned(),
            // Another spelling of it, or the folder itself without its slash.
            None => encoded(path.get(self.prefix.len()..).unwrap_or_default()),
        };
        let (with, rest) = (with.trim_end_matches('/'), rest.trim_start_matches('/'));
        // A prefix without a slash means the file of this name too.
        let slash = if rest.is_empty() && !written.ends_with('/') && !with.is_empty() {
            ""
        } else {
            "/"
        };
        Some(format!("{with}{slash}{rest}{query}"))
    }
}

/// A decoded path as it may stand in a request (RFC 3986 §3.3).
fn encoded(path: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Whom a route lets in by name and password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BasicAuth {
    /// A line NAME:HASH for each.
    pub file: PathBuf,
    pub realm: String,
}

/// Who answers a route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// One file for every path below the prefix.
    File(FileRoot),
    /// A folder; the path below the prefix names the file.
    Files(FileRoot, Listing),
    /// Nobody, whatever a shorter prefix would say.
    Nothing,
    Service(ServiceName),
    /// This instance's own counts in nginx's stub-status form.
    StubStatus,
}

/// Whether a folder without an index shows what is in it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Listing {
    #[default]
    Hidden,
    Shown,
}

/// A place on disk, or why there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileRoot {
    At {
        /// Opened once; nothing outside it is ever reached.
        root: PathBuf,
        /// Below `root`.
        path: PathBuf,
    },
    /// In a folder that is made anew as a whole: what is served of it is of one making.
    InSet {
        root: PathBuf,
        /// Below `root`.
        set: PathBuf,
        /// Below `set`.
        path: PathBuf,
    },
    /// Answered with 503; the text goes to the status, not to the visitor.
    Missing(String),
}

/// The replicas of one service that the data plane may use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServicePlan {
    pub endpoints: Vec<EndpointPlan>,
    /// Replicas run, but on no network that usher reaches.
    pub stranded: bool,
    /// A replica is starting or has been ordered: it is worth waiting for.
    pub coming: bool,
    /// Nobody was there for long, and nothing runs until somebody comes.
    pub asleep: bool,
    /// Starts of it fail, and the next is some time away.
    pub failing: bool,
    pub placement: Placement,
    /// Replicas that are ready of the services that follow this one: they answer what comes in by
    /// it. `None` where nobody follows.
    pub workers: Option<u32>,
    /// Requests that may be with all of those at a time.
    pub requests: u32,
}

/// Which replica takes a request or a session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Placement {
    /// The same for one address, as long as it is there and has room.
    Client,
    /// The one with the fewest.
    #[default]
    Least,
}

/// One replica as the data plane uses it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointPlan {
    pub id: ReplicaId,
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub usage: Usage,
}

/// How one endpoint is to be used. A level, not a command: repeating it changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Usage {
    /// Takes new requests.
    Serve,
    /// Nothing new; what is inside may end by itself.
    Drain,
    /// End the sessions inside but for so many, spread over this time.
    Cut { keep: u32, over: Duration },
}

/// Names that one certificate should cover.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedCertificate {
    pub instance: InstanceName,
    /// The first is the one the pair is stored under.
    pub names: Vec<Hostname>,
    /// Names below which every host is meant. Ordered only where the DNS can prove them.
    pub wildcards: Vec<Hostname>,
    /// Those of both that this machine's own authority may sign for where the folder has no pair: the
    /// operator has written them, and nobody else could.
    pub local: Vec<Domain>,
    /// Serve this pair from disk and order nothing.
    pub pinned: Option<String>,
    /// False on standby and outside the rental: what the folder holds is served, and nothing is ordered.
    pub may_order: bool,
    /// From the staging authority, in a folder of its own.
    pub staging: bool,
    /// Contact of the account, where it is not everybody's.
    pub email: Option<String>,
    /// Of the next key; what is installed stays until its renewal.
    pub key_type: KeyType,
    /// Whether names without a pair are served with `default.crt`.
    pub trust_default: bool,
    pub declared: Declared,
    /// Where else what these names are served with is to be written.
    pub export: Option<Export>,
}

/// What the key of a certificate is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyType {
    /// On the curve P-256: the cheapest handshake that every client knows.
    #[default]
    P256,
    P384,
    P521,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Rsa8192,
}

impl KeyType {
    pub const ALL: [Self; 7] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Rsa8192,
    ];

    /// As operators write it, and acme-companion before us.
    pub fn word(self) -> &'static str {
        match self {
            Self::P256 => "ec-256",
            Self::P384 => "ec-384",
            Self::P521 => "ec-521",
            Self::Rsa2048 => "2048",
            Self::Rsa3072 => "3072",
            Self::Rsa4096 => "4096",
            Self::Rsa8192 => "8192",
        }
    }
}

impl FromStr for KeyType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word() == text)
            .ok_or("is none of 2048, 3072, 4096, 8192, ec-256, ec-384 and ec-521")
    }
}

/// The volume of a stack that its own certificate is written into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Export {
    /// As the stack calls it.
    pub volume: String,
    pub place: FileRoot,
}

/// Who named an instance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Declared {
    /// The operator, one by one.
    #[default]
    ByName,
    /// A stack that fits an entry whose name ends in `*`, or whose containers claim names: they cost
    /// no decision of anybody, and so they are counted.
    ByPattern,
}

impl WantedCertificate {
    /// All of its names.
    pub fn domains(&self) -> impl Iterator<Item = Domain> {
        let names = self.names.iter().cloned().map(Domain::Exact);
        names.chain(self.wildcards.iter().cloned().map(Domain::Below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_replaced_and_the_rest_arrives_as_it_was_written() {
        let route = |prefix: &str, with: &str| Route {
            prefix: prefix.to_owned(),
            pattern: None,
            loose: false,
            auth: None,
            allow: Vec::new(),
            cache_control: None,
            replace_prefix: Some(with.to_owned()),
            upstream: Upstream::default(),
            target: Target::StubStatus,
        };
        for (prefix, with, target, path, expected) in [
            ("/app/", "/", "/app/a%20b?x=%2F", "/app/a b", "/a%20b?x=%2F"),
            ("/app", "/", "/app/x", "/app/x", "/x"),
            ("/app", "/", "/app", "/app", "/"),
            ("/app/", "/", "/app", "/app", "/"),
            ("/app", "/v1", "/app", "/app", "/v1"),
            ("/app", "/v1", "/app/", "/app/", "/v1/"),
            ("/app/", "/v1", "/app/x/", "/app/x/", "/v1/x/"),
            ("/app/", "/v1/", "/app/x?y", "/app/x", "/v1/x?y"),
            ("/", "/v1/", "/x", "/x", "/v1/x"),
            // Spelled so that a replica would not see the prefix: it is not passed on.
            ("/app/", "/", "/%61pp/a%20b", "/app/a b", "/a%20b"),
            ("/app/", "/", "//app/x", "/app/x", "/x"),
        ] {
            let rewritten = route(prefix, with).rewritten(target, path);
            assert_eq!(
                rewritten.as_deref(),
                Some(expected),
                "{prefix} {with} {target}"
            );
        }
    }

    #[test]
    fn a_door_is_entered_from_inside_and_not_through_the_host() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let net = |text: &str| text.parse::<IpNet>().expect("net");
        let mut edge = EdgePolicy {
            doors: vec![Door {
                network: "n1".into(),
                addresses: vec![ip("172.18.0.5"), ip("fd00::5")],
                subnets: vec![net("172.18.0.0/16"), net("fd00::/64")],
                gateways: vec![ip("172.18.0.1"), ip("fd00::1")],
                instances: BTreeSet::new(),
            }],
            ..EdgePolicy::default()
        };
        for (local, peer, over) in [
            ("172.18.0.5", "172.18.0.9", true),
            ("::ffff:172.18.0.5", "::ffff:172.18.0.9", true),
            ("fd00::5", "fd00::9", true),
            ("fe80::1", "fe80::2", true),
            // Through a published port: as whom the host lets in, or as the host itself.
            ("172.18.0.5", "203.0.113.5", false),
            ("172.18.0.5", "172.18.0.1", false),
            ("172.17.0.2", "172.17.0.9", false),
        ] {
            let door = edge.door(ip(local), ip(peer));
            assert_eq!(door.is_some(), over, "{local} {peer}");
        }
        edge.trusted_proxies = vec![net("172.18.0.9/32")];
        let balancer = (ip("172.18.0.5"), ip("172.18.0.9"));
        assert!(edge.door(balancer.0, balancer.1).is_none());
        assert!(edge.entered(balancer.0, balancer.1).is_some());
        // Who believes everybody has not chosen anybody.
        edge.trusted_proxies = vec![net("0.0.0.0/0")];
        assert!(edge.door(balancer.0, balancer.1).is_some());
    }
}

//! What the program believes about the operator's wishes: nothing left to interpret.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use jiff::civil::Date;

use super::assembly::Defaults;
use super::claimed::Entry;
use super::mounted::Mounted;
use super::pattern::Pattern;
use super::variables::Layer;
use crate::names::{Domain, Hostname, InstanceName, PathPattern, ServiceName, StackName};
use crate::plan::{
    BasicAuth, Declared, KeyType, Listing, Placement, ProxyProtocol, Site, Upstream, UpstreamTls,
};

/// The whole configuration. The global part applies whole or not at all; each instance alone.
#[derive(Clone, Debug)]
pub struct Config {
    pub state_dir: PathBuf,
    pub listen: Listen,
    pub admin: Admin,
    pub engine: EngineChoice,
    pub names_from_containers: NamesFromContainers,
    /// What holds where the files say nothing.
    pub asked: Option<Asked>,
    /// Whether there is no file, and everything is as it is without one.
    pub without_file: bool,
    pub certs: Certs,
    pub compat: Compat,
    /// What the files say that were mounted for nginx-proxy.
    pub mounted: Arc<Mounted>,
    /// Without it no certificate is ordered.
    pub acme: Option<Acme>,
    /// Who is told when the status changes.
    pub alerts: Arc<[Alert]>,
    pub log: Log,
    pub thresholds: Thresholds,
    /// From TERM to the exit, paced closes included.
    pub stop_within: Duration,
    /// From the first byte of a request head to its last, while no instance is known.
    pub header_timeout: Duration,
    pub instances: BTreeMap<InstanceName, Arc<Instance>>,
    /// Entries that name no single stack.
    pub patterns: Vec<Arc<Pattern>>,
    /// What those instances were made of that containers may add to.
    pub entries: BTreeMap<InstanceName, Entry>,
    pub(super) defaults: Arc<Defaults>,
}

/// What is said outside of every file.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By the command line.
    pub names: NamesFromContainers,
    /// By the variables of the process.
    pub variables: Arc<Layer>,
}

/// Whether the variables of a container may claim a name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NamesFromContainers {
    /// Only names that the entry of its stack has.
    Listed,
    #[default]
    Off,
    /// Any name that nobody else has.
    Open,
}

impl FromStr for NamesFromContainers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "listed" => Ok(Self::Listed),
            "off" => Ok(Self::Off),
            "open" => Ok(Self::Open),
            _ => Err(format!(
                "`{text}` is none of \"off\", \"listed\" and \"open\""
            )),
        }
    }
}

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

/// Who runs the replicas.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EngineChoice {
    Docker {
        /// `None`: `DOCKER_HOST`, else the usual sockets.
        endpoint: Option<String>,
        networks: Networks,
        /// Only containers that fit all of them are listed: key and value, as `docker ps` has them.
        filters: Vec<(String, String)>,
        /// Which address is taken of a container that has both.
        prefer_ipv6: bool,
        /// Networks by name: whoever is on one is of the project that its labels name.
        trusted_networks: Vec<String>,
    },
    /// Nobody: only fixed addresses are served.
    None,
    Processes,
}

/// How containers are reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Networks {
    /// Join when usher has a network namespace of its own, else reach.
    #[default]
    Auto,
    Join,
    None,
    Reach,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certs {
    pub dir: PathBuf,
    /// Whether a name nobody declared gets `default.crt` instead of an alert.
    pub default_for_unknown: bool,
    pub min_version: TlsVersion,
    /// Whether a renewal keeps the key, for readers that cannot meet another one.
    pub reuse_key: bool,
    /// Of new keys, where an instance says nothing.
    pub key_type: KeyType,
    /// Where other programs leave their answers to authorities, below `.well-known/acme-challenge`.
    pub webroot: Option<PathBuf>,
}

/// What holds for names that containers give themselves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Compat {
    /// Where files for nginx were mounted.
    pub nginx: Option<PathBuf>,
    /// Where files were mounted that nginx gave out itself.
    pub html: Option<PathBuf>,
    /// Where files were mounted for nginx-proxy and acme-companion themselves. None of them is followed.
    pub app: Option<PathBuf>,
    /// Whether names without a pair are served with `default.crt` unless their container says
    /// otherwise.
    pub trust_default_cert: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

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

/// Somebody who is told when the status changes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Alert {
    pub to: AlertTarget,
    pub min_status: MinStatus,
}

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AlertTarget {
    /// The whole address of an API of Alertmanager, version 2.
    Alertmanager { url: String },
    /// A program by its whole path, with its arguments; never empty.
    Command(Vec<String>),
    /// Takes each change as a JSON object.
    Json { url: String },
}

impl AlertTarget {
    /// The receiver without what may be a secret: where it is, or the program.
    pub fn name(&self) -> String {
        match self {
            Self::Alertmanager { url } | Self::Json { url } => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                format!("{scheme}://{host}")
            }
            Self::Command(command) => command.first().cloned().unwrap_or_default(),
        }
    }
}

/// What is bad enough to be told.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MinStatus {
    Critical,
    Warning,
}

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

/// Where a measure becomes a warning and where critical.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub load_per_core: Threshold,
    pub memory_available: Threshold,
    pub disk_available: Threshold,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub warning: f64,
    pub critical: f64,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub name: InstanceName,
    /// The file that declares it.
    pub file: Arc<str>,
    pub stack: StackName,
    pub declared: Declared,
    pub site: Arc<Site>,
    /// Starts nothing, orders nothing.
    pub standby: bool,
    /// Outside it, it runs nothing and orders nothing. `None`: it is always rented.
    pub rental: Option<Rental>,
    /// The pair under `certs` to serve instead of the one named like the domain.
    pub certificate: Option<String>,
    pub acme_email: Option<String>,
    /// The volume of the stack that its certificate is written into.
    pub export_certificate: Option<String>,
    /// The one directory that its certificates come from, by its name or its URL; `None`: those of everybody.
    pub acme_directory: Option<String>,
    /// Certificates come from the staging directory and are trusted by nobody.
    pub staging: bool,
    /// `None`: as all others.
    pub key_type: Option<KeyType>,
    /// Whether its names without a pair are served with `default.crt`.
    pub trust_default_cert: bool,
    pub orders: Orders,
    pub drain: Drain,
    pub scale: ScalePolicy,
    pub services: BTreeMap<ServiceName, Service>,
    /// What each service needs, for the status.
    pub depends: BTreeMap<ServiceName, Vec<ServiceName>>,
    pub routes: Vec<Route>,
    /// The first to begin first.
    pub events: Arc<[Event]>,
}

/// Whole days of this machine, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rental {
    pub(super) from: Date,
    pub(super) until: Date,
    /// The first moment of the first day.
    pub(super) begins: SystemTime,
    /// The first moment after the last.
    pub(super) ends: SystemTime,
}

impl Rental {
    #[cfg(test)]
    pub(crate) fn between(begins: SystemTime, ends: SystemTime) -> Self {
        let day = Date::constant(2026, 12, 1);
        Self {
            from: day,
            until: day,
            begins,
            ends,
        }
    }

    pub fn includes(&self, moment: SystemTime) -> bool {
        self.begins <= moment && moment < self.ends
    }
}

/// As an operator would say it: `2026-12-01 to 2026-12-31`.
impl fmt::Display for Rental {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.until)
    }
}

/// Which names a certificate is ordered for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Orders {
    /// One for all names of the instance.
    #[default]
    All,
    /// Containers name them; the others are served with what the folder has.
    Asked {
        names: Vec<Domain>,
        /// A certificate for each.
        apart: bool,
    },
}

/// How a replica that leaves is emptied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Drain {
    /// Sessions end by themselves; then paced closes while others have room.
    pub natural: Duration,
    /// Then paced closes regardless.
    pub at_most: Duration,
    /// From the stop signal to the kill.
    pub stop: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScalePolicy {
    pub sessions_per_replica: u32,
    pub down_after: Duration,
    /// Nothing is scaled below its minimum unless nobody has been there for so long; `None`: never.
    pub idle_to_zero: Option<Duration>,
    pub mode: ScaleMode,
    /// The share of a full host, beside others'.
    pub weight: u32,
}

/// A dated audience.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    pub name: Arc<str>,
    pub start: SystemTime,
    pub end: SystemTime,
    /// `None`: all day and all night.
    pub hours: Option<Hours>,
    /// People.
    pub attendees: u32,
    /// The sessions they will open.
    pub sessions: u32,
    /// How long before each opening everything is there.
    pub prewarm: Duration,
}

/// Hours of each day of an event, in seconds of the day. Nights hold nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hours {
    pub from: u32,
    pub until: u32,
    /// From UTC, in seconds.
    pub offset: i64,
}

/// How far the autoscaler may go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ScaleMode {
    #[default]
    Auto,
    /// Keeps what there is.
    Hold,
    /// Touches nothing, not even a drain.
    Off,
    /// Says what it would do.
    Recommend,
}

impl ScaleMode {
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Hold => "hold",
            Self::Off => "off",
            Self::Recommend => "recommend",
        }
    }
}

/// A named part of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub role: Role,
    /// `None`: the only port the image exposes, else 80.
    pub port: Option<u16>,
    /// `None`: its replicas speak plain HTTP.
    pub tls: Option<UpstreamTls>,
    /// Whether a connection to a replica serves one request after the other.
    pub keep_alive: bool,
    /// `None`: running is ready.
    pub probe: Option<Probe>,
    /// Which replica takes whom.
    pub placement: Placement,
    /// Replicas that no engine manages.
    pub addresses: Vec<SocketAddr>,
    /// How the process engine starts a replica; `{port}` stands for its port.
    pub command: Vec<String>,
    pub reserved: Reserved,
    /// Named in the instance's own entry, so that its absence is worth a word.
    pub expected: bool,
}

/// What one replica is to have of the host at least; `None`: what was seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reserved {
    /// In bytes.
    pub memory: Option<u64>,
    /// In thousandths of a processor.
    pub processor: Option<u64>,
}

impl Service {
    /// How few and how many replicas there may be; `None` where usher does not scale.
    pub fn bounds(&self) -> Option<Bounds> {
        self.role.bounds().filter(|_| self.addresses.is_empty())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// Shown, probed, routed to if a route says so, never scaled.
    Fixed,
    /// Never routed to; follows another service.
    Ratio {
        of: ServiceName,
        ratio: f64,
        /// Requests that may be with each of them at a time.
        requests_each: u32,
        bounds: Bounds,
    },
    /// Carries traffic, scaled by its sessions.
    Sessions { bounds: Bounds },
}

impl Role {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Ratio { .. } => "ratio",
            Self::Sessions { .. } => "sessions",
        }
    }

    fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Fixed => None,
            Self::Ratio { bounds, .. } | Self::Sessions { bounds } => Some(*bounds),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    pub min: u32,
    pub max: u32,
}

/// What proves that a replica is ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// Any answer below 500 to a GET of this path.
    Http { path: String },
    /// An accepted connection, on the service's port or this one.
    Tcp { port: Option<u16> },
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// As it is written; with a pattern, that.
    pub prefix: String,
    pub pattern: Option<PathPattern>,
    pub loose: bool,
    pub allow: Vec<IpNet>,
    pub auth: Option<BasicAuth>,
    pub cache_control: Option<String>,
    pub replace_prefix: Option<String>,
    pub upstream: Upstream,
    pub target: RouteTarget,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouteTarget {
    File(FileSource),
    Files(FileSource, Listing),
    /// 404, whatever a shorter prefix would say.
    Nothing,
    Service(ServiceName),
    StubStatus,
}

/// Where files come from; control finds out where that is on this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileSource {
    Dir {
        dir: PathBuf,
        path: PathBuf,
        set: Option<PathBuf>,
    },
    Volume {
        volume: String,
        path: PathBuf,
        /// The folder that is made anew as a whole; `path` lies in it.
        set: Option<PathBuf>,
    },
}

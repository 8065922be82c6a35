//! What the DNS says about a name, as an authority will hear it: no hosts file, no search domains.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

use crate::names::Hostname;

/// One question to one server.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// Asks the servers of the system, or one that is named.
pub(super) struct Dns(TokioResolver);

/// Where a name leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Addresses {
    Found(BTreeSet<IpAddr>),
    /// It exists, and has no address.
    NoAddress,
    /// NXDOMAIN.
    NoName,
    /// Nobody could tell; the sentence says why.
    Unknown(String),
}

/// One property of a CAA record (RFC 8659 §4.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) critical: bool,
    pub(super) tag: String,
    pub(super) value: Vec<u8>,
}

impl Dns {
    /// # Errors
    /// Why the DNS servers of the system cannot be known.
    pub(super) fn new(server: Option<SocketAddr>) -> Result<Self, String> {
        let mut builder = match server {
            None => Resolver::builder_tokio().map_err(|error| error.to_string())?,
            Some(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
                    .map(|mut connection| {
                        connection.port = server.port();
                        connection
                    })
                    .into();
                let server = NameServerConfig::new(server.ip(), true, connections);
                let config = ResolverConfig::from_name_servers(vec![server]);
                Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = ANSWERED_WITHIN;
        options.attempts = 2;
        // What was changed a moment ago is looked up to be seen.
        options.cache_size = 0;
        builder.build().map(Self).map_err(|error| error.to_string())
    }

    /// The addresses of a name, of both families.
    pub(super) async fn addresses(&self, host: &Hostname) -> Addresses {
        let (four, six) = tokio::join!(
            self.records(host.as_str(), RecordType::A),
            self.records(host.as_str(), RecordType::AAAA),
        );
        let mut found = BTreeSet::new();
        let mut unknown = None;
        for answer in [four, six] {
            match answer {
                Ok(records) => found.extend(records.into_iter().filter_map(|data| match data {
                    RData::A(address) => Some(IpAddr::V4(address.0)),
                    RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                    _ => None,
                })),
                // A name that does not exist has no record of any type (RFC 8020).
                Err(Nothing::NoName) => return Addresses::NoName,
                Err(Nothing::NoRecord) => {}
                Err(Nothing::Unknown(why)) => unknown = Some(why),
            }
        }
        match (found.is_empty(), unknown) {
            (false, _) => Addresses::Found(found),
            (true, Some(why)) => Addresses::Unknown(why),
            (true, None) => Addresses::NoAddress,
        }
    }

    /// The CAA records of exactly this name; empty if there are none.
    pub(super) async fn caa(&self, name: &str) -> Result<Vec<Record>, String> {
        match self.records(name, RecordType::CAA).await {
            Ok(records) => Ok(records
                .into_iter()
                .filter_map(|data| match data {
                    RData::CAA(caa) => Some(Record {
                        critical: caa.issuer_critical,
                        tag: caa.tag,
                        value: caa.value,
                    }),
                    _ => None,
                })
                .collect()),
            Err(Nothing::NoName | Nothing::NoRecord) => Ok(Vec::new()),
            Err(Nothing::Unknown(why)) => Err(why),
        }
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Nothing> {
        let mut name =
            Name::from_ascii(name).map_err(|error| Nothing::Unknown(error.to_string()))?;
        name.set_fqdn(true);
        match self.0.lookup(name, kind).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .map(|record| record.data.clone())
                .collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                Err(if none.response_code == ResponseCode::NXDomain {
                    Nothing::NoName
                } else {
                    Nothing::NoRecord
                })
            }
            Err(error) => Err(Nothing::Unknown(error.to_string())),
        }
    }
}

enum Nothing {
    NoName,
    NoRecord,
    Unknown(String),
}

//! Which requests go where.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::folder::Folder;
use crate::names::{Hostname, PathPattern, ServiceName};

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
        root: Folder,
        /// Below `root`.
        path: PathBuf,
    },
    /// In a folder that is made anew as a whole: what is served of it is of one making.
    InSet {
        root: Folder,
        /// Below `root`.
        set: PathBuf,
        /// Below `set`.
        path: PathBuf,
    },
    /// Answered with 503; the text goes to the status, not to the visitor.
    Missing(String),
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
}

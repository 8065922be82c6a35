//! Who a request is from, and what its replica is told about that.
//!
//! Everything a client says about itself is removed first, in every spelling that a careless server
//! would take for it; what remains is what usher saw.

use std::net::{IpAddr, SocketAddr};

use http::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use ipnet::IpNet;

use crate::listener::Connection;
use crate::names::Hostname;

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");
const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");

/// Who asks, as far as it can be believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Client {
    /// The visitor: the peer, or whom a trusted proxy names.
    pub(super) ip: IpAddr,
    /// Whether the visitor speaks https, to usher or to a trusted proxy before it.
    pub(super) secure: bool,
    /// Whether the visitor may be told never to come without it: who believes usher's certificate only
    /// because they were told could not come at all then, once the telling is forgotten.
    pub(super) strict: bool,
    /// What the chain of proxies before usher says; empty when the peer is no trusted proxy.
    chain: Option<String>,
    host: Option<String>,
    port: Option<String>,
}

impl Client {
    /// Reads the fields of trusted peers, and of nobody else.
    ///
    /// The peer may be named by a PROXY header, which only a trusted proxy can send. That proxy
    /// passes bytes on and does not write fields, so the fields are the named client's own words:
    /// they count when that client is itself a trusted proxy, and not because of who passed them
    /// on. Otherwise every visitor could name himself through the load balancer.
    pub(super) fn new(connection: &Connection, fields: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = connection.peer.ip();
        let direct = Self {
            ip: peer,
            secure: connection.is_tls(),
            strict: connection.is_tls() && connection.is_believed,
            chain: None,
            host: None,
            port: None,
        };
        let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
        if !is_trusted(peer) {
            return direct;
        }
        let text = |name: &str| {
            let value = fields.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let chain = joined(fields, "x-forwarded-for");
        let visitor = chain
            .as_deref()
            .into_iter()
            .flat_map(|chain| chain.rsplit(','))
            .map_while(|entry| entry.trim().parse::<IpAddr>().ok())
            .find(|ip| !is_trusted(*ip));
        let secure = match text("x-forwarded-proto").as_deref() {
            Some("https") => true,
            Some("http") => false,
            _ => direct.secure,
        };
        Self {
            ip: visitor.unwrap_or(peer),
            secure,
            strict: secure && connection.is_believed,
            chain,
            host: text("x-forwarded-host"),
            port: text("x-forwarded-port"),
        }
    }
}

fn joined(fields: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<&str> = fields
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// What a request says about where it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) client: &'a Client,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) host: &'a Hostname,
    /// As the site says that it is reached, else as the client wrote it in `Host`.
    pub(super) port: Option<u16>,
    /// Path and query as they came.
    pub(super) target: &'a str,
}

impl Origin<'_> {
    /// `Host` as the client meant it: lower case, the port only where it is not the scheme's own.
    pub(super) fn host_field(&self) -> String {
        let default = if self.client.secure { 443 } else { 80 };
        match self.port {
            Some(port) if port != default => format!("{}:{port}", self.host),
            _ => self.host.as_str().to_owned(),
        }
    }

    /// The fields usher sets, in the place of whatever the client sent. Their parts were parsed as
    /// names, addresses or a target, and all of them fit into a field.
    ///
    /// This runs on every request: names are constants, and what two fields say is written once.
    fn fields(&self) -> Result<[(HeaderName, HeaderValue); 8], InvalidHeaderValue> {
        let client = self.client;
        let secure = client.secure;
        let host = HeaderValue::try_from(self.host_field())?;
        let told_host = match &client.host {
            Some(told) => HeaderValue::from_str(told)?,
            None => host.clone(),
        };
        let address = HeaderValue::try_from(client.ip.to_string())?;
        let chain = match &client.chain {
            Some(chain) => HeaderValue::try_from(format!("{chain}, {}", self.peer.ip()))?,
            None if client.ip == self.peer.ip() => address.clone(),
            None => HeaderValue::try_from(self.peer.ip().to_string())?,
        };
        let port = match &client.port {
            Some(told) => HeaderValue::from_str(told)?,
            None => self.port.unwrap_or_else(|| self.local.port()).into(),
        };
        Ok([
            (HOST, host),
            (X_REAL_IP, address),
            (X_FORWARDED_FOR, chain),
            (
                X_FORWARDED_PROTO,
                word(if secure { "https" } else { "http" }),
            ),
            (X_FORWARDED_HOST, told_host),
            (X_FORWARDED_PORT, port),
            (X_FORWARDED_SSL, word(if secure { "on" } else { "off" })),
            (X_ORIGINAL_URI, HeaderValue::from_str(self.target)?),
        ])
    }
}

const fn word(word: &'static str) -> HeaderValue {
    HeaderValue::from_static(word)
}

/// Whether a field speaks about the client's identity or about what it asked for, or would to a
/// server that takes every sign for `-` (CGI does with some). `Proxy` would become `HTTP_PROXY`
/// there.
pub(super) fn is_identity(name: &HeaderName) -> bool {
    /// What proxies of any maker call it, and applications are told to believe.
    const NAMES: [&str; 22] = [
        "cf-connecting-ip",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "forwarded-for",
        "front-end-https",
        "proxy",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-forwarded",
        "x-host",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
        "x-originating-ip",
        "x-real-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-rewrite-url",
        "x-url-scheme",
    ];
    let name = name.as_str();
    // What every request carries is known by its first letter.
    if !name.starts_with(['c', 'f', 'p', 't', 'x']) {
        return false;
    }
    let plain = |a: u8| if a.is_ascii_alphanumeric() { a } else { b'-' };
    let begins = |prefix: &str| {
        name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(a, b)| plain(a) == b)
    };
    let same = |known: &str| name.len() == known.len() && begins(known);
    NAMES.iter().any(|known| same(known)) || begins("x-forwarded-")
}

/// RFC 9110 §7.6.1: fields about this connection are not forwarded, nor those it nominates.
pub(super) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    const OURS: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let nominated: Vec<HeaderName> = fields
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in nominated {
        fields.remove(name);
    }
    for name in OURS {
        fields.remove(name);
    }
}

/// Cookies in one field: HTTP/2 may send each in a field of its own, and HTTP/1.1 must not
/// (RFC 9113 §8.2.3, RFC 6265 §5.4). Servers that join fields with commas would lose them.
pub(super) fn join_cookies(fields: &mut HeaderMap) {
    if fields.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = fields
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    // Of values that a field may hold, and so may this one.
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        fields.insert(COOKIE, joined);
    }
}

/// The identity fields of the client removed and ours set.
///
/// # Errors
/// None that a parsed request could cause.
pub(super) fn set_identity(
    fields: &mut HeaderMap,
    origin: &Origin<'_>,
) -> Result<(), InvalidHeaderValue> {
    let foreign: Vec<HeaderName> = fields
        .keys()
        .filter(|name| is_identity(name))
        .cloned()
        .collect();
    for name in foreign {
        fields.remove(name);
    }
    for (name, value) in origin.fields()? {
        fields.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

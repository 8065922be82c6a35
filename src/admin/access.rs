//! Who may look, and how much of it.
//!
//! Loopback without tokens is for whoever is on this machine, and no page of another site may use
//! a browser here to look: `Host` and `Origin` say whose page asks. Everywhere else a token or a
//! certificate of a client opens. Whoever is refused learns nothing but that.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;

use super::answer::{Answer, refused};
use super::scope::Scope;
use super::server::Visitor;
use super::tls::Tls;
use super::tokens::Tokens;
use crate::config::model::Admin;

/// The rules of the admin listener.
#[derive(Debug)]
pub struct Access {
    allow: Vec<IpNet>,
    tokens: Option<Tokens>,
    /// Whether certificates of clients are asked for.
    certificates: bool,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Why somebody may not look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    Forbidden,
    /// No token, a wrong one, or one that is no longer good.
    Unauthorized,
}

impl Access {
    /// `certs` is the folder of pairs.
    pub fn new(admin: &Admin, certs: &Path) -> Self {
        let optional = admin.token_file.is_some();
        let tls = admin.certificate.as_ref().map(|name| {
            let tls = Tls::new(&certs.join(name), admin.client_ca.clone(), optional);
            Arc::new(tls)
        });
        Self {
            allow: admin.allow.clone(),
            tokens: admin.token_file.clone().map(Tokens::new),
            certificates: tls.is_some() && admin.client_ca.is_some(),
            tls,
        }
    }

    /// How much this visitor may see.
    pub(super) fn admit(&self, fields: &HeaderMap, visitor: Visitor) -> Result<Scope, Refusal> {
        let Visitor::Remote {
            peer,
            local,
            certified,
        } = visitor
        else {
            return Ok(Scope::All);
        };
        let allowed = |net: &IpNet| net.contains(&peer.ip().to_canonical());
        if !self.allow.is_empty() && !self.allow.iter().any(allowed) {
            return Err(Refusal::Forbidden);
        }
        let scope = self.scope(fields, certified)?;
        // A scraper may use a name for us when it shows who it is; a browser sends the name of
        // the page it is on to whatever address that name stands for now.
        let open = self.tokens.is_none() && !self.certificates;
        if open && !host(fields).is_some_and(|host| is_ours(host, local)) {
            return Err(Refusal::Forbidden);
        }
        if !is_own_page(fields) {
            return Err(Refusal::Forbidden);
        }
        Ok(scope)
    }

    fn scope(&self, fields: &HeaderMap, certified: bool) -> Result<Scope, Refusal> {
        if certified {
            return Ok(Scope::All);
        }
        let Some(tokens) = &self.tokens else {
            return match self.certificates {
                // The handshake does not succeed without one; this is for whoever changes that.
                true => Err(Refusal::Forbidden),
                false => Ok(Scope::All),
            };
        };
        let shown = shown_token(fields);
        shown
            .and_then(|token| tokens.scope(&token))
            .ok_or(Refusal::Unauthorized)
    }
}

impl Refusal {
    /// The same for whatever reason, and no word more.
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Forbidden => refused(StatusCode::FORBIDDEN),
            Self::Unauthorized => {
                let mut answer = refused(StatusCode::UNAUTHORIZED);
                // A browser asks for a password then, and the token is one.
                let challenge =
                    HeaderValue::from_static("Basic realm=\"usher\", charset=\"UTF-8\"");
                answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                answer
            }
        }
    }
}

/// A bearer token (RFC 6750 §2.1), or the password of whatever user (RFC 7617 §2).
fn shown_token(fields: &HeaderMap) -> Option<Vec<u8>> {
    let value = only(fields, &AUTHORIZATION)?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded.get(colon + 1..)?.to_vec())
}

/// The only value of a field; two of them mean whatever their reader likes.
fn only<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Option<&'f str> {
    let mut values = fields.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

fn host(fields: &HeaderMap) -> Option<&str> {
    only(fields, &HOST)
}

/// Whether this is an address of ours as such, or `localhost`: a name could be anybody's.
fn is_ours(authority: &str, local: SocketAddr) -> bool {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !authority.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    };
    let port_is_ours = port.is_none_or(|port| port.parse() == Ok(local.port()));
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    let ours = |ip: IpAddr| ip.is_loopback() || ip == local.ip();
    port_is_ours && (name == "localhost" || literal.parse().is_ok_and(ours))
}

/// A script of another page says so in `Origin`, and has no business here.
fn is_own_page(fields: &HeaderMap) -> bool {
    if !fields.contains_key(ORIGIN) {
        return true;
    }
    let origin = only(fields, &ORIGIN).and_then(|origin| Some(origin.split_once("://")?.1));
    let host = host(fields);
    origin.is_some_and(|origin| host.is_some_and(|host| host.eq_ignore_ascii_case(origin)))
}

#[cfg(test)]
mod tests;

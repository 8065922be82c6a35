//! What becomes of a request, before anything is done: the same pure steps for both doors.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::failure::Failure;
use super::headers::{Client, Origin};
use super::local::Answer;
use super::pages::Reader;
use super::passage::{Passage, Passages};
use super::token::Token;
use crate::certs::Store;
use crate::certs::challenge::{Challenges, PREFIX};
use crate::listener::{Connection, Unvouched, Vouching};
use crate::names::{Hostname, ServiceName};
use crate::plan::{Condition, Https, NoRoute, Route, Site, Target};
use crate::routing::{InstanceTable, Table, decode};

const LONGEST_TARGET: usize = 8 * 1024;
const MOST_FIELDS: usize = 100;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// `Host`, or `:authority`.
    pub(super) authority: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) fields: &'a HeaderMap,
    pub(super) connection: &'a Connection,
}

/// What a host was found to be.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    host: &'a Hostname,
    port: Option<u16>,
    /// The host itself, or the one that stands for it.
    known_as: &'a Hostname,
    instance: &'a Arc<InstanceTable>,
    redirect_to: Option<&'a Hostname>,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Decision {
    /// usher answers itself.
    Answer {
        answer: Box<Answer>,
        /// Whose name is on it.
        instance: Option<Arc<InstanceTable>>,
    },
    /// A route answers.
    Serve(Box<Served>),
    /// What another program may have left for an authority.
    Webroot {
        token: Token,
        instance: Arc<InstanceTable>,
    },
}

/// A request that has a place.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) instance: Arc<InstanceTable>,
    pub(super) route: Arc<Route>,
    pub(super) client: Client,
    pub(super) host: Hostname,
    /// Under which the visitor came, as far as that is known.
    pub(super) port: Option<u16>,
    /// Decoded once.
    pub(super) path: String,
    /// Set where a service answers.
    pub(super) passage: Option<Passage>,
}

impl Served {
    /// What its replica is told about where it came from.
    pub(super) fn origin<'a>(&'a self, connection: &Connection, target: &'a str) -> Origin<'a> {
        Origin {
            client: &self.client,
            peer: connection.peer,
            local: connection.local,
            host: &self.host,
            port: self.port,
            target,
        }
    }
}

/// What decisions are made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) table: &'a Table,
    pub(super) store: &'a Store,
    pub(super) challenges: &'a Challenges,
    pub(super) passages: &'a Passages,
    /// Where https is served, for redirects.
    pub(super) https_port: u16,
}

impl Known<'_> {
    pub(super) fn decide(&self, asked: &Asked<'_>) -> Decision {
        let reader = Reader::new(None, asked.fields).with(self.table.edge().error_page.as_ref());
        let refuse = |failure| Decision::Answer {
            answer: Box::new(Answer::failure(failure, reader)),
            instance: None,
        };
        if asked.fields.len() > MOST_FIELDS {
            return refuse(Failure::FieldsTooMany);
        }
        if asked.path.len() + asked.query.map_or(0, str::len) > LONGEST_TARGET {
            return refuse(Failure::TargetTooLong);
        }
        if *asked.method == Method::CONNECT {
            // usher is nobody's way out (RFC 9110 §9.3.6).
            return refuse(Failure::Tunnel);
        }
        let authority = asked.authority.map(Hostname::from_authority);
        let Some(Ok((host, port))) = authority else {
            return refuse(Failure::BadHost);
        };
        // Before routing, for exactly the token and the host, and never a redirect.
        if let Some(token) = asked.path.strip_prefix(PREFIX)
            && let Some(answer) = self.challenges.answer(&host, token)
        {
            return Decision::Answer {
                answer: Box::new(Answer::text(answer)),
                instance: None,
            };
        }
        let edge = self.table.edge();
        let found = self.table.find_or_default(&host).filter(|found| {
            let name = found.instance.name();
            let door = asked.connection.door.as_deref();
            // A network of a stack leads to that stack, and says nothing of the others.
            door.is_none_or(|door| edge.leads_to(door, name))
        });
        let Some(found) = found else {
            let foreign = asked
                .connection
                .server_name
                .as_ref()
                .is_some_and(|name| *name != host);
            return refuse(if foreign {
                Failure::HostDiffersFromSni
            } else {
                Failure::UnknownName
            });
        };
        let instance = &found.instance;
        // Authorities ask over plain HTTP, and follow no redirect to where a name has no pair yet.
        if !asked.connection.is_tls()
            && self.table.edge().webroot.is_some()
            && let Some(token) = asked.path.strip_prefix(PREFIX).and_then(Token::parse)
        {
            return Decision::Webroot {
                token,
                instance: Arc::clone(instance),
            };
        }
        let place = Place {
            host: &host,
            port,
            known_as: match edge.default_host.as_ref() {
                Some(default) if self.table.find(&host).is_none() => default,
                _ => &host,
            },
            instance,
            redirect_to: found.redirect_to.as_ref(),
        };
        match self.place(asked, place) {
            Ok(served) => Decision::Serve(Box::new(served)),
            Err(answer) => Decision::Answer {
                answer: Box::new(answer),
                instance: Some(Arc::clone(instance)),
            },
        }
    }

    /// Who is asked for over https, where visitors find it.
    fn https_authority(&self, host: &Hostname, site: &Site) -> String {
        match site.external_ports.https.unwrap_or(self.https_port) {
            443 => host.to_string(),
            port => format!("{host}:{port}"),
        }
    }

    fn place(&self, asked: &Asked<'_>, place: Place<'_>) -> Result<Served, Answer> {
        let Place {
            host,
            port,
            known_as,
            instance,
            redirect_to,
        } = place;
        let site = &instance.plan().site;
        let reader = Reader::of(instance, asked.fields);
        let fail = |failure| Err(Answer::failure(failure, reader));
        if let Some(name) = asked.connection.server_name.as_ref()
            && name != host
        {
            // The connection was made for one instance; another's requests do not belong on it.
            let own = self.table.find_or_default(name);
            let own = own.map(|found| found.instance.name());
            if own != Some(instance.name()) {
                return fail(Failure::HostDiffersFromSni);
            }
        }
        // Before anything that says something of the site.
        if let Err(failure) = vouched(site, asked.connection) {
            return fail(failure);
        }
        if *asked.method == Method::TRACE {
            return fail(Failure::MethodNotAllowed);
        }
        // Before any redirect, which would only send the client round.
        if Passages::are_told(asked.fields)
            && let Some(service) = service_at(instance, asked.path)
            && let passage = self.passages.to(instance.name(), &service)
            && passage.is_taken_by(asked.fields)
        {
            return fail(Failure::Loop);
        }
        if is_reserved(asked.path) {
            // Nobody but an authority asks here, and no tenant may answer one.
            return fail(Failure::NotFound);
        }
        let client = Client::new(
            asked.connection,
            asked.fields,
            &self.table.edge().trusted_proxies,
        );
        let target = || match asked.query {
            Some(query) => format!("{}?{query}", asked.path),
            None => asked.path.to_owned(),
        };
        if let Some(other) = redirect_to {
            let secure =
                client.secure || (site.https == Https::Redirect && self.store.is_believed(other));
            let location = if secure {
                format!("https://{}{}", self.https_authority(other, site), target())
            } else {
                let port = match site.external_ports.http {
                    Some(external) => Some(external).filter(|port| *port != 80),
                    None => port,
                };
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                format!("http://{other}{port}{}", target())
            };
            return Err(Answer::redirect(
                asked.method,
                site.non_get_redirect,
                location,
            ));
        }
        match site.https {
            Https::Redirect
                if !client.secure
                    && (self.store.is_believed(known_as) || !site.http_without_certificate) =>
            {
                let location = format!("https://{}{}", self.https_authority(host, site), target());
                return Err(Answer::redirect(
                    asked.method,
                    site.non_get_redirect,
                    location,
                ));
            }
            Https::Only
                if !client.secure
                    && (self.store.covers(known_as) || !site.http_without_certificate) =>
            {
                return fail(Failure::OnlyHttps);
            }
            Https::Both | Https::Off | Https::Only | Https::Redirect => {}
        }
        let closed = site.client_ca.as_ref().is_some_and(|by| by.is_required());
        if closed && !asked.connection.is_tls() {
            return fail(Failure::OnlyHttps);
        }
        if !site.admits(client.ip) {
            return fail(Failure::Denied);
        }
        match instance.plan().condition {
            Condition::Standby => return fail(Failure::Standby),
            Condition::Unrented => return fail(Failure::Unrented),
            Condition::Paused | Condition::Serving => {}
        }
        let Some(path) = decode(asked.path) else {
            return fail(Failure::BadPath);
        };
        if is_reserved(&path) {
            // However it is spelled: a replica might read it as the path above.
            return fail(Failure::NotFound);
        }
        let Some(route) = instance.route(&path) else {
            return Err(match &site.no_route {
                NoRoute::Status(404) => Answer::failure(Failure::NoRoute, reader),
                NoRoute::Status(status) => Answer::bare(*status),
                NoRoute::Redirect { status, to } => {
                    let scheme = if client.secure { "https" } else { "http" };
                    let to = to
                        .replace("$scheme", scheme)
                        .replace("$host", host.as_str())
                        // Last: what is in there is the visitor's, and fills in nothing.
                        .replace("$request_uri", &target());
                    Answer::to(*status, to)
                }
            });
        };
        if !route.allow.is_empty() && !route.allow.iter().any(|net| net.contains(&client.ip)) {
            return fail(Failure::Denied);
        }
        let passage = match &route.target {
            Target::Service(service) => Some(self.passages.to(instance.name(), service)),
            Target::File(_) | Target::Files(..) | Target::Nothing | Target::StubStatus => None,
        };
        let external = match client.secure {
            true => site.external_ports.https,
            false => site.external_ports.http,
        };
        Ok(Served {
            instance: Arc::clone(instance),
            route: Arc::clone(route),
            client,
            host: host.clone(),
            port: external.or(port),
            path,
            passage,
        })
    }
}

/// Whether the client of a connection over TLS may come in. Those who vouch for it have to be those of the
/// site, as they are now: what others said in a handshake counts nowhere else.
fn vouched(site: &Site, connection: &Connection) -> Result<(), Failure> {
    let Some(authorities) = &site.client_ca else {
        return Ok(());
    };
    match &connection.vouching {
        Vouching::By(known) if known == authorities => Ok(()),
        Vouching::Failed(known, why) if known == authorities => Err(match why {
            Unvouched::Missing => Failure::CertificateMissing,
            Unvouched::Refused => Failure::CertificateRefused,
        }),
        Vouching::By(_) | Vouching::NotAsked
            if !authorities.is_required() || !connection.is_tls() =>
        {
            Ok(())
        }
        // It was made before they were asked; a new one asks them.
        Vouching::By(_) | Vouching::Failed(..) | Vouching::NotAsked => {
            Err(Failure::HostDiffersFromSni)
        }
    }
}

/// The service that answers at a path, if one does.
pub(super) fn service_at(instance: &InstanceTable, path: &str) -> Option<ServiceName> {
    match &instance.route(&decode(path)?)?.target {
        Target::Service(service) => Some(service.clone()),
        Target::File(_) | Target::Files(..) | Target::Nothing | Target::StubStatus => None,
    }
}

/// Whether a decoded path is one of the challenges, with or without what follows.
fn is_reserved(path: &str) -> bool {
    path.starts_with(PREFIX) || PREFIX.strip_suffix('/') == Some(path)
}

#[cfg(test)]
mod tests;

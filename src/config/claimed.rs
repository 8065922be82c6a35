//! What containers ask for, as a layer of an instance: below the operator's entry and its preset, and
//! lowered by the same rules, so that a variable and a key mean the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::client_ca::ClientCa;
use super::error_page::ErrorPage;
use super::issue::{At, Issue, Level, Source};
use super::lower::instance;
use super::model::{Instance, Orders, RouteTarget};
use super::pattern::Pattern;
use super::raw::{
    RawHttps, RawInstance, RawLimits, RawPlacement, RawRole, RawRoute, RawScale, RawService,
};
use super::reader::Field;
use super::upstream_tls::RawTls;
use super::whole::{Config, Defaults};
use crate::names::{Domain, HostPattern, InstanceName, ServiceName, StackName};
use crate::plan::{
    ClientAuthorities, Declared, ExternalPorts, Https, KeyType, NonGetRedirect, Placement,
};

/// What the containers of a stack ask for, well formed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claimed {
    /// Who asks, for messages.
    pub by: String,
    pub domains: Vec<Domain>,
    pub patterns: Vec<HostPattern>,
    pub https: Option<Https>,
    pub external_ports: ExternalPorts,
    pub non_get_redirect: Option<NonGetRedirect>,
    pub http2: Option<bool>,
    /// `off`, or the value of the field.
    pub hsts: Option<String>,
    /// Whether plain HTTP is served where there is no certificate yet.
    pub http_without_certificate: Option<bool>,
    pub certificate: Option<String>,
    pub orders: Orders,
    pub email: Option<String>,
    /// The URL of one that is declared.
    pub directory: Option<String>,
    pub staging: Option<bool>,
    pub key_type: Option<KeyType>,
    pub trust_default_cert: Option<bool>,
    /// Who vouches for its clients, and the file that says so.
    pub clients: Option<(PathBuf, Arc<ClientAuthorities>)>,
    pub services: BTreeMap<ServiceName, ClaimedService>,
    pub routes: Vec<ClaimedRoute>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClaimedService {
    /// `None`: the only port that is exposed, else 80.
    pub port: Option<u16>,
    /// Whether it speaks TLS. Nobody verifies with whom, as nobody has said how.
    pub tls: bool,
    pub keep_alive: Option<bool>,
    pub placement: Option<Placement>,
    /// Whether the engine says how it is; else a connection has to be accepted.
    pub checked: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimedRoute {
    pub prefix: String,
    pub to: ServiceName,
    /// In the place of the service's.
    pub port: Option<u16>,
    /// Where it is not as with the service.
    pub tls: Option<bool>,
    pub replace_prefix: Option<String>,
    /// When not empty, only these may ask.
    pub allow: Vec<IpNet>,
}

impl Config {
    /// The instance that the containers of a stack ask for, where no entry is about it.
    ///
    /// # Errors
    /// What keeps it from being served.
    pub fn instance_claimed(
        &self,
        name: &InstanceName,
        stack: &StackName,
        claimed: &Claimed,
    ) -> Result<Instance, Vec<Issue>> {
        let mut raw = claimed.layer(name);
        let Defaults {
            limits,
            scale,
            instances,
        } = &*self.defaults;
        if let Some(instances) = instances {
            raw = raw.over(instances);
        }
        raw.limits = raw.limits.over(limits);
        raw.scale = raw.scale.over(scale);
        self.mount(&mut raw);
        let mut instance = lower(raw, name, stack)?;
        instance.declared = Declared::ByPattern;
        Ok(instance)
    }

    /// The instance of an entry, with what its containers ask for where the entry is silent. `None`:
    /// the instance is in its last good form, which nothing is added to.
    ///
    /// # Errors
    /// Why the two do not go together.
    pub fn instance_with<'a>(
        &self,
        instance: &Instance,
        services: impl Iterator<Item = &'a ServiceName> + Clone,
        claimed: &Claimed,
    ) -> Option<Result<Instance, Vec<Issue>>> {
        let entry = match instance.declared {
            Declared::ByName => Arc::clone(&self.entries.get(&instance.name)?.0),
            Declared::ByPattern => {
                let fits =
                    |pattern: &&Arc<Pattern>| pattern.fits(&instance.stack, services.clone());
                self.patterns.iter().find(fits)?.complete()
            }
        };
        let mut layer = claimed.layer(&instance.name);
        if entry.routes.is_empty() {
            // Without any route everything goes to one service, and that is said for the whole site.
            let rest = instance.routes.iter().find(|route| route.prefix == "/");
            let is_claimed = claimed.routes.iter().any(|route| route.prefix == "/");
            if let Some(RouteTarget::Service(to)) = rest.map(|route| &route.target)
                && !is_claimed
            {
                let rest = ClaimedRoute {
                    prefix: "/".to_owned(),
                    to: to.clone(),
                    port: None,
                    tls: None,
                    replace_prefix: None,
                    allow: Vec::new(),
                };
                layer.routes.push(rest.layer(&layer.at));
            }
        }
        let mut raw = (*entry).clone().over(&layer);
        self.mount(&mut raw);
        Some(lower(raw, &instance.name, &instance.stack).map(|mut made| {
            made.declared = instance.declared;
            let named = &made.site.domains;
            let more: Vec<_> = claimed
                .domains
                .iter()
                .filter(|domain| !named.contains(domain))
                .cloned()
                .collect();
            Arc::make_mut(&mut made.site).domains.extend(more);
            made
        }))
    }
}

impl Config {
    /// Adds what files mounted for nginx-proxy say, where nothing else does.
    fn mount(&self, raw: &mut RawInstance) {
        if let (None, Some((path, body))) = (&raw.error_page, &self.mounted.error_page) {
            let page = ErrorPage::of(path.clone(), body.clone());
            raw.error_page = Some(field(&raw.at, "error-page", page));
        }
        if raw.trust_default_cert.is_none() {
            let trusted = self.compat.trust_default_cert;
            raw.trust_default_cert = Some(field(&raw.at, "trust-default-cert", trusted));
        }
    }
}

fn lower(raw: RawInstance, name: &InstanceName, stack: &StackName) -> Result<Instance, Vec<Issue>> {
    let issues = RefCell::default();
    let instance = instance::lower(raw, name.clone(), stack.clone(), &issues);
    let issues = issues.into_inner();
    if issues.iter().any(|issue| issue.level == Level::Error) {
        return Err(issues);
    }
    Ok(instance)
}

impl Claimed {
    fn layer(&self, name: &InstanceName) -> RawInstance {
        let at = At {
            source: Arc::new(Source::new(self.by.clone(), String::new())),
            offset: 0,
            key: format!("instance.{name}"),
        };
        let of_port = |key: &str, port: Option<u16>| port.map(|port| field(&at, key, port));
        RawInstance {
            name: None,
            matching: None,
            except: None,
            stack: None,
            domains: texts(&at, "domains", &self.domains),
            patterns: self.patterns.clone(),
            redirect_from: None,
            preset: None,
            https: self.https.map(|https| {
                let https = match https {
                    Https::Both => RawHttps::NoRedirect,
                    Https::Off => RawHttps::Off,
                    Https::Only => RawHttps::Only,
                    Https::Redirect => RawHttps::Redirect,
                };
                field(&at, "https", https)
            }),
            http_without_certificate: self
                .http_without_certificate
                .map(|served| field(&at, "http-without-certificate", served)),
            no_route: None,
            external_http_port: of_port("external-http-port", self.external_ports.http),
            external_https_port: of_port("external-https-port", self.external_ports.https),
            non_get_redirect: self
                .non_get_redirect
                .map(|redirect| field(&at, "non-get-redirect", redirect.code())),
            http2: self.http2.map(|http2| field(&at, "http2", http2)),
            websocket_origin: None,
            hsts: None,
            hsts_of_variables: self.hsts.clone().map(|hsts| field(&at, "hsts", hsts)),
            standby: None,
            rental: None,
            allow: None,
            deny: None,
            headers: None,
            certificate: self
                .certificate
                .clone()
                .map(|name| field(&at, "certificate", name)),
            client_ca: self.clients.as_ref().map(|(file, authorities)| {
                let clients = ClientCa::of(file.clone(), Arc::clone(authorities));
                field(&at, "client-ca", clients)
            }),
            error_page: None,
            trust_default_cert: self
                .trust_default_cert
                .map(|trusted| field(&at, "trust-default-cert", trusted)),
            key_type: self
                .key_type
                .map(|kind| field(&at, "key-type", kind.word().to_owned())),
            acme_email: self
                .email
                .clone()
                .map(|email| field(&at, "acme-email", email)),
            acme_directory: self
                .directory
                .clone()
                .map(|url| field(&at, "acme-directory", url)),
            staging: self.staging.map(|staging| field(&at, "staging", staging)),
            orders: Some(self.orders.clone()),
            export_certificate: None,
            limits: RawLimits::default(),
            scale: RawScale::default(),
            services: self
                .services
                .iter()
                .map(|(name, service)| {
                    let at = at.below(&format!("service.{name}"));
                    let name = Field {
                        value: name.to_string(),
                        at: at.clone(),
                    };
                    (name, service.layer(&at))
                })
                .collect(),
            depends: None,
            routes: self.routes.iter().map(|route| route.layer(&at)).collect(),
            events: Vec::new(),
            at,
        }
    }
}

impl ClaimedService {
    fn layer(&self, at: &At) -> RawService {
        RawService {
            role: Some(field(at, "role", RawRole::Fixed)),
            of: None,
            ratio: None,
            requests_each: None,
            min: None,
            max: None,
            port: self.port.map(|port| field(at, "port", port)),
            tls: self.tls.then(|| field(at, "tls", RawTls::Whether(true))),
            keep_alive: self.keep_alive.map(|keep| field(at, "keep-alive", keep)),
            probe: (!self.checked).then(|| field(at, "probe", "tcp".to_owned())),
            placement: self.placement.map(|placement| {
                let placement = match placement {
                    Placement::Client => RawPlacement::Client,
                    Placement::Least => RawPlacement::Least,
                };
                field(at, "placement", placement)
            }),
            addresses: None,
            command: None,
            memory: None,
            cpus: None,
        }
    }
}

impl ClaimedRoute {
    fn layer(&self, at: &At) -> RawRoute {
        let at = at.below("route");
        RawRoute {
            auth: None,
            not_found: None,
            prefix: Some(field(&at, "prefix", self.prefix.clone())),
            loose: None,
            to: Some(field(&at, "to", self.to.to_string())),
            port: self.port.map(|port| field(&at, "port", port)),
            tls: self.tls.map(|tls| field(&at, "tls", RawTls::Whether(tls))),
            files: None,
            file: None,
            stub_status: None,
            cache_control: None,
            replace_prefix: self
                .replace_prefix
                .clone()
                .map(|with| field(&at, "replace-prefix", with)),
            allow: texts(&at, "allow", &self.allow),
            at,
        }
    }
}

fn field<T>(at: &At, key: &str, value: T) -> Field<T> {
    Field {
        value,
        at: at.below(key),
    }
}

fn texts<T: ToString>(at: &At, key: &str, values: &[T]) -> Option<Field<Vec<String>>> {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| field(at, key, texts))
}

//! One tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dates::{Event, Rental};
use super::policy::{Drain, ScalePolicy};
use super::route::Route;
use super::service::Service;
use crate::names::{Domain, InstanceName, ServiceName, StackName};
use crate::plan::{Declared, KeyType, Site};

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

impl Instance {
    /// Every name that it answers to.
    pub(in crate::config) fn names(&self) -> BTreeSet<Domain> {
        let site = &self.site;
        let redirects = site.redirect_from.iter().cloned().map(Domain::Exact);
        site.domains.iter().cloned().chain(redirects).collect()
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

//! The certificates that should be there.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::controller::Controller;
use super::super::tenant::Tenant;
use super::place::volume_root;
use crate::config::Instance;
use crate::config::model::Orders;
use crate::names::{Domain, HostPattern};
use crate::plan::{Export, Https, Wanted, WantedCertificate};

impl Controller {
    /// Every certificate that should be there.
    pub fn certificates(&mut self) -> Arc<Wanted> {
        let touched = self.stale.certificates.take();
        for name in touched.gone(&self.wanted.0, &self.tenants) {
            Arc::make_mut(&mut self.wanted).0.remove(&name);
        }
        let fresh: Vec<_> = touched
            .of(&self.tenants)
            .map(|(name, tenant)| (name.clone(), self.certificates_of(tenant)))
            .filter(|(name, fresh)| {
                self.wanted
                    .0
                    .get(name)
                    .is_none_or(|known| **known != **fresh)
            })
            .map(|(name, fresh)| (name, fresh.into()))
            .collect();
        if !fresh.is_empty() {
            Arc::make_mut(&mut self.wanted).0.extend(fresh);
        }
        Arc::clone(&self.wanted)
    }

    fn certificates_of(&self, tenant: &Tenant) -> Vec<WantedCertificate> {
        let instance = &tenant.instance;
        let has_tls = instance.site.https != Https::Off;
        if !has_tls && instance.site.patterns.is_empty() {
            return Vec::new();
        }
        let inventory = self.listing.inventory.as_deref();
        // A stack that does not run reads nothing.
        let stack = inventory.and_then(|all| all.stacks.get(&instance.stack));
        let export = stack.zip(instance.export_certificate.as_ref());
        let export = export.map(|(stack, volume)| Export {
            volume: volume.clone(),
            place: volume_root(volume, PathBuf::new(), Some(stack)),
        });
        let place = export.as_ref().map(|export| &export.place);
        let left = self.leaves_orders_in(&self.current.config.certs.dir)
            || place.is_some_and(|place| self.leaves_orders_at(place));
        let sets = sets(instance).into_iter();
        sets.map(|set| {
            let mut names = Vec::new();
            let mut wildcards = Vec::new();
            for domain in set.names {
                match domain {
                    Domain::Exact(host) => names.push(host),
                    Domain::Below(host) => wildcards.push(host),
                }
            }
            WantedCertificate {
                instance: instance.name.clone(),
                patterns: set.patterns,
                local: self.local_names(instance),
                names,
                wildcards,
                pinned: instance.certificate.clone().filter(|_| has_tls),
                may_order: set.may_order && !left && !instance.standby && tenant.rented,
                staging: instance.staging,
                directory: instance.acme_directory.clone(),
                email: instance.acme_email.clone(),
                key_type: instance
                    .key_type
                    .unwrap_or(self.current.config.certs.key_type),
                trust_default: instance.trust_default_cert,
                declared: instance.declared,
                export: export.clone(),
            }
        })
        .collect()
    }

    /// The names of an instance that no authority is ever asked for. Those of a stack that nobody has
    /// written down are left out: a container must not choose what this machine vouches for.
    fn local_names(&self, instance: &Instance) -> Vec<Domain> {
        let config = &self.current.config;
        if instance.certificate.is_some() || !config.instances.contains_key(&instance.name) {
            return Vec::new();
        }
        let kept = config.acme.as_ref().is_none_or(|acme| acme.preflight);
        let is_local = |domain: &Domain| {
            let host = match domain {
                Domain::Exact(host) | Domain::Below(host) => host,
            };
            if kept {
                !host.is_public()
            } else {
                !host.is_delegated()
            }
        };
        let redirects = instance.site.redirect_from.iter().cloned();
        let all = instance.site.domains.iter().cloned();
        all.chain(redirects.map(Domain::Exact))
            .filter(is_local)
            .collect()
    }
}

/// Names that one certificate should cover.
struct NameSet {
    names: Vec<Domain>,
    patterns: Vec<HostPattern>,
    may_order: bool,
}

/// The certificates of an instance: one for all of its names, or those that its containers ask for and
/// one for the rest.
fn sets(instance: &Instance) -> Vec<NameSet> {
    let site = &instance.site;
    if site.https == Https::Off {
        // Whose they are is told all the same: no other's pair is for them.
        return vec![NameSet {
            names: Vec::new(),
            patterns: site.patterns.clone(),
            may_order: false,
        }];
    }
    let mut all: Vec<Domain> = site.domains.clone();
    all.extend(site.redirect_from.iter().cloned().map(Domain::Exact));
    let (asked, apart) = match &instance.orders {
        Orders::All => {
            return vec![NameSet {
                names: all,
                patterns: site.patterns.clone(),
                may_order: true,
            }];
        }
        Orders::Asked { names, apart } => (names.clone(), *apart),
    };
    all.retain(|name| !asked.contains(name));
    let mut sets: Vec<NameSet> = if apart {
        let alone = |name| NameSet {
            names: vec![name],
            patterns: Vec::new(),
            may_order: true,
        };
        asked.into_iter().map(alone).collect()
    } else {
        vec![NameSet {
            names: asked,
            patterns: Vec::new(),
            may_order: true,
        }]
    };
    sets.push(NameSet {
        names: all,
        patterns: site.patterns.clone(),
        may_order: false,
    });
    sets.retain(|set| !set.names.is_empty() || !set.patterns.is_empty());
    sets
}

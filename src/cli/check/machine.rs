//! What this machine has of what is declared: files, certificates, and names that lead to it.

use std::sync::Arc;

use super::controller::{now, of_config};
use super::findings::Findings;
use crate::certs::{self, Addresses};
use crate::config::model::{FileSource, RouteTarget};
use crate::config::{Config, Level};
use crate::names::Domain;
use crate::plan::WantedCertificate;

/// What routes need on the disk and is not there.
pub(super) fn check_files(config: &Config, findings: &mut Findings) {
    for instance in config.instances.values() {
        for route in &instance.routes {
            if let Some(auth) = &route.auth
                && !auth.file.is_file()
            {
                let text = format!(
                    "instance {}, route {}: the file of passwords {} is not there; it answers 503 \
                     until it is; `usher hash-password NAME` makes a line of it",
                    instance.name,
                    route.prefix,
                    auth.file.display()
                );
                findings.add(Level::Warning, text);
            }
            let (RouteTarget::File(source) | RouteTarget::Files(source, _)) = &route.target else {
                continue;
            };
            if let FileSource::Dir { dir, path, set: _ } = source {
                let place = dir.join(path);
                if !place.exists() {
                    findings.add(
                        Level::Warning,
                        format!(
                            "instance {}, route {}: {} is not there; it answers 503 until it is",
                            instance.name,
                            route.prefix,
                            place.display()
                        ),
                    );
                }
            }
        }
    }
}

/// What of the certificates would be served, and what not.
pub(super) fn check_certificates(config: &Arc<Config>, findings: &mut Findings) {
    let now = now();
    let wanted = of_config(config, now).certificates();
    let mut manager = certs::Manager::new(&config.certs, config.state_dir.clone());
    // What this machine's own authority would sign is not made by a look.
    let on_disk = wanted.all().cloned().map(|wanted| WantedCertificate {
        local: Vec::new(),
        ..wanted
    });
    manager.load(Arc::new(on_disk.collect()), now.wall);
    for (host, why) in manager.troubles() {
        findings.add(Level::Warning, format!("certificate of {host}: {why}"));
    }
    for wanted in wanted.all() {
        for host in &wanted.names {
            let served = manager.store().covers(host);
            let name = Domain::Exact(host.clone());
            let told =
                manager.troubles().any(|(known, _)| *known == name) || wanted.local.contains(&name);
            if !served && config.acme.is_none() && !told {
                findings.add(
                    Level::Warning,
                    format!(
                        "{host} has no certificate: put {host}.crt and {host}.key into {}, or add [acme]",
                        config.certs.dir.display()
                    ),
                );
            }
        }
    }
}

/// Names that lead nowhere or elsewhere: visitors would not come, and no certificate be issued.
pub(super) async fn check_names(config: &Config, findings: &mut Findings) {
    let hosts = config.instances.values().flat_map(|instance| {
        instance
            .site
            .domains
            .iter()
            .filter_map(|domain| match domain {
                Domain::Exact(host) => Some(host.clone()),
                Domain::Below(_) => None,
            })
    });
    let server = config.acme.as_ref().and_then(|acme| acme.resolver);
    for (host, addresses) in certs::where_names_lead(server, hosts.collect()).await {
        let why = match addresses {
            Addresses::Found(found) => {
                if !found.iter().any(|address| certs::is_ours(*address)) {
                    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                    let text = format!(
                        "{host} leads to {}, which is no address of this machine; behind NAT that is \
                         as it should be",
                        found.join(", ")
                    );
                    findings.add(Level::Warning, text);
                }
                continue;
            }
            Addresses::NoAddress => "it has no address".to_owned(),
            Addresses::NoName => "it does not exist in the DNS (NXDOMAIN)".to_owned(),
            Addresses::Unknown(why) => why,
        };
        findings.add(Level::Warning, format!("{host} does not resolve: {why}"));
    }
}

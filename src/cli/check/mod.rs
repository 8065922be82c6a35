//! `usher check`: everything that can be known without serving, every issue and not the first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::environment::{is_set, is_told, told, without_effect};
use super::{Exit, Format, config_file, future_config_file, no_config};
use crate::app;
use crate::cause::chain;
use crate::certs::{self, Addresses};
use crate::config::model::{EngineChoice, FileSource, NamesFromContainers, Role, RouteTarget};
use crate::config::variables::Note;
use crate::config::watch::Current;
use crate::config::{self, Config, Instance, Level};
use crate::control::step::Controller;
use crate::control::{EngineFacts, Event, Now, Shortage};
use crate::engine::{DockerHost, Engine, EngineError, Listing};
use crate::host::Host;
use crate::inventory::Inventory;
use crate::names::Domain;
use crate::plan::WantedCertificate;

const ENGINE_WITHIN: Duration = Duration::from_secs(10);

/// One line of the result.
#[derive(Debug, Serialize)]
struct Finding {
    level: &'static str,
    text: String,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, text: impl Into<String>) {
        self.0.push(Finding {
            level: level.word(),
            text: text.into(),
        });
    }

    /// Something to know, and nothing to mend.
    fn note(&mut self, text: String) {
        self.0.push(Finding {
            level: "note",
            text,
        });
    }

    fn has_error(&self) -> bool {
        self.0
            .iter()
            .any(|finding| finding.level == Level::Error.word())
    }
}

pub(super) async fn check(
    named: Option<PathBuf>,
    names_from_containers: Option<NamesFromContainers>,
    offline: bool,
    format: Format,
) -> Exit {
    let (told, notes) = told(names_from_containers);
    let path = match (config_file(named), &told) {
        (Some(path), _) => path,
        (None, Some(_)) => future_config_file(),
        (None, None) => return no_config(),
    };
    let followed = told.as_ref().is_some_and(is_told);
    let loaded = config::load_as(&path, told, None);
    let mut findings = Findings::default();
    for Note { variable, text } in notes {
        findings.add(Level::Warning, format!("the variable {variable}: {text}"));
    }
    for (variable, instead) in without_effect(followed, is_set) {
        let text = format!("the variable {variable} is set and has no effect; instead: {instead}");
        findings.add(Level::Warning, text);
    }
    for issue in &loaded.issues {
        findings.add(issue.level, issue.to_string());
    }
    if let Some(config) = loaded.config {
        let config = Arc::new(config);
        check_files(&config, &mut findings);
        check_certificates(&config, &mut findings);
        if !offline {
            check_engine(&config, &mut findings).await;
            check_names(&config, &mut findings).await;
        }
        let named = config.names_from_containers != NamesFromContainers::Off;
        if config.instances.is_empty() && config.patterns.is_empty() && !named {
            findings.add(
                Level::Warning,
                "no instance is declared: every name is answered with 503",
            );
        }
    }
    print(&path, &findings, format)
}

fn print(path: &Path, findings: &Findings, format: Format) -> Exit {
    match format {
        Format::Json => match serde_json::to_string_pretty(&findings.0) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("error: {error}"),
        },
        Format::Text => {
            for finding in &findings.0 {
                println!("{}: {}", finding.level, finding.text);
            }
            if findings.0.is_empty() {
                println!("{}: nothing is wrong", path.display());
            }
        }
    }
    if findings.has_error() {
        Exit::BadUsage
    } else {
        Exit::Fine
    }
}

/// What routes need on the disk and is not there.
fn check_files(config: &Config, findings: &mut Findings) {
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

/// An engine that nothing is asked of.
const NOBODY: EngineFacts = EngineFacts {
    kind: "none",
    starts_from_nothing: false,
    shared: false,
    quiet: crate::control::QUIET,
};

fn current(config: &Arc<Config>) -> Current {
    Current {
        config: Arc::clone(config),
        issues: Arc::from([]),
        last_reload: Ok(()),
    }
}

/// What of the certificates would be served, and what not.
fn check_certificates(config: &Arc<Config>, findings: &mut Findings) {
    let now = now();
    let wanted = Controller::new(current(config), NOBODY, now).certificates();
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

async fn check_engine(config: &Arc<Config>, findings: &mut Findings) {
    let EngineChoice::Docker {
        endpoint,
        networks,
        filters,
        prefer_ipv6: _,
        trusted_networks,
    } = &config.engine
    else {
        return;
    };
    let docker_host = DockerHost::told(|name| std::env::var(name).ok());
    // Also where nothing that containers say is followed: what is not is told.
    let names = NamesFromContainers::Open;
    let engine = app::docker_for(endpoint.clone(), *networks, names, docker_host)
        .filtered(filters.clone())
        .trusting(trusted_networks.clone());
    let listed = timeout(ENGINE_WITHIN, async {
        let _hints = engine.subscribe().await?;
        engine.list().await
    });
    match listed.await {
        Ok(Ok(inventory)) => {
            for instance in config.instances.values() {
                check_stack(instance, &inventory, findings);
            }
            check_pools(config, &inventory, engine.free_networks().await, findings);
            if config.names_from_containers == NamesFromContainers::Off {
                check_unheard(config, &inventory, findings);
            }
            let controller = listed_by(config, inventory);
            check_claims(&controller, findings);
            match controller.shortage() {
                Some(short @ Shortage::Min { .. }) => {
                    findings.add(Level::Warning, short.to_string())
                }
                Some(short @ Shortage::Max { .. }) => findings.note(short.to_string()),
                None => {}
            }
        }
        Ok(Err(error)) => findings.add(
            Level::Warning,
            format!(
                "{}; is Docker running, and may this user use its socket?",
                chain(&error)
            ),
        ),
        Err(_) => findings.add(
            Level::Warning,
            format!(
                "the engine did not answer within {} s",
                ENGINE_WITHIN.as_secs()
            ),
        ),
    }
}

/// What usher would know of this machine and of what its engine lists.
fn listed_by(config: &Arc<Config>, inventory: Inventory) -> Controller {
    let now = now();
    let mut controller = Controller::new(current(config), NOBODY, now);
    controller.take(
        now,
        Event::Listing(Listing {
            inventory: Some(Arc::new(inventory)),
            last_sync: Some(now.wall),
            error: None,
        }),
    );
    controller.take(now, Event::Host(Host::now(Path::new("/"))));
    controller
}

/// What containers claim, and what of it they would not get; and whoever does already what usher does.
fn check_claims(controller: &Controller, findings: &mut Findings) {
    for text in controller.superseded() {
        findings.add(Level::Warning, text);
    }
    for (whose, why) in controller.claims_in_vain() {
        findings.add(Level::Warning, format!("{whose}: {why}"));
    }
    for (instance, domains) in controller.claimed() {
        findings.note(format!("instance {instance}: containers claim {domains}"));
    }
}

/// What containers say to a proxy where nothing of it is followed.
fn check_unheard(config: &Config, inventory: &Inventory, findings: &mut Findings) {
    for (name, stack) in &inventory.stacks {
        let mut entries = config.instances.values();
        let entry = entries.find(|instance| instance.stack == *name);
        for (service, units) in &stack.services {
            let Some(unit) = units.iter().find(|unit| !unit.claims.is_empty()) else {
                continue;
            };
            let said: Vec<&str> = unit.claims.values.keys().map(String::as_str).collect();
            let said = said.join(", ");
            let off = "`[engine] names-from-containers` is \"off\"";
            match entry {
                Some(entry) => findings.note(format!(
                    "stack {name}: what container {} of the service {service} says ({said}) is not \
                     followed, because {off}; the entry of the instance {} is what holds",
                    unit.name, entry.name
                )),
                None => findings.add(
                    Level::Warning,
                    format!(
                        "stack {name}: what container {} of the service {service} says ({said}) is not \
                         followed, because {off}, and no entry is about the stack; `usher init \
                         --config -` prints one",
                        unit.name
                    ),
                ),
            }
        }
    }
}

/// Whether every stack that is declared can have a network of its own.
fn check_pools(
    config: &Config,
    inventory: &Inventory,
    free: Result<usize, EngineError>,
    findings: &mut Findings,
) {
    let missing = config
        .instances
        .values()
        .filter(|instance| !inventory.stacks.contains_key(&instance.stack))
        .count();
    match free {
        Ok(free) if free < missing.max(1) => {
            let text = format!(
                "the engine has addresses for {free} more networks, and {missing} of the stacks that \
                 are declared do not run; without a network a stack does not start: \
                 `docker network prune` removes those of nobody, `default-address-pools` in \
                 daemon.json gives more and smaller ones"
            );
            findings.add(Level::Warning, text);
        }
        Ok(_) => {}
        Err(error) => {
            let text = format!(
                "how many networks there can be is not known: {}",
                chain(&error)
            );
            findings.add(Level::Warning, text);
        }
    }
}

fn check_stack(instance: &Instance, inventory: &Inventory, findings: &mut Findings) {
    let name = &instance.name;
    let Some(stack) = inventory.stacks.get(&instance.stack) else {
        let known: Vec<_> = inventory
            .stacks
            .keys()
            .map(|stack| stack.as_str())
            .collect();
        let known = if known.is_empty() {
            "no Compose project runs".to_owned()
        } else {
            format!("running are {}", known.join(", "))
        };
        findings.add(
            Level::Warning,
            format!(
                "instance {name}: the Compose project `{}` does not run; {known}",
                instance.stack
            ),
        );
        return;
    };
    for (service, declared) in &instance.services {
        let exists = stack.services.contains_key(service);
        let managed = declared.addresses.is_empty();
        if !exists && managed && (declared.expected || !matches!(declared.role, Role::Fixed)) {
            findings.add(
                Level::Warning,
                format!("instance {name}: the project has no container of the service {service}"),
            );
        }
    }
    for route in &instance.routes {
        if let RouteTarget::File(FileSource::Volume { volume, .. })
        | RouteTarget::Files(FileSource::Volume { volume, .. }, _) = &route.target
            && !stack.volumes.contains_key(volume)
        {
            findings.add(
                Level::Warning,
                format!(
                    "instance {name}, route {}: the project has no volume `{volume}`",
                    route.prefix
                ),
            );
        }
    }
    if let Some(volume) = &instance.export_certificate
        && !stack.volumes.contains_key(volume)
    {
        findings.add(
            Level::Warning,
            format!("instance {name}, export-certificate: the project has no volume `{volume}`"),
        );
    }
}

/// Names that lead nowhere or elsewhere: visitors would not come, and no certificate be issued.
async fn check_names(config: &Config, findings: &mut Findings) {
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

#[expect(clippy::disallowed_methods, reason = "the clock of a command")]
fn now() -> Now {
    Now {
        at: Instant::now(),
        wall: SystemTime::now(),
    }
}

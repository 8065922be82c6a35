//! What the engine runs of what is declared, and what its containers say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::controller::listed_by;
use super::findings::Findings;
use crate::app;
use crate::cause::chain;
use crate::config::model::{EngineChoice, FileSource, NamesFromContainers, Role, RouteTarget};
use crate::config::{Config, Instance, Level};
use crate::control::Controller;
use crate::control::Shortage;
use crate::engine::{DockerHost, Engine, EngineError};
use crate::inventory::Inventory;

const ENGINE_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn check_engine(config: &Arc<Config>, findings: &mut Findings) {
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

//! Proxies and companions in whose place usher is: how they are known, and what they hold.
//!
//! Pure.

use std::path::{Path, PathBuf};

use bollard::models::ContainerInspectResponse;

use super::containers::{is_alive, label, place, visible};
use crate::inventory::{Inventory, Stack, Superseded, Volume};
use crate::names::StackName;
use crate::shared::Map;

/// Labels by which a companion finds whom to tell of a certificate.
const LABELS: [&str; 4] = [
    "com.github.jrcs.letsencrypt_nginx_proxy_companion.docker_gen",
    "com.github.jrcs.letsencrypt_nginx_proxy_companion.nginx_proxy",
    "com.github.nginx-proxy.docker-gen",
    "com.github.nginx-proxy.nginx",
];

/// Whether a container is of such a kind, and runs.
pub(super) fn is_one(container: &ContainerInspectResponse) -> bool {
    let config = container.config.as_ref();
    let Some(image) = config.and_then(|config| config.image.as_deref()) else {
        return false;
    };
    // Others may have the label of the one they stand in for.
    let labelled = program(image) != "usher" && LABELS.iter().any(|key| is_meant(container, key));
    is_alive(container) && (labelled || is_superseded(image))
}

/// What is told of one that is. `own`: folders of the host, and where usher sees them.
pub(super) fn superseded(
    container: &ContainerInspectResponse,
    own: Option<&[(PathBuf, PathBuf)]>,
) -> Option<Superseded> {
    let image = container.config.as_ref()?.image.clone()?;
    if !is_one(container) {
        return None;
    }
    let mounts = container.mounts.as_deref().unwrap_or_default().iter();
    let sources = mounts
        .filter(|mount| mount.rw != Some(false))
        .filter_map(|mount| mount.source.as_deref());
    let writes = sources.filter_map(|source| match visible(Path::new(source), own) {
        Volume::At(folder) => Some(folder.path),
        Volume::Invisible { .. } => None,
    });
    let mut writes: Vec<PathBuf> = writes.collect();
    // The engine lists them in another order every time.
    writes.sort_unstable();
    Some(Superseded {
        name: container
            .name
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        place: place(container),
        orders: orders(&image),
        image,
        writes,
    })
}

/// Those that are replicas of a stack and no container of this engine: tasks of a Swarm.
pub(super) fn add_tasks(inventory: &mut Inventory, deployed: &Map<StackName, Stack>) {
    let mut found = Vec::new();
    for (stack, content) in deployed {
        for (service, units) in &content.services {
            let running = units.iter().filter(|unit| unit.phase.is_alive());
            let tasks = running.filter(|unit| unit.task.is_some() && is_superseded(&unit.image));
            found.extend(tasks.map(|unit| Superseded {
                name: unit.name.clone(),
                image: unit.image.clone(),
                place: Some((stack.clone(), service.clone())),
                writes: unit.mounts.clone(),
                orders: orders(&unit.image),
            }));
        }
    }
    inventory.superseded.extend(found);
    inventory
        .superseded
        .sort_by(|one, other| one.name.cmp(&other.name));
}

fn is_meant(container: &ContainerInspectResponse, key: &str) -> bool {
    label(container, key).is_some_and(|value| !value.eq_ignore_ascii_case("false"))
}

/// Whether an image is of a proxy, or of its companion, in whose place usher is.
pub fn is_superseded(image: &str) -> bool {
    matches!(program(image), "nginx-proxy" | "docker-gen") || orders(image)
}

/// Whether it is of a companion, which orders certificates.
fn orders(image: &str) -> bool {
    matches!(
        program(image),
        "acme-companion" | "letsencrypt-nginx-proxy-companion"
    )
}

/// What an image is called, without where it comes from and which one it is.
fn program(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn running(image: &str, labels: serde_json::Value) -> ContainerInspectResponse {
        let value = json!({
            "Name": "/old",
            "State": { "Running": true },
            "Config": { "Image": image, "Labels": labels },
            "Mounts": [
                { "Source": "/srv/certs", "Destination": "/etc/nginx/certs", "RW": true },
                { "Source": "/var/run/docker.sock", "Destination": "/s", "RW": false },
            ],
        });
        serde_json::from_value(value).expect("an inspection")
    }

    #[test]
    fn what_a_companion_may_write_to_is_told_and_a_label_is_enough_for_a_proxy() {
        let companion = running("nginxproxy/acme-companion:2", json!({}));
        let found = superseded(&companion, None).expect("known by its image");
        assert!(found.orders, "{found:?}");
        assert_eq!(found.writes, [PathBuf::from("/srv/certs")]);

        let label = "com.github.jrcs.letsencrypt_nginx_proxy_companion.nginx_proxy";
        let labelled = running("nginx:alpine", json!({ label: "true" }));
        let found = superseded(&labelled, None).expect("known by its label");
        assert!(!found.orders, "{found:?}");
        assert_eq!(
            superseded(&running("usher:1", json!({ label: "true" })), None),
            None
        );
        assert_eq!(
            superseded(&running("nginx", json!({ label: "false" })), None),
            None
        );
    }

    #[test]
    fn the_proxies_of_old_are_known_by_their_images() {
        for image in [
            "jwilder/nginx-proxy",
            "nginxproxy/nginx-proxy:1.6-alpine",
            "docker.io/nginxproxy/acme-companion@sha256:abc",
            "jrcs/letsencrypt-nginx-proxy-companion:latest",
            "registry.example.org:5000/jwilder/docker-gen",
        ] {
            assert!(is_superseded(image), "{image}");
        }
        for image in [
            "nginx",
            "nginx:alpine",
            "openslides/openslides",
            "",
            "a/nginx-proxy-site",
        ] {
            assert!(!is_superseded(image), "{image}");
        }
    }
}

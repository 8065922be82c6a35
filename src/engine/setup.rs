//! What runs, as somebody wants to know it who sets usher up in the place of another proxy.

use std::collections::BTreeMap;

use super::containers::{is_alive, is_one_off, label, place};
use super::{Compose, Engine, EngineError};
use crate::names::{ServiceName, StackName};

/// The longest value that is looked at: the names of a hundred hosts.
const LONGEST: usize = 8 * 1024;
/// Variables that speak to nginx-proxy and acme-companion.
const SPOKEN: [&str; 6] = [
    "ACME_",
    "CERT_NAME",
    "HSTS",
    "HTTPS_METHOD",
    "LETSENCRYPT_",
    "VIRTUAL_",
];

/// One container of a Compose project.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    pub stack: StackName,
    pub service: ServiceName,
    pub image: String,
    pub alive: bool,
    /// Those variables of it that are meant for a proxy.
    pub spoken: BTreeMap<String, String>,
    /// Where Compose was called.
    pub folder: Option<String>,
}

impl Compose {
    /// Everything that belongs to a Compose project, in the order of stacks and services.
    ///
    /// # Errors
    /// The engine is away, or says no.
    pub async fn seen(&self) -> Result<Vec<Seen>, EngineError> {
        // Connects; what changes from now on is of no interest.
        let _hints = self.subscribe().await?;
        let mut all = Vec::new();
        for listed in self.engine.containers(&[]).await? {
            let (false, Some(id)) = (is_one_off(&listed), &listed.id) else {
                continue;
            };
            // `None`: it has gone meanwhile.
            let Some(container) = self.engine.inspect(id).await? else {
                continue;
            };
            let Some((stack, service)) = place(&container) else {
                continue;
            };
            let config = container.config.as_ref();
            let variables = config.and_then(|config| config.env.as_deref());
            let spoken = variables.unwrap_or_default().iter().filter_map(|variable| {
                let (name, value) = variable.split_once('=')?;
                let meant = SPOKEN.iter().any(|begin| name.starts_with(begin));
                (meant && value.len() <= LONGEST).then(|| (name.to_owned(), value.to_owned()))
            });
            all.push(Seen {
                stack,
                service,
                image: config
                    .and_then(|config| config.image.clone())
                    .unwrap_or_default(),
                alive: is_alive(&container),
                spoken: spoken.collect(),
                folder: label(&container, "com.docker.compose.project.working_dir")
                    .map(str::to_owned),
            });
        }
        all.sort_by(|one, other| (&one.stack, &one.service).cmp(&(&other.stack, &other.service)));
        Ok(all)
    }
}

/// Whether an image is of a proxy, or of its companion, in whose place usher is.
pub fn is_superseded(image: &str) -> bool {
    let name = image.split(['@']).next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let last = last.split(':').next().unwrap_or_default();
    matches!(
        last,
        "nginx-proxy" | "acme-companion" | "letsencrypt-nginx-proxy-companion" | "docker-gen"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! A sibling of a Compose container: the same container once more, as Compose itself would make it.
//!
//! Pure: the JSON of an inspected container in, the JSON of a create request out. Everything that
//! is not changed on purpose survives, known or not. Compose accepts such a sibling: `ps`, `logs`
//! and `down` see it, `up --scale` keeps it, a plain `up -d` removes it.

use serde_json::{Map, Value, json};

use super::docker::PROJECT;

pub(super) const SERVICE: &str = "com.docker.compose.service";
pub(super) const NUMBER: &str = "com.docker.compose.container-number";
/// Marks what usher made. Its value is the id of the container it is a copy of.
pub(super) const CLONE_OF: &str = "usher.clone-of";

/// What to send to the engine.
#[derive(Debug, PartialEq)]
pub(super) struct Clone {
    pub(super) name: String,
    pub(super) create: Value,
    /// Networks to attach before the start, because older engines take only one at creation.
    pub(super) attach: Vec<(String, Value)>,
}

/// Builds the sibling with this number.
///
/// `image` is what the create request names: the source's tag where it still means the source's
/// image, else the image's id.
///
/// # Errors
/// Why this container cannot have a sibling, as the rest of "cannot add a replica: …".
pub(super) fn sibling(source: &Value, number: u32, image: &str) -> Result<Clone, String> {
    refuse(source)?;
    let id = text(&source["Id"]);
    let old_name = text(&source["Name"]).trim_start_matches('/');
    let labels = &source["Config"]["Labels"];
    let old_number = text(&labels[NUMBER]);
    let stem = old_name
        .strip_suffix(old_number)
        .filter(|stem| !old_number.is_empty() && stem.ends_with(['-', '_']))
        .ok_or("its name is fixed by `container_name`")?;
    let name = format!("{stem}{number}");

    let mut config = object(&source["Config"])?;
    if config
        .get("Hostname")
        .is_some_and(|host| id.starts_with(text(host)))
    {
        config.remove("Hostname");
    }
    config.remove("MacAddress");
    config.insert("Image".to_owned(), json!(image));
    let mut labels = object(labels)?;
    for gone in ["com.docker.compose.replace", "com.docker.compose.slug"] {
        labels.remove(gone);
    }
    labels.insert(NUMBER.to_owned(), json!(number.to_string()));
    labels.insert(CLONE_OF.to_owned(), json!(id));
    config.insert("Labels".to_owned(), Value::Object(labels));

    let mut host = object(&source["HostConfig"])?;
    for gone in ["ContainerIDFile", "AutoRemove"] {
        host.remove(gone);
    }
    // `always` would bring a stopped clone back whenever the daemon restarts.
    host.insert(
        "RestartPolicy".to_owned(),
        json!({ "Name": "on-failure", "MaximumRetryCount": 3 }),
    );
    let primary = text(&source["HostConfig"]["NetworkMode"]).to_owned();
    let mut networks: Vec<(String, Value)> = object(&source["NetworkSettings"]["Networks"])?
        .into_iter()
        .map(|(network, settings)| (network, endpoint(&settings, id, old_name)))
        .collect();
    networks.sort_by_key(|(network, _)| (*network != primary, network.clone()));
    let mut create = config;
    create.insert("HostConfig".to_owned(), Value::Object(host));
    let mut rest = networks.into_iter();
    if let Some((network, settings)) = rest.next() {
        let endpoints = Map::from_iter([(network, settings)]);
        create.insert(
            "NetworkingConfig".to_owned(),
            json!({ "EndpointsConfig": endpoints }),
        );
    }
    Ok(Clone {
        name,
        create: Value::Object(create),
        attach: rest.collect(),
    })
}

/// What two containers cannot share.
fn refuse(source: &Value) -> Result<(), String> {
    let host = &source["HostConfig"];
    if text(&source["Config"]["Labels"][PROJECT]).is_empty() {
        return Err("it belongs to no Compose project".to_owned());
    }
    for bindings in host["PortBindings"]
        .as_object()
        .into_iter()
        .flat_map(Map::values)
    {
        let fixed = bindings
            .as_array()
            .into_iter()
            .flatten()
            .map(|binding| text(&binding["HostPort"]))
            .find(|port| !matches!(*port, "" | "0"));
        if let Some(port) = fixed {
            return Err(format!(
                "it publishes the host's port {port}, which only one can have; remove `ports` from the service"
            ));
        }
    }
    let mode = text(&host["NetworkMode"]);
    if mode == "host" || mode.starts_with("container:") {
        return Err(format!("its network mode is `{mode}`"));
    }
    if host["VolumesFrom"]
        .as_array()
        .is_some_and(|from| !from.is_empty())
    {
        return Err("it uses `volumes_from`".to_owned());
    }
    for (network, settings) in source["NetworkSettings"]["Networks"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let ipam = &settings["IPAMConfig"];
        let fixed = ["IPv4Address", "IPv6Address"]
            .iter()
            .map(|key| text(&ipam[*key]))
            .find(|address| !address.is_empty());
        if let Some(address) = fixed {
            return Err(format!(
                "it has the fixed address {address} on the network {network}"
            ));
        }
    }
    Ok(())
}

/// The settings of one network without what belongs to the source alone.
fn endpoint(settings: &Value, id: &str, name: &str) -> Value {
    let mut kept = Map::new();
    for key in ["Links", "DriverOpts", "GwPriority"] {
        if !settings[key].is_null() {
            kept.insert(key.to_owned(), settings[key].clone());
        }
    }
    let own = |alias: &str| alias == name || (alias.len() >= 12 && id.starts_with(alias));
    let aliases: Vec<&str> = settings["Aliases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|alias| !own(alias))
        .collect();
    kept.insert("Aliases".to_owned(), json!(aliases));
    Value::Object(kept)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn object(value: &Value) -> Result<Map<String, Value>, String> {
    value
        .as_object()
        .cloned()
        .ok_or_else(|| "the engine described it in a form that usher does not know".to_owned())
}

#[cfg(test)]
mod tests;

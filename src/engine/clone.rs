//! A sibling of a Compose container: the same container once more, as Compose itself would make it.
//!
//! Pure: the JSON of an inspected container in, the JSON of a create request out. Everything that
//! is not changed on purpose survives, known or not. Compose accepts such a sibling: `ps`, `logs`
//! and `down` see it, `up --scale` keeps it, a plain `up -d` removes it.

use serde_json::{Map, Value, json};

/// The label by which Compose marks everything of a project.
pub(super) const PROJECT: &str = "com.docker.compose.project";
pub(super) const SERVICE: &str = "com.docker.compose.service";
pub(super) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// Set by Compose on a container that is about to take another one's place.
const REPLACE: &str = "com.docker.compose.replace";
pub(super) const NUMBER: &str = "com.docker.compose.container-number";
/// Marks what usher made. Its value is the id of the container it is a copy of.
pub(super) const CLONE_OF: &str = "usher.clone-of";

/// An operator's word against more of a container, as a label with the value `off`.
pub(super) const AUTOSCALE: &str = "usher.autoscale";
/// Namespaces of the host that a container may have been given, and how Compose calls that.
const NAMESPACES: [(&str, &str); 4] = [
    ("IpcMode", "ipc: host"),
    ("PidMode", "pid: host"),
    ("UTSMode", "uts: host"),
    ("UsernsMode", "userns_mode: host"),
];

/// Folders of the host through which the engine can be commanded.
const TO_THE_ENGINE: [&str; 6] = ["/", "/run", "/var", "/var/lib", "/var/run", ENGINES_OWN];
/// What the engine keeps: with everything in it, the volumes and containers of all stacks.
const ENGINES_OWN: &str = "/var/lib/docker";

/// What to send to the engine.
#[derive(Debug, PartialEq)]
pub(super) struct Clone {
    pub(super) name: String,
    pub(super) create: Value,
    /// Networks to attach before the start.
    pub(super) attach: Vec<(String, Value)>,
}

/// When an engine can attach a container to its networks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Attach {
    /// To all of them when it is created (API 1.44 and newer).
    AtCreation,
    /// To one when it is created, to the others afterwards.
    OneByOne,
}

/// Why there is no sibling.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum NoSibling {
    /// It can never have one as it is.
    Never(String),
    /// Not at this moment.
    NotNow(String),
}

impl From<&str> for NoSibling {
    fn from(why: &str) -> Self {
        Self::Never(why.to_owned())
    }
}

impl From<String> for NoSibling {
    fn from(why: String) -> Self {
        Self::Never(why)
    }
}

/// Builds the sibling with this number.
///
/// `image` is what the create request names: the source's tag where it still means the source's
/// image, else the image's id.
///
/// # Errors
/// Why this container cannot have a sibling, as the rest of "cannot add a replica: …".
pub(super) fn sibling(
    source: &Value,
    number: u32,
    image: &str,
    attach: Attach,
) -> Result<Clone, NoSibling> {
    let stem = stem(source)?;
    refuse(source)?;
    let id = text(&source["Id"]);
    let old_name = text(&source["Name"]).trim_start_matches('/');
    let name = format!("{stem}{number}");

    let mut config = object(&source["Config"])?;
    // What the engine makes up is the id; anything else was chosen.
    if config
        .get("Hostname")
        .is_some_and(|host| id.get(..12) == host.as_str())
    {
        config.remove("Hostname");
    }
    config.insert("Image".to_owned(), json!(image));
    let mut labels = object(&source["Config"]["Labels"])?;
    for gone in [REPLACE, "com.docker.compose.slug"] {
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
    let policy = &source["HostConfig"]["RestartPolicy"]["Name"];
    if !matches!(text(policy), "" | "no") {
        host.insert(
            "RestartPolicy".to_owned(),
            json!({ "Name": "on-failure", "MaximumRetryCount": 3 }),
        );
    }
    let fresh = give_own_anonymous_volumes(&mut host);
    if !fresh.is_empty() {
        let volumes = config.entry("Volumes").or_insert(Value::Null);
        if !volumes.is_object() {
            *volumes = json!({});
        }
        for target in fresh {
            volumes[target] = json!({});
        }
    }
    let primary = text(&source["HostConfig"]["NetworkMode"]).to_owned();
    let mut networks: Vec<(String, Value)> = object(&source["NetworkSettings"]["Networks"])?
        .into_iter()
        .map(|(network, settings)| (network, endpoint(&settings, id, old_name, &name)))
        .collect();
    networks.sort_by_key(|(network, _)| (*network != primary, network.clone()));
    let first = match attach {
        Attach::AtCreation => networks.len(),
        Attach::OneByOne => networks.len().min(1),
    };
    let later = networks.split_off(first);
    let mut create = config;
    create.insert("HostConfig".to_owned(), Value::Object(host));
    if !networks.is_empty() {
        let endpoints = Map::from_iter(networks);
        create.insert(
            "NetworkingConfig".to_owned(),
            json!({ "EndpointsConfig": endpoints }),
        );
    }
    Ok(Clone {
        name,
        create: Value::Object(create),
        attach: later,
    })
}

/// The name up to the number, as Compose makes it: `congress_web_` or `congress-web-`.
fn stem(source: &Value) -> Result<String, NoSibling> {
    let labels = &source["Config"]["Labels"];
    let (project, service) = (text(&labels[PROJECT]), text(&labels[SERVICE]));
    if project.is_empty() || service.is_empty() {
        return Err("it belongs to no Compose project".into());
    }
    let name = text(&source["Name"]).trim_start_matches('/');
    let number = text(&labels[NUMBER]);
    let usual = ['_', '-']
        .map(|separator| format!("{project}{separator}{service}{separator}"))
        .into_iter()
        .find(|stem| name.strip_prefix(stem.as_str()) == Some(number));
    if let Some(stem) = usual {
        return Ok(stem);
    }
    // While Compose puts a container in the place of another, one of the two has its id in front
    // of its name.
    let replaced = name.split_once('_').is_some_and(|(front, rest)| {
        front.len() == 12
            && front.bytes().all(|digit| digit.is_ascii_hexdigit())
            && rest.starts_with(project)
    });
    if replaced || !labels[REPLACE].is_null() {
        let why = format!("Compose is putting another container in the place of {name}");
        return Err(NoSibling::NotNow(why));
    }
    Err("its name is fixed by `container_name`".into())
}

/// What two containers cannot share, and what nobody but the operator may multiply.
fn refuse(source: &Value) -> Result<(), String> {
    let host = &source["HostConfig"];
    let labels = &source["Config"]["Labels"];
    if matches!(text(&labels[AUTOSCALE]), "off" | "false") {
        return Err(format!("its label `{AUTOSCALE}` says so"));
    }
    refuse_privileges(host)?;
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
    let hardware = text(&source["Config"]["MacAddress"]);
    if !hardware.is_empty() {
        return Err(format!("it has the fixed hardware address {hardware}"));
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

/// A container with power over the host is one the operator chose by hand; a copy made by itself
/// would be power that nobody chose.
fn refuse_privileges(host: &Value) -> Result<(), String> {
    let by_hand = |what: &str| Err(format!("it has `{what}`, which is not given out by itself"));
    if host["Privileged"] == true {
        return by_hand("privileged: true");
    }
    for (key, word) in [
        ("CapAdd", "cap_add"),
        ("Devices", "devices"),
        // GPUs, mostly: as many containers as wanted would share one.
        ("DeviceRequests", "deploy.resources.reservations.devices"),
        ("DeviceCgroupRules", "device_cgroup_rules"),
    ] {
        if host[key].as_array().is_some_and(|all| !all.is_empty()) {
            return by_hand(word);
        }
    }
    for (key, word) in NAMESPACES {
        if text(&host[key]) == "host" {
            return by_hand(word);
        }
    }
    let options = host["SecurityOpt"].as_array().into_iter().flatten();
    if let Some(option) = options.map(text).find(|option| lifts_a_fence(option)) {
        return by_hand(&format!("security_opt: {option}"));
    }
    let binds = host["Binds"].as_array().into_iter().flatten().map(text);
    let mounts = host["Mounts"].as_array().into_iter().flatten();
    let sources = binds
        .filter_map(|bind| bind.split(':').next())
        .chain(mounts.map(|mount| text(&mount["Source"])));
    for source in sources {
        if leads_to_the_engine(source) {
            return by_hand(source);
        }
    }
    Ok(())
}

/// Whether a container with this has less around it than any other.
fn lifts_a_fence(option: &str) -> bool {
    let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
    match key {
        "apparmor" | "seccomp" | "systempaths" => value == "unconfined",
        "label" => value == "disable",
        _ => false,
    }
}

/// # Errors
/// The container sees the control groups of the host because somebody said so. With version 1 of them
/// it does where nobody said anything, and the two look the same. `info` is what the engine says of
/// itself.
pub(super) fn refuse_control_groups(source: &Value, info: &Value) -> Result<(), NoSibling> {
    if shows_control_groups(source) && text(&info["CgroupVersion"]) == "2" {
        return Err("it has `cgroup: host`, which is not given out by itself".into());
    }
    Ok(())
}

pub(super) fn shows_control_groups(source: &Value) -> bool {
    text(&source["HostConfig"]["CgroupnsMode"]) == "host"
}

/// Whether who has this folder or socket of the host can command the engine, or has what is in the
/// volumes and containers of everybody.
pub(super) fn leads_to_the_engine(source: &str) -> bool {
    let folder = match source.trim_end_matches('/') {
        "" if !source.is_empty() => "/",
        folder => folder,
    };
    let inside = |whole: &str| {
        let rest = folder.strip_prefix(whole);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    folder.ends_with("/docker.sock") || TO_THE_ENGINE.contains(&folder) || inside(ENGINES_OWN)
}

/// Volumes without a name belong to one container. Compose hands the ones of a replaced container
/// on by their made-up name; a sibling gets its own. Returns where those are mounted.
fn give_own_anonymous_volumes(host: &mut Map<String, Value>) -> Vec<String> {
    let made_up =
        |name: &str| name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    let mut fresh = Vec::new();
    if let Some(binds) = host.get_mut("Binds").and_then(Value::as_array_mut) {
        binds.retain(|bind| {
            let mut parts = text(bind).split(':');
            let anonymous = parts.next().is_some_and(made_up);
            if anonymous {
                fresh.extend(parts.next().map(ToOwned::to_owned));
            }
            !anonymous
        });
    }
    if let Some(mounts) = host.get_mut("Mounts").and_then(Value::as_array_mut) {
        for mount in mounts.iter_mut().filter_map(Value::as_object_mut) {
            if mount.get("Source").map(text).is_some_and(made_up) {
                mount.remove("Source");
            }
        }
    }
    fresh
}

/// The settings of one network without what belongs to the source alone.
fn endpoint(settings: &Value, id: &str, old_name: &str, name: &str) -> Value {
    let mut kept = Map::new();
    for key in ["Links", "DriverOpts", "GwPriority"] {
        if !settings[key].is_null() {
            kept.insert(key.to_owned(), settings[key].clone());
        }
    }
    let aliases: Vec<&str> = settings["Aliases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|alias| !(alias.len() >= 12 && id.starts_with(alias)))
        .map(|alias| if alias == old_name { name } else { alias })
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

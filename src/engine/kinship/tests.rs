use bollard::models::{ContainerInspectResponse, Network};
use serde_json::{Value, json};

use super::*;

/// A container of `congress` on these networks, made in this minute.
fn on(name: &str, minute: u8, networks: &[&str]) -> Value {
    let attached: serde_json::Map<String, Value> = networks
        .iter()
        .map(|network| {
            (
                (*network).to_owned(),
                json!({ "NetworkID": format!("n-{network}") }),
            )
        })
        .collect();
    json!({
        "Id": format!("id-{name}"),
        "Name": format!("/{name}"),
        "Created": format!("2026-11-20T08:{minute:02}:00Z"),
        "Config": { "Labels": {
            "com.docker.compose.project": "congress",
            "com.docker.compose.service": "web",
            "com.docker.compose.config-hash": "abc",
        } },
        "HostConfig": { "NetworkMode": networks.first().copied().unwrap_or("none") },
        "NetworkSettings": { "Networks": attached },
    })
}

/// As somebody runs it who knows two labels.
fn by_hand(mut container: Value) -> Value {
    let labels = container["Config"]["Labels"]
        .as_object_mut()
        .expect("labels");
    labels.remove("com.docker.compose.config-hash");
    container
}

fn network(name: &str, project: Option<&str>) -> Network {
    let labels = project.map(|project| json!({ "com.docker.compose.project": project }));
    let value = json!({ "Name": name, "Id": format!("n-{name}"), "Labels": labels });
    serde_json::from_value(value).expect("a network")
}

/// The names of those that are strangers, in order.
fn found(containers: &[Value], networks: &[Network]) -> Vec<String> {
    found_trusting(containers, networks, &[])
}

fn found_trusting(containers: &[Value], networks: &[Network], trusted: &[&str]) -> Vec<String> {
    let trusted: Vec<String> = trusted.iter().map(ToString::to_string).collect();
    let containers: Vec<ContainerInspectResponse> = containers
        .iter()
        .map(|value| serde_json::from_value(value.clone()).expect("an inspection"))
        .collect();
    let strangers = strangers(containers.iter(), networks.iter(), &trusted);
    let mut names: Vec<String> = strangers
        .keys()
        .map(|id| id.trim_start_matches("id-").to_owned())
        .collect();
    names.sort();
    names
}

fn own() -> [Network; 2] {
    let project = Some("congress");
    [network("back", project), network("front", project)]
}

#[test]
fn who_is_on_none_of_the_projects_networks_is_a_stranger() {
    let all = [
        on("web", 5, &["back"]),
        on("nginx", 5, &["front"]),
        on("liar", 1, &["evil_default"]),
        by_hand(on("lounger", 1, &["bridge"])),
    ];
    assert_eq!(found(&all, &own()), ["liar", "lounger"]);
    // Nobody of the project runs, and its network is still there.
    assert_eq!(found(&all[2..3], &own()), ["liar"]);
}

#[test]
fn the_sentence_names_the_container_the_network_and_the_remedy() {
    let liar: ContainerInspectResponse =
        serde_json::from_value(on("liar", 1, &["evil_default"])).expect("an inspection");
    let web: ContainerInspectResponse =
        serde_json::from_value(on("web", 2, &["back"])).expect("an inspection");
    let networks = own();
    let deserted = strangers(std::iter::once(&liar), networks.iter(), &[]);
    let text = &deserted["id-liar"];
    assert!(text.contains("docker network rm back"), "{text}");
    let told = strangers([&web, &liar].into_iter(), networks.iter(), &[]);
    let text = &told["id-liar"];
    for part in [
        "container liar",
        "com.docker.compose.project",
        "docker network connect back liar",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_network_that_is_shared_with_one_of_the_project_is_enough() {
    let proxied = [
        on("web", 5, &["back", "proxy"]),
        on("static", 6, &["proxy"]),
        on("liar", 1, &["evil_default"]),
    ];
    let mut networks = own().to_vec();
    networks.push(network("proxy", None));
    assert_eq!(found(&proxied, &networks), ["liar"]);
}

#[test]
fn on_a_network_that_the_operator_trusts_labels_are_believed() {
    let all = [
        on("db", 5, &["back"]),
        on("web", 6, &["proxy"]),
        on("liar", 1, &["evil_default"]),
    ];
    let mut networks = own().to_vec();
    networks.push(network("proxy", None));
    assert_eq!(found(&all, &networks), ["liar", "web"]);
    assert_eq!(found_trusting(&all, &networks, &["proxy"]), ["liar"]);
    // Of that name, and another one.
    let mut poser = on("poser", 1, &["proxy"]);
    poser["NetworkSettings"]["Networks"]["proxy"]["NetworkID"] = json!("n-elsewhere");
    let all = [on("db", 5, &["back"]), poser];
    assert_eq!(found_trusting(&all, &networks, &["proxy"]), ["poser"]);
}

#[test]
fn of_projects_without_networks_of_their_own_the_first_that_compose_made_counts() {
    let all = [
        on("web", 5, &["shared"]),
        on("worker", 6, &["shared"]),
        on("liar", 7, &["evil_default"]),
    ];
    assert_eq!(found(&all, &[network("shared", None)]), ["liar"]);
    let older = [
        on("web", 5, &["shared"]),
        by_hand(on("liar", 1, &["evil_default"])),
    ];
    assert_eq!(found(&older, &[]), ["liar"]);
}

#[test]
fn one_that_was_taken_off_its_network_is_who_it_was() {
    let mut web = on("web", 5, &["back"]);
    web["NetworkSettings"]["Networks"] = json!({ "other": { "NetworkID": "n-other" } });
    let fellow = on("worker", 5, &["back"]);
    assert_eq!(found(&[web.clone(), fellow.clone()], &own()), [""; 0]);
    web["NetworkSettings"]["Networks"] = json!({});
    assert_eq!(found(&[web, fellow], &own()), [""; 0]);
}

#[test]
fn stacks_on_the_host_on_the_bridge_and_on_other_networks_stay_whole() {
    let mut host = on("web", 5, &["host"]);
    host["HostConfig"]["NetworkMode"] = json!("host");
    let mut beside = on("vpn", 5, &[]);
    beside["HostConfig"]["NetworkMode"] = json!("container:abc");
    assert_eq!(
        found(&[host, beside, on("db", 5, &["back"])], &own()),
        [""; 0]
    );

    let bridged = [
        by_hand(on("one", 5, &["bridge"])),
        by_hand(on("two", 6, &["bridge"])),
    ];
    assert_eq!(
        found(&bridged, &[]),
        [""; 0],
        "the labels join lone containers"
    );
    let composed = [
        on("web", 5, &["bridge"]),
        by_hand(on("lounger", 6, &["bridge"])),
    ];
    assert_eq!(found(&composed, &[]), ["lounger"]);

    let elsewhere = [
        on("web", 5, &["x"]),
        on("db", 5, &["x", "y"]),
        on("cache", 5, &["y"]),
    ];
    assert_eq!(found(&elsewhere, &[network("x", Some("another"))]), [""; 0]);
    assert_eq!(found(&elsewhere[..1], &[]), [""; 0]);
}

#[test]
fn a_network_that_is_only_called_like_the_projects_own_is_another() {
    let mut liar = on("liar", 1, &["back"]);
    liar["NetworkSettings"]["Networks"]["back"]["NetworkID"] = json!("n-of-the-same-name");
    liar["HostConfig"]["NetworkMode"] = json!("n-of-the-same-name");
    assert_eq!(found(&[on("web", 5, &["back"]), liar], &own()), ["liar"]);
}

#[test]
fn one_that_was_never_started_is_known_by_the_name_of_its_network() {
    let mut created = on("web", 5, &["back"]);
    created["NetworkSettings"]["Networks"]["back"]["NetworkID"] = json!("");
    created["HostConfig"]["NetworkMode"] = json!("default");
    assert_eq!(found(&[created, on("db", 4, &["back"])], &own()), [""; 0]);
}

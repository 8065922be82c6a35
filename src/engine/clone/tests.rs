use serde_json::{Value, json};

use super::*;

const ID: &str = "3f2c9a0b1d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd";

fn inspected() -> Value {
    json!({
        "Id": ID,
        "Name": "/congress_web_1",
        "Config": {
            "Hostname": &ID[..12],
            "Image": "openslides:2.3",
            "Env": ["A=1"],
            "MacAddress": "02:42:ac:12:00:05",
            "SomethingNew": { "kept": true },
            "Labels": {
                "com.docker.compose.project": "congress",
                "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "1",
                "com.docker.compose.config-hash": "abc",
                "com.docker.compose.oneoff": "False",
                "com.docker.compose.slug": "xyz",
            },
        },
        "HostConfig": {
            "Binds": ["congress_staticfiles:/app:rw"],
            "NetworkMode": "congress_back",
            "PortBindings": {},
            "AutoRemove": true,
            "RestartPolicy": { "Name": "always" },
            "Memory": 1024,
        },
        "NetworkSettings": { "Networks": {
            "congress_back": {
                "Aliases": ["web", &ID[..12]],
                "IPAddress": "172.18.0.5",
                "EndpointID": "e",
                "IPAMConfig": {},
            },
            "aaa_front": { "Aliases": null, "IPAMConfig": null },
        } },
    })
}

fn of(change: impl FnOnce(&mut Value)) -> Result<Clone, String> {
    let mut source = inspected();
    change(&mut source);
    sibling(&source, 4, "openslides:2.3")
}

#[test]
fn a_sibling_is_what_compose_would_make() {
    let clone = of(|_| {}).expect("clonable");
    assert_eq!(clone.name, "congress_web_4");
    let labels = &clone.create["Labels"];
    assert_eq!(labels["com.docker.compose.container-number"], "4");
    assert_eq!(labels["com.docker.compose.config-hash"], "abc");
    assert_eq!(labels["usher.clone-of"], ID);
    assert!(labels["com.docker.compose.slug"].is_null());
}

#[test]
fn unknown_fields_survive_and_the_sources_own_do_not() {
    let clone = of(|_| {}).expect("clonable").create;
    assert_eq!(clone["SomethingNew"]["kept"], true);
    assert_eq!(clone["HostConfig"]["Memory"], 1024);
    assert_eq!(
        clone["HostConfig"]["Binds"][0],
        "congress_staticfiles:/app:rw"
    );
    assert!(clone["Hostname"].is_null());
    assert!(clone["MacAddress"].is_null());
    assert!(clone["HostConfig"]["AutoRemove"].is_null());
}

#[test]
fn a_stopped_clone_does_not_come_back_with_the_daemon() {
    let clone = of(|_| {}).expect("clonable").create;
    assert_eq!(clone["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
}

#[test]
fn it_is_on_every_network_of_the_source_without_its_address() {
    let clone = of(|_| {}).expect("clonable");
    let primary = &clone.create["NetworkingConfig"]["EndpointsConfig"]["congress_back"];
    assert_eq!(primary, &json!({ "Aliases": ["web"] }));
    assert_eq!(
        clone.attach,
        [("aaa_front".to_owned(), json!({ "Aliases": [] }))]
    );
}

#[test]
fn a_hostname_of_the_operators_choice_is_kept() {
    let clone = of(|source| source["Config"]["Hostname"] = json!("web")).expect("clonable");
    assert_eq!(clone.create["Hostname"], "web");
}

#[test]
fn newer_compose_separates_with_a_dash() {
    let clone = of(|source| source["Name"] = json!("/congress-web-1")).expect("clonable");
    assert_eq!(clone.name, "congress-web-4");
}

#[test]
fn what_two_cannot_share_is_refused_with_the_reason() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 6] = [
        ("port 8000", |s| {
            s["HostConfig"]["PortBindings"] = json!({ "8000/tcp": [{ "HostPort": "8000" }] });
        }),
        ("container_name", |s| s["Name"] = json!("/congress")),
        ("`host`", |s| s["HostConfig"]["NetworkMode"] = json!("host")),
        ("volumes_from", |s| {
            s["HostConfig"]["VolumesFrom"] = json!(["x"])
        }),
        ("172.18.0.9", |s| {
            s["NetworkSettings"]["Networks"]["congress_back"]["IPAMConfig"] =
                json!({ "IPv4Address": "172.18.0.9" });
        }),
        ("no Compose project", |s| s["Config"]["Labels"] = json!({})),
    ];
    for (reason, change) in cases {
        let refusal = of(change).expect_err(reason);
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn a_port_the_engine_chooses_is_no_obstacle() {
    let change = |s: &mut Value| {
        s["HostConfig"]["PortBindings"] = json!({ "8000/tcp": [{ "HostPort": "" }] });
    };
    assert!(of(change).is_ok());
}

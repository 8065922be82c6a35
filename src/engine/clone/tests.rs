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
            "ContainerIDFile": "/tmp/id",
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

fn of(change: impl FnOnce(&mut Value)) -> Result<Clone, NoSibling> {
    let mut source = inspected();
    change(&mut source);
    sibling(&source, 4, "openslides:2.3", Attach::OneByOne)
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
    assert!(clone["HostConfig"]["AutoRemove"].is_null());
    assert!(clone["HostConfig"]["ContainerIDFile"].is_null());
}

#[test]
fn a_stopped_clone_does_not_come_back_with_the_daemon() {
    let clone = of(|_| {}).expect("clonable").create;
    let policy = json!({ "Name": "on-failure", "MaximumRetryCount": 3 });
    assert_eq!(clone["HostConfig"]["RestartPolicy"], policy);
    let never = |s: &mut Value| s["HostConfig"]["RestartPolicy"] = json!({ "Name": "no" });
    let clone = of(never).expect("clonable").create;
    assert_eq!(clone["HostConfig"]["RestartPolicy"]["Name"], "no");
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
fn a_newer_engine_attaches_it_to_all_networks_at_once() {
    let clone = sibling(&inspected(), 4, "i", Attach::AtCreation).expect("clonable");
    let endpoints = &clone.create["NetworkingConfig"]["EndpointsConfig"];
    assert_eq!(endpoints.as_object().map(Map::len), Some(2), "{endpoints}");
    assert_eq!(clone.attach, []);
}

#[test]
fn an_alias_that_was_the_sources_name_becomes_its_own() {
    let clone = of(|s| {
        s["NetworkSettings"]["Networks"]["congress_back"]["Aliases"] =
            json!(["congress_web_1", "web"]);
    })
    .expect("clonable");
    let primary = &clone.create["NetworkingConfig"]["EndpointsConfig"]["congress_back"];
    assert_eq!(primary["Aliases"], json!(["congress_web_4", "web"]));
}

#[test]
fn only_a_hostname_of_the_operators_choice_is_kept() {
    for (hostname, kept) in [("web", true), (&ID[..3], true), (&ID[..12], false)] {
        let clone = of(|s| s["Config"]["Hostname"] = json!(hostname)).expect("clonable");
        assert_eq!(clone.create["Hostname"] == hostname, kept, "{hostname}");
    }
}

#[test]
fn a_volume_without_a_name_is_not_shared_and_one_with_a_name_is() {
    let anonymous = "ab".repeat(32);
    let clone = of(|s| {
        s["HostConfig"]["Binds"] =
            json!([format!("{anonymous}:/cache:rw"), "congress_media:/media:rw"]);
        s["HostConfig"]["Mounts"] = json!([
            { "Type": "volume", "Source": anonymous, "Target": "/scratch" },
            { "Type": "volume", "Source": "congress_static", "Target": "/static" },
        ]);
    })
    .expect("clonable")
    .create;
    assert_eq!(
        clone["HostConfig"]["Binds"],
        json!(["congress_media:/media:rw"])
    );
    assert_eq!(clone["Volumes"], json!({ "/cache": {} }));
    let mounts = &clone["HostConfig"]["Mounts"];
    assert_eq!(mounts[0], json!({ "Type": "volume", "Target": "/scratch" }));
    assert_eq!(mounts[1]["Source"], "congress_static");
}

/// Whatever is in the source, a clone is one more of it and nothing besides.
#[test]
fn privileges_mounts_and_the_image_never_grow() {
    let source = inspected();
    let clone = of(|_| {}).expect("clonable").create;
    let theirs = clone["HostConfig"].as_object().expect("an object");
    for (key, value) in theirs.iter().filter(|(key, _)| *key != "RestartPolicy") {
        assert_eq!(*value, source["HostConfig"][key], "{key}");
    }
    let ours = ["HostConfig", "Labels", "NetworkingConfig"];
    let rest = clone.as_object().expect("an object");
    for (key, value) in rest.iter().filter(|(key, _)| !ours.contains(&key.as_str())) {
        assert_eq!(*value, source["Config"][key], "{key}");
    }
}

#[test]
fn a_container_that_compose_is_replacing_is_copied_later() {
    type Change = fn(&mut Value);
    let changes: [Change; 2] = [
        |s| s["Name"] = json!("/3f2c9a0b1d4e_congress_web_1"),
        |s| {
            s["Name"] = json!("/3f2c9a0b1d4e_congress_web_1");
            s["Config"]["Labels"]["com.docker.compose.replace"] = json!("x");
        },
    ];
    for change in changes {
        let refusal = of(change).expect_err("refused");
        assert!(matches!(refusal, NoSibling::NotNow(_)), "{refusal:?}");
    }
}

#[test]
fn newer_compose_separates_with_a_dash() {
    let clone = of(|source| source["Name"] = json!("/congress-web-1")).expect("clonable");
    assert_eq!(clone.name, "congress-web-4");
}

#[test]
fn what_two_cannot_share_is_refused_with_the_reason() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 22] = [
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
        ("container_name", |s| s["Name"] = json!("/front-web-1")),
        ("`container:x`", |s| {
            s["HostConfig"]["NetworkMode"] = json!("container:x")
        }),
        ("02:42:ac:12:00:05", |s| {
            s["Config"]["MacAddress"] = json!("02:42:ac:12:00:05")
        }),
        ("usher.autoscale", |s| {
            s["Config"]["Labels"]["usher.autoscale"] = json!("off")
        }),
        ("privileged", |s| {
            s["HostConfig"]["Privileged"] = json!(true)
        }),
        ("cap_add", |s| {
            s["HostConfig"]["CapAdd"] = json!(["SYS_ADMIN"])
        }),
        ("devices", |s| {
            s["HostConfig"]["Devices"] = json!([{ "PathOnHost": "/dev/kvm" }])
        }),
        ("pid: host", |s| s["HostConfig"]["PidMode"] = json!("host")),
        ("docker.sock", |s| {
            s["HostConfig"]["Binds"] = json!(["/var/run/docker.sock:/var/run/docker.sock:ro"])
        }),
        ("reservations.devices", |s| {
            s["HostConfig"]["DeviceRequests"] = json!([{ "Driver": "nvidia", "Count": -1 }])
        }),
        ("security_opt: seccomp=unconfined", |s| {
            s["HostConfig"]["SecurityOpt"] = json!(["no-new-privileges", "seccomp=unconfined"])
        }),
        ("security_opt: label:disable", |s| {
            s["HostConfig"]["SecurityOpt"] = json!(["label:disable"])
        }),
        ("/var/lib/docker/volumes", |s| {
            s["HostConfig"]["Binds"] = json!(["/var/lib/docker/volumes:/all:ro"])
        }),
        ("/run/", |s| {
            s["HostConfig"]["Binds"] = json!(["/run/:/host"])
        }),
        ("/var/lib", |s| {
            s["HostConfig"]["Binds"] = json!(["/var/lib:/host"])
        }),
        (
            "docker.sock",
            |s| {
                s["HostConfig"]["Mounts"] =
                    json!([{ "Type": "bind", "Source": "/run/docker.sock", "Target": "/s" }])
            },
        ),
    ];
    for (reason, change) in cases {
        match of(change) {
            Err(NoSibling::Never(why)) => assert!(why.contains(reason), "{why}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
}

#[test]
fn a_port_the_engine_chooses_is_no_obstacle() {
    let change = |s: &mut Value| {
        s["HostConfig"]["PortBindings"] = json!({ "8000/tcp": [{ "HostPort": "" }] });
    };
    assert!(of(change).is_ok());
}

#[test]
fn what_fences_a_container_in_is_no_obstacle() {
    let fenced = |s: &mut Value| {
        s["HostConfig"]["SecurityOpt"] = json!(["no-new-privileges:true", "apparmor=ours"]);
        s["HostConfig"]["DeviceRequests"] = json!([]);
        s["HostConfig"]["Binds"] = json!(["/var/lib/docker-stacks/x:/x", "/srv/x:/y"]);
    };
    assert!(of(fenced).is_ok());
}

#[test]
fn the_control_groups_of_the_host_are_refused_where_somebody_has_given_them() {
    let mut source = inspected();
    let second = json!({ "CgroupVersion": "2" });
    assert_eq!(refuse_control_groups(&source, &second), Ok(()));
    source["HostConfig"]["CgroupnsMode"] = json!("host");
    let why = refuse_control_groups(&source, &second).expect_err("refused");
    assert!(
        matches!(&why, NoSibling::Never(why) if why.contains("cgroup: host")),
        "{why:?}"
    );
    // There everybody has them.
    let first = json!({ "CgroupVersion": "1" });
    assert_eq!(refuse_control_groups(&source, &first), Ok(()));
}

use bollard::models::ContainerInspectResponse;
use serde_json::{Value, json};

use super::*;

fn inspected(change: impl FnOnce(&mut Value)) -> ContainerInspectResponse {
    let mut value = json!({
        "Id": "c1".repeat(32),
        "Name": "/congress_web_2",
        "State": { "Status": "running", "Running": true, "StartedAt": "2026-11-20T08:00:05.000000007Z" },
        "Config": {
            "Image": "openslides:2.3",
            "ExposedPorts": { "8000/tcp": {}, "53/udp": {} },
            "Labels": {
                "com.docker.compose.project": "congress",
                "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "2",
            },
        },
        "HostConfig": { "NetworkMode": "congress_back" },
        "NetworkSettings": { "Networks": {
            "congress_back": { "NetworkID": "n-back", "IPAddress": "172.18.0.5" },
            "congress_front": { "NetworkID": "n-front", "IPAddress": "172.19.0.5" },
        } },
    });
    change(&mut value);
    serde_json::from_value(value).expect("an inspection")
}

fn attached(ids: &[&str], join: bool) -> Paths {
    Paths::Attached {
        ids: ids.iter().map(ToString::to_string).collect(),
        join,
        host: None,
    }
}

#[test]
fn a_container_whose_program_is_usher_is_known_by_its_command() {
    let told = |command: &str| {
        let listed = json!({ "Names": ["/edge"], "Command": command });
        runs_usher(&serde_json::from_value(listed).expect("a container"))
    };
    assert_eq!(told("/usher run --config x"), Some("edge".to_owned()));
    assert_eq!(told("'/opt/usher' run"), Some("edge".to_owned()));
    assert_eq!(told("/crusher run"), None);
    assert_eq!(told(""), None);
}

#[test]
fn a_container_is_told_with_its_facts() {
    let unit = unit(&inspected(|_| {}), false, &Paths::Host, Family::V4, None).expect("a unit");
    assert_eq!(unit.name, "congress_web_2");
    assert_eq!(unit.id.started(), 1_795_161_605_000_000_007);
    assert_eq!(
        (unit.phase, unit.ports.as_slice()),
        (Phase::Running, &[8000][..])
    );
    assert_eq!(unit.origin, Origin::Declared { number: 2 });
    assert_eq!(unit.reach, Reach::At(IpAddr::from([172, 18, 0, 5])));
}

#[test]
fn what_is_mounted_into_a_container_is_told_where_usher_sees_it() {
    let container = inspected(|value| {
        value["Mounts"] = json!([
            { "Type": "bind", "Source": "/srv/usher/certs", "Destination": "/etc/postfix/certs" },
            { "Type": "volume", "Source": "/var/lib/docker/volumes/x/_data", "Destination": "/x" },
            { "Type": "tmpfs", "Destination": "/tmp" },
        ]);
    });
    let mounts = |own: Option<&[(PathBuf, PathBuf)]>| {
        let unit = unit(&container, false, &Paths::Host, Family::V4, own).expect("a unit");
        unit.mounts
    };
    let all = ["/srv/usher/certs", "/var/lib/docker/volumes/x/_data"].map(PathBuf::from);
    assert_eq!(mounts(None), all);
    let own = [(PathBuf::from("/srv/usher"), PathBuf::from("/data"))];
    assert_eq!(mounts(Some(&own)), [PathBuf::from("/data/certs")]);
}

#[test]
fn what_usher_made_says_so() {
    let clone = inspected(|value| value["Config"]["Labels"]["usher.clone-of"] = json!("x"));
    let unit = unit(&clone, false, &Paths::Host, Family::V4, None).expect("a unit");
    assert_eq!(unit.origin, Origin::Added { number: 2 });
}

#[test]
fn the_address_is_the_one_on_a_shared_network() {
    let reach = |paths: &Paths| reach(&inspected(|_| {}), paths, Family::V4);
    assert_eq!(
        reach(&attached(&["n-front"], true)),
        Reach::At(IpAddr::from([172, 19, 0, 5]))
    );
    let both = attached(&["n-front", "n-back"], true);
    assert_eq!(
        reach(&both),
        Reach::At(IpAddr::from([172, 18, 0, 5])),
        "sorted by name"
    );
}

#[test]
fn without_a_shared_network_it_says_what_could_be_joined() {
    let Reach::Unreachable { joinable, .. } =
        reach(&inspected(|_| {}), &attached(&["other"], true), Family::V4)
    else {
        panic!("reachable");
    };
    let names: Vec<_> = joinable
        .iter()
        .map(|network| network.name.as_str())
        .collect();
    assert_eq!(names, ["congress_back", "congress_front"]);
    let Reach::Unreachable { joinable, .. } =
        reach(&inspected(|_| {}), &attached(&[], false), Family::V4)
    else {
        panic!("reachable");
    };
    assert!(joinable.is_empty(), "reach only");
    assert!(matches!(
        reach(&inspected(|_| {}), &Paths::Nowhere, Family::V4),
        Reach::Unreachable { .. }
    ));
}

#[test]
fn the_routing_mesh_is_no_way_to_a_container() {
    let meshed = inspected(|value| {
        value["NetworkSettings"]["Networks"] =
            json!({ "ingress": { "NetworkID": "i", "IPAddress": "10.0.0.3" } });
    });
    assert!(matches!(
        reach(&meshed, &Paths::Host, Family::V4),
        Reach::Unreachable { .. }
    ));
}

#[test]
fn the_hosts_network_is_reached_on_the_host_and_by_a_gateway() {
    let host = inspected(|value| value["HostConfig"]["NetworkMode"] = json!("host"));
    assert_eq!(
        reach(&host, &Paths::Host, Family::V4),
        Reach::Host(IpAddr::from([127, 0, 0, 1]))
    );
    assert!(matches!(
        reach(&host, &attached(&[], true), Family::V4),
        Reach::Unreachable { .. }
    ));
    let gateway = IpAddr::from([172, 17, 0, 1]);
    let by_gateway = Paths::Attached {
        ids: Vec::new(),
        join: true,
        host: Some(gateway),
    };
    let reached = reach(&host, &by_gateway, Family::V4);
    assert_eq!(reached, Reach::Host(gateway));
}

#[test]
fn ipv6_is_used_first_where_that_is_preferred() {
    let both = inspected(|value| {
        value["NetworkSettings"]["Networks"] = json!({ "both": {
            "NetworkID": "n", "IPAddress": "172.18.0.5", "GlobalIPv6Address": "fd00::5",
        } });
    });
    let v6 = reach(&both, &Paths::Host, Family::V6);
    assert_eq!(v6, Reach::At("fd00::5".parse().expect("address")));
    let four = reach(&inspected(|_| {}), &Paths::Host, Family::V6);
    assert_eq!(four, Reach::At(IpAddr::from([172, 18, 0, 5])));
}

#[test]
fn ipv6_is_used_where_there_is_nothing_else() {
    let six = inspected(|value| {
        value["NetworkSettings"]["Networks"] =
            json!({ "six": { "NetworkID": "n", "IPAddress": "", "GlobalIPv6Address": "fd00::5" } });
    });
    assert_eq!(
        reach(&six, &Paths::Host, Family::V4),
        Reach::At("fd00::5".parse().expect("address"))
    );
}

#[test]
fn phases_and_health_are_the_engines() {
    let with = |status: &str, code: i64| {
        inspected(|value| {
            value["State"] = json!({ "Status": status, "ExitCode": code });
        })
    };
    assert_eq!(phase(&with("exited", 3), false), Phase::Exited { code: 3 });
    assert_eq!(phase(&with("created", 0), false), Phase::Created);
    assert_eq!(phase(&with("paused", 0), false), Phase::Other);
    assert_eq!(phase(&inspected(|_| {}), true), Phase::Leaving);
    let health_of = |status: &str| {
        health(&inspected(|value| {
            value["State"]["Health"] = json!({ "Status": status })
        }))
    };
    assert_eq!(health_of("healthy"), Some(true));
    assert_eq!(health_of("starting"), Some(false));
    assert_eq!(health_of("none"), None);
}

#[test]
fn a_volume_is_seen_through_the_nearest_mount() {
    let path = Path::new("/var/lib/docker/volumes/congress_static/_data");
    assert_eq!(visible(path, None), Volume::At(path.into()));
    let mounts = [
        ("/var/lib/docker/volumes", "/volumes"),
        ("/var/lib/docker/volumes/congress_static/_data", "/static"),
        ("/var/lib", "/far"),
    ]
    .map(|(from, to)| (PathBuf::from(from), PathBuf::from(to)));
    assert_eq!(visible(path, Some(&mounts)), Volume::At("/static".into()));
    assert_eq!(
        visible(path, Some(&mounts[..1])),
        Volume::At("/volumes/congress_static/_data".into())
    );
    assert!(matches!(visible(path, Some(&[])), Volume::Invisible { .. }));
}

#[test]
fn a_container_of_no_project_is_a_stack_of_its_own() {
    let named = |name: &str| {
        let alone = inspected(|value| {
            value["Name"] = json!(format!("/{name}"));
            value["Config"]["Labels"] = json!({});
        });
        let (stack, service) = place_alone(&alone).expect("a place");
        (stack.to_string(), service.to_string())
    };
    assert_eq!(
        named("my.blog_1"),
        ("my-blog_1".to_owned(), "my.blog_1".to_owned())
    );
    assert_eq!(named(&"x".repeat(90)).0.len(), 63);
    assert_eq!(place_alone(&inspected(|_| {})), None, "a project's");
    for name in ["blog", &"x".repeat(63)] {
        let other = another_name(&name.parse().expect("name")).expect("another");
        assert!(other.as_str() != name && other.as_str().ends_with("-alone"));
    }
}

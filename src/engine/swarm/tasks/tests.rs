use serde_json::json;

use super::super::counts::Counts;
use super::super::listing::Look;
use super::*;

fn node(id: &str, state: &str, address: &str) -> wire::Node {
    let told = json!({
        "ID": id,
        "Description": { "Hostname": format!("host-{id}") },
        "Status": { "State": state, "Addr": address },
    });
    serde_json::from_value(told).expect("a node")
}

fn attachment(name: &str, attachable: bool, address: &str) -> Value {
    json!({
        "Network": {
            "ID": format!("id of {name}"),
            "Spec": { "Name": name, "Attachable": attachable, "Ingress": name == "ingress" },
        },
        "Addresses": [address],
    })
}

fn task(state: &str, desired: &str, attachments: &[Value]) -> Task {
    let told = json!({
        "ID": "t1",
        "CreatedAt": "2026-11-21T09:00:00Z",
        "Spec": { "ContainerSpec": {
            "Image": "app:1",
            "Mounts": [{ "Type": "bind", "Source": "/srv/media" },
                       { "Type": "volume", "Source": "data" }],
        } },
        "Slot": 3,
        "NodeID": "a",
        "Status": { "State": state, "Timestamp": "2026-11-21T09:00:05Z",
                    "ContainerStatus": { "ContainerID": "c1", "ExitCode": 7 } },
        "DesiredState": desired,
        "NetworksAttachments": attachments,
    });
    serde_json::from_value(told).expect("a task")
}

fn seen_from(paths: &Paths, task: &Task, node: &wire::Node) -> Option<Unit> {
    let service: Service = serde_json::from_value(json!({
        "ID": "s1",
        "Spec": { "Name": "congress_web",
                  "Labels": { "com.github.nginx-proxy.nginx-proxy.loadbalance": "ip_hash;" },
                  "TaskTemplate": { "ContainerSpec": {
                      "Env": ["VIRTUAL_HOST=congress.example.org", "SECRET=x"] } },
                  "EndpointSpec": { "Ports": [{ "TargetPort": 53, "Protocol": "udp" },
                                              { "TargetPort": 8000 }] } },
    }))
    .expect("a service");
    let around = Around {
        nodes: &BTreeMap::from([("a", node)]),
        local: "a",
        paths,
        mounts: None,
        reads_claims: true,
    };
    unit(&service, task, Some(0), &around)
}

fn inside(ids: &[&str]) -> Paths {
    Paths::Attached {
        ids: ids.iter().map(|id| format!("id of {id}")).collect(),
        join: true,
        host: None,
    }
}

fn reached(paths: &Paths, attachments: &[Value]) -> Reach {
    let task = task("running", "running", attachments);
    let unit = seen_from(paths, &task, &node("a", "ready", "10.1.0.1"));
    unit.expect("a unit").reach
}

#[test]
fn a_task_is_a_unit_with_its_own_address() {
    let attached = [
        attachment("ingress", false, "10.0.0.9/24"),
        attachment("congress_default", true, "10.0.1.3/24"),
    ];
    let task = task("running", "running", &attached);
    let node = node("a", "ready", "10.1.0.1");
    let unit = seen_from(&inside(&["congress_default"]), &task, &node).expect("a unit");
    assert_eq!(unit.name, "congress_web.3");
    assert_eq!(unit.reach, Reach::At(IpAddr::from([10, 0, 1, 3])));
    assert_eq!(unit.phase, Phase::Running);
    assert_eq!(unit.ports, [8000]);
    assert_eq!(unit.mounts, [PathBuf::from("/srv/media")]);
    assert_eq!(unit.origin, Origin::Declared { number: 3 });
    let claimed: Vec<_> = unit.claims.values.iter().collect();
    let expected = [
        ("VIRTUAL_HOST", "congress.example.org"),
        ("com.github.nginx-proxy.nginx-proxy.loadbalance", "ip_hash;"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(
        claimed,
        expected.each_ref().map(|(key, value)| (key, value))
    );
    let told = unit.task.expect("a task");
    assert_eq!((told.node.as_str(), told.turn), ("host-a", Some(0)));
}

#[test]
fn states_of_a_task_are_phases_of_a_unit() {
    for (state, desired, down, phase) in [
        ("pending", "running", false, Some(Phase::Created)),
        ("ready", "ready", false, Some(Phase::Created)),
        ("preparing", "shutdown", false, None),
        ("running", "running", false, Some(Phase::Running)),
        ("running", "remove", false, Some(Phase::Leaving)),
        ("running", "shutdown", false, Some(Phase::Leaving)),
        // Whatever was last heard of it, it runs elsewhere by now.
        ("running", "shutdown", true, None),
        ("running", "running", true, None),
        ("failed", "shutdown", false, Some(Phase::Exited { code: 7 })),
        ("shutdown", "shutdown", false, None),
        ("orphaned", "shutdown", true, None),
    ] {
        let node = node("a", if down { "down" } else { "ready" }, "10.1.0.1");
        let unit = seen_from(&Paths::Host, &task(state, desired, &[]), &node);
        assert_eq!(unit.map(|unit| unit.phase), phase, "{state} {desired}");
    }
}

#[test]
fn what_cannot_be_reached_says_what_to_do() {
    let joinable = [
        attachment("closed", false, "10.0.1.3/24"),
        attachment("open", true, "10.0.2.3/24"),
    ];
    let Reach::Unreachable { joinable, .. } = reached(&inside(&["bridge"]), &joinable) else {
        panic!("on no shared network");
    };
    let names: Vec<_> = joinable.iter().map(|network| &network.name).collect();
    assert_eq!(names, ["open"]);

    let closed = [attachment("closed", false, "10.0.1.3/24")];
    for (paths, words) in [
        (inside(&["bridge"]), "attachable: true"),
        (Paths::Host, "run usher as a container"),
        (Paths::Nowhere, "`[engine] networks`"),
    ] {
        let Reach::Unreachable { why, joinable } = reached(&paths, &closed) else {
            panic!("{words}");
        };
        assert!(why.contains(words), "{why}");
        assert_eq!(joinable, []);
    }
}

#[test]
fn a_task_on_its_nodes_network_is_where_the_node_is() {
    let host = [attachment("host", false, "")];
    let there = Reach::At(IpAddr::from([10, 1, 0, 1]));
    assert_eq!(reached(&Paths::Host, &host), there);
    assert_eq!(reached(&inside(&[]), &host), there);
}

#[test]
fn power_over_the_machine_is_not_given_out() {
    let template = |container: Value| json!({ "ContainerSpec": container });
    assert_eq!(privilege(&template(json!({ "Image": "app:1" }))), None);
    let caps = template(json!({ "CapabilityAdd": ["CAP_NET_ADMIN"] }));
    assert_eq!(privilege(&caps), Some("cap_add"));
    let socket = template(json!({
        "Mounts": [{ "Type": "bind", "Source": "/var/run/docker.sock" }],
    }));
    assert!(privilege(&socket).is_some());
}

#[test]
fn labels_of_a_service_and_of_its_containers_that_nobody_reads_are_noted() {
    let service = serde_json::from_value(json!({
        "ID": "s1",
        "Spec": { "Name": "congress_web",
                  "Labels": { "com.docker.stack.namespace": "congress", "usher.max": "1000" },
                  "TaskTemplate": { "ContainerSpec": {
                      "Labels": { "usher.autoscale": "off", "usher.cpus": "64" } } } },
    }));
    let look = Look {
        services: vec![service.expect("a service")],
        ..Look::default()
    };
    let around = Around {
        nodes: &BTreeMap::new(),
        local: "a",
        paths: &inside(&[]),
        mounts: None,
        reads_claims: false,
    };
    let mut inventory = inventory::Inventory::default();
    look.add_to(&mut inventory, &Counts::default(), &around);
    let noted = &inventory.stacks["congress"].unknown_labels;
    assert_eq!(
        noted.iter().collect::<Vec<_>>(),
        ["usher.cpus", "usher.max"]
    );
}

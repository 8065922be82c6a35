use serde_json::json;
use tokio::time::Instant;

use super::super::clone::PROJECT;
use super::super::memory::{Inspected, Place};
use super::super::swarm::NAMESPACE;
use super::*;
use crate::folder::Presence;
use crate::inventory::{Claims, Volume};

fn container(id: &str, name: &str, labels: &[(&str, &str)]) -> ContainerInspectResponse {
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    serde_json::from_value(json!({
        "Id": id, "Name": format!("/{name}"),
        "Config": { "Labels": labels },
        "State": { "Status": "running", "Running": true, "StartedAt": "2026-05-04T08:00:00Z" },
    }))
    .expect("a container")
}

fn volume(name: &str, labels: &[(&str, &str)]) -> models::Volume {
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    serde_json::from_value(json!({
        "Name": name, "Driver": "local", "Scope": "local", "Options": {},
        "Mountpoint": format!("/volumes/{name}"), "Labels": labels,
    }))
    .expect("a volume")
}

fn web_of(project: &str) -> [(&str, &str); 2] {
    [(PROJECT, project), ("com.docker.compose.service", "web")]
}

struct Room {
    seen: Known,
    assembly: Assembly,
    standpoint: Standpoint,
    leaving: Vec<&'static str>,
}

impl Room {
    fn new() -> Self {
        let mut seen = Known::default();
        seen.changes.all = true;
        Self {
            seen,
            assembly: Assembly::default(),
            standpoint: Standpoint {
                own: None,
                paths: Paths::Host,
                mounts: None,
                family: Family::V4,
                trusted: Vec::new(),
            },
            leaving: Vec::new(),
        }
    }

    /// The engine says this of a container, which claims a name if it is of no project.
    fn set(&mut self, container: ContainerInspectResponse) {
        let id = container.id.clone().expect("an id");
        let before = self.seen.containers.get(&id);
        let mut inspected = Inspected::new(container, before, Instant::now());
        if let Place::Alone(..) = inspected.place {
            let values = BTreeMap::from([("VIRTUAL_HOST".to_owned(), "a.example.org".to_owned())]);
            inspected.claims = Some(Arc::new(Claims {
                values,
                ..Claims::default()
            }));
        }
        self.seen.containers.insert(id, inspected);
    }

    fn stacks(&mut self) -> Map<StackName, Stack> {
        let leaving = self.leaving.clone();
        let is_leaving = |container: &ContainerInspectResponse| {
            leaving.iter().any(|id| container.id.as_deref() == Some(id))
        };
        let Self {
            assembly,
            seen,
            standpoint,
            ..
        } = self;
        assembly.assemble(seen, standpoint, is_leaving)
    }
}

/// Which stacks are not the values they were.
fn changed(before: &Map<StackName, Stack>, after: &Map<StackName, Stack>) -> Vec<String> {
    let is_new = |(name, stack): &(&StackName, &Arc<Stack>)| {
        before
            .get(*name)
            .is_none_or(|known| !Arc::ptr_eq(known, stack))
    };
    let names = after.iter().filter(is_new).map(|(name, _)| name);
    names.map(ToString::to_string).collect()
}

#[test]
fn only_a_stack_of_which_something_has_changed_is_another_value() {
    let mut room = Room::new();
    for project in ["assembly", "congress"] {
        room.set(container(project, project, &web_of(project)));
    }
    let first = room.stacks();
    assert_eq!(first.len(), 2);
    // The engine is asked again and says the same.
    room.set(container("congress", "congress", &web_of("congress")));
    let second = room.stacks();
    assert_eq!(changed(&first, &second), Vec::<String>::new());
    room.set(container("c2", "congress_web_2", &web_of("congress")));
    let third = room.stacks();
    assert_eq!(changed(&second, &third), ["congress"]);
    room.leaving.push("assembly");
    let fourth = room.stacks();
    assert_eq!(changed(&third, &fourth), ["assembly"]);
    let units = &fourth["assembly"].services["web"];
    assert!(units.iter().all(|unit| unit.dismissed), "{units:?}");
    // Seen from elsewhere everything may be reached in another way.
    room.standpoint.paths = Paths::Nowhere;
    let fifth = room.stacks();
    assert_eq!(changed(&fourth, &fifth), ["assembly", "congress"]);
}

#[test]
fn a_container_alone_is_a_stack_beside_a_project_of_its_name() {
    let mut room = Room::new();
    room.set(container("a", "wiki", &[]));
    let names = |room: &mut Room| -> Vec<String> {
        room.stacks().keys().map(ToString::to_string).collect()
    };
    assert_eq!(names(&mut room), ["wiki"]);
    room.set(container("b", "wiki_web_1", &web_of("wiki")));
    assert_eq!(names(&mut room), ["wiki", "wiki-alone"]);
}

#[test]
fn volumes_of_a_stack_come_before_those_that_are_anybodys() {
    let mut room = Room::new();
    room.set(container("a", "congress_web_1", &web_of("congress")));
    room.set(container("b", "assembly_web_1", &web_of("assembly")));
    let own = [
        (PROJECT, "congress"),
        ("com.docker.compose.volume", "files"),
    ];
    room.seen.volumes = Arc::new(vec![volume("congress_files", &own), volume("files", &[])]);
    let stacks = room.stacks();
    let place = |stack: &str| stacks[stack].volumes["files"].clone();
    assert_eq!(
        place("congress"),
        Volume::At("/volumes/congress_files".into())
    );
    assert_eq!(place("assembly"), Volume::At("/volumes/files".into()));
}

#[test]
fn what_a_driver_says_of_a_volume_tells_when_its_files_are_there() {
    let mut room = Room::new();
    room.set(container("a", "congress_web_1", &web_of("congress")));
    let made = |name: &str, driver: &str, options: serde_json::Value, at: &str| {
        let volume = json!({
            "Name": name, "Driver": driver, "Scope": "local", "Options": options, "Mountpoint": at,
            "Labels": null,
        });
        serde_json::from_value(volume).expect("a volume")
    };
    room.seen.volumes = Arc::new(vec![
        made("plain", "local", json!(null), "/v/plain"),
        made("sized", "local", json!({ "size": "1G" }), "/v/sized"),
        made(
            "nfs",
            "local",
            json!({ "type": "nfs", "device": ":/x" }),
            "/v/nfs",
        ),
        made("plugged", "sshfs", json!({}), "/plugins/plugged"),
        made("unplugged", "sshfs", json!({}), ""),
    ]);
    let stacks = room.stacks();
    let volumes = &stacks["congress"].volumes;
    for (name, presence) in [
        ("plain", Presence::Always),
        ("sized", Presence::Always),
        ("nfs", Presence::Mounted),
        ("plugged", Presence::MountedOrFilled),
    ] {
        match &volumes[name] {
            Volume::At(folder) => assert_eq!(folder.presence, presence, "{name}"),
            Volume::Invisible { why } => panic!("{name}: {why}"),
        }
    }
    match &volumes["unplugged"] {
        Volume::Invisible { why } => assert!(why.contains("its driver sshfs"), "{why}"),
        Volume::At(folder) => panic!("{folder:?}"),
    }
}

#[test]
fn what_a_swarm_has_added_stays_the_same_value_too() {
    let mut room = Room::new();
    let deployed = [(NAMESPACE, "party")];
    room.seen.volumes = Arc::new(vec![volume("party_files", &deployed)]);
    let mut look = || {
        let mut stacks = room.stacks();
        stacks.insert("party".parse().expect("name"), Arc::default());
        room.assembly.complete(&mut stacks);
        stacks
    };
    let (first, second) = (look(), look());
    assert_eq!(
        first["party"].volumes["files"],
        Volume::At("/volumes/party_files".into())
    );
    assert_eq!(changed(&first, &second), Vec::<String>::new());
}

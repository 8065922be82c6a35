//! The walls between the rooms of `src`, as data. To take one down is a change to this table, which
//! somebody then has to defend.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may name. The two planes, `control` with its hands and `proxy` with its
/// listeners, share values only: neither is in the other's row.
const ROOMS: &[(&str, &[&str])] = &[
    // Values: no task, no clock, no wire.
    ("cause", &[]),
    ("drain", &["names"]),
    ("durable", &[]),
    ("fingerprint", &[]),
    ("health", &[]),
    ("failures", &["names", "plan"]),
    ("folder", &[]),
    ("inventory", &["folder", "names", "shared"]),
    ("moment", &[]),
    ("names", &[]),
    ("plan", &["drain", "folder", "names", "shared"]),
    ("shared", &[]),
    ("shutdown", &[]),
    ("host", &["shutdown"]),
    ("systemd", &["shutdown"]),
    // What is wrong with a file of passwords is told with everything else that is wrong.
    (
        "config",
        &[
            "cause",
            "fingerprint",
            "names",
            "passwords",
            "plan",
            "shutdown",
        ],
    ),
    // The control plane.
    ("autoscaler", &["config", "moment"]),
    // The window of handshakes is the one that serves.
    ("simulate", &["autoscaler", "config", "moment", "routing"]),
    (
        "compat",
        &["config", "inventory", "moment", "names", "plan", "shared"],
    ),
    (
        "control",
        &[
            "autoscaler",
            "compat",
            "config",
            "drain",
            "engine",
            "health",
            "host",
            "inventory",
            "moment",
            "names",
            "plan",
            "prober",
            "shared",
            "shutdown",
        ],
    ),
    (
        "engine",
        &[
            "cause",
            "drain",
            "folder",
            "inventory",
            "names",
            "shared",
            "shutdown",
        ],
    ),
    ("logs", &["cause", "engine", "names"]),
    ("prober", &["names", "plan", "sealed", "shared", "shutdown"]),
    // Both planes speak to replicas.
    ("sealed", &["plan"]),
    // The data plane.
    // The shutdown ends the compressing.
    ("files", &["cause", "folder", "shutdown"]),
    (
        "listener",
        &["certs", "config", "names", "plan", "routing", "shutdown"],
    ),
    (
        "proxy",
        &[
            "cause",
            "certs",
            "config",
            "failures",
            "files",
            "folder",
            "listener",
            "moment",
            "names",
            "passwords",
            "plan",
            "routing",
            "sealed",
            "sessions",
            "shutdown",
        ],
    ),
    ("passwords", &["cause"]),
    ("routing", &["drain", "names", "plan", "shared", "shutdown"]),
    ("sessions", &["names", "plan", "routing", "shared"]),
    // Beside both.
    (
        "admin",
        &[
            "cause", "certs", "config", "control", "engine", "logs", "moment", "names", "plan",
            "shared", "shutdown",
        ],
    ),
    (
        "alerts",
        &["cause", "config", "control", "moment", "shutdown"],
    ),
    (
        "certs",
        &[
            "cause",
            "config",
            "durable",
            "fingerprint",
            "folder",
            "moment",
            "names",
            "plan",
            "shutdown",
        ],
    ),
];

/// What composes the rooms may name any of them.
const COMPOSERS: &[&str] = &["app", "cli", "lib", "main"];

/// Where a crate may be named: a file, or a room with all its files.
const CRATES: &[(&str, &[&str])] = &[
    (
        "bollard",
        &[
            "engine/dial.rs",
            "engine/docker.rs",
            "engine/assembly.rs",
            "engine/assembly/members.rs",
            "engine/assembly/networks.rs",
            "engine/assembly/tests.rs",
            "engine/assembly/volumes.rs",
            "engine/attached.rs",
            "engine/compose.rs",
            "engine/containers.rs",
            "engine/containers/tests.rs",
            "engine/heard.rs",
            "engine/kinship.rs",
            "engine/kinship/tests.rs",
            "engine/memory.rs",
            "engine/setup.rs",
            "engine/siblings.rs",
            "engine/superseded.rs",
            "engine/listed_volumes.rs",
            "engine/volumes.rs",
        ],
    ),
    ("clap", &["cli", "main.rs"]),
    ("instant_acme", &["certs/orders"]),
    ("pingora", &["app", "listener", "proxy"]),
    ("regex", &["names/pattern.rs"]),
    (
        "toml",
        &[
            // Writes a file from that layer.
            "cli/init",
            "config/reader.rs",
            // Writes the layer that the environment is.
            "config/variables.rs",
            "config/variables/tests.rs",
        ],
    ),
    ("tokio_tungstenite", &["cli/demo"]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file below `src`, by its path there, without comments.
pub(crate) fn files() -> BTreeMap<String, String> {
    fn collect(folder: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(source()).unwrap().display().to_string();
                let text = fs::read_to_string(&path).unwrap();
                let code = text
                    .lines()
                    .map(|line| line.split("//").next().unwrap_or_default());
                into.insert(name, code.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&source(), &mut found);
    found
}

fn room(file: &str) -> &str {
    let first = file.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The rooms that a file names, `use crate::{a, b}` included.
fn named(code: &str) -> BTreeSet<&str> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `some_crate::` are other things.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(list.split('}').next().unwrap().split(',').map(first_word)),
            None => drop(rooms.insert(first_word(rest))),
        }
    }
    rooms.remove("");
    rooms
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn rooms_name_only_what_their_walls_allow() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let files = files();
    let mut broken = Vec::new();
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (file, code) in &files {
        let room = room(file);
        if COMPOSERS.contains(&room) {
            continue;
        }
        let Some(may) = allowed.get(room) else {
            broken.push(format!("src/{file}: the room {room} is not in the table"));
            continue;
        };
        for other in named(code).into_iter().filter(|other| *other != room) {
            used.insert((room, other));
            if !may.contains(&other) {
                broken.push(format!("src/{file} names crate::{other}"));
            }
        }
    }
    // A hole that nobody uses is a wall again.
    for (room, may) in ROOMS {
        for other in *may {
            if !used.contains(&(room, other)) {
                broken.push(format!(
                    "{room} does not name {other} any more: close the hole"
                ));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// Who can make a gate can make a proof: only where everybody inside is counted, and in tests.
#[test]
fn gates_are_made_where_the_counting_is() {
    let allowed = [
        "control/step/tests.rs",
        "drain.rs",
        "engine/processes/tests.rs",
        "routing/load.rs",
    ];
    let makers: Vec<_> = files()
        .into_iter()
        .filter(|(_, code)| code.contains("Gate"))
        .filter(|(_, code)| code.contains("drain::"))
        .map(|(file, _)| file)
        .filter(|file| !allowed.contains(&file.as_str()))
        .collect();
    assert_eq!(makers, Vec::<String>::new());
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let files = files();
    let mut broken = Vec::new();
    for (name, places) in CRATES {
        let mut found = false;
        for (file, code) in &files {
            let path = format!("{name}::");
            let names = code.match_indices(&path).any(|(at, _)| {
                let before = &code[..at];
                !before.ends_with(|before: char| before.is_alphanumeric() || before == '_')
                    && !before.ends_with("::")
            });
            if !names {
                continue;
            }
            found = true;
            let belongs = places
                .iter()
                .any(|place| file == place || file.starts_with(&format!("{place}/")));
            if !belongs {
                broken.push(format!("src/{file} names {name}"));
            }
        }
        assert!(found, "{name} is named nowhere: this table is out of date");
    }
    assert_eq!(broken, Vec::<String>::new());
}

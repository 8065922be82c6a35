use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::certs::pair::tests::{month, pem};
use crate::folder::Folder;
use crate::plan::{Declared, KeyType};

/// The folder of certificates, and the volume of one stack.
struct Room {
    folder: tempfile::TempDir,
    wanted: Vec<WantedCertificate>,
}

impl Room {
    /// The first instance exports.
    fn new(instances: &[(&str, &[&str])]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("certs")).expect("made");
        let volume = folder.path().join("volume");
        fs::create_dir(&volume).expect("made");
        let wanted = instances.iter().enumerate().map(|(at, (instance, names))| {
            let names = names.iter().map(|name| name.parse().expect("name"));
            WantedCertificate {
                instance: instance.parse().expect("name"),
                names: names.collect(),
                patterns: Vec::new(),
                wildcards: Vec::new(),
                local: Vec::new(),
                pinned: None,
                may_order: true,
                staging: false,
                directory: None,
                email: None,
                key_type: KeyType::default(),
                trust_default: false,
                declared: Declared::ByName,
                export: (at == 0).then(|| Export {
                    volume: "certs".to_owned(),
                    place: FileRoot::At {
                        root: volume.as_path().into(),
                        path: PathBuf::new(),
                    },
                }),
            }
        });
        Self {
            wanted: wanted.collect(),
            folder,
        }
    }

    fn disk(&self) -> Disk {
        Disk::new(self.folder.path().join("certs"))
    }

    fn issue(&self, names: &[&str]) {
        let (chain, key) = pem(names);
        let names = names.iter().map(|name| name.parse().expect("name"));
        let lineage = Lineage::new(names, false).expect("a lineage");
        self.disk().write(&lineage, &chain, &key).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self) -> Exported {
        export(
            &self.disk(),
            &self.wanted.iter().cloned().collect(),
            &self.wanted[0],
            month(6),
        )
    }

    /// The names of what is in the volume.
    fn volume(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("volume")).expect("a folder");
        let names = entries.map(|entry| entry.expect("entry").file_name().into_string());
        let mut names: Vec<String> = names.map(|name| name.expect("text")).collect();
        names.sort();
        names
    }
}

#[test]
fn only_the_instances_own_pair_is_in_its_volume_in_the_companions_layout() {
    let room = Room::new(&[
        ("one", &["a.example.org", "www.a.example.org"]),
        ("two", &["b.example.org"]),
    ]);
    room.issue(&["a.example.org", "www.a.example.org"]);
    room.issue(&["b.example.org"]);
    assert_eq!(room.export(), Ok(1));
    let links = |name: &str| ["chain.pem", "crt", "key"].map(|ending| format!("{name}.{ending}"));
    let mut expected = vec!["a.example.org".to_owned()];
    expected.extend(links("a.example.org"));
    expected.extend(links("www.a.example.org"));
    assert_eq!(room.volume(), expected);
    for file in ["fullchain.pem", "key.pem"] {
        let read = |at: &str| fs::read(room.path(at).join("a.example.org").join(file));
        assert_eq!(
            read("volume").expect("there"),
            read("certs").expect("there"),
            "{file}"
        );
    }
    let key = fs::metadata(room.path("volume/a.example.org/key.pem")).expect("there");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    // What is there already is not written again, and what is new is.
    let before = fs::metadata(room.path("volume/a.example.org")).expect("there");
    assert_eq!(room.export(), Ok(0));
    let after = fs::metadata(room.path("volume/a.example.org")).expect("there");
    assert_eq!(before.modified().ok(), after.modified().ok());
    room.issue(&["a.example.org", "www.a.example.org"]);
    assert_eq!(room.export(), Ok(1));
    assert_eq!(room.volume(), expected);
}

#[test]
fn a_pair_with_which_a_stack_could_pose_as_another_is_not_exported() {
    let mut room = Room::new(&[("one", &["a.example.org"]), ("two", &["b.example.org"])]);
    let (chain, key) = pem(&["example.org", "*.example.org"]);
    fs::write(room.path("certs/example.org.crt"), chain).expect("written");
    fs::write(room.path("certs/example.org.key"), key).expect("written");
    // Whether it is shared silently or on purpose.
    for pinned in [None, Some("example.org".to_owned())] {
        room.wanted[0].pinned = pinned;
        let why = room.export().expect_err("not exported");
        assert!(
            why.contains("could pose as b.example.org of the instance two"),
            "{why}"
        );
        assert_eq!(room.volume(), [""; 0]);
    }
}

#[test]
fn nothing_in_a_hostile_volume_leads_out_of_it() {
    let room = Room::new(&[("one", &["a.example.org"])]);
    room.issue(&["a.example.org"]);
    let outside = room.path("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join(".companion"), "").expect("written");
    fs::write(outside.join("key.pem"), "precious").expect("written");
    let volume = |name: &str| room.path("volume").join(name);

    // A link in the place of the folder.
    symlink(&outside, volume("a.example.org")).expect("linked");
    let why = room.export().expect_err("refused");
    assert!(
        why.contains("the volume `certs`") && why.contains("left alone"),
        "{why}"
    );
    fs::remove_file(volume("a.example.org")).expect("removed");

    // In the place of what is written before it gets its name.
    symlink(&outside, volume(".a.example.org.new")).expect("linked");
    for ending in ["crt", "key", "chain.pem"] {
        symlink(&outside, volume(&format!(".a.example.org.{ending}.new"))).expect("linked");
        symlink(
            outside.join("key.pem"),
            volume(&format!("a.example.org.{ending}")),
        )
        .expect("linked");
    }
    assert_eq!(room.export(), Ok(1));
    let kept = fs::read_to_string(outside.join("key.pem")).expect("there");
    assert_eq!(kept, "precious");
    let names: Vec<_> = fs::read_dir(&outside).expect("a folder").collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(volume("a.example.org/key.pem").is_file());

    // Folders in folders, where usher makes none.
    fs::create_dir_all(volume(".a.example.org.new/deep/deeper")).expect("made");
    room.issue(&["a.example.org"]);
    let why = room.export().expect_err("in the way");
    assert!(
        why.contains("cannot be exported into the volume `certs`"),
        "{why}"
    );
}

#[test]
fn a_volume_that_is_not_there_is_named() {
    let mut room = Room::new(&[("one", &["a.example.org"])]);
    room.issue(&["a.example.org"]);
    fs::remove_dir(room.path("volume")).expect("removed");
    let why = room.export().expect_err("not there");
    assert!(
        why.contains("the volume `certs`") && why.contains("No such file"),
        "{why}"
    );
    // What is there while it is not mounted would be hidden by the next mount.
    fs::create_dir(room.path("volume")).expect("made");
    let path = room.path("volume");
    let presence = Presence::Mounted;
    let export = room.wanted[0].export.as_mut().expect("exports");
    export.place = FileRoot::At {
        root: Folder { path, presence },
        path: PathBuf::new(),
    };
    let why = room.export().expect_err("not mounted");
    assert!(why.contains("nothing is mounted on it"), "{why}");
    assert_eq!(
        fs::read_dir(room.path("volume")).expect("a folder").count(),
        0
    );
    let export = room.wanted[0].export.as_mut().expect("exports");
    export.place = FileRoot::Missing("it is not mounted into usher's container".to_owned());
    let why = room.export().expect_err("not seen");
    assert!(
        why.contains("the volume `certs`: it is not mounted"),
        "{why}"
    );
}

#[test]
fn one_pair_is_taken_out_for_an_operator_and_what_is_missing_is_told() {
    let room = Room::new(&[("one", &["a.example.org"])]);
    room.issue(&["a.example.org"]);
    let take = |name: &str| {
        let name = name.parse().expect("name");
        take_out(&room.path("certs"), &name, month(6))
    };
    let pair = take("a.example.org").expect("there");
    assert!(pair.chain.starts_with("-----BEGIN CERTIFICATE"));
    assert!(pair.key.contains("PRIVATE KEY"));
    let why = take("c.example.org").expect_err("nothing");
    assert!(why.contains("no pair for c.example.org"), "{why}");
}

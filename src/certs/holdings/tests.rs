use std::fs;

use super::*;
use crate::certs::pair::tests::{month, pem};
use crate::names::HostPattern;
use crate::plan::{Declared, KeyType};

/// The folder of a test, and who wants what from it.
struct Room {
    folder: tempfile::TempDir,
    holdings: Holdings,
    wanted: Vec<WantedCertificate>,
}

fn domain(name: &str) -> Domain {
    name.parse().expect("a name")
}

impl Room {
    fn new(wanted: &[(&str, &[&str])]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let wanted = wanted.iter().map(|(instance, names)| {
            let (mut exact, mut wildcards) = (Vec::new(), Vec::new());
            for name in *names {
                match domain(name) {
                    Domain::Exact(host) => exact.push(host),
                    Domain::Below(host) => wildcards.push(host),
                }
            }
            WantedCertificate {
                instance: instance.parse().expect("a name"),
                names: exact,
                patterns: Vec::new(),
                wildcards,
                local: Vec::new(),
                pinned: None,
                may_order: true,
                staging: false,
                declared: Declared::ByName,
                export: None,
                directory: None,
                email: None,
                key_type: KeyType::default(),
                trust_default: false,
            }
        });
        Self {
            holdings: Holdings::new(
                Disk::new(folder.path().to_owned()),
                LocalAuthority::new(&folder.path().join("state")),
            ),
            wanted: wanted.collect(),
            folder,
        }
    }

    /// As an operator puts files there.
    fn put(&self, name: &str, names: &[&str]) {
        let (chain, key) = pem(names);
        fs::write(self.path(&format!("{name}.crt")), chain).expect("written");
        fs::write(self.path(&format!("{name}.key")), key).expect("written");
    }

    /// As the companion lays them.
    fn put_folder(&self, base: &str, names: &[&str]) {
        let (chain, key) = pem(names);
        fs::create_dir_all(self.path(base)).expect("made");
        for (file, content) in [
            ("fullchain.pem", &*chain),
            ("key.pem", &key),
            (".companion", ""),
        ] {
            fs::write(self.path(base).join(file), content).expect("written");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn all(&self) -> Wanted {
        self.wanted.iter().cloned().collect()
    }

    fn read(&mut self) -> Pairs {
        self.read_at(month(6))
    }

    fn read_at(&mut self, now: SystemTime) -> Pairs {
        self.holdings.read(&self.all(), now)
    }

    fn served_from(&self, name: &str) -> Option<String> {
        let found = self.holdings.pair(&domain(name))?;
        let path = found.path.strip_prefix(self.folder.path()).expect("there");
        Some(path.display().to_string())
    }

    fn trouble(&self, name: &str) -> String {
        let name = domain(name);
        let mut troubles = self.holdings.troubles();
        let found = troubles.find(|(known, _)| **known == name);
        found.map(|(_, text)| text.to_owned()).unwrap_or_default()
    }
}

#[test]
fn a_name_has_its_own_pair_before_a_wildcards_folder_before_its_parents() {
    let mut room = Room::new(&[("one", &["a.example.org", "x.a.example.org"])]);
    room.put("example.org", &["example.org", "*.example.org"]);
    room.read();
    assert_eq!(
        room.served_from("a.example.org").as_deref(),
        Some("example.org.crt")
    );
    // A certificate's wildcard stands for one label.
    assert_eq!(room.served_from("x.a.example.org"), None);
    room.put_folder("wildcard_example.org", &["*.example.org"]);
    room.read();
    let wildcard = "wildcard_example.org/fullchain.pem";
    assert_eq!(room.served_from("a.example.org").as_deref(), Some(wildcard));
    room.put("a.example.org", &["a.example.org"]);
    room.read();
    assert_eq!(
        room.served_from("a.example.org").as_deref(),
        Some("a.example.org.crt")
    );
}

#[test]
fn a_parents_pair_that_is_not_for_the_name_is_no_trouble() {
    let mut room = Room::new(&[("one", &["a.example.org"])]);
    room.put("example.org", &["example.org"]);
    room.read();
    assert_eq!(room.served_from("a.example.org"), None);
    assert_eq!(room.trouble("a.example.org"), "");
}

#[test]
fn a_wildcard_is_found_in_its_folder_else_under_the_name_it_stands_above() {
    let mut room = Room::new(&[("one", &["*.example.org"]), ("two", &["*.other.org"])]);
    room.put_folder("wildcard_example.org", &["*.example.org"]);
    room.put("other.org", &["other.org", "*.other.org"]);
    room.read();
    let from = room.served_from("*.example.org");
    assert_eq!(from.as_deref(), Some("wildcard_example.org/fullchain.pem"));
    assert_eq!(
        room.served_from("*.other.org").as_deref(),
        Some("other.org.crt")
    );
}

#[test]
fn no_name_is_served_with_the_pair_of_another_instance() {
    let mut room = Room::new(&[("one", &["a.example.org"]), ("two", &["example.org"])]);
    room.put("example.org", &["example.org", "*.example.org"]);
    room.read();
    assert_eq!(room.served_from("a.example.org"), None);
    let said = room.trouble("a.example.org");
    assert!(said.contains("belongs to the instance two"), "{said}");
    assert!(said.contains("`certificate = \"example.org\"`"), "{said}");
    assert!(room.served_from("example.org").is_some());

    // The operator may say that it is shared.
    room.wanted[0].pinned = Some("example.org".to_owned());
    room.read();
    assert_eq!(
        room.served_from("a.example.org").as_deref(),
        Some("example.org.crt")
    );
}

#[test]
fn a_handshake_for_a_name_without_a_pair_is_not_answered_with_a_neighbours_wildcard() {
    let mut room = Room::new(&[("one", &["a.example.org"]), ("two", &["*.example.org"])]);
    room.put_folder("wildcard_example.org", &["*.example.org"]);
    let store = crate::certs::Store::new(false);
    store.replace(room.read());
    assert!(store.covers(&"b.example.org".parse().expect("name")));
    assert!(!store.covers(&"a.example.org".parse().expect("name")));
    let said = room.trouble("a.example.org");
    assert!(said.contains("belongs to the instance two"), "{said}");
}

#[test]
fn a_wildcard_of_ones_own_is_used_beside_a_neighbour_who_has_the_parent() {
    let mut room = Room::new(&[
        ("one", &["*.example.org", "a.example.org"]),
        ("two", &["example.org"]),
    ]);
    room.put_folder("wildcard_example.org", &["*.example.org"]);
    room.put("example.org", &["example.org"]);
    room.read();
    let wildcard = Some("wildcard_example.org/fullchain.pem");
    assert_eq!(room.served_from("*.example.org").as_deref(), wildcard);
    assert_eq!(room.served_from("a.example.org").as_deref(), wildcard);
    assert_eq!(
        room.served_from("example.org").as_deref(),
        Some("example.org.crt")
    );
}

#[test]
fn the_last_good_pair_stays_whatever_becomes_of_the_folder_and_the_clock() {
    let mut room = Room::new(&[("one", &["a.example.org", "*.b.example.org"])]);
    room.put("a.example.org", &["a.example.org"]);
    room.put_folder("wildcard_b.example.org", &["*.b.example.org"]);
    room.put("default", &["default.example.org"]);
    room.read();
    let names = ["a.example.org", "*.b.example.org"];
    let spoilt: [fn(&Room); 3] = [
        |room| {
            for file in [
                "a.example.org.key",
                "wildcard_b.example.org/key.pem",
                "default.crt",
            ] {
                fs::write(room.path(file), "garbage").expect("written");
            }
        },
        |room| {
            for file in [
                "a.example.org.key",
                "wildcard_b.example.org/key.pem",
                "default.key",
            ] {
                fs::remove_file(room.path(file)).expect("removed");
            }
        },
        |room| {
            fs::remove_file(room.path("a.example.org.crt")).expect("removed");
            fs::remove_dir_all(room.path("wildcard_b.example.org")).expect("removed");
        },
    ];
    for spoil in spoilt {
        spoil(&room);
        let pairs = room.read();
        assert!(pairs.default.is_some());
        for name in names {
            assert!(
                room.served_from(name).is_some(),
                "{name}: {}",
                room.trouble(name)
            );
            assert_ne!(room.trouble(name), "", "{name}");
        }
    }
    // A clock that is wrong makes everything look expired.
    room.read_at(month(30));
    let held = room.holdings.of(&names.map(domain));
    assert!(held.all && held.not_after.is_some_and(|end| end < month(30)));
}

#[test]
fn a_bad_pair_of_its_own_falls_back_to_a_wildcard_and_is_told() {
    let mut room = Room::new(&[("one", &["a.example.org"])]);
    room.put("a.example.org", &["a.example.org"]);
    fs::write(room.path("a.example.org.key"), "garbage").expect("written");
    room.put_folder("wildcard_example.org", &["*.example.org"]);
    room.read();
    let wildcard = Some("wildcard_example.org/fullchain.pem");
    assert_eq!(room.served_from("a.example.org").as_deref(), wildcard);
    let said = room.trouble("a.example.org");
    assert!(said.contains("a.example.org.key holds no key"), "{said}");
}

#[test]
fn an_expired_pair_is_not_served_and_its_end_is_known() {
    let mut room = Room::new(&[("one", &["a.example.org"])]);
    room.put("a.example.org", &["a.example.org"]);
    room.read_at(month(14));
    assert_eq!(room.served_from("a.example.org"), None);
    let held = room.holdings.of(&[domain("a.example.org")]);
    assert!(!held.all && held.not_after.is_some());
}

#[test]
fn a_name_that_is_new_is_read_alone_and_what_others_hang_on_with_all() {
    let mut room = Room::new(&[("one", &["a.example.org"]), ("two", &["b.example.net"])]);
    room.put("a.example.org", &["a.example.org"]);
    room.put("c.example.com", &["c.example.com"]);
    room.read();
    let before = room.all();
    // Neither is anybody's parent, and the folder is as it was.
    room.wanted[1].names = vec!["c.example.com".parse().expect("a name")];
    let now = room.all();
    let news = News::between(&before, &now);
    let change = room.holdings.follow(&news, month(6)).expect("enough");
    assert_eq!(change.gone, [domain("b.example.net")]);
    let [(name, Some(_))] = &change.new[..] else {
        panic!("{:?}", change.gone);
    };
    assert_eq!(*name, domain("c.example.com"));
    assert_eq!(
        room.served_from("c.example.com").as_deref(),
        Some("c.example.com.crt")
    );
    assert!(room.served_from("a.example.org").is_some(), "not looked at");
    let mut follows = |change: &dyn Fn(&mut WantedCertificate)| {
        let mut wanted = room.wanted.clone();
        change(&mut wanted[1]);
        let (before, now) = (room.all(), wanted.into_iter().collect());
        let news = News::between(&before, &now);
        room.holdings.follow(&news, month(6)).is_some()
    };
    let parent = |one: &mut WantedCertificate| {
        one.names.push("example.org".parse().expect("a name"));
    };
    let shape = |one: &mut WantedCertificate| {
        one.patterns
            .push(HostPattern::parse("~^x").expect("a shape"));
    };
    assert!(!follows(&parent), "a.example.org may be served with it");
    assert!(!follows(&shape), "it is under no name");
    assert!(!follows(&|one| one.staging = true));
    room.put("d.example.com", &["d.example.com"]);
    let news = News::default();
    let followed = room.holdings.follow(&news, month(6)).is_some();
    assert!(!followed, "the folder is another one");
}

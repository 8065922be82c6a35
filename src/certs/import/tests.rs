use std::fs;
use std::time::Duration;

use super::*;

struct Folders {
    folder: tempfile::TempDir,
}

/// A pair that ends in this month of 2026.
fn pem(names: &[&str], ends: u8) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names).expect("names");
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, ends, 28);
    let key = rcgen::KeyPair::generate().expect("key");
    let certificate = params.self_signed(&key).expect("signed");
    (certificate.pem(), key.serialize_pem())
}

fn june() -> SystemTime {
    crate::certs::pair::tests::month(6)
}

impl Folders {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["from", "into"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As the companion lays a pair: a folder, and links for each name.
    fn companion(&self, at: &str, base: &str, names: &[&str], ends: u8) {
        let (chain, key) = pem(names, ends);
        let folder = self.path(at).join(base);
        fs::create_dir_all(&folder).expect("made");
        for (file, content) in [
            ("fullchain.pem", &*chain),
            ("key.pem", &key),
            (".companion", ""),
        ] {
            fs::write(folder.join(file), content).expect("written");
        }
        for name in names {
            let name = name.trim_start_matches("*.");
            for (ending, file) in [("crt", "fullchain.pem"), ("key", "key.pem")] {
                let link = self.path(at).join(format!("{name}.{ending}"));
                let _ = fs::remove_file(&link);
                std::os::unix::fs::symlink(format!("./{base}/{file}"), link).expect("linked");
            }
        }
    }

    fn flat(&self, at: &str, name: &str, names: &[&str], ends: u8) {
        let (chain, key) = pem(names, ends);
        fs::write(self.path(at).join(format!("{name}.crt")), chain).expect("written");
        fs::write(self.path(at).join(format!("{name}.key")), key).expect("written");
    }

    /// What came of each name, in a word.
    fn import(&self) -> Vec<(String, &'static str)> {
        let outcomes = import(&self.path("from"), &self.path("into"), june()).expect("read");
        let mut told: Vec<_> = outcomes
            .into_iter()
            .map(|Imported { name, outcome }| match outcome {
                Outcome::Kept(_) => (name, "kept"),
                Outcome::LeftOut(_) => (name, "left out"),
                Outcome::Taken { .. } => (name, "taken"),
            })
            .collect();
        told.sort();
        told
    }

    /// Every file and link of a folder, with what is in it.
    fn tree(&self, at: &str) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(at)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_symlink() {
                    let target = fs::read_link(&path).expect("a link");
                    found.push((path, target.display().to_string()));
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read_to_string(&path).expect("a file");
                    found.push((path, content));
                }
            }
        }
        found.sort();
        found
    }

    fn ends(&self, name: &str) -> Option<SystemTime> {
        let files = Disk::new(self.path("into")).files(name).expect("read")?;
        Some(files.check(None, june()).expect("good").pair.not_after)
    }
}

#[test]
fn pairs_of_the_companion_and_flat_ones_are_taken_as_they_are() {
    let folders = Folders::new();
    folders.companion(
        "from",
        "a.example.org",
        &["a.example.org", "www.a.example.org"],
        9,
    );
    folders.companion("from", "wildcard_b.example.org", &["*.b.example.org"], 9);
    folders.companion("from", "_test_c.example.org", &["c.example.org"], 9);
    folders.flat("from", "d.example.org", &["d.example.org"], 9);
    folders.flat("from", "e.example.org", &["*.e.example.org"], 9);
    let before = folders.tree("from");
    let names = [
        "*.b.example.org",
        "*.e.example.org",
        "a.example.org",
        "c.example.org",
        "d.example.org",
        "www.a.example.org",
    ];
    assert_eq!(
        folders.import(),
        names.map(|name| (name.to_owned(), "taken"))
    );
    for name in [
        "a.example.org",
        "www.a.example.org",
        "c.example.org",
        "d.example.org",
    ] {
        assert!(folders.ends(name).is_some(), "{name}");
    }
    let here = Disk::new(folders.path("into"));
    for name in ["b.example.org", "e.example.org"] {
        assert!(here.wildcard_files(name).expect("read").is_some(), "{name}");
    }
    assert!(folders.path("into/_test_c.example.org").is_dir());
    assert_eq!(
        folders.tree("from"),
        before,
        "the other folder is only read"
    );

    // Once more changes nothing.
    let taken = folders.tree("into");
    assert_eq!(
        folders.import(),
        names.map(|name| (name.to_owned(), "kept"))
    );
    assert_eq!(folders.tree("into"), taken);
}

#[test]
fn what_ends_later_stays_and_what_is_trusted_beats_what_is_not() {
    let folders = Folders::new();
    folders.companion("into", "later.example.org", &["later.example.org"], 9);
    folders.companion("from", "later.example.org", &["later.example.org"], 8);
    folders.companion("into", "sooner.example.org", &["sooner.example.org"], 7);
    folders.companion("from", "sooner.example.org", &["sooner.example.org"], 8);
    folders.companion("into", "trusted.example.org", &["trusted.example.org"], 7);
    folders.companion(
        "from",
        "_test_trusted.example.org",
        &["trusted.example.org"],
        8,
    );
    folders.companion("into", "_test_late.example.org", &["late.example.org"], 9);
    folders.companion("from", "late.example.org", &["late.example.org"], 8);
    folders.flat("into", "mine.example.org", &["mine.example.org"], 7);
    folders.companion("from", "mine.example.org", &["mine.example.org"], 8);
    let expected = [
        ("late.example.org", "taken"),
        ("later.example.org", "kept"),
        ("mine.example.org", "kept"),
        ("sooner.example.org", "taken"),
        ("trusted.example.org", "kept"),
    ];
    let expected = expected.map(|(name, told)| (name.to_owned(), told));
    assert_eq!(folders.import(), expected);
    let now = june();
    let month = |name: &str| {
        let days = folders.ends(name).expect("there").duration_since(now);
        days.expect("later").as_secs() / 86_400 / 30
    };
    assert!(month("later.example.org") > month("sooner.example.org"));
    let target = fs::read_link(folders.path("into/late.example.org.crt")).expect("a link");
    assert_eq!(target, Path::new("./late.example.org/fullchain.pem"));
}

#[test]
fn a_name_with_a_better_pair_keeps_it_when_a_pair_of_several_names_is_taken() {
    let folders = Folders::new();
    folders.companion("into", "b.example.org", &["b.example.org"], 9);
    folders.companion(
        "from",
        "a.example.org",
        &["a.example.org", "b.example.org"],
        8,
    );
    let expected = [("a.example.org", "taken"), ("b.example.org", "kept")];
    let expected = expected.map(|(name, told)| (name.to_owned(), told));
    assert_eq!(folders.import(), expected);
    let target = fs::read_link(folders.path("into/b.example.org.crt")).expect("a link");
    assert_eq!(target, Path::new("./b.example.org/fullchain.pem"));
}

#[test]
fn what_cannot_be_served_is_left_out_with_the_reason_and_the_rest_is_taken() {
    let folders = Folders::new();
    folders.flat("from", "good.example.org", &["good.example.org"], 9);
    folders.flat("from", "old.example.org", &["old.example.org"], 2);
    folders.flat("from", "other.example.org", &["another.example.org"], 9);
    folders.flat("from", "torn.example.org", &["torn.example.org"], 9);
    folders.flat("from", "default", &["proxy.example.org"], 9);
    fs::write(folders.path("from/torn.example.org.key"), "garbage").expect("written");
    let outcomes = import(&folders.path("from"), &folders.path("into"), june()).expect("read");
    let told: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
    for words in [
        "default: left out: its certificate does not name default",
        "good.example.org: taken, ends on 2026-09-28",
        "old.example.org: left out: ",
        "has expired on 2026-02-28",
        "other.example.org: left out: its certificate does not name other.example.org",
        "torn.example.org.key holds no key",
    ] {
        assert!(
            told.iter().any(|told| told.contains(words)),
            "{words}: {told:#?}"
        );
    }
    assert_eq!(outcomes.len(), 5, "{told:#?}");
}

#[test]
fn a_folder_that_is_none_or_empty_or_the_same_is_told() {
    let folders = Folders::new();
    let said = |from: &str| {
        let error = import(&folders.path(from), &folders.path("into"), june());
        chain(&error.expect_err("nothing to take"))
    };
    assert!(
        said("gone").contains("cannot read the folder"),
        "{}",
        said("gone")
    );
    assert!(said("from").contains("holds no pair"), "{}", said("from"));
    assert!(
        said("into").contains("folder of certificates itself"),
        "{}",
        said("into")
    );
}

#[test]
fn a_clock_in_the_past_is_told_and_nothing_is_taken() {
    let folders = Folders::new();
    folders.flat("from", "a.example.org", &["a.example.org"], 9);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let outcomes = import(&folders.path("from"), &folders.path("into"), long_ago).expect("read");
    let told = outcomes.first().expect("one").to_string();
    assert!(told.contains("look whether the clock"), "{told}");
}

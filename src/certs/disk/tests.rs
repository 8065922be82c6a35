use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::certs::lineage::Lineage;
use crate::certs::pair::tests::{month, pem};
use crate::names::Hostname;

mod bad;
mod crashes;

fn host(name: &str) -> Hostname {
    name.parse().expect("host")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> (Self, Disk) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::new(folder.path().join("certs"));
        (Self(folder), disk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("certs").join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name))
            .expect(name)
            .permissions()
            .mode()
            & 0o777
    }

    /// What nobody is meant to see.
    fn hidden(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).expect("folder");
        let names = entries.map(|entry| entry.expect("entry").file_name().into_string());
        let names = names.map(|name| name.expect("text"));
        names.filter(|name| name.starts_with('.')).collect()
    }

    /// As an operator puts files there.
    fn put(&self, name: &str, names: &[&str]) {
        let (chain, key) = pem(names);
        fs::create_dir_all(self.path("")).expect("folder");
        fs::write(self.path(&format!("{name}.crt")), chain).expect("written");
        fs::write(self.path(&format!("{name}.key")), key).expect("written");
    }
}

fn lineage(names: &[&str]) -> Lineage {
    let names = names.iter().map(|name| Domain::Exact(host(name)));
    Lineage::new(names, false).expect("a lineage")
}

fn find(disk: &Disk, name: &str) -> Result<Option<Found>, DiskError> {
    let files = disk.files(name)?;
    files.map(|files| files.check(None, month(6))).transpose()
}

fn write(disk: &Disk, names: &[&str]) {
    let (chain, key) = pem(names);
    disk.write(&lineage(names), &chain, &key).expect("written");
}

#[test]
fn what_is_written_is_found_under_every_name_in_the_companions_layout() {
    let (folder, disk) = Folder::new();
    write(&disk, &["a.example.org", "b.example.org"]);
    for name in ["a.example.org", "b.example.org"] {
        let found = find(&disk, name).expect("good").expect("there");
        assert!(found.managed, "{name}");
        assert!(found.pair.covers(&Domain::Exact(host(name))), "{name}");
        let target = fs::read_link(folder.path(&format!("{name}.crt"))).expect("a link");
        assert_eq!(target, Path::new("./a.example.org/fullchain.pem"));
    }
    for (file, mode) in [
        ("key.pem", 0o600),
        ("fullchain.pem", 0o644),
        ("cert.pem", 0o644),
        (".companion", 0o644),
    ] {
        assert_eq!(
            folder.mode(&format!("a.example.org/{file}")),
            mode,
            "{file}"
        );
    }
    assert_eq!(folder.mode("a.example.org"), 0o755);
}

#[test]
fn a_renewal_replaces_the_pair_and_leaves_nothing_behind() {
    let (folder, disk) = Folder::new();
    write(&disk, &["a.example.org"]);
    let old = fs::read(folder.path("a.example.org.key")).expect("key");
    write(&disk, &["a.example.org", "www.example.org"]);
    assert_ne!(
        fs::read(folder.path("a.example.org.key")).expect("key"),
        old
    );
    assert!(find(&disk, "www.example.org").expect("good").is_some());
    assert_eq!(folder.hidden(), [""; 0]);
}

#[test]
fn a_folder_of_somebody_else_is_never_touched() {
    let (folder, disk) = Folder::new();
    fs::create_dir_all(folder.path("a.example.org")).expect("folder");
    fs::write(folder.path("a.example.org/key.pem"), "precious").expect("written");
    let (chain, key) = pem(&["a.example.org"]);
    let error = disk
        .write(&lineage(&["a.example.org"]), &chain, &key)
        .expect_err("foreign");
    assert!(error.to_string().contains("left alone"), "{error}");
    let kept = fs::read_to_string(folder.path("a.example.org/key.pem")).expect("kept");
    assert_eq!(kept, "precious");
    assert!(disk.is_foreign(&host("a.example.org")));
}

#[test]
fn files_an_operator_put_there_are_served_and_stay() {
    let (folder, disk) = Folder::new();
    folder.put("a.example.org", &["a.example.org"]);
    let found = find(&disk, "a.example.org").expect("good").expect("there");
    assert!(!found.managed);
    assert!(disk.is_foreign(&host("a.example.org")));
    let before = fs::read(folder.path("a.example.org.crt")).expect("there");
    write(&disk, &["b.example.org", "a.example.org"]);
    assert_eq!(
        fs::read(folder.path("a.example.org.crt")).expect("there"),
        before
    );
}

#[test]
fn a_wildcard_has_a_folder_of_its_own_and_leaves_its_parents_links_alone() {
    let (folder, disk) = Folder::new();
    write(&disk, &["example.org"]);
    let below = Domain::Below(host("example.org"));
    let (chain, key) = pem(&["*.example.org"]);
    let lineage = Lineage::new([below.clone()], false).expect("a lineage");
    disk.write(&lineage, &chain, &key).expect("written");
    let target = |name: &str| fs::read_link(folder.path(name)).expect("a link");
    assert_eq!(
        target("example.org.crt"),
        Path::new("./example.org/fullchain.pem")
    );
    let files = disk
        .wildcard_files("example.org")
        .expect("read")
        .expect("there");
    let found = files.check(None, month(6)).expect("good");
    assert!(found.pair.covers(&below));

    // Without a parent's own pair others find the wildcard as the companion lays it.
    let (chain, key) = pem(&["*.other.org"]);
    let lineage = Lineage::new([Domain::Below(host("other.org"))], false).expect("a lineage");
    disk.write(&lineage, &chain, &key).expect("written");
    assert_eq!(
        target("other.org.key"),
        Path::new("./wildcard_other.org/key.pem")
    );
}

#[test]
fn a_folder_that_lost_its_links_is_found_all_the_same() {
    let (folder, disk) = Folder::new();
    write(&disk, &["a.example.org"]);
    // The companion does so when a container stops.
    for ending in ["crt", "key", "chain.pem"] {
        fs::remove_file(folder.path(&format!("a.example.org.{ending}"))).expect("removed");
    }
    let found = find(&disk, "a.example.org").expect("good").expect("there");
    assert!(found.managed && !found.staging);
}

#[test]
fn a_staging_pair_is_known_as_one() {
    let (_folder, disk) = Folder::new();
    let (chain, key) = pem(&["a.example.org"]);
    let names = [Domain::Exact(host("a.example.org"))];
    let staging = Lineage::new(names, true).expect("a lineage");
    disk.write(&staging, &chain, &key).expect("written");
    let found = find(&disk, "a.example.org").expect("good").expect("there");
    assert!(found.managed && found.staging);
}

#[test]
fn a_link_that_leads_out_of_the_layout_is_somebodys_own() {
    let (folder, disk) = Folder::new();
    let live = folder.0.path().join("live/a.example.org");
    fs::create_dir_all(&live).expect("folder");
    fs::create_dir_all(folder.path("")).expect("folder");
    let (chain, key) = pem(&["a.example.org"]);
    for (file, content, ending) in [("fullchain.pem", chain, "crt"), ("privkey.pem", key, "key")] {
        fs::write(live.join(file), content).expect("written");
        let link = folder.path(&format!("a.example.org.{ending}"));
        std::os::unix::fs::symlink(live.join(file), link).expect("linked");
    }
    let found = find(&disk, "a.example.org").expect("good").expect("there");
    assert!(!found.managed);
    assert!(disk.is_foreign(&host("a.example.org")));
    write(&disk, &["b.example.org", "a.example.org"]);
    let target = fs::read_link(folder.path("a.example.org.crt")).expect("a link");
    assert_eq!(target, live.join("fullchain.pem"));
}

#[test]
fn the_installed_key_is_the_one_of_its_own_folder_and_only_where_it_fits() {
    let (folder, disk) = Folder::new();
    let (chain, key) = pem(&["a.example.org"]);
    let wanted = lineage(&["a.example.org"]);
    assert_eq!(disk.installed_key(&wanted), None);
    disk.write(&wanted, &chain, &key).expect("written");
    assert_eq!(disk.installed_key(&wanted), Some(key));
    let other = pem(&["a.example.org"]).1;
    fs::write(folder.path("a.example.org/key.pem"), other).expect("written");
    assert_eq!(disk.installed_key(&wanted), None);
}

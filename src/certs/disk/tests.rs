use std::os::unix::fs::PermissionsExt;

use super::super::pair::tests::{month, pem};
use super::*;

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

    /// As an operator puts files there.
    fn put(&self, name: &str, names: &[&str]) {
        let (chain, key) = pem(names);
        fs::create_dir_all(self.path("")).expect("folder");
        fs::write(self.path(&format!("{name}.crt")), chain).expect("written");
        fs::write(self.path(&format!("{name}.key")), key).expect("written");
    }
}

fn write(disk: &Disk, names: &[&str]) {
    let (chain, key) = pem(names);
    let names: Vec<Hostname> = names.iter().map(|name| host(name)).collect();
    disk.write(&names, &chain, &key).expect("written");
}

#[test]
fn what_is_written_is_found_under_every_name_in_the_companions_layout() {
    let (folder, disk) = Folder::new();
    write(&disk, &["a.example.org", "b.example.org"]);
    for name in ["a.example.org", "b.example.org"] {
        let found = disk
            .find(&host(name), month(6), &mut Fingerprint::default())
            .expect("good")
            .expect("there");
        assert!(found.managed, "{name}");
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
    assert!(
        disk.find(
            &host("www.example.org"),
            month(6),
            &mut Fingerprint::default()
        )
        .expect("good")
        .is_some()
    );
    let left: Vec<_> = fs::read_dir(folder.path(""))
        .expect("folder")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_folder_of_somebody_else_is_never_touched() {
    let (folder, disk) = Folder::new();
    fs::create_dir_all(folder.path("a.example.org")).expect("folder");
    fs::write(folder.path("a.example.org/key.pem"), "precious").expect("written");
    let (chain, key) = pem(&["a.example.org"]);
    let error = disk
        .write(&[host("a.example.org")], &chain, &key)
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
    let found = disk
        .find(
            &host("a.example.org"),
            month(6),
            &mut Fingerprint::default(),
        )
        .expect("good")
        .expect("there");
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
fn a_parents_pair_is_used_only_where_it_covers_the_name() {
    let (folder, disk) = Folder::new();
    folder.put("example.org", &["example.org", "*.example.org"]);
    folder.put("other.org", &["other.org"]);
    assert!(
        disk.find(
            &host("a.example.org"),
            month(6),
            &mut Fingerprint::default()
        )
        .expect("good")
        .is_some()
    );
    assert!(
        disk.find(&host("a.other.org"), month(6), &mut Fingerprint::default())
            .expect("good")
            .is_none()
    );
    assert!(
        disk.find(
            &host("x.a.example.org"),
            month(6),
            &mut Fingerprint::default()
        )
        .expect("good")
        .is_none()
    );
}

#[test]
fn a_bad_pair_is_named_with_its_file() {
    let (folder, disk) = Folder::new();
    folder.put("a.example.org", &["a.example.org"]);
    fs::write(folder.path("a.example.org.key"), "garbage").expect("written");
    let error = disk
        .find(
            &host("a.example.org"),
            month(6),
            &mut Fingerprint::default(),
        )
        .expect_err("bad")
        .to_string();
    assert!(
        error.contains("a.example.org.crt the key cannot be read"),
        "{error}"
    );
    folder.put("a.example.org", &["a.example.org"]);
    fs::remove_file(folder.path("a.example.org.key")).expect("removed");
    assert!(
        disk.find(
            &host("a.example.org"),
            month(6),
            &mut Fingerprint::default()
        )
        .expect("half a pair is none")
        .is_none()
    );
}

#[test]
fn modes_hold_whatever_the_umask() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    fs::write(&path, "old").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("mode");
    write_file(&path, "new", 0o600).expect("written");
    assert_eq!(
        fs::metadata(&path).expect("there").permissions().mode() & 0o777,
        0o600
    );
}

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::CWD;

use super::*;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("root/static/css")).expect("folders");
        fs::write(path("secret"), "secret").expect("written");
        fs::write(path("root/settings.py"), "secret").expect("written");
        fs::write(path("root/static/a.js"), "0123456789").expect("written");
        fs::write(path("root/static/css/a.css"), "css").expect("written");
        symlink("css/a.css", path("root/static/inside")).expect("link");
        symlink("../settings.py", path("root/static/sideways")).expect("link");
        symlink(path("secret"), path("root/static/absolute")).expect("link");
        symlink("../..", path("root/static/up")).expect("link");
        symlink("loop", path("root/static/loop")).expect("link");
        Self(folder)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn open(&self, below: &str) -> Result<Found, RootError> {
        Root::open(&self.root().into(), Path::new("static"))?.find(Path::new(below))
    }
}

#[test]
fn files_and_folders_beneath_the_root_are_there() {
    let tree = Tree::new();
    let Ok(Found::File(file)) = tree.open("a.js") else {
        panic!("no file");
    };
    assert_eq!(file.length, 10);
    assert_eq!(read(&file, 3, 4).expect("read"), "3456");
    assert!(read(&file, 8, 4).is_err(), "shorter than promised");
    assert!(matches!(tree.open("css"), Ok(Found::Directory)));
    assert!(matches!(tree.open(""), Ok(Found::Directory)));
    assert!(
        matches!(tree.open("inside"), Ok(Found::File(_))),
        "a link that stays beneath"
    );
}

#[test]
fn nothing_leads_out() {
    let tree = Tree::new();
    for below in [
        "../settings.py",
        "../../secret",
        "sideways",
        "absolute",
        "up/secret",
        "up/root/settings.py",
        "css/../../settings.py",
        "loop",
        "/etc/passwd",
        "nothing",
        "a.js/",
        "a.js/x",
    ] {
        let found = tree.open(below);
        assert!(
            matches!(found, Err(RootError::NotFound)),
            "{below}: {found:?}"
        );
    }
    let long = "a".repeat(5_000);
    assert!(matches!(tree.open(&long), Err(RootError::NotFound)));
}

#[test]
fn pipes_sockets_and_devices_are_not_there_and_nobody_waits_for_them() {
    let tree = Tree::new();
    let fifo = tree.root().join("static/fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    let socket = tree.root().join("static/socket");
    let _listener = std::os::unix::net::UnixListener::bind(socket).expect("a socket");
    for below in ["fifo", "socket"] {
        let found = tree.open(below);
        assert!(
            matches!(found, Err(RootError::NotFound)),
            "{below}: {found:?}"
        );
    }
}

#[test]
fn a_missing_root_is_not_a_missing_file() {
    let tree = Tree::new();
    let error = Root::open(&tree.root().into(), Path::new("nowhere")).expect_err("missing");
    assert!(matches!(error, RootError::RootMissing { .. }), "{error}");
    assert!(error.to_string().contains("root/nowhere"), "{error}");
}

#[test]
fn a_folder_that_is_a_way_out_is_no_root() {
    let tree = Tree::new();
    let error = Root::open(&tree.root().into(), Path::new("static/up")).expect_err("out");
    assert!(matches!(error, RootError::RootMissing { .. }), "{error}");
}

#[test]
fn swapping_a_file_for_a_link_never_shows_what_is_outside() {
    let tree = Tree::new();
    let swapped = tree.root().join("static/swapped");
    let outside = tree.0.path().join("secret");
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for turn in 0..2_000 {
                let fresh = tree.root().join("static/fresh");
                if turn % 2 == 0 {
                    symlink(&outside, &fresh).expect("link");
                } else {
                    fs::write(&fresh, "public").expect("written");
                }
                fs::rename(&fresh, &swapped).expect("renamed");
            }
        });
        let mut seen = 0;
        while !swapping.is_finished() {
            if let Ok(Found::File(file)) = tree.open("swapped") {
                let length = usize::try_from(file.length).expect("short");
                let text = read(&file, 0, length).unwrap_or_default();
                assert!(text == "public" || text.is_empty(), "{text:?}");
                seen += 1;
            }
        }
        assert!(seen > 0, "the file was never met");
    });
}

#[test]
fn a_listing_shows_what_could_be_asked_for_and_nothing_else() {
    let tree = Tree::new();
    fs::write(tree.root().join("static/.htpasswd"), "secret").expect("written");
    let fifo = tree.root().join("static/fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    let root = Root::open(&tree.root().into(), Path::new("static")).expect("a root");
    let mut entries = root.list(Path::new(""), 100).expect("a listing");
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.kind))
        .collect();
    assert_eq!(
        shown,
        [
            ("a.js", EntryKind::File { length: 10 }),
            ("css", EntryKind::Folder),
            ("inside", EntryKind::File { length: 3 }),
        ]
    );
    assert_eq!(root.list(Path::new(""), 2).expect("a listing").len(), 2);
    let out = root.list(Path::new("up"), 100);
    assert!(matches!(out, Err(RootError::NotFound)), "{out:?}");
}

#[test]
fn a_changed_file_is_another_one() {
    let tree = Tree::new();
    let Ok(Found::File(file)) = tree.open("a.js") else {
        panic!("no file");
    };
    assert!(file.is_unchanged());
    fs::write(tree.root().join("static/a.js"), "more than ten bytes").expect("written");
    assert!(!file.is_unchanged());
    let Ok(Found::File(later)) = tree.open("a.js") else {
        panic!("no file");
    };
    assert_ne!(file.identity, later.identity);
    assert_ne!(file.version, later.version);
}

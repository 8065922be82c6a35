//! What is wrong with a pair is told once, with the file, the reason and what to do.

use super::*;

/// One thing that can be wrong: how it is brought about, and what is to be said.
type Case = (&'static str, fn(&Folder), &'static [&'static str]);

const NAME: &str = "a.example.org";
const CRT: &str = "a.example.org.crt";
const KEY_FILE: &str = "a.example.org.key";

const CASES: &[Case] = &[
    (
        "a chain that is garbage",
        |folder| fs::write(folder.path(CRT), "garbage").expect("written"),
        &[
            "a.example.org.crt holds no certificate",
            "put the certificate",
        ],
    ),
    (
        "a chain that is torn",
        |folder| {
            let chain = fs::read_to_string(folder.path(CRT)).expect("there");
            fs::write(folder.path(CRT), &chain[..200]).expect("written");
        },
        &["a.example.org.crt holds no certificate"],
    ),
    (
        "a key that is garbage",
        |folder| fs::write(folder.path(KEY_FILE), "garbage").expect("written"),
        &["a.example.org.key holds no key", "copy the PEM file again"],
    ),
    (
        "the key of another certificate",
        |folder| fs::write(folder.path(KEY_FILE), pem(&[NAME]).1).expect("written"),
        &[
            "a.example.org.key does not belong to the certificate",
            "put the key there",
        ],
    ),
    (
        "a certificate without its key",
        |folder| fs::remove_file(folder.path(KEY_FILE)).expect("removed"),
        &[
            "a.example.org.crt is there without",
            "a.example.org.key; put both",
        ],
    ),
    (
        "a link that leads nowhere",
        |folder| {
            fs::remove_file(folder.path(CRT)).expect("removed");
            std::os::unix::fs::symlink("./gone/fullchain.pem", folder.path(CRT)).expect("linked");
        },
        &[
            "a.example.org.crt is a link to ./gone/fullchain.pem, which is not there",
            "remove the link",
        ],
    ),
    (
        "a link that leads to itself",
        |folder| {
            fs::remove_file(folder.path(CRT)).expect("removed");
            std::os::unix::fs::symlink("a.example.org.crt", folder.path(CRT)).expect("linked");
        },
        &["a.example.org.crt cannot be read", "symbolic link"],
    ),
    (
        "a folder in the place of a file",
        |folder| {
            fs::remove_file(folder.path(KEY_FILE)).expect("removed");
            fs::create_dir(folder.path(KEY_FILE)).expect("made");
        },
        &["a.example.org.key cannot be read: it is not a file, but a folder; put a PEM file"],
    ),
    (
        "a pipe, whose opening would wait for its writer",
        |folder| {
            fs::remove_file(folder.path(CRT)).expect("removed");
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, folder.path(CRT), kind, mode, 0).expect("made");
        },
        &["a.example.org.crt cannot be read: it is not a file, but a pipe; put a PEM file"],
    ),
    (
        "ten megabytes",
        |folder| fs::write(folder.path(CRT), vec![b'x'; 10 << 20]).expect("written"),
        &["a.example.org.crt cannot be read: it is larger than 256 KiB"],
    ),
];

#[test]
fn a_bad_pair_is_named_with_its_file_the_reason_and_what_to_do() {
    for (what, spoil, words) in CASES {
        let (folder, disk) = Folder::new();
        folder.put(NAME, &[NAME]);
        spoil(&folder);
        let said = find(&disk, NAME).expect_err(what).to_string();
        for word in *words {
            assert!(said.contains(word), "{what}: {said}");
        }
    }
}

#[test]
fn a_bad_pair_in_a_folder_of_the_layout_is_named_there() {
    let (folder, disk) = Folder::new();
    write(&disk, &[NAME]);
    fs::write(folder.path("a.example.org/key.pem"), pem(&[NAME]).1).expect("written");
    let said = find(&disk, NAME).expect_err("bad").to_string();
    assert!(
        said.contains("a.example.org/key.pem does not belong"),
        "{said}"
    );
    fs::remove_file(folder.path("a.example.org/key.pem")).expect("removed");
    let said = find(&disk, NAME).expect_err("bad").to_string();
    assert!(
        said.contains("a.example.org/fullchain.pem is there without"),
        "{said}"
    );
}

#[test]
fn what_the_dates_forbid_is_told_with_the_dates() {
    let (folder, disk) = Folder::new();
    folder.put(NAME, &[NAME]);
    let check = |now| {
        let files = disk.files(NAME).expect("read").expect("there");
        files.check(None, now).expect_err("bad")
    };
    let expired = check(month(14));
    assert!(expired.expired_at().is_some(), "{expired}");
    assert!(
        expired
            .to_string()
            .contains("a.example.org.crt has expired"),
        "{expired}"
    );
    let early = check(SystemTime::UNIX_EPOCH);
    assert!(
        early.to_string().contains("look whether the clock"),
        "{early}"
    );
}

#[test]
fn a_pair_for_other_names_is_told_with_both() {
    let (folder, disk) = Folder::new();
    folder.put(NAME, &["b.example.org", "c.example.org"]);
    let found = find(&disk, NAME).expect("good").expect("there");
    let said = found
        .covering(&Domain::Exact(host(NAME)))
        .expect_err("wrong")
        .to_string();
    let words = "is for b.example.org, c.example.org and not for a.example.org; put a pair";
    assert!(said.contains(words), "{said}");
}

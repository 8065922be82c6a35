//! Readers while a pair is replaced, and what a crash in the middle leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

const NAME: &str = "a.example.org";

/// A pair that ends in this month of 2026, as it lies in a folder.
fn put_folder(folder: &Folder, name: &str, ends: u8) {
    let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).expect("names");
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, ends, 28);
    let key = rcgen::KeyPair::generate().expect("key");
    let chain = params.self_signed(&key).expect("signed").pem();
    let at = folder.path(name);
    fs::create_dir_all(&at).expect("made");
    fs::write(at.join("key.pem"), key.serialize_pem()).expect("written");
    fs::write(at.join("fullchain.pem"), chain).expect("written");
    fs::write(at.join(".companion"), "").expect("written");
}

fn ends(disk: &Disk) -> Option<String> {
    let found = find(disk, NAME).expect("good")?;
    Some(crate::moment::text(found.pair.not_after)[5..7].to_owned())
}

#[test]
fn a_reader_never_meets_the_certificate_of_one_pair_with_the_key_of_another() {
    let (_folder, disk) = Folder::new();
    write(&disk, &[NAME, "b.example.org"]);
    let done = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let readers: Vec<_> = [NAME, "b.example.org"]
            .map(|name| {
                let (disk, done) = (&disk, &done);
                scope.spawn(move || {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        let found = find(disk, name).unwrap_or_else(|error| panic!("{error}"));
                        assert!(found.is_some(), "always there");
                        reads += 1;
                    }
                    reads
                })
            })
            .into();
        for _ in 0..60 {
            write(&disk, &[NAME, "b.example.org"]);
        }
        done.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .map(|reader| reader.join().expect("no panic"))
            .min()
    });
    assert!(
        reads > Some(60),
        "{reads:?} by the slower, in 60 replacements"
    );
}

#[test]
fn links_that_are_on_their_way_to_another_pair_give_a_whole_one() {
    let (folder, disk) = Folder::new();
    write(&disk, &["b.example.org", NAME]);
    write(&disk, &[NAME]);
    // As between two steps: the certificate's link is new, the key's is not.
    let key = folder.path("a.example.org.key");
    fs::remove_file(&key).expect("removed");
    std::os::unix::fs::symlink("./b.example.org/key.pem", &key).expect("linked");
    assert!(find(&disk, NAME).expect("whole").is_some());
    disk.repair(month(6)).expect("repaired");
    let target = fs::read_link(&key).expect("a link");
    assert_eq!(target, Path::new("./a.example.org/key.pem"));
}

#[test]
fn what_a_crash_left_is_completed_or_removed_and_the_better_pair_stays() {
    /// What lies there, as the month in which each ends, and which one is to have the name.
    type Case = (&'static [(&'static str, u8)], &'static str);
    const CASES: &[Case] = &[
        // Written whole, not yet in force.
        (&[(".a.example.org.new", 9)], "09"),
        (&[("a.example.org", 7), (".a.example.org.new", 9)], "09"),
        // Exchanged, and the former not yet removed.
        (&[("a.example.org", 9), (".a.example.org.new", 7)], "09"),
        // Without an exchange, between the two steps and after them.
        (
            &[(".a.example.org.old", 7), (".a.example.org.new", 9)],
            "09",
        ),
        (&[("a.example.org", 9), (".a.example.org.old", 7)], "09"),
        (&[(".a.example.org.old", 7)], "07"),
    ];
    for (there, kept) in CASES {
        let (folder, disk) = Folder::new();
        for (name, ends) in *there {
            put_folder(&folder, name, *ends);
        }
        disk.repair(month(6)).expect("repaired");
        assert_eq!(ends(&disk).as_deref(), Some(*kept), "{there:?}");
        assert_eq!(folder.hidden(), [""; 0], "{there:?}");
        let target = fs::read_link(folder.path("a.example.org.crt")).expect("a link");
        assert_eq!(
            target,
            Path::new("./a.example.org/fullchain.pem"),
            "{there:?}"
        );
    }
}

#[test]
fn half_a_folder_never_takes_the_place_of_a_whole_one() {
    let (folder, disk) = Folder::new();
    put_folder(&folder, "a.example.org", 7);
    put_folder(&folder, ".a.example.org.new", 9);
    fs::remove_file(folder.path(".a.example.org.new/.companion")).expect("removed");
    disk.repair(month(6)).expect("repaired");
    assert_eq!(ends(&disk).as_deref(), Some("07"));
    assert_eq!(folder.hidden(), [""; 0]);
}

#[test]
fn what_is_not_usher_s_is_left_as_it_is() {
    let (folder, disk) = Folder::new();
    put_folder(&folder, ".a.example.org.new", 9);
    fs::create_dir_all(folder.path("a.example.org")).expect("made");
    fs::write(folder.path("a.example.org/key.pem"), "precious").expect("written");
    fs::create_dir_all(folder.path(".notes.new")).expect("made");
    fs::write(folder.path(".notes.new/letter"), "precious").expect("written");
    disk.repair(month(6)).expect("repaired");
    for file in ["a.example.org/key.pem", ".notes.new/letter"] {
        assert_eq!(
            fs::read_to_string(folder.path(file)).expect("there"),
            "precious"
        );
    }
}

#[test]
fn a_clock_that_is_wrong_costs_no_pair() {
    let (folder, disk) = Folder::new();
    put_folder(&folder, "a.example.org", 7);
    put_folder(&folder, ".a.example.org.new", 9);
    disk.repair(month(30)).expect("repaired");
    assert_eq!(ends(&disk).as_deref(), Some("09"));
}

//! Static files: nothing outside a root is ever served, whatever is asked for, linked or swapped.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::client::{plain, raw};
use crate::harness::{Edge, Front, Setup};

const SECRET: &str = "what nobody may see";
const HOST: &str = "congress.example.org";

/// Over plain HTTP, so that a test can ask many thousand times: `root` is served, and what lies
/// beside it is secret.
async fn edge() -> Edge {
    let mut setup = Setup::new("").without_certificates();
    let folder = setup.path("served");
    let root = folder.join("root");
    fs::create_dir_all(root.join("css")).unwrap();
    fs::create_dir_all(folder.join("root-other")).unwrap();
    fs::write(folder.join("secret.txt"), SECRET).unwrap();
    fs::write(folder.join("root-other/secret.txt"), SECRET).unwrap();
    fs::write(root.join("css/site.css"), "public").unwrap();
    symlink("../secret.txt", root.join("link.txt")).unwrap();
    symlink(folder.join("secret.txt"), root.join("absolute.txt")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("/dev/zero", root.join("zero")).unwrap();
    setup.text(&format!(
        "[[instance]]\nname = \"congress\"\ndomains = [\"{HOST}\"]\n\
         [[instance.route]]\nprefix = \"/s/\"\nfiles = {{ dir = \"{0}\", path = \"root\", listing = true }}\n\
         [[instance.route]]\nprefix = \"/devices/\"\nfiles = {{ dir = \"/dev\" }}\n",
        folder.display()
    ));
    setup.start().await
}

/// The same way out in as many spellings as servers have fallen for.
fn spellings() -> BTreeSet<String> {
    const DOTS: [&str; 14] = [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "%252e%252e",
        "..%00",
        "..;",
        "..;x=1",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%uff0e%uff0e",
        "..%20",
        "...",
        ".%0d.",
    ];
    const SLASHES: [&str; 8] = ["/", "//", "/./", "%2f", "%5c", "\\", "%252f", "%c0%af"];
    const BEGINNINGS: [&str; 4] = ["", "css/", "css%2f", "/"];
    const ENDS: [&str; 3] = ["secret.txt", "root-other/secret.txt", "etc/passwd"];
    let mut all = BTreeSet::new();
    for dots in DOTS {
        for slash in SLASHES {
            for beginning in BEGINNINGS {
                for (depth, end) in [(1, ENDS[0]), (2, ENDS[0]), (2, ENDS[1]), (9, ENDS[2])] {
                    let up = format!("{dots}{slash}").repeat(depth);
                    all.insert(format!("/s/{beginning}{up}{end}"));
                }
            }
        }
    }
    for end in [
        "link.txt",
        "absolute.txt",
        "up/secret.txt",
        "up/",
        "up/root-other/secret.txt",
        "slash/etc/passwd",
        "slash/",
        "magic/etc/passwd",
        "zero",
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc/passwd",
        "file:///etc/passwd",
        "css/site.css/../../../secret.txt",
        "css/site.css%00.txt",
    ] {
        all.insert(format!("/s/{end}"));
    }
    for end in ["-other/secret.txt", "..%2fsecret.txt", "%2e./secret.txt"] {
        all.insert(format!("/s{end}"));
    }
    all
}

async fn ask(address: SocketAddr, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    let stream = TcpStream::connect(address).await.expect("connected");
    raw(stream, request.as_bytes()).await
}

fn shows_nothing(target: &str, answer: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    assert!(
        ["400", "404"].contains(&status),
        "{target}: {status}\n{head}"
    );
    assert!(
        !body.contains(SECRET) && !body.contains("root:"),
        "{target}: {body}"
    );
}

#[tokio::test]
async fn no_spelling_leads_out() {
    let edge = edge().await;
    let spellings = spellings();
    assert!(spellings.len() >= 500, "{} spellings", spellings.len());
    for target in &spellings {
        shows_nothing(target, &ask(edge.http(), target).await);
    }
    let good = ask(edge.http(), "/s/css/site.css").await;
    assert!(good.starts_with("HTTP/1.1 200") && good.ends_with("public"));
    println!("{} spellings", spellings.len());
}

#[tokio::test]
async fn no_redirect_leads_to_another_host() {
    let edge = edge().await;
    let folder = edge.folder.path().join("served/root/evil.example");
    fs::create_dir_all(folder).unwrap();
    for target in ["//evil.example", "/s//evil.example", "/s/evil.example?x"] {
        let answer = ask(edge.http(), target).await;
        let location = answer.lines().find(|line| line.starts_with("location:"));
        let location = location
            .unwrap_or("location: /")
            .trim_start_matches("location: ");
        assert!(
            location.starts_with('/') && !location.starts_with("//"),
            "{target}: {location}"
        );
    }
}

#[tokio::test]
async fn only_regular_files_are_files() {
    let edge = edge().await;
    let folder = edge.folder.path().join("served");
    let root = folder.join("root");
    mknodat(
        CWD,
        root.join("pipe.txt"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(root.join("socket.txt")).unwrap();
    // A second name of a file is a file of the root like any other: whoever could make it could
    // have copied the file.
    fs::write(folder.join("named-twice"), "shared").unwrap();
    fs::hard_link(folder.join("named-twice"), root.join("hard.txt")).unwrap();

    let began = Instant::now();
    for target in [
        "/s/pipe.txt",
        "/s/socket.txt",
        "/devices/zero",
        "/devices/null",
        "/devices/full",
        "/devices/tty",
    ] {
        shows_nothing(target, &ask(edge.http(), target).await);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "nobody waits: {took:?}");
    let hard = ask(edge.http(), "/s/hard.txt").await;
    assert!(hard.ends_with("shared"), "{hard}");
    let listing = ask(edge.http(), "/s/").await;
    assert!(listing.contains("./hard.txt"), "{listing}");
    for hidden in ["pipe", "socket", "link", "absolute", "up", "slash", "zero"] {
        assert!(
            !listing.contains(&format!("./{hidden}")),
            "{hidden}: {listing}"
        );
    }
}

/// Puts `first` and `second` in turn at `place` until told to stop; gives how often.
fn swap(place: &Path, first: &Path, second: &Path, stop: &AtomicBool) -> u32 {
    let mut fresh = place.as_os_str().to_owned();
    fresh.push(".fresh");
    let mut turns = 0;
    while !stop.load(Ordering::Relaxed) {
        for to in [first, second] {
            symlink(to, &fresh).unwrap();
            fs::rename(&fresh, place).unwrap();
            turns += 1;
        }
    }
    turns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_race_leads_out() {
    let edge = edge().await;
    let folder = edge.folder.path().join("served");
    let root = folder.join("root");
    fs::create_dir_all(root.join("inner")).unwrap();
    fs::write(root.join("inner/secret.txt"), "public").unwrap();
    let stop = AtomicBool::new(false);
    let address = edge.http();
    let runtime = tokio::runtime::Handle::current();

    let (swaps, [files, folders]) = std::thread::scope(|scope| {
        // A file that is a link in and a link out, and a folder on the way to one.
        let file = root.join("swapped.txt");
        let folder_of = root.join("swapped");
        let inside = Path::new("css/site.css");
        let outside = folder.join("secret.txt");
        let swaps = [
            scope.spawn({
                let stop = &stop;
                move || swap(&file, inside, &outside, stop)
            }),
            scope.spawn({
                let (stop, out) = (&stop, folder.join("root-other"));
                move || swap(&folder_of, Path::new("inner"), &out, stop)
            }),
        ];
        let asking = ["/s/swapped.txt", "/s/swapped/secret.txt"].map(|target| {
            let runtime = runtime.clone();
            scope.spawn(move || {
                let until = Instant::now() + Duration::from_secs(3);
                let mut seen = [0, 0];
                while Instant::now() < until {
                    let answer = runtime.block_on(plain(address, HOST, target));
                    assert!(!answer.text().contains(SECRET), "{target}");
                    match (answer.status, answer.text().as_str()) {
                        (200, "public") => seen[0] += 1,
                        (404, _) => seen[1] += 1,
                        other => panic!("{target}: {other:?}"),
                    }
                }
                seen
            })
        });
        let seen = asking.map(|asking| asking.join().expect("zero bytes from outside"));
        stop.store(true, Ordering::Relaxed);
        let swaps: u32 = swaps
            .map(|swaps| swaps.join().expect("swapped"))
            .iter()
            .sum();
        (swaps, seen)
    });
    println!("{swaps} swaps; public and not there: {files:?}, {folders:?}");
    for seen in [files, folders] {
        assert!(seen[0] > 0 && seen[1] > 0, "both were met: {seen:?}");
    }
}

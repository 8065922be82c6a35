//! A volume that hangs costs its own instance's files, and nothing else.

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::harness::eventually::check;
use crate::harness::hang::Hang;
use crate::harness::{Edge, Front, Installed, Kept, Setup, eventually};

const ROUTE: &str = "[[instance.route]]\nprefix = \"/\"\nfiles = { dir = \"FOLDER/NAME\" }\n";

fn instance(name: &str) -> String {
    format!(
        "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n{}",
        ROUTE.replace("NAME", name)
    )
}

async fn edge(log: impl Write + Send + 'static) -> Edge {
    let mut setup = Setup::new("");
    let folder = setup.path("files");
    for name in ["hung", "fine"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("a.txt"), name).unwrap();
        let folder = folder.display().to_string();
        setup.text(&instance(name).replace("FOLDER", &folder));
    }
    setup.access_log(log).start().await
}

#[tokio::test]
#[ignore = "needs the right to administer the system, and perl"]
async fn a_volume_that_hangs_costs_its_own_instance_only() {
    let log = Kept::default();
    let edge = edge(log.clone()).await;
    let hung = "https://hung.example.org/a.txt";
    assert_eq!(edge.get(hung).await.text(), "hung");
    let hang = Hang::start(&edge.folder.path().join("files/hung")).await;

    let began = Instant::now();
    let waiting = (0..12).map(|_| async {
        let answer = edge.get(hung).await;
        (answer.status, began.elapsed())
    });
    let neighbour = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..40 {
            let began = Instant::now();
            let answer = edge.get("https://fine.example.org/a.txt").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "fine"));
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (answers, slowest) = tokio::join!(futures_util::future::join_all(waiting), neighbour);
    println!("answers {answers:?}, the neighbour's slowest {slowest:?}");
    for (status, took) in answers {
        assert_eq!(status, 503);
        assert!(
            took < Duration::from_secs(5),
            "the deadline holds: {took:?}"
        );
    }
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");

    // Everybody of this instance is told at once now, and the neighbour is served.
    let began = Instant::now();
    let answer = edge.get(hung).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.field("retry-after").is_empty());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let neighbour = edge.get("https://fine.example.org/a.txt").await;
    assert_eq!(neighbour.text(), "fine");

    eventually("the reason in the access log", async || {
        let lines = log.text();
        check(lines.contains("\"reason\":\"static-hangs\""), lines)
    })
    .await;

    hang.end().await;
    eventually("served again", async || {
        let answer = edge.get(hung).await;
        check(answer.text() == "hung", answer.status)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the right to administer the system, and perl"]
async fn the_status_says_that_a_volume_hangs_and_that_it_does_so_no_more() {
    let mut setup = Setup::new("");
    let folder = setup.path("hung");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.txt"), "hung").unwrap();
    setup.text(&format!(
        "[[instance]]\nname = \"hung\"\ndomains = [\"hung.example.org\"]\n\
         [[instance.route]]\nprefix = \"/\"\nfile = {{ dir = \"{}\", path = \"a.txt\" }}\n",
        folder.display()
    ));
    let edge = setup.start().await;
    let hang = Hang::start(&folder).await;
    let says = async || edge.instance("hung").await["reasons"].to_string();
    eventually("the status says that it hangs", async || {
        let said = says().await;
        check(said.contains("has not answered"), said)
    })
    .await;
    hang.end().await;
    eventually("the status says nothing any more", async || {
        let said = says().await;
        check(!said.contains("has not answered"), said)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs perl"]
async fn a_file_that_somebody_has_a_lease_on_is_not_tried_for_ever() {
    let edge = edge(io::sink()).await;
    let hung = "https://hung.example.org/a.txt";
    let lease = Hang::leased(&edge.folder.path().join("files/hung/a.txt")).await;

    let began = Instant::now();
    let answer = edge.get(hung).await;
    let took = began.elapsed();
    println!("answered after {took:?}");
    assert_eq!(answer.status, 503);
    assert!(took < Duration::from_secs(2), "{took:?}");
    lease.end().await;
    assert_eq!(edge.get(hung).await.text(), "hung");
}

#[tokio::test]
#[ignore = "needs the right to administer the system, and perl"]
async fn usher_ends_in_time_while_a_volume_hangs() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("hung")).unwrap();
    fs::write(folder.path().join("hung/a.txt"), "hung").unwrap();
    let text = instance("hung").replace("FOLDER", &folder.path().display().to_string());
    let installed = Installed::new(&text);
    let mut usher = installed.start().await;
    let url = "https://hung.example.org/a.txt";
    installed.answers(url, 200).await;
    let hang = Hang::start(&folder.path().join("hung")).await;
    assert_eq!(installed.ask(url).send().await.status, 503);

    let began = Instant::now();
    usher.signal(Signal::TERM);
    assert!(usher.ended().await.success(), "{}", usher.err());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    hang.end().await;
}

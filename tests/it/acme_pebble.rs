//! Certificates from a real ACME server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::Instant;
use x509_parser::public_key::PublicKey;

use crate::harness::acme::{Trusting, tree};
use crate::harness::eventually::{check, eventually};
use crate::harness::pebble::Pebble;
use crate::harness::{Front, Installed, Origin, client, instance};

const HOST: &str = "congress.example.org";

fn certs(installed: &Installed) -> PathBuf {
    installed.folder.path().join("certs")
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_certificate_is_ordered_stored_like_the_companions_and_kept_over_a_restart() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let text = instance("congress", &[origin.address])
        .replace("[\"congress", "[\"congress.example.org\", \"www.congress");
    installed.write(&format!("{}{text}", pebble.tables()));
    let mut usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);

    let first = front.issued(HOST).await;
    assert_eq!(
        front.issued("www.congress.example.org").await,
        first,
        "one for both names"
    );
    assert_eq!(
        front.ask(&format!("https://{HOST}/")).send().await.status,
        200
    );
    let redirect = front.ask(&format!("http://{HOST}/")).send().await;
    assert!((300..400).contains(&redirect.status), "{}", redirect.status);

    // The companion's layout.
    let certs = certs(&installed);
    for name in [
        "cert.pem",
        "chain.pem",
        "fullchain.pem",
        "key.pem",
        ".companion",
    ] {
        assert!(certs.join(HOST).join(name).is_file(), "{name}");
    }
    for (link, target) in [
        ("crt", "fullchain.pem"),
        ("key", "key.pem"),
        ("chain.pem", "chain.pem"),
    ] {
        for name in [HOST, "www.congress.example.org"] {
            let found = fs::read_link(certs.join(format!("{name}.{link}"))).unwrap();
            assert_eq!(found, Path::new(&format!("./{HOST}/{target}")));
        }
    }
    let mode = fs::metadata(certs.join(HOST).join("key.pem"))
        .unwrap()
        .permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077,
        0,
        "the key is its owner's"
    );

    // After a kill, and without the authority: served from the first connection on.
    usher.signal(Signal::KILL);
    usher.ended().await;
    drop(pebble);
    let stored = tree(&certs);
    let mut usher = installed.start().await;
    assert_eq!(front.leaf(HOST).await.unwrap(), first);
    usher.signal(Signal::INT);
    usher.ended().await;
    assert_eq!(tree(&certs), stored);
}

/// Of the key of a certificate that is no elliptic curve.
fn bits(leaf: &[u8]) -> usize {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).unwrap();
    match leaf.public_key().parsed().unwrap() {
        PublicKey::RSA(key) => key.key_size(),
        other => panic!("{other:?}"),
    }
}

/// Has a key of this size made and certified while visitors come all the time. Says how long the
/// certificate took, and the slowest visitor.
async fn large(key_type: &str) -> (usize, Duration, Duration) {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let text = instance("congress", &[origin.address]);
    let text = text.replace(
        "[instance.service",
        &format!("key-type = \"{key_type}\"\n[instance.service"),
    );
    installed.write(&format!("{}{text}", pebble.tables()));
    let _usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let leaf = loop {
        let asked = Instant::now();
        // What has no certificate yet is served plain; afterwards that leads to HTTPS.
        let status = front.ask(&format!("http://{HOST}/")).send().await.status;
        slowest = slowest.max(asked.elapsed());
        assert!(matches!(status, 200 | 301 | 308 | 503), "{status}");
        if let Ok(leaf) = front.leaf(HOST).await {
            break leaf;
        }
        assert!(began.elapsed() < Duration::from_secs(200), "no certificate");
    };
    let took = began.elapsed();
    // It signs handshakes too.
    let answer = front.ask(&format!("https://{HOST}/")).send().await;
    assert_eq!(answer.status, 200);
    (bits(&leaf), took, slowest)
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_large_key_of_rsa_is_made_beside_the_visitors_and_serves_them() {
    // The largest takes up to minutes to find.
    let sizes = match std::env::var_os("USHER_LONG") {
        Some(_) => &[4096, 8192][..],
        None => &[4096],
    };
    for size in sizes {
        let (bits, took, slowest) = large(&size.to_string()).await;
        println!(
            "{size} bits: a certificate after {took:.1?}; the slowest visitor meanwhile waited \
             {slowest:.1?}"
        );
        assert_eq!(bits, *size);
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    }
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_name_that_comes_later_gets_its_own_and_cuts_nobody() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let one = instance("congress", &[origin.address]);
    let two = instance("assembly", &[origin.address]);
    installed.write(&format!("{}{one}", pebble.tables()));
    let _usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    let first = front.issued(HOST).await;
    let url = format!("wss://{HOST}/ws/");
    let mut socket = front.ask(&url).websocket().await.unwrap();

    installed.write(&format!("{}{one}{two}", pebble.tables()));

    let second = front.issued("assembly.example.org").await;
    assert_ne!(second, first);
    assert_eq!(
        front.leaf(HOST).await.unwrap(),
        first,
        "nothing was ordered again"
    );
    assert_eq!(socket.echo("still here").await, "origin: still here");
    let metrics = client::plain(installed.admin(), "localhost", "/metrics")
        .await
        .text();
    let orders: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("usher_acme_orders_total{"))
        .collect();
    assert!(orders.iter().any(|line| line.ends_with(" 2")), "{orders:?}");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn an_authority_that_answers_nonsense_is_named_and_nothing_on_disk_is_lost() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let one = instance("congress", &[origin.address]);
    let two = instance("assembly", &[origin.address]);
    installed.write(&format!("{}{one}", pebble.tables()));
    let mut usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    let first = front.issued(HOST).await;
    let stored = tree(&certs(&installed));
    usher.signal(Signal::TERM);
    usher.ended().await;

    // The same server, asked at a place that answers with something else.
    let tables = pebble.tables().replace("/dir\"", "/nonsense\"");
    installed.write(&format!("{tables}{one}{two}"));
    let _usher = installed.start().await;

    eventually("a reason that names the directory", async || {
        let reasons = installed.stats().await["instances"].to_string();
        check(
            reasons.contains("/nonsense") && reasons.contains("ACME"),
            reasons,
        )
    })
    .await;
    assert_eq!(front.leaf(HOST).await.unwrap(), first);
    assert_eq!(tree(&certs(&installed)), stored);
    // The name without a certificate is served plain meanwhile.
    assert_eq!(
        front
            .ask("http://assembly.example.org/")
            .send()
            .await
            .status,
        200
    );
    assert!(TcpStream::connect(installed.https()).await.is_ok());
}

//! When certificates are ordered: many at once, after kills, when the authority says so, and not at
//! all where the DNS says no.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use rustix::process::Signal;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::harness::acme::Trusting;
use crate::harness::acme_fault::{AcmeFault, Fault, Step};
use crate::harness::eventually::{check, eventually, within};
use crate::harness::pebble::{Options, Pebble};
use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";

/// An installation whose authority is reached through the proxy that counts.
struct Scene {
    installed: Installed,
    pebble: Pebble,
    fault: AcmeFault,
    origin: Origin,
}

impl Scene {
    async fn new() -> Self {
        let origin = Origin::start("origin").await;
        let installed = Installed::new("");
        let mut options = Options::at(installed.http().port());
        options.nonces_refused = 0;
        let pebble = Pebble::start_with(&options).await;
        let fault = AcmeFault::start(&pebble).await;
        Self {
            installed,
            pebble,
            fault,
            origin,
        }
    }

    fn tables(&self) -> String {
        self.pebble.tables_behind(&self.fault)
    }

    fn site(&self, name: &str) -> String {
        instance(name, &[self.origin.address])
    }

    async fn front(&self) -> Trusting<'_> {
        Trusting(&self.installed, self.pebble.trusting().await)
    }

    /// What is said about the certificates.
    async fn said(&self) -> String {
        self.installed.stats().await["instances"].to_string()
    }
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn names_that_start_together_are_served_one_after_the_other_for_one_order_each() {
    const NAMES: usize = 64;
    let scene = Scene::new().await;
    let names: Vec<String> = (0..NAMES).map(|number| format!("hall-{number}")).collect();
    let sites: String = names.iter().map(|name| scene.site(name)).collect();
    scene.installed.write(&(scene.tables() + &sites));
    let usher = scene.installed.start().await;
    let front = scene.front().await;
    let mut left: BTreeSet<&String> = names.iter().collect();
    let mut steps = BTreeSet::new();
    within(Duration::from_secs(120), "all certificates", async || {
        for name in left.clone() {
            if front.leaf(&format!("{name}.example.org")).await.is_ok() {
                left.remove(name);
            }
        }
        steps.insert(left.len());
        check(left.is_empty(), (left.clone(), usher.err()))
    })
    .await;
    assert!(
        steps.len() >= 4,
        "names were served all at once: {steps:?} were left"
    );
    assert_eq!(scene.fault.count(Step::NewOrder), NAMES, "orders");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn ten_kills_against_an_authority_that_refuses_cost_what_the_pauses_allow() {
    let scene = Scene::new().await;
    let refused = Fault::Busy(StatusCode::FORBIDDEN, "0".to_owned());
    scene.fault.inject(Step::NewOrder, refused, 1_000);
    scene
        .installed
        .write(&(scene.tables() + &scene.site("congress")));
    let began = Instant::now();
    for kill in 0..10 {
        let mut usher = scene.installed.start().await;
        eventually("an order, or word of when there is one", async || {
            let stats = scene.installed.stats().await;
            let told = &stats["instances"][0]["certificates"][0]["next_renewal"];
            let asked = kill == 0 && scene.fault.count(Step::NewOrder) > 0;
            check(asked || told.is_string(), (stats.to_string(), usher.err()))
        })
        .await;
        usher.signal(Signal::KILL);
        usher.ended().await;
    }
    // A second after a minute, a third after eleven.
    let minutes = began.elapsed().as_secs() / 60;
    let allowed = 1 + usize::from(minutes >= 1) + usize::from(minutes >= 11);
    let orders = scene.fault.count(Step::NewOrder);
    assert!(
        (1..=allowed).contains(&orders),
        "{orders} orders in {:?}",
        began.elapsed()
    );
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_window_that_is_past_renews_at_once_and_says_what_is_replaced() {
    let scene = Scene::new().await;
    scene
        .installed
        .write(&(scene.tables() + &scene.site("congress")));
    scene
        .fault
        .renew_between("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    let usher = scene.installed.start().await;
    let front = scene.front().await;
    let first = front.issued(HOST).await;
    eventually("another certificate", async || {
        let now = front.leaf(HOST).await;
        check(now.as_ref() != Ok(&first), (now, usher.err()))
    })
    .await;
    let replaced = scene.fault.replaced();
    assert_eq!(replaced.len(), 2, "{replaced:?}");
    assert_eq!(replaced[0], None);
    assert!(replaced[1].is_some(), "the second says what it replaces");
    // An authority that wants each back at once does not get an endless row of orders.
    let stats = scene.said().await;
    assert!(stats.contains("next_renewal"), "{stats}");
}

/// A DNS server that says of every name that it does not exist, or that it is here.
struct Names {
    address: SocketAddr,
    exist: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = Self {
            address: socket.local_addr().unwrap(),
            exist: Arc::default(),
            asked: Arc::default(),
        };
        let (exist, asked) = (Arc::clone(&names.exist), Arc::clone(&names.asked));
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut question).await {
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = answer(&question[..length], exist.load(Ordering::Relaxed));
                let _ = socket.send_to(&answer, client).await;
            }
        });
        names
    }
}

/// RFC 1035 §4: the question as it came, and 127.0.0.1 for type A.
fn answer(question: &[u8], exists: bool) -> Vec<u8> {
    let mut end = 12;
    while question[end] != 0 {
        end += usize::from(question[end]) + 1;
    }
    let asks_for_address = question[end + 1..end + 3] == [0, 1];
    end += 5;
    let code = if exists { 0 } else { 3 };
    let answers = u8::from(exists && asks_for_address);
    let mut bytes = question[..2].to_vec();
    bytes.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    bytes.extend(&question[12..end]);
    if answers > 0 {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    bytes
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_name_that_the_dns_does_not_know_is_never_ordered_and_one_that_leads_here_is() {
    let scene = Scene::new().await;
    let names = Names::start().await;
    let careful = format!("preflight = true\nresolver = \"{}\"", names.address);
    let tables = scene.tables().replace("preflight = false", &careful);
    scene
        .installed
        .write(&format!("{tables}{}", scene.site("congress")));
    let mut usher = scene.installed.start().await;
    eventually("a reason with the name and a remedy", async || {
        let said = scene.said().await;
        let words = [HOST, "NXDOMAIN", "A or AAAA record"];
        check(
            words.iter().all(|word| said.contains(word)),
            (said, usher.err()),
        )
    })
    .await;
    assert!(names.asked.load(Ordering::Relaxed) > 0);
    assert_eq!(scene.fault.asked().len(), 0, "the authority was asked");
    usher.signal(Signal::KILL);
    usher.ended().await;

    // Nothing answers at port 80 here, which is a warning.
    names.exist.store(true, Ordering::Relaxed);
    let usher = scene.installed.start().await;
    let front = scene.front().await;
    eventually("the certificate", async || {
        front.leaf(HOST).await.map_err(|error| (error, usher.err()))
    })
    .await;
    assert_eq!(scene.fault.count(Step::NewOrder), 1);
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_memory_that_cannot_be_kept_means_no_order_and_a_remedy() {
    let scene = Scene::new().await;
    scene
        .installed
        .write(&(scene.tables() + &scene.site("congress")));
    // A file in the place of the folder: not even root can write below it.
    let state = scene.installed.folder.path().join("state");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(state.join("acme"), "").unwrap();
    let usher = scene.installed.start().await;
    eventually("a reason with the folder and a remedy", async || {
        let said = scene.said().await;
        let folder = state.join("acme").display().to_string();
        let words = ["writable", "nothing is ordered", &folder];
        check(
            words.iter().all(|word| said.contains(word)),
            (said, usher.err()),
        )
    })
    .await;
    assert_eq!(scene.fault.count(Step::NewOrder), 0);
}

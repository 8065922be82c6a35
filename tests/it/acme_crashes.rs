//! Orders that are interrupted at any step: killed, or by a disk that is full or lies.
//!
//! strace does it, from outside, to the program as it is installed. After every restart the
//! invariants hold: no key that an authority knows is lost, nothing is ordered twice that was
//! written down once, and a name that had a certificate is served all the time.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustix::process::Signal;
use rustls::ClientConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::Instant;

use crate::harness::acme::{Trusting, forget_pauses, mode, tree};
use crate::harness::acme_fault::AcmeFault;
use crate::harness::eventually::{check, eventually};
use crate::harness::pebble::{Options, Pebble};
use crate::harness::program::Program;
use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";
const RUN: [&str; 3] = ["run", "--config", "usher.toml"];
/// Tests that share the points, each with an authority of its own.
const LANES: usize = 3;
/// An order that goes on after a blow is done in this time.
const AFTER_A_BLOW: Duration = Duration::from_secs(3);
/// Points of a short run, over all lanes.
const SHORT: usize = 30;
const LONG: usize = 300;

/// What happens to a system call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Blow {
    /// Nothing more fits on the disk.
    Full,
    /// The process is gone before the call is.
    Kill,
    /// The disk says that it took a byte, and took none.
    Short,
}

/// Where an order is interrupted: at the n-th of these calls that concern our own files.
#[derive(Clone, Copy, Debug)]
struct Point {
    calls: &'static str,
    nth: usize,
    blow: Blow,
}

struct Scene {
    installed: Installed,
    pebble: Pebble,
    fault: AcmeFault,
    _origin: Origin,
    certs: PathBuf,
    state: PathBuf,
    new: ClientConfig,
    old: ClientConfig,
}

/// What was counted before a point.
struct Before {
    keys: usize,
    orders: usize,
}

impl Scene {
    async fn new() -> Self {
        let origin = Origin::start("origin").await;
        let installed = Installed::new("");
        let mut options = Options::at(installed.http().port());
        // A nonce that is refused would be another exchange here and there, and another point.
        options.nonces_refused = 0;
        options.authorizations_reused = 0;
        let pebble = Pebble::start_with(&options).await;
        let fault = AcmeFault::start(&pebble).await;
        let site = instance("congress", &[origin.address]);
        installed.write(&format!("{}{site}", pebble.tables_behind(&fault)));
        Self {
            certs: installed.folder.path().join("certs"),
            state: installed.folder.path().join("state"),
            new: pebble.trusting().await,
            old: installed.pki.client(&[]),
            installed,
            pebble,
            fault,
            _origin: origin,
        }
    }

    /// A fresh machine with one certificate, which is about to end.
    fn reset(&self) -> Before {
        for folder in [&self.certs, &self.state] {
            let _ = fs::remove_dir_all(folder);
        }
        let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
        let day = Duration::from_secs(86_400);
        params.not_before = (SystemTime::now() - day * 80).into();
        params.not_after = (SystemTime::now() + day * 10).into();
        let (chain, key) = self.installed.pki.sign(params);
        let folder = self.certs.join(HOST);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("cert.pem", chain.as_str()),
            ("chain.pem", ""),
            ("fullchain.pem", &chain),
            ("key.pem", &key),
            (".companion", ""),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("key.pem"), private).unwrap();
        for (ending, file) in [
            ("crt", "fullchain.pem"),
            ("key", "key.pem"),
            ("chain.pem", "chain.pem"),
        ] {
            let link = self.certs.join(format!("{HOST}.{ending}"));
            symlink(format!("./{HOST}/{file}"), link).unwrap();
        }
        Before {
            keys: self.fault.requested_keys().len(),
            orders: self.fault.replaced().len(),
        }
    }

    /// Whether the name is served with the new certificate, the old one, or not at all.
    async fn served(&self) -> Result<bool, String> {
        let ask = async |trust: &ClientConfig| {
            let front = Trusting(&self.installed, trust.clone());
            front.leaf(HOST).await
        };
        if ask(&self.new).await.is_ok() {
            return Ok(true);
        }
        if ask(&self.old).await.is_ok() {
            return Ok(false);
        }
        // It may have been replaced in between.
        ask(&self.new).await.map(|_| true)
    }

    /// Runs until the blow has fallen and what comes of it is seen. Gives what strace wrote, and
    /// whether the process ended by itself.
    async fn strike(&self, options: &[String]) -> (String, bool) {
        let folder = self.installed.folder.path();
        let trace = folder.join("trace");
        let _ = fs::remove_file(&trace);
        let mut usher = Program::start_traced(folder, &RUN, options, &trace);
        let reason = "no certificate; what is served stays";
        let mut fallen: Option<Instant> = None;
        eventually("the end of it, the certificate or a reason", async || {
            let err = usher.err();
            let injected = fs::read_to_string(&trace).is_ok_and(|text| text.contains("INJECTED"));
            if injected {
                fallen.get_or_insert_with(Instant::now);
            }
            // What fails beside the order need not end it, and need not let it begin.
            let stuck = fallen.is_some_and(|fallen| fallen.elapsed() > AFTER_A_BLOW);
            let over = !usher.runs() || err.contains(reason) || stuck;
            let served = if over { Ok(false) } else { self.served().await };
            check(over || served == Ok(true), (served, err))
        })
        .await;
        let died = !usher.runs();
        if !died {
            usher.signal(Signal::KILL);
        }
        usher.ended().await;
        (fs::read_to_string(&trace).unwrap_or_default(), died)
    }

    /// Whether an order is written down that the authority may have made.
    fn has_order(&self) -> bool {
        let journals = tree(&self.state);
        let mut texts = journals
            .iter()
            .filter(|(path, _)| path.ends_with("order.json"))
            .map(|(_, text)| String::from_utf8_lossy(text));
        texts.any(|text| text.contains("\"order\""))
    }

    fn account(&self) -> Option<Vec<u8>> {
        let files = tree(&self.state);
        let key = files
            .into_iter()
            .find(|(path, _)| path.ends_with("account.key"));
        key.map(|(_, pem)| pem)
    }

    /// What holds of the disk at any moment.
    fn look(&self, before: &Before, point: &str) {
        let key = |pem: &[u8]| {
            let der = PrivateKeyDer::from_pem_slice(pem).ok()?;
            Some(KeyPair::try_from(&der).ok()?.subject_public_key_info())
        };
        let files = [tree(&self.state), tree(&self.certs)].concat();
        let keys: Vec<_> = files.iter().filter_map(|(_, text)| key(text)).collect();
        for requested in &self.fault.requested_keys()[before.keys..] {
            assert!(
                keys.contains(requested),
                "{point}: a key is lost: {files:?}"
            );
        }
        for (path, _) in tree(&self.state) {
            let (file, folder) = (mode(&path), mode(path.parent().unwrap()));
            assert_eq!(
                (file & 0o077, folder),
                (0, 0o700),
                "{point}: {}",
                path.display()
            );
        }
        for (path, _) in tree(&self.certs) {
            if path.ends_with("key.pem") {
                assert_eq!(mode(&path), 0o600, "{point}: {}", path.display());
            }
        }
    }

    /// One interrupted order and its end. Tells whether the blow fell.
    async fn run(&self, point: Point, files: &[String]) -> bool {
        let before = self.reset();
        let name = format!("{point:?}");
        let blow = match point.blow {
            Blow::Full => "error=ENOSPC",
            Blow::Kill => "signal=KILL",
            Blow::Short => "retval=1",
        };
        let inject = format!("inject={}:{blow}:when={}", point.calls, point.nth);
        let mut options = vec!["-e".to_owned(), inject];
        for file in files {
            options.extend(["-P".to_owned(), file.clone()]);
        }
        let (trace, died) = self.strike(&options).await;
        let fell = match point.blow {
            Blow::Kill => died,
            Blow::Full | Blow::Short => trace.contains("INJECTED"),
        };
        self.look(&before, &name);
        let account = self.account();
        let ordered = self.fault.replaced().len() - before.orders;
        let written = self.has_order();

        forget_pauses(&self.installed);
        let mut usher = self.installed.start().await;
        let served = self.served().await;
        assert!(
            served.is_ok(),
            "{name}: a name that had a certificate: {served:?}"
        );
        eventually(&format!("{name}: the certificate"), async || {
            check(
                self.served().await == Ok(true),
                (usher.err(), self.pebble.log()),
            )
        })
        .await;
        let log = usher.err();
        usher.signal(Signal::KILL);
        usher.ended().await;

        self.look(&before, &name);
        if let Some(account) = account {
            assert_eq!(self.account(), Some(account), "{name}: the account's key");
        }
        // The authority looked while nobody was there: what is proven then is that it is not.
        let missed = usize::from(log.contains("an interrupted order is given up"));
        let again = self.fault.replaced().len() - before.orders - ordered;
        let allowed = if written { missed } else { 1 };
        // When it was all over before the blow fell, nothing is ordered at all.
        assert!(
            again <= allowed,
            "{name}: {again} more orders, {allowed} allowed: {log}"
        );
        fell
    }
}

/// The calls of one whole order that concern our own files, as strace names them.
async fn rehearse(scene: &Scene) -> (Vec<(&'static str, usize)>, Vec<String>) {
    scene.reset();
    let options = [
        "-y",
        "-e",
        "trace=rename,renameat,renameat2,fsync,write,openat",
    ];
    let (trace, _) = scene.strike(&options.map(ToOwned::to_owned)).await;
    let folder = scene.installed.folder.path().to_string_lossy().into_owned();
    let own = |line: &&str| line.contains(&folder);
    let count = |call: &str| {
        trace
            .lines()
            .filter(own)
            .filter(|line| line.contains(call))
            .count()
    };
    let mut files: Vec<String> = trace
        .lines()
        .filter(own)
        .filter(|line| line.contains(" write("))
        .filter_map(|line| Some(line.split_once('<')?.1.split_once('>')?.0.to_owned()))
        // What it remembers of earlier attempts is another promise, and has tests of its own.
        .filter(|path| !path.contains("/schedule."))
        .collect();
    files.sort();
    files.dedup();
    let counts = vec![
        ("rename,renameat,renameat2", count(" rename")),
        ("fsync", count(" fsync(")),
        ("write", count(" write(")),
    ];
    (counts, files)
}

/// Every point there is, of each kind in turn, so that the first of them are of every kind.
fn points(counts: &[(&'static str, usize)]) -> Vec<Point> {
    let blows = [Blow::Kill, Blow::Full, Blow::Kill, Blow::Short];
    let mut all = Vec::new();
    let most = counts
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or_default();
    for round in 0..blows.len() {
        for nth in 1..=most {
            for (kind, (calls, count)) in counts.iter().enumerate() {
                let blow = blows[(round + nth + kind) % blows.len()];
                // Only a write can be short.
                let possible = blow != Blow::Short || *calls == "write";
                if nth <= *count && possible {
                    all.push(Point { calls, nth, blow });
                }
            }
        }
    }
    all
}

async fn lane(lane: usize) {
    let scene = Scene::new().await;
    let (counts, files) = rehearse(&scene).await;
    let wanted = if std::env::var_os("USHER_LONG").is_some() {
        LONG
    } else {
        SHORT
    };
    let all = points(&counts);
    assert!(all.len() > SHORT, "{counts:?}");
    // Spread over the whole of an order; a long run goes over all of them more than once. strace
    // counts for each thread, so that some points are never reached: others take their place.
    let step = (all.len() / wanted).max(1);
    let mut chosen = (0..wanted * 3)
        .map(|at| all[(at * step + at * step / all.len()) % all.len()])
        .skip(lane)
        .step_by(LANES);
    let (mut fell, mut struck) = (0, 0);
    while fell < wanted / LANES {
        let point = chosen
            .next()
            .unwrap_or_else(|| panic!("{fell} of {struck} blows fell"));
        let files: &[String] = if point.calls == "write" { &files } else { &[] };
        fell += usize::from(scene.run(point, files).await);
        struck += 1;
    }
    println!("lane {lane}: {fell} of {struck} blows fell, of {counts:?}");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn an_interrupted_order_goes_on_and_loses_nothing() {
    lane(0).await;
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn an_interrupted_order_goes_on_and_loses_nothing_2() {
    lane(1).await;
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn an_interrupted_order_goes_on_and_loses_nothing_3() {
    lane(2).await;
}

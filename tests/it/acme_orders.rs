//! Orders from a real ACME server that is difficult: it refuses nonces, breaks off, is busy, wants
//! other proofs, or has never heard of the account.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use rustix::process::Signal;

use crate::harness::acme::{Trusting, forget_pauses, mode, remembered, tree};
use crate::harness::acme_fault::{AcmeFault, Fault, Step};
use crate::harness::eventually::{check, eventually, within};
use crate::harness::pebble::{Options, Pebble};
use crate::harness::program::Program;
use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";

fn state(installed: &Installed) -> PathBuf {
    installed.folder.path().join("state/acme")
}

async fn stopped(mut usher: Program) {
    usher.signal(Signal::KILL);
    usher.ended().await;
}

/// The one file below this folder that is called so.
fn the(name: &str, folder: &Path) -> PathBuf {
    let mut found = tree(folder)
        .into_iter()
        .filter(|(path, _)| path.ends_with(name));
    let (path, _) = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "more than one {name}");
    path
}

/// Waits until the statistics give a reason with all of these words.
async fn reason(installed: &Installed, words: &[&str]) {
    eventually(&format!("a reason with {words:?}"), async || {
        let stats = installed.stats().await.to_string();
        check(words.iter().all(|word| stats.contains(word)), stats)
    })
    .await;
}

/// Fifty tenants that start together, from a server that refuses every other nonce.
async fn fifty(authorizations_reused: u8) {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let mut options = Options::at(installed.http().port());
    options.nonces_refused = 50;
    options.authorizations_reused = authorizations_reused;
    options.chain_length = 3;
    options.alternate_roots = 1;
    if std::env::var_os("USHER_LONG").is_some() {
        options.validation_waits = 15;
    }
    let pebble = Pebble::start_with(&options).await;
    let fault = AcmeFault::start(&pebble).await;
    let names: Vec<String> = (0..50).map(|number| format!("hall-{number}")).collect();
    let sites: String = names
        .iter()
        .map(|name| instance(name, &[origin.address]))
        .collect();
    installed.write(&format!("{}{sites}", pebble.tables_behind(&fault)));
    let usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    let mut left: BTreeSet<String> = names
        .iter()
        .map(|name| format!("{name}.example.org"))
        .collect();
    within(Duration::from_secs(150), "fifty certificates", async || {
        for name in left.clone() {
            if front.leaf(&name).await.is_ok() {
                left.remove(&name);
            }
        }
        check(left.is_empty(), (left.clone(), usher.err()))
    })
    .await;
    assert_eq!(fault.replaced().len(), 50, "orders");
    let fullchain = fs::read_to_string(installed.certs().join("hall-7.example.org/fullchain.pem"));
    let certificates = fullchain.unwrap().matches("BEGIN CERTIFICATE").count();
    assert_eq!(certificates, 4, "the leaf and the chain above it");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn fifty_names_take_fifty_orders_whatever_happens_to_nonces() {
    fifty(0).await;
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn fifty_names_take_fifty_orders_when_proofs_are_used_again() {
    fifty(100).await;
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn whatever_an_authority_does_is_named_and_an_order_it_made_is_gone_on_with() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let mut options = Options::at(installed.http().port());
    options.nonces_refused = 0;
    let pebble = Pebble::start_with(&options).await;
    let fault = AcmeFault::start(&pebble).await;
    let site = instance("congress", &[origin.address]);
    installed.write(&format!("{}{site}", pebble.tables_behind(&fault)));
    let front = Trusting(&installed, pebble.trusting().await);
    let busy = |status| Fault::Busy(status, "3600".to_owned());
    let bare = |status| Fault::Bare(status, "120".to_owned());
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    // What is broken, what is said about it, and how many orders a restart makes then.
    for (step, broken, words, more) in [
        (
            Step::NewOrder,
            busy(too_many),
            &["the order", "busy", "left alone until"][..],
            1,
        ),
        (
            Step::Directory,
            busy(unavailable),
            &["the directory", "left alone until"],
            1,
        ),
        (
            Step::Nonce,
            bare(StatusCode::BAD_GATEWAY),
            &["502 Bad Gateway"],
            1,
        ),
        (Step::Directory, Fault::Cut, &["broke off"], 1),
        (Step::NewOrder, Fault::Cut, &["the order", "broke off"], 0),
        (Step::Authorization, Fault::Lost, &["an authorization"], 0),
        (Step::Finalize, Fault::Lost, &["the request"], 0),
        (
            Step::Certificate,
            Fault::Cut,
            &["the certificate", "broke off"],
            0,
        ),
        (
            Step::Certificate,
            Fault::WrongCertificate,
            &["another key"],
            1,
        ),
        (
            Step::Certificate,
            Fault::Dates(-90, -1),
            &["has expired", "clock"],
            1,
        ),
        (
            Step::Certificate,
            Fault::Dates(30, 120),
            &["not valid before", "clock"],
            1,
        ),
    ] {
        let what = format!("{broken:?} at {step:?}");
        for folder in [state(&installed), installed.certs()] {
            let _ = fs::remove_dir_all(folder);
        }
        fault.inject(step, broken, 1);
        let usher = installed.start().await;
        reason(&installed, words).await;
        stopped(usher).await;
        fault.heal();
        forget_pauses(&installed);
        let before = fault.replaced().len();
        let usher = installed.start().await;
        front.issued(HOST).await;
        stopped(usher).await;
        assert_eq!(fault.replaced().len() - before, more, "{what}: orders");
    }
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_lost_account_is_told_and_never_made_anew() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let fault = AcmeFault::start(&pebble).await;
    let one = instance("congress", &[origin.address]);
    let two = instance("assembly", &[origin.address]);
    let tables = pebble.tables_behind(&fault);
    installed.write(&format!("{tables}{one}"));
    let usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    let first = front.issued(HOST).await;
    stopped(usher).await;
    let accounts = state(&installed).join("accounts");
    let (key, credentials) = (
        the("account.key", &accounts),
        the("account.json", &accounts),
    );
    let kept = [&key, &credentials].map(|path| fs::read(path).unwrap());
    let restore = || {
        for (path, content) in [&key, &credentials].into_iter().zip(&kept) {
            fs::write(path, content).unwrap();
        }
    };
    installed.write(&format!("{tables}{one}{two}"));
    let asked = fault.count(Step::Account);

    let lose: [(&str, &dyn Fn()); 4] = [
        ("gone", &|| {
            fs::remove_file(&key).unwrap();
            fs::remove_file(&credentials).unwrap();
        }),
        ("corrupt", &|| {
            fs::write(&key, "-----BEGIN PRIVATE KEY-----\nMC4C\n").unwrap();
            fs::write(&credentials, "{").unwrap();
        }),
        ("half", &|| {
            fs::write(&credentials, &kept[1][..kept[1].len() / 2]).unwrap();
            fs::remove_file(&key).unwrap();
        }),
        ("empty", &|| {
            fs::write(&key, "").unwrap();
            fs::remove_file(&credentials).unwrap();
        }),
    ];
    for (how, lose) in lose {
        restore();
        lose();
        forget_pauses(&installed);
        let usher = installed.start().await;
        let folder = accounts.to_string_lossy().into_owned();
        reason(
            &installed,
            &["lost its account", &folder, "restore it from a backup"],
        )
        .await;
        assert_eq!(front.leaf(HOST).await.as_ref(), Ok(&first), "{how}");
        stopped(usher).await;
        assert_eq!(fault.count(Step::Account), asked, "{how}: a registration");
    }

    // The key is enough to find the account again, and nobody else may read it.
    restore();
    fs::write(&credentials, "{").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    forget_pauses(&installed);
    let usher = installed.start().await;
    front.issued("assembly.example.org").await;
    stopped(usher).await;
    let account =
        |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap()["id"].clone();
    assert_eq!(
        account(&fs::read(&credentials).unwrap()),
        account(&kept[1]),
        "the same account"
    );
    assert_eq!(mode(&key), 0o600);
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn an_authority_that_wants_an_external_account_gets_it() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let mut options = Options::at(installed.http().port());
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    options.external_account = Some(("kid-1", key));
    let pebble = Pebble::start_with(&options).await;
    let site = instance("congress", &[origin.address]);
    let file = installed.folder.path().join("eab.key");
    fs::write(&file, format!("{key}\n")).unwrap();
    let eab = format!(
        "eab = {{ kid = \"kid-1\", key-file = \"{}\" }}\n",
        file.display()
    );

    installed.write(&format!("{}{site}", pebble.tables()));
    let usher = installed.start().await;
    reason(&installed, &["externalAccountRequired"]).await;
    stopped(usher).await;

    // The key of the first attempt is there, and has no account yet.
    let _ = fs::remove_dir_all(state(&installed));
    installed.write(&format!("{}{eab}{site}", pebble.tables()));
    let usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    front.issued(HOST).await;
    stopped(usher).await;
    assert_eq!(mode(&the("account.json", &state(&installed))), 0o600);
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_name_is_proven_in_the_handshake() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    // Nobody answers over HTTP where this server would ask.
    let mut options = Options::at(crate::harness::program::free_port());
    options.https_port = installed.https().port();
    let pebble = Pebble::start_with(&options).await;
    let site = instance("congress", &[origin.address]);
    let tables = pebble
        .tables()
        .replace("[acme]\n", "[acme]\nchallenges = [\"tls-alpn-01\"]\n");
    installed.write(&format!("{tables}{site}"));
    let _usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    front.issued(HOST).await;
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_wildcard_is_proven_by_the_operators_command_and_leaves_no_record() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let folder = installed.folder.path();
    let (hook, log) = (folder.join("hook"), folder.join("hook.log"));
    // Plain bash: whoever runs the tests has no more than that.
    let script = format!(
        r#"#!/usr/bin/bash
set -eu
echo "$1 $2" >> {log}
[[ "$1" == set ]] && path=/set-txt || path=/clear-txt
body="{{\"host\":\"$2.\",\"value\":\"$3\"}}"
exec 3<>/dev/tcp/127.0.0.1/{port}
printf 'POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s' "$path" "${{#body}}" "$body" >&3
read -r answer <&3
[[ "$answer" == *200* ]]
"#,
        log = log.display(),
        port = pebble.dns_management(),
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let tables = pebble.tables().replace(
        "[acme]\n",
        &format!("[acme]\ndns-hook = [\"{}\"]\n", hook.display()),
    );
    let site = instance("congress", &[origin.address])
        .replace("[\"congress", "[\"*.halls.example.org\", \"congress");
    installed.write(&format!("{tables}{site}"));
    let usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    let leaf = front.issued("north.halls.example.org").await;
    assert_eq!(front.issued("south.halls.example.org").await, leaf);
    assert_eq!(front.issued(HOST).await, leaf, "one for all");
    let log = fs::read_to_string(&log).unwrap();
    let record = "_acme-challenge.halls.example.org";
    assert_eq!(
        log,
        format!("set {record}\nunset {record}\n"),
        "{}",
        usher.err()
    );
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn staging_is_apart_and_is_served_until_there_is_something_better() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let staging = AcmeFault::start(&pebble).await;
    let site = instance("congress", &[origin.address]);
    let site = |flag: &str| site.replacen("domains", &format!("staging = {flag}\ndomains"), 1);
    let tables = pebble.tables() + &pebble.directory("letsencrypt-staging", staging.port());
    installed.write(&format!("{tables}{}", site("true")));
    let usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);
    let first = front.issued(HOST).await;
    let certs = installed.certs();
    let leads_to = || fs::read_link(certs.join(format!("{HOST}.crt"))).unwrap();
    let of_staging = PathBuf::from(format!("./_test_{HOST}/fullchain.pem"));
    let of_production = PathBuf::from(format!("./{HOST}/fullchain.pem"));
    assert_eq!(leads_to(), of_staging);
    assert_eq!(staging.replaced().len(), 1);

    installed.write(&format!("{tables}{}", site("false")));
    eventually("the certificate that is trusted", async || {
        let leaf = front.leaf(HOST).await;
        assert!(leaf.is_ok(), "served all the time: {leaf:?}");
        check(leaf != Ok(first.clone()), usher.err())
    })
    .await;
    assert_eq!(leads_to(), of_production);
    assert_eq!(staging.replaced().len(), 1, "orders of staging");
    assert!(
        certs.join(format!("_test_{HOST}")).is_dir(),
        "nothing is deleted"
    );
    let accounts = fs::read_dir(state(&installed).join("accounts")).unwrap();
    assert_eq!(accounts.count(), 2, "accounts");

    // Back on staging: its pair does not take the place of the trusted one.
    let second = front.leaf(HOST).await.unwrap();
    stopped(usher).await;
    fs::remove_dir_all(certs.join(format!("_test_{HOST}"))).unwrap();
    forget_pauses(&installed);
    installed.write(&format!("{tables}{}", site("true")));
    let usher = installed.start().await;
    eventually("a new pair of staging", async || {
        let there = certs.join(format!("_test_{HOST}")).is_dir();
        check(there && journals(&installed) == 0, usher.err())
    })
    .await;
    assert_eq!(leads_to(), of_production);
    assert_eq!(front.leaf(HOST).await, Ok(second));
    assert_eq!(staging.replaced().len(), 2, "orders of staging");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_renewal_says_what_it_replaces_as_long_as_that_is_understood() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let fault = AcmeFault::start(&pebble).await;
    // Every certificate should have been renewed long ago.
    fault.renew_between("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    fault.echo_replaces(true);
    let site = instance("congress", &[origin.address]);
    installed.write(&format!("{}{site}", pebble.tables_behind(&fault)));
    let front = Trusting(&installed, pebble.trusting().await);
    let renewed = async |before: &[u8]| {
        forget_pauses(&installed);
        let usher = installed.start().await;
        let leaf = eventually("another certificate", async || {
            let leaf = front.leaf(HOST).await;
            let other = leaf.as_ref().is_ok_and(|leaf| leaf != before);
            check(other, usher.err()).map(|()| leaf.expect("a leaf"))
        })
        .await;
        // Who ends before that renews without saying what is replaced, which is no harm.
        remembered(&installed).await;
        stopped(usher).await;
        leaf
    };
    let first = renewed(&[]).await;
    let second = renewed(&first).await;
    fault.echo_replaces(false);
    let third = renewed(&second).await;
    renewed(&third).await;
    let replaced = fault.replaced();
    let said: Vec<bool> = replaced.iter().map(Option::is_some).collect();
    // The third order was made and not understood: it was gone on with, and the fourth says nothing.
    assert_eq!(said, [false, true, true, false], "{replaced:?}");
    assert_ne!(replaced[1], replaced[2]);
}

/// How many journals there are.
fn journals(installed: &Installed) -> usize {
    tree(&state(installed).join("orders")).len()
}

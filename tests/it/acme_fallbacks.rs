//! What is done where the first way leads nowhere: another authority, another proof; and what an
//! operator who cannot wait types.

use std::path::PathBuf;

use http::{Method, StatusCode};
use rustix::process::Signal;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::harness::acme::{Trusting, forget_pauses, remembered};
use crate::harness::acme_fault::{AcmeFault, Fault, Step};
use crate::harness::eventually::{check, eventually};
use crate::harness::pebble::{Options, Pebble};
use crate::harness::program::free_port;
use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";

#[tokio::test]
#[ignore = "needs pebble"]
async fn the_next_authority_is_asked_when_the_first_is_down() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let fault = AcmeFault::start(&pebble).await;
    let site = instance("congress", &[origin.address]);
    let tables = pebble
        .tables()
        .replace("[\"pebble\"]", "[\"first\", \"pebble\"]")
        + &pebble.directory("first", fault.port());
    installed.write(&format!("{tables}{site}"));
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    fault.inject(
        Step::Directory,
        Fault::Busy(unavailable, "3600".to_owned()),
        u32::MAX,
    );
    let _usher = installed.start().await;
    let front = Trusting(&installed, pebble.trusting().await);

    front.issued(HOST).await;

    assert_eq!(fault.replaced().len(), 0, "orders at the one that is down");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_proof_that_failed_is_followed_by_another_kind_with_the_next_order() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    // Nobody answers over HTTP where this server asks first.
    let mut options = Options::at(free_port());
    options.https_port = installed.https().port();
    options.authorizations_reused = 0;
    let pebble = Pebble::start_with(&options).await;
    let fault = AcmeFault::start(&pebble).await;
    let site = instance("congress", &[origin.address]);
    installed.write(&format!("{}{site}", pebble.tables_behind(&fault)));
    let front = Trusting(&installed, pebble.trusting().await);
    let mut usher = installed.start().await;
    eventually("the first proof failed", async || {
        let stats = installed.stats().await;
        let error = stats["instances"][0]["certificates"][0]["last_error"].to_string();
        check(error.contains("acme-challenge"), stats)
    })
    .await;
    usher.signal(Signal::KILL);
    usher.ended().await;
    // The pause after a failure is tested on a clock of its own.
    forget_pauses(&installed);

    let _usher = installed.start().await;
    front.issued(HOST).await;
    assert_eq!(fault.replaced().len(), 2, "orders");
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn a_renewal_by_hand_is_served_at_once_and_keeps_the_key_only_where_that_is_wanted() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let front = Trusting(&installed, pebble.trusting().await);
    let key = || {
        let path: PathBuf = installed.certs().join(HOST).join("key.pem");
        PrivateKeyDer::from_pem_file(path).expect("a key")
    };
    for reuse in [false, true, false] {
        installed.write(&format!(
            "[certs]\ndir = {:?}\nreuse-key = {reuse}\n{}{}",
            installed.certs(),
            pebble.tables(),
            instance("congress", &[origin.address])
        ));
        let mut usher = installed.start().await;
        front.issued(HOST).await;
        // Who asks while an order is under way gets what that brings.
        remembered(&installed).await;
        let (leaf, before) = (front.leaf(HOST).await.unwrap(), key());
        let url = format!("wss://{HOST}/ws/");
        let mut socket = front.ask(&url).websocket().await.unwrap();

        let renewed = installed.command(&["cert", "renew", HOST]).await;

        assert_eq!(renewed.code, 0, "{renewed:?}");
        let served = front.leaf(HOST).await;
        assert!(
            served.is_ok_and(|now| now != leaf),
            "reuse-key = {reuse}: {}{renewed:?}",
            usher.err()
        );
        assert_eq!(key() == before, reuse, "reuse-key = {reuse}");
        assert_eq!(socket.echo("still here").await, "origin: still here");
        let nobody = "nobody.example.org";
        let stranger = installed.command(&["cert", "renew", nobody]).await;
        assert_eq!(stranger.code, 1, "{stranger:?}");
        assert!(stranger.err.contains(nobody), "{stranger:?}");
        usher.signal(Signal::KILL);
        usher.ended().await;
    }
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn an_answer_to_a_challenge_is_for_its_token_and_its_host_alone() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let fault = AcmeFault::start(&pebble).await;
    // What was published stays for as long as the authority has not answered.
    fault.inject(Step::Challenge, Fault::Stall, u32::MAX);
    let party = instance("party", &[origin.address]);
    let party = party.replacen("domains", "https = \"off\"\ndomains", 1);
    let sites = instance("congress", &[origin.address]) + &party;
    installed.write(&format!("{}{sites}", pebble.tables_behind(&fault)));
    let _usher = installed.start().await;
    let token = eventually("a token", async || {
        fault.tokens().first().cloned().ok_or_else(|| fault.asked())
    })
    .await;
    let front = Trusting(&installed, pebble.trusting().await);
    let at = |host: &str, token: &str| format!("http://{host}/.well-known/acme-challenge/{token}");
    let shown = eventually("it is shown", async || {
        let answer = front.ask(&at(HOST, &token)).send().await;
        check(answer.status == 200, answer.status).map(|()| answer.text())
    })
    .await;
    assert!(shown.starts_with(&format!("{token}.")), "{shown}");
    let head = front
        .ask(&at(HOST, &token))
        .method(Method::HEAD)
        .send()
        .await;
    assert_eq!((head.status, head.body.len()), (200, 0));

    let neighbour = front.ask(&at("party.example.org", &token)).send().await;
    assert_eq!(neighbour.status, 404, "{}", neighbour.text());
    for other in [
        format!("{token}x"),
        token[1..].to_owned(),
        token.to_lowercase(),
    ] {
        let answer = front.ask(&at(HOST, &other)).send().await;
        assert_eq!(answer.status, 404, "{other}: {}", answer.text());
    }
    let heard = origin.requests();
    assert!(
        !heard
            .iter()
            .any(|request| request.contains("acme-challenge")),
        "no replica hears of a challenge: {heard:?}"
    );
}

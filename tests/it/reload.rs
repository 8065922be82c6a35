//! A configuration that changes under a running usher, through the binary and its signals.

use std::fs;

use rustix::process::Signal;

use crate::harness::eventually::{check, eventually};
use crate::harness::{Front, Installed, Origin, instance};

const ONE: &str = "https://one.example.org/";
const TWO: &str = "https://two.example.org/";

async fn issues(installed: &Installed, text: &str) {
    eventually(&format!("an issue about {text}"), async || {
        let reasons = installed.stats().await["reasons"].to_string();
        check(reasons.contains(text), reasons)
    })
    .await;
}

#[tokio::test]
async fn a_hangup_applies_the_file_and_cuts_nobody() {
    let origin = Origin::start("origin").await;
    let (one, two) = (
        instance("one", &[origin.address]),
        instance("two", &[origin.address]),
    );
    let installed = Installed::new(&format!("{one}{two}"));
    installed.write(&one);
    let mut usher = installed.start().await;
    installed.answers(ONE, 200).await;
    let mut socket = installed
        .ask("wss://one.example.org/ws/")
        .websocket()
        .await
        .unwrap();

    installed.write(&format!("{one}{two}"));
    usher.signal(Signal::HUP);

    installed.answers(TWO, 200).await;
    assert_eq!(socket.echo("still here").await, "origin: still here");
    usher.signal(Signal::INT);
    assert!(usher.ended().await.success());
}

#[tokio::test]
async fn a_changed_file_is_applied_without_a_signal() {
    let origin = Origin::start("origin").await;
    let one = instance("one", &[origin.address]);
    let two = one.replace("one", "two");
    let installed = Installed::new(&format!("{one}{two}"));
    installed.write(&one);
    let _usher = installed.start().await;
    installed.answers(ONE, 200).await;

    installed.write(&two);

    installed.answers(TWO, 200).await;
    let answer = installed.ask(ONE).try_send().await;
    assert!(answer.is_err(), "a name that is gone: {answer:?}");
}

#[tokio::test]
async fn half_a_file_changes_nothing_and_says_so() {
    let origin = Origin::start("origin").await;
    let one = instance("one", &[origin.address]);
    let installed = Installed::new(&one);
    let mut usher = installed.start().await;
    installed.answers(ONE, 200).await;

    let whole = fs::read_to_string(installed.file()).unwrap();
    fs::write(installed.file(), &whole[..whole.len() - 20]).unwrap();
    let reload = installed.command(&["reload"]).await;

    assert_eq!(reload.code, 1, "{reload:?}");
    assert!(reload.err.contains("nothing changed"), "{reload:?}");
    assert!(
        reload.err.contains("usher.toml:"),
        "names the line: {reload:?}"
    );
    issues(&installed, "usher.toml:").await;
    assert_eq!(installed.ask(ONE).send().await.status, 200);
    // Mended, and applied without being asked.
    installed.write(&one);
    eventually("no issue is left", async || {
        let reasons = installed.stats().await["reasons"].to_string();
        check(!reasons.contains("usher.toml"), reasons)
    })
    .await;
    usher.signal(Signal::INT);
    usher.ended().await;
}

#[tokio::test]
async fn one_tenants_bad_file_keeps_its_last_good_form_and_costs_nobody_else() {
    let origin = Origin::start("origin").await;
    let tenant = |name: &str| {
        instance(name, &[origin.address]).replace("[[instance]]", "[[instance]]\npaths = []")
    };
    let good = |name: &str| tenant(name).replace("paths = []\n", "");
    let include = "include = [\"tenants/*.toml\"]\n";
    let installed = Installed::new(&format!("{}{}", good("one"), good("two")));
    let tenants = installed.folder.path().join("tenants");
    fs::create_dir(&tenants).unwrap();
    fs::write(tenants.join("one.toml"), good("one")).unwrap();
    fs::write(tenants.join("two.toml"), good("two")).unwrap();
    let whole = fs::read_to_string(installed.file()).unwrap();
    let head = whole.split("[[instance]]").next().unwrap();
    fs::write(installed.file(), format!("{include}{head}")).unwrap();
    let _usher = installed.start().await;
    installed.answers(ONE, 200).await;
    installed.answers(TWO, 200).await;

    fs::write(tenants.join("one.toml"), tenant("one")).unwrap();
    fs::write(
        tenants.join("two.toml"),
        good("two").replace("two.example", "new.example"),
    )
    .unwrap();
    let answer = installed.command(&["reload"]).await;

    let said = answer.out.clone() + &answer.err;
    assert!(said.contains("one.toml:2: "), "{answer:?}");
    assert!(said.contains("paths"), "{answer:?}");
    assert!(
        said.contains("instance one: keeps its last good form"),
        "{answer:?}"
    );
    assert!(said.contains("instance two: changed"), "{answer:?}");
    assert_eq!(installed.ask(ONE).send().await.status, 200);
}

#[tokio::test]
async fn a_reload_that_looks_like_an_accident_is_refused_until_it_is_forced() {
    let origin = Origin::start("origin").await;
    let names = ["one", "two", "three", "four", "five"];
    let all: String = names.map(|name| instance(name, &[origin.address])).concat();
    let installed = Installed::new(&all);
    let _usher = installed.start().await;
    installed.answers(TWO, 200).await;

    installed.write(&instance("one", &[origin.address]));
    let refused = installed.command(&["reload"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("4 of 5 names"), "{refused:?}");
    assert!(refused.err.contains("--force"), "{refused:?}");
    assert_eq!(installed.ask(TWO).send().await.status, 200);

    let forced = installed.command(&["reload", "--force"]).await;
    assert_eq!(forced.code, 0, "{forced:?}");
    assert!(forced.out.contains("instance two: removed"), "{forced:?}");
    eventually("the name is gone", async || {
        let answer = installed.ask(TWO).try_send().await;
        check(answer.is_err(), answer)
    })
    .await;
}

#[tokio::test]
async fn what_takes_effect_at_the_next_start_is_said() {
    let installed = Installed::new("");
    let _usher = installed.start().await;

    installed.write("[log]\naccess = false\n");
    let reload = installed.command(&["reload"]).await;

    assert_eq!(reload.code, 0, "{reload:?}");
    assert!(
        reload
            .out
            .contains("log: changed; takes effect at the next start"),
        "{reload:?}"
    );
}

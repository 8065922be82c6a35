//! Whose a name is that containers claim, when its owner is away.

use std::fs;

use rustix::process::Signal;

use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, eventually};
use crate::harness::{Front, Installed, Origin};

const URL: &str = "http://a.example.org/";
const HOST: &str = "VIRTUAL_HOST=a.example.org";

fn tables(api: &DockerApi) -> String {
    format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\nnames-from-containers = \"open\"\n",
        api.socket().display()
    )
}

#[tokio::test]
async fn a_name_stays_with_its_removed_stack_whoever_claims_it_and_whoever_is_killed() {
    let origin = Origin::start_at("origin", ([0, 0, 0, 0], 0).into()).await;
    let port = origin.address.port();
    let api = DockerApi::start();
    let shop = api.one_of_many("shop", port, HOST);
    let installed = Installed::new(&tables(&api));
    let mut usher = installed.start().await;
    installed.answers(URL, 200).await;
    let kept = installed.folder.path().join("state/control.json");
    eventually("the owner is kept", async || {
        let text = fs::read_to_string(&kept).unwrap_or_default();
        check(text.contains("a.example.org"), text)
    })
    .await;
    usher.signal(Signal::KILL);
    usher.ended().await;

    // `docker compose down`, and somebody else was waiting for it.
    api.gone(&shop);
    let other = format!("{HOST},own.example.org");
    api.one_of_many("attack", port, &other);
    let mut usher = installed.start().await;
    installed.answers("http://own.example.org/", 200).await;
    assert_eq!(installed.ask(URL).send().await.status, 503);
    let told = installed.stats().await.to_string();
    for word in [
        "the stack shop had it",
        "[[instance]]",
        "Compose project shop",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    api.one_of_many("shop", port, HOST);
    installed.answers(URL, 200).await;
    let answer = installed.stats().await["instances"].to_string();
    assert!(answer.contains("shop"), "{answer}");

    // The last moment is kept where usher is told to end.
    api.one_of_many("late", port, "VIRTUAL_HOST=late.example.org");
    installed.answers("http://late.example.org/", 200).await;
    usher.signal(Signal::TERM);
    usher.ended().await;
    let text = fs::read_to_string(&kept).unwrap();
    assert!(text.contains("late.example.org"), "{text}");
}

#[tokio::test]
async fn an_operator_gives_the_name_of_a_removed_stack_to_another_by_an_entry() {
    let origin = Origin::start_at("origin", ([0, 0, 0, 0], 0).into()).await;
    let port = origin.address.port();
    let api = DockerApi::start();
    let old = api.one_of_many("old", port, HOST);
    let installed = Installed::new(&tables(&api));
    let usher = installed.start().await;
    installed.answers(URL, 200).await;
    api.gone(&old);
    api.one_of_many("new", port, HOST);
    eventually("the remedy is told", async || {
        let told = installed.stats().await.to_string();
        let remedy = "add an [[instance]] with `stack = \\\"new\\\"`";
        check(told.contains(remedy), told)
    })
    .await;
    assert_eq!(installed.ask(URL).send().await.status, 503);
    installed.write(&format!(
        "{}[[instance]]\nname = \"site\"\nstack = \"new\"\ndomains = [\"a.example.org\"]\n\
         [instance.service.web]\nrole = \"fixed\"\n",
        tables(&api)
    ));
    usher.signal(Signal::HUP);
    installed.answers(URL, 200).await;
}

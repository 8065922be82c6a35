//! What replicas get of the processors beside others, through the engine's API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::audience::{attendees, replicas};
use crate::harness::docker_api::{DockerApi, Fault, Wrong};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Setup};

fn tables(api: &DockerApi, scale: &str) -> String {
    format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\ndown-after = \"1s\"\n{scale}\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n",
        api.socket().display()
    )
}

fn shares(api: &DockerApi) -> BTreeMap<String, Value> {
    let all = api.host_configs().into_iter();
    all.map(|(name, host)| (name, host["CpuShares"].clone()))
        .collect()
}

async fn until_shares(api: &DockerApi, wanted: &[(&str, u64)]) {
    let wanted = wanted
        .iter()
        .map(|(name, shares)| ((*name).to_owned(), json!(shares)));
    let wanted: BTreeMap<String, Value> = wanted.collect();
    eventually(&format!("{wanted:?}"), async || {
        let shares = shares(api);
        check(shares == wanted, shares)
    })
    .await;
}

fn updates(api: &DockerApi) -> usize {
    let calls = api.calls("POST /containers/");
    calls
        .iter()
        .filter(|call| call.what.contains("/update"))
        .count()
}

async fn started(api: &DockerApi, scale: &str) -> Edge {
    let edge = Setup::new(&tables(api, scale)).start().await;
    replicas(&edge, "web", 1).await;
    edge
}

#[tokio::test]
async fn replicas_that_come_take_their_part_and_give_it_back() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let edge = started(&api, "").await;
    let mut sockets = attendees(&edge, 3).await;
    replicas(&edge, "web", 2).await;
    until_shares(&api, &[("congress_web_1", 512), ("congress_web_2", 512)]).await;
    for socket in &mut sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
    }
    for socket in sockets {
        socket.close().await;
    }
    replicas(&edge, "web", 1).await;
    until_shares(&api, &[("congress_web_1", 1_024)]).await;
    assert!(updates(&api) <= 4, "{}", updates(&api));
}

#[tokio::test]
async fn what_the_compose_file_says_of_the_processors_stays_and_its_siblings_have_it_too() {
    let api = DockerApi::start();
    api.compose_within("congress", "web", 1, json!({ "CpuShares": 300 }))
        .await;
    let edge = started(&api, "").await;
    let _sockets = attendees(&edge, 3).await;
    replicas(&edge, "web", 2).await;
    until_shares(&api, &[("congress_web_1", 300), ("congress_web_2", 300)]).await;
    let more = attendees(&edge, 2).await;
    replicas(&edge, "web", 3).await;
    drop(more);
    assert_eq!(updates(&api), 0);
}

#[tokio::test]
async fn an_engine_that_refuses_costs_nobody_anything() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    api.wrong(Fault {
        call: "POST /containers/",
        about: "/update",
        times: 99,
        what: Wrong::Refused(500, "cgroups: cannot write cpu.weight"),
    });
    let edge = started(&api, "").await;
    let mut sockets = attendees(&edge, 3).await;
    replicas(&edge, "web", 2).await;
    eventually("both were tried", async || {
        check(updates(&api) == 2, updates(&api))
    })
    .await;
    for socket in &mut sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
    }
    sockets.extend(attendees(&edge, 2).await);
    replicas(&edge, "web", 3).await;
}

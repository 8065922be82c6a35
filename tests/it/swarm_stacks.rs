//! Stacks of a Swarm behind a Docker API that is a test's own: several nodes, nodes that go, managers
//! that disagree, and people who change the same service.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use usher::engine::{Compose, NetworkPolicy};

use crate::harness::audience::{attendees, closed_by_usher, replicas, service};
use crate::harness::docker_api::{DockerApi, Fault, Wrong};
use crate::harness::docker_swarm::Choice;
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Setup};

const URL: &str = "https://congress.example.org/";
const TABLES: &str = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
    [instance.scale]\nsessions-per-replica = 2\ndown-after = \"DOWN\"\n\
    [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 6\n";

fn replicated(count: u32) -> Value {
    json!({ "Replicated": { "Replicas": count } })
}

/// usher, in a container of this engine.
async fn usher(api: &DockerApi, down_after: &str) -> Edge {
    usher_with(api, &TABLES.replace("DOWN", down_after)).await
}

async fn usher_with(api: &DockerApi, tables: &str) -> Edge {
    let own = api.alone("usher").await;
    let endpoint = format!("unix://{}", api.socket().display());
    let engine = Compose::new(vec![endpoint], NetworkPolicy::Auto).inside(&own);
    Setup::new(tables)
        .engine(Arc::new(engine), false)
        .quiet(Duration::from_secs(1))
        .start()
        .await
}

/// A Swarm of these nodes with `congress_web`, and usher in front of it.
async fn fronted(nodes: &[&str], count: u32) -> (DockerApi, Edge) {
    let api = DockerApi::start();
    api.swarm(nodes);
    api.deploy("congress", "web", &replicated(count));
    // Nothing leaves by itself while a test looks.
    let edge = usher(&api, "1h").await;
    replicas(&edge, "web", usize::try_from(count).unwrap()).await;
    (api, edge)
}

async fn scale(edge: &Edge, count: u32) {
    let order = json!({
        "do": "scale", "instance": "congress", "service": "web", "replicas": count,
    });
    let said = edge.order(&order).await;
    assert_eq!(said["done"], true, "{said}");
}

async fn says(edge: &Edge, words: &str) {
    eventually(&format!("a reason with `{words}`"), async || {
        let stats = edge.stats().await;
        let reasons = format!("{} {}", stats["reasons"], stats["instances"][0]["reasons"]);
        check(reasons.contains(words), reasons)
    })
    .await;
}

async fn draining(edge: &Edge, names: &[&str]) {
    eventually(&format!("{names:?} drain"), async || {
        let web = service(edge, "web").await;
        let all = web["replicas"].as_array().cloned().unwrap_or_default();
        let drain = all.iter().filter(|one| one["state"] == "draining");
        let drain: Vec<_> = drain.filter_map(|one| one["name"].as_str()).collect();
        check(drain == names, web.clone())
    })
    .await;
}

fn updates(api: &DockerApi) -> usize {
    let calls = api.calls("POST /services/");
    calls
        .iter()
        .filter(|call| call.what.ends_with("/update"))
        .count()
}

#[tokio::test]
async fn tasks_are_replicas_on_a_network_that_usher_joins() {
    let (api, edge) = fronted(&["n1", "n2"], 2).await;
    assert_eq!(edge.get(URL).await.status, 200);
    assert_eq!(api.calls("POST /networks/").len(), 1);
    let web = service(&edge, "web").await;
    let nodes: Vec<_> = web["replicas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["node"])
        .collect();
    assert!(
        nodes.contains(&&json!("n1")) && nodes.contains(&&json!("n2")),
        "{nodes:?}"
    );
    let stats = edge.stats().await;
    let members: Vec<_> = stats["nodes"].as_array().unwrap().iter().skip(1).collect();
    assert_eq!(members.len(), 2, "{members:?}");
    assert_eq!(members[0]["swarm"]["role"], "manager");
    assert_eq!(members[1]["swarm"]["state"], "ready");
}

#[tokio::test]
async fn only_the_number_of_replicas_is_changed() {
    let (api, edge) = fronted(&["n1"], 1).await;
    let mut expected = api.spec("congress_web");
    let mut sockets = attendees(&edge, 5).await;
    replicas(&edge, "web", 3).await;
    for socket in &mut sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
    }
    for (sent, count) in api.sent("congress_web").iter().zip(2..) {
        expected["Mode"]["Replicated"]["Replicas"] = json!(count);
        assert_eq!(*sent, expected);
    }
    assert_eq!(api.sent("congress_web").len(), 2);
}

#[tokio::test]
async fn the_highest_slot_is_drained_and_nothing_shrinks_before_it_is_empty() {
    let (api, edge) = fronted(&["n1"], 3).await;
    scale(&edge, 3).await;
    // Two on each.
    let sockets = attendees(&edge, 6).await;
    scale(&edge, 2).await;
    draining(&edge, &["congress_web.3"]).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(api.replicas_of("congress_web"), 3);
    for mut socket in sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
        socket.close().await;
    }
    replicas(&edge, "web", 2).await;
    assert_eq!(api.replicas_of("congress_web"), 2);
    let slots: Vec<_> = api
        .tasks("congress_web")
        .into_iter()
        .map(|(slot, _)| slot)
        .collect();
    assert_eq!(slots, [1, 2]);
    assert_eq!(api.cut(), Vec::<String>::new());
    assert_eq!(closed_by_usher(&edge).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_few_are_all_on_the_task_that_stays_and_the_others_leave_without_moving_anybody() {
    let api = DockerApi::start();
    api.swarm(&["n1"]);
    api.deploy("congress", "web", &replicated(3));
    let tables = TABLES
        .replace("sessions-per-replica = 2", "sessions-per-replica = 150")
        .replace("DOWN", "3s");
    let edge = usher_with(&api, &tables).await;
    replicas(&edge, "web", 3).await;
    let mut sockets = attendees(&edge, 9).await;
    for socket in &mut sockets {
        let who = socket.echo("who").await;
        assert!(who.starts_with("slot 1"), "{who}");
    }
    replicas(&edge, "web", 1).await;
    for mut socket in sockets {
        assert!(socket.echo("still here").await.starts_with("slot 1"));
        socket.close().await;
    }
    assert_eq!(api.cut(), Vec::<String>::new());
    assert_eq!(closed_by_usher(&edge).await, Vec::<String>::new());
}

#[tokio::test]
async fn whichever_of_equals_is_ended_nobody_was_in_it() {
    for choice in [Choice::FirstNode, Choice::LastNode] {
        let (api, edge) = fronted(&["n1", "n2"], 4).await;
        api.choose(choice);
        scale(&edge, 4).await;
        let mut sockets = attendees(&edge, 4).await;
        scale(&edge, 3).await;
        draining(&edge, &["congress_web.3", "congress_web.4"]).await;
        // Who holds which: the answer begins with the task's name.
        let mut by_slot = Vec::new();
        for mut socket in sockets.drain(..) {
            let slot = socket.echo("who").await;
            by_slot.push((slot, socket));
        }
        let leave = |slot: &str| slot.starts_with("slot 3");
        let (first, rest): (Vec<_>, Vec<_>) =
            by_slot.into_iter().partition(|(slot, _)| leave(slot));
        for (_, socket) in first {
            socket.close().await;
        }
        sleep(Duration::from_secs(2)).await;
        assert_eq!(updates(&api), 0, "slot 4 may be the one, and is in use");
        let (second, rest): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|(slot, _)| slot.starts_with("slot 4"));
        for (_, socket) in second {
            socket.close().await;
        }
        replicas(&edge, "web", 3).await;
        for (_, mut socket) in rest {
            assert!(socket.echo("still here").await.ends_with("still here"));
        }
        assert_eq!(api.replicas_of("congress_web"), 3);
        assert_eq!(updates(&api), 1);
        assert_eq!(api.cut(), Vec::<String>::new());
        let metrics = edge.admin("/metrics").await.text();
        assert!(
            metrics.contains("usher_swarm_wrong_tasks_total 0"),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn a_task_that_was_not_meant_is_counted() {
    let (api, edge) = fronted(&["n1"], 3).await;
    scale(&edge, 3).await;
    api.choose(Choice::LowestSlot);
    scale(&edge, 2).await;
    eventually("the wrong task is counted", async || {
        let metrics = edge.admin("/metrics").await.text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("usher_swarm_wrong_tasks_total"));
        check(
            line.is_some_and(|line| line.ends_with(" 1")),
            line.map(ToOwned::to_owned),
        )
    })
    .await;
    // And not made up for by a second one.
    replicas(&edge, "web", 2).await;
    assert_eq!(api.replicas_of("congress_web"), 2);
}

#[tokio::test]
async fn who_changes_the_service_at_the_same_moment_is_not_overruled() {
    let (api, edge) = fronted(&["n1"], 1).await;
    let conflict = |times| Fault {
        call: "POST /services/",
        about: "/update",
        times,
        what: Wrong::Refused(
            500,
            "rpc error: code = Unknown desc = update out of sequence",
        ),
    };
    api.wrong(conflict(3));
    scale(&edge, 2).await;
    replicas(&edge, "web", 2).await;
    assert_eq!(updates(&api), 4);
    assert_eq!(api.replicas_of("congress_web"), 2);
    api.wrong(conflict(5));
    scale(&edge, 3).await;
    says(&edge, "keeps changing the service").await;
    assert_eq!(updates(&api), 9, "no more than five");
    assert_eq!(api.replicas_of("congress_web"), 2);
}

#[tokio::test]
async fn a_number_that_an_operator_sets_is_his_wish() {
    let api = DockerApi::start();
    api.swarm(&["n1"]);
    api.deploy("congress", "web", &replicated(1));
    let edge = usher(&api, "1s").await;
    replicas(&edge, "web", 1).await;
    api.somebody_scales("congress_web", 4);
    replicas(&edge, "web", 4).await;
    let wished = service(&edge, "web").await;
    assert!(!wished["override_until"].is_null(), "{wished}");
    // There is no audience, and `down-after` is long over.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(api.replicas_of("congress_web"), 4);
    let before = updates(&api);
    assert_eq!(before, 0);
    api.somebody_scales("congress_web", 2);
    // At most two: one is enough for nobody.
    replicas(&edge, "web", 1).await;
    let _sockets = attendees(&edge, 6).await;
    replicas(&edge, "web", 2).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(api.replicas_of("congress_web"), 2, "three would be right");
}

#[tokio::test]
async fn tasks_of_a_lost_node_are_replaced_and_the_status_names_it() {
    let (api, edge) = fronted(&["n1", "n2"], 2).await;
    api.lose("n2");
    says(&edge, "n2 is down").await;
    replicas(&edge, "web", 2).await;
    eventually("both are on the other node", async || {
        let web = service(&edge, "web").await;
        let all = web["replicas"].as_array().cloned().unwrap_or_default();
        check(all.iter().all(|one| one["node"] == "n1"), web.clone())
    })
    .await;
    assert_eq!(edge.get(URL).await.status, 200);
    let stats = edge.stats().await;
    assert_eq!(stats["nodes"][2]["swarm"]["state"], "down");
}

#[tokio::test]
async fn without_a_leader_what_is_known_is_served() {
    let (api, edge) = fronted(&["n1", "n2"], 2).await;
    api.leaderless(true);
    says(&edge, "does not have a leader").await;
    scale(&edge, 3).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(edge.get(URL).await.status, 200);
    replicas(&edge, "web", 2).await;
    api.leaderless(false);
    eventually("it is not talked about any more", async || {
        let reasons = edge.stats().await["reasons"].to_string();
        check(!reasons.contains("cannot be asked"), reasons)
    })
    .await;
    replicas(&edge, "web", 3).await;
}

#[tokio::test]
async fn a_network_that_cannot_be_joined_is_told_with_the_remedy() {
    let api = DockerApi::start();
    api.swarm(&["n1"]);
    api.not_attachable();
    api.deploy("congress", "web", &replicated(1));
    let edge = usher(&api, "1h").await;
    says(&edge, "attachable: true").await;
    assert_eq!(api.calls("POST /networks/").len(), 0);
    // On the host there is no way at all.
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n{}",
        api.socket().display(),
        TABLES.replace("DOWN", "1h")
    );
    let outside = Setup::new(&text).start().await;
    says(&outside, "run usher as a container").await;
}

#[tokio::test]
async fn a_service_that_is_each_nodes_own_is_served_and_never_scaled() {
    let api = DockerApi::start();
    api.swarm(&["n1", "n2"]);
    api.deploy("congress", "web", &json!({ "Global": {} }));
    let edge = usher(&api, "1h").await;
    replicas(&edge, "web", 2).await;
    scale(&edge, 3).await;
    says(&edge, "global mode").await;
    scale(&edge, 1).await;
    sleep(Duration::from_secs(2)).await;
    replicas(&edge, "web", 2).await;
    assert_eq!(updates(&api), 0);
}

#[tokio::test]
async fn a_swarm_at_rest_is_asked_for_its_tasks_now_and_then_and_one_that_moves_each_second() {
    let (api, edge) = fronted(&["n1", "n2"], 2).await;
    let asked = || api.calls("GET /tasks").len();
    let calm = async || {
        let before = asked();
        sleep(Duration::from_millis(3_500)).await;
        let calls = asked() - before;
        check(calls <= 1, format!("{calls} in 3.5 s"))
    };
    eventually("nobody asks all the time", calm).await;
    // What comes is seen as soon as ever.
    scale(&edge, 3).await;
    eventually("there are three", async || {
        let web = service(&edge, "web").await;
        let count = web["replicas"].as_array().map(Vec::len);
        check(count == Some(3), web)
    })
    .await;
    edge.running.stop().await;
}

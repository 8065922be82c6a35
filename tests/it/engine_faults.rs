//! Faults of a Docker engine: whatever it does, nothing is leaked, nobody is stopped under somebody,
//! and it is not asked more often than it should be.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::audience::{attendees, closed_by_usher, replicas, service};
use crate::harness::docker_api::{DockerApi, Fault, Wrong};
use crate::harness::eventually::{check, eventually};
use crate::harness::pki::Pki;
use crate::harness::program::{Program, free_port};
use crate::harness::{Edge, Setup, configuration_at, write_pairs};

fn tables(api: &DockerApi) -> String {
    format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\ndown-after = \"1s\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n",
        api.socket().display()
    )
}

/// An engine with one web of the project `congress`, and usher in front of it.
async fn fronted() -> (DockerApi, Edge) {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let edge = Setup::new(&tables(&api)).start().await;
    replicas(&edge, "web", 1).await;
    (api, edge)
}

async fn scale(edge: &Edge, count: u32) {
    let order = json!({
        "do": "scale", "instance": "congress", "service": "web", "replicas": count,
    });
    let said = edge.order(&order).await;
    assert_eq!(said["done"], true, "{said}");
}

/// Waits until these are all there is of the project, and running.
async fn settled(api: &DockerApi, count: usize) {
    eventually(&format!("{count} containers, and no other"), async || {
        let all = api.containers();
        let running = all
            .iter()
            .filter(|(_, status)| *status == "running")
            .count();
        check(all.len() == count && running == count, all)
    })
    .await;
}

#[tokio::test]
async fn a_container_that_cannot_be_started_is_not_left_behind() {
    let (api, edge) = fronted().await;
    api.wrong(Fault {
        call: "POST /containers/",
        about: "/start",
        times: 1,
        what: Wrong::Refused(500, "driver failed programming external connectivity"),
    });
    scale(&edge, 2).await;
    settled(&api, 2).await;
    replicas(&edge, "web", 2).await;
    let creates = api.calls("POST /containers/create");
    assert_eq!(creates.len(), 2, "{creates:?}");
    let pause = creates[1].at.duration_since(creates[0].at);
    assert!(pause >= Duration::from_secs(5), "{pause:?}");
}

#[tokio::test]
async fn a_host_without_room_is_not_asked_again_at_once() {
    let (api, edge) = fronted().await;
    api.wrong(Fault {
        call: "POST /containers/create",
        about: "",
        times: 99,
        what: Wrong::Refused(500, "write /var/lib/docker: no space left on device"),
    });
    scale(&edge, 3).await;
    eventually("the reason is said", async || {
        let reasons = edge.instance("congress").await["reasons"].to_string();
        check(reasons.contains("no space left on device"), reasons)
    })
    .await;
    // Past the first pauses of what may work the next time.
    sleep(Duration::from_secs(7)).await;
    assert_eq!(api.calls("POST /containers/create").len(), 1);
    assert_eq!(
        api.calls("POST /containers/0001").len(),
        0,
        "nobody was stopped"
    );
    settled(&api, 1).await;
}

#[tokio::test]
async fn a_name_that_somebody_has_costs_a_number_and_nothing_else() {
    let (api, edge) = fronted().await;
    api.stranger("congress_web_2");
    scale(&edge, 2).await;
    replicas(&edge, "web", 2).await;
    assert_eq!(api.running(), ["congress_web_1", "congress_web_3"]);
}

#[tokio::test]
async fn what_was_made_without_an_answer_is_cleared_away_and_made_again() {
    let (api, edge) = fronted().await;
    api.wrong(Fault {
        call: "POST /containers/create",
        about: "",
        times: 1,
        what: Wrong::Lost,
    });
    scale(&edge, 2).await;
    replicas(&edge, "web", 2).await;
    settled(&api, 2).await;
}

#[tokio::test]
async fn without_events_what_was_made_is_seen_and_not_made_twice() {
    let (api, edge) = fronted().await;
    api.mute();
    scale(&edge, 3).await;
    replicas(&edge, "web", 3).await;
    settled(&api, 3).await;
    assert_eq!(api.calls("POST /containers/create").len(), 2);
}

#[tokio::test]
async fn what_dies_in_its_first_moments_is_removed_and_tried_ever_more_seldom() {
    let (api, edge) = fronted().await;
    api.wrong(Fault {
        call: "POST /containers/",
        about: "/start",
        times: 99,
        what: Wrong::Dies(1),
    });
    scale(&edge, 2).await;
    let began = Instant::now();
    eventually("two were tried", async || {
        let creates = api.calls("POST /containers/create").len();
        check(creates >= 2, creates)
    })
    .await;
    settled(&api, 1).await;
    sleep(Duration::from_secs(8)).await;
    let creates = api.calls("POST /containers/create").len();
    let deletes = api.calls("DELETE /containers/").len();
    assert!(creates <= 3, "{creates} in {:?}", began.elapsed());
    assert_eq!(creates, deletes);
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
}

#[tokio::test]
async fn nobody_is_stopped_under_somebody_however_slow_and_unwilling_the_engine_is() {
    let (api, edge) = fronted().await;
    let mut sockets = attendees(&edge, 6).await;
    replicas(&edge, "web", 3).await;
    sockets.extend(attendees(&edge, 4).await);
    for what in [
        Wrong::Late(Duration::from_secs(1)),
        Wrong::Refused(500, "context deadline exceeded"),
        Wrong::Refused(409, "conflict"),
        Wrong::Lost,
    ] {
        api.wrong(Fault {
            call: "POST /containers/",
            about: "/stop",
            times: 1,
            what,
        });
    }
    scale(&edge, 1).await;
    eventually("two drain", async || {
        let web = service(&edge, "web").await;
        let replicas = web["replicas"].as_array().cloned().unwrap_or_default();
        let drain = replicas.iter().filter(|one| one["state"] == "draining");
        check(drain.count() == 2, web)
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        api.calls("POST /containers/0")
            .iter()
            .filter(|call| call.what.ends_with("/stop"))
            .count(),
        0
    );
    for mut socket in sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
        socket.close().await;
    }
    replicas(&edge, "web", 1).await;
    settled(&api, 1).await;
    assert_eq!(api.cut(), Vec::<String>::new());
    assert_eq!(closed_by_usher(&edge).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_worker_is_stopped_when_its_work_is_done() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    for number in 1..=2 {
        api.compose("congress", "worker", number).await;
    }
    api.work("worker", true);
    let text = format!(
        "{}[instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 1.0\n",
        tables(&api)
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    eventually("it was looked at twice, and found busy", async || {
        let calls = api.calls("GET /containers/");
        let looked = calls
            .iter()
            .filter(|call| call.what.ends_with("/stats"))
            .count();
        check(looked >= 4, looked)
    })
    .await;
    assert_eq!(api.running().len(), 3);
    api.work("worker", false);
    replicas(&edge, "worker", 1).await;
}

#[tokio::test]
async fn of_two_usher_one_acts_and_the_other_takes_over_when_it_is_gone() {
    let (api, first) = fronted().await;
    eventually("the first has the stack", async || {
        let asked = api.calls("GET /info").len();
        check(asked >= 1, asked)
    })
    .await;
    let second = Setup::new(&tables(&api)).start().await;
    eventually("the second says why it does nothing", async || {
        let reasons = second.instance("congress").await["reasons"].to_string();
        check(reasons.contains("another usher"), reasons)
    })
    .await;
    scale(&second, 3).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(api.calls("POST /containers/create").len(), 0);
    assert_eq!(
        second.get("https://congress.example.org/").await.status,
        200
    );
    first.running.stop().await;
    drop(first.folder);
    replicas(&second, "web", 3).await;
    settled(&api, 3).await;
}

#[tokio::test]
async fn the_engine_says_once_which_it_is_however_many_stacks_are_claimed() {
    const STACKS: usize = 5;
    let api = DockerApi::start();
    let mut text = tables(&api);
    for number in 0..STACKS - 1 {
        let name = format!("stack{number}");
        api.compose(&name, "web", 1).await;
        let more = format!(
            "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
             [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n"
        );
        text.push_str(&more);
    }
    api.compose("congress", "web", 1).await;
    let _edge = Setup::new(&text).start().await;
    eventually("every stack was asked for", async || {
        let asked = api.calls("POST /session").len();
        check(asked >= STACKS, asked)
    })
    .await;
    assert_eq!(api.calls("GET /info").len(), 1);
}

/// usher as a process, with the configuration of a test.
fn program(folder: &Path, text: &str) -> Program {
    let ports = [0; 3].map(|_: u16| free_port());
    let text = configuration_at(folder, ports, text);
    let file = folder.join("usher.toml");
    std::fs::write(&file, text).expect("written");
    let loaded = usher::config::load(&file, None);
    let config = loaded.config.expect("good");
    write_pairs(&Pki::new(), &config, &folder.join("certs"));
    let file = file.display().to_string();
    Program::start(folder, &["run", "--config", &file])
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_start_leaves_nothing_that_the_next_does_not_clear() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let text = format!("{}min = 2\n", tables(&api));
    for call in ["POST /containers/create", "POST /containers/"] {
        let about = if call.ends_with('/') { "/start" } else { "" };
        // Created or about to be started, and no answer yet.
        api.wrong(Fault {
            call,
            about,
            times: 1,
            what: Wrong::Late(Duration::from_secs(3)),
        });
        let folder = tempfile::tempdir().expect("a folder");
        let killed = program(folder.path(), &text);
        eventually("the call was made", async || {
            let calls = api.calls(call);
            let found = calls.iter().any(|one| one.what.ends_with(about));
            check(found, calls)
        })
        .await;
        drop(killed);
        // The engine does what it was asked to, whoever is there to hear of it.
        sleep(Duration::from_secs(4)).await;
        let edge = Setup::new(&text).start().await;
        replicas(&edge, "web", 2).await;
        settled(&api, 2).await;
        scale(&edge, 1).await;
        settled(&api, 1).await;
        edge.running.stop().await;
    }
}

#[tokio::test]
async fn an_event_of_one_container_asks_about_that_one_and_lists_nothing() {
    let api = DockerApi::start();
    for number in 1..=6 {
        api.compose("congress", "web", number).await;
    }
    let text = tables(&api).replace("max = 4", "max = 8");
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 6).await;
    let counts = || {
        let calls = api.calls("GET /");
        let of = |what: &str| calls.iter().filter(|call| call.what.contains(what)).count();
        let lists = of("containers/json") + of("GET /networks") + of("GET /volumes");
        let about = calls
            .iter()
            .filter(|call| call.what.ends_with("/json"))
            .count();
        (lists, about - of("containers/json"))
    };
    // What was ordered at the start has been looked at.
    let quiet = eventually("nothing is asked any more", async || {
        let before = counts();
        sleep(Duration::from_millis(500)).await;
        check(counts() == before, before).map(|()| before)
    })
    .await;
    api.compose("congress", "web", 7).await;
    replicas(&edge, "web", 7).await;
    let now = counts();
    assert_eq!(now.0, quiet.0, "no list");
    println!("{} containers were asked about", now.1 - quiet.1);
    assert!(now.1 - quiet.1 <= 3, "{now:?} {quiet:?}");
}

#[tokio::test]
async fn a_volume_driver_that_does_not_answer_the_engine_holds_no_listing_up() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let late = |about, pause| Fault {
        call: "GET /volumes",
        about,
        times: 1_000,
        what: Wrong::Late(pause),
    };
    // The first one that fits counts: the engine's own driver answers.
    api.wrong(late("local", Duration::ZERO));
    api.wrong(late("", Duration::from_secs(60)));
    let edge = Setup::new(&tables(&api)).start().await;
    let first = replicas(&edge, "web", 1).await;
    api.compose("congress", "web", 2).await;
    let second = replicas(&edge, "web", 2).await;
    println!("followed after {first:?} and {second:?}");
    assert!(
        first.max(second) < Duration::from_secs(5),
        "{first:?} {second:?}"
    );
    assert_eq!(edge.stats().await["engine"]["connected"], true);
}

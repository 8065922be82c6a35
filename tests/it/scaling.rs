//! Replicas that follow the audience: real child processes, real websockets.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::Setup;
use crate::harness::audience::{attendees, closed_by_usher, replicas, service};
use crate::harness::client::Socket;
use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{eventually, within};
use crate::harness::program::{origin, run as run_program};

pub fn configuration(scale: &str, limits: &str) -> String {
    let program = origin().display().to_string();
    format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\n{scale}\n[instance.limits]\n{limits}\n\
         [instance.service.web]\nrole = \"sessions\"\ncommand = [\"{program}\"]\nmax = 3\n\
         probe = \"/\"\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 2.0\n\
         command = [\"env\", \"ROLE=idle\", \"{program}\"]\n"
    )
}

#[tokio::test]
async fn replicas_come_and_go_with_the_audience_and_nobody_is_cut() {
    let scale = "sessions-per-replica = 4\ndown-after = \"2s\"";
    let edge = Setup::new(&configuration(scale, "")).start().await;
    let first = replicas(&edge, "web", 1).await;
    // Nobody is there yet, and one is enough.
    replicas(&edge, "worker", 1).await;

    let mut sockets = attendees(&edge, 12).await;
    let up = replicas(&edge, "web", 3).await;
    let workers = replicas(&edge, "worker", 6).await;
    for socket in &mut sockets {
        assert!(socket.echo("here").await.ends_with(": here"));
    }
    let decision = service(&edge, "web").await["last_decision"].clone();
    assert_eq!(decision["to"], 3, "{decision}");
    // A full house stays as it is.
    sockets.extend(attendees(&edge, 2).await);
    assert_eq!(service(&edge, "web").await["desired"], 3);

    for socket in sockets.drain(..) {
        socket.close().await;
    }
    let down = replicas(&edge, "web", 1).await;
    replicas(&edge, "worker", 1).await;
    assert_eq!(closed_by_usher(&edge).await, Vec::<String>::new());
    println!(
        "first replica after {first:?}; three after {up:?}, six workers {workers:?} later; \
         one again {down:?} after the last attendee left"
    );
    edge.running.stop().await;
}

#[tokio::test]
async fn a_replica_with_a_session_is_not_stopped_before_its_drain_ended() {
    let scale = "sessions-per-replica = 4\ndown-after = \"1s\"";
    let edge = Setup::new(&configuration(scale, "replica-drain = \"10m\""))
        .start()
        .await;
    replicas(&edge, "web", 1).await;
    let mut sockets = attendees(&edge, 9).await;
    replicas(&edge, "web", 3).await;

    // The newcomers get the next: every replica holds somebody.
    sockets.extend(attendees(&edge, 4).await);
    let mut by_origin: BTreeMap<String, Vec<Socket>> = BTreeMap::new();
    for mut socket in sockets {
        let who = socket.echo("who").await;
        by_origin.entry(who).or_default().push(socket);
    }
    // One stays on each replica.
    let mut staying = Vec::new();
    for (_, mut sockets) in by_origin {
        staying.extend(sockets.pop());
        for socket in sockets {
            socket.close().await;
        }
    }
    eventually("two replicas drain", async || {
        let service = service(&edge, "web").await;
        let draining = service["replicas"].as_array().map_or(0, |all| {
            all.iter().filter(|one| one["state"] == "draining").count()
        });
        if draining >= 1 { Ok(()) } else { Err(service) }
    })
    .await;
    // Many decisions later everybody is still there.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for socket in &mut staying {
            socket.echo("still").await;
        }
    }
    for socket in staying {
        socket.close().await;
    }
    replicas(&edge, "web", 1).await;
    assert_eq!(closed_by_usher(&edge).await, Vec::<String>::new());
    edge.running.stop().await;
}

#[tokio::test]
async fn a_replica_is_ordered_within_seconds_of_the_demand_for_it() {
    const PROMISE: Duration = Duration::from_millis(2_500);
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n",
        api.socket().display()
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    let mut sockets = attendees(&edge, 2).await;
    assert_eq!(api.calls("POST /containers/create").len(), 0);

    sockets.extend(attendees(&edge, 1).await);
    let demand = Instant::now();
    let create = eventually("a container is made", async || {
        let creates = api.calls("POST /containers/create");
        creates.first().cloned().ok_or(creates)
    })
    .await;
    let took = create.at.saturating_duration_since(demand);
    println!("from the demand to the call that makes a container: {took:?} of {PROMISE:?}");
    assert!(took <= 3 * PROMISE, "{took:?}");
    replicas(&edge, "web", 2).await;
    drop(sockets);
    edge.running.stop().await;
}

#[tokio::test]
async fn the_operators_number_wins_until_it_is_taken_back() {
    let edge = Setup::new(&configuration(
        "sessions-per-replica = 4\ndown-after = \"1s\"",
        "",
    ))
    .start()
    .await;
    replicas(&edge, "web", 1).await;
    let folder = edge.folder.path();
    let socket = folder.join("control.sock").display().to_string();

    let run = async |arguments: &[&str]| {
        let all = [
            &arguments[..1],
            &["--socket", socket.as_str()],
            &arguments[1..],
        ]
        .concat();
        run_program(folder, &all).await
    };
    let done = run(&["scale", "congress/web", "3"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    replicas(&edge, "web", 3).await;
    let refused = run(&["scale", "congress/web", "9"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("at most 3"), "{refused:?}");
    let unknown = run(&["scale", "congres/web", "1"]).await;
    assert!(unknown.err.contains("congress"), "{unknown:?}");
    let unknown = run(&["scale", "congress/wbe", "1"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(
        unknown
            .err
            .contains("congress has no service `wbe`; it has web, worker"),
        "{unknown:?}"
    );

    let done = run(&["auto", "congress"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    replicas(&edge, "web", 1).await;
    let status = run(&["status"]).await;
    assert!(status.out.contains("congress"), "{status:?}");
    edge.running.stop().await;
}

#[tokio::test]
async fn a_replica_that_dies_is_replaced() {
    let edge = Setup::new(&configuration("", "")).start().await;
    replicas(&edge, "web", 1).await;
    let before = service(&edge, "web").await["replicas"][0]["id"].clone();
    let told = edge.get("https://congress.example.org/").await.json();
    let process = told["process"]
        .as_i64()
        .and_then(|id| i32::try_from(id).ok());
    let process = rustix::process::Pid::from_raw(process.expect("an id")).expect("an id");

    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("killed");
    let (_, took) = within(Duration::from_secs(60), "another replica", async || {
        let service = service(&edge, "web").await;
        let new = service["replicas"][0]["id"] != before;
        if new && service["ready"] == 1 {
            Ok(())
        } else {
            Err(service)
        }
    })
    .await;
    println!("a dead replica was replaced after {took:?}");
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
    edge.running.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_said_once_and_costs_its_service_only() {
    let text = configuration("", "").replace("[\"env\"", "[\"/does/not/exist\"");
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    eventually("a reason that names the program", async || {
        let reasons = edge.instance("congress").await["reasons"].to_string();
        if reasons.contains("/does/not/exist") {
            Ok(())
        } else {
            Err(reasons)
        }
    })
    .await;
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
    edge.running.stop().await;
}

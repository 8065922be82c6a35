//! A Docker daemon that is restarted under an audience, with its containers running on.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::harness::audience::{attendees, closed_by_usher, replicas, service};
use crate::harness::daemon::{Apart, Daemon};
use crate::harness::docker::Project;
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Setup};

const AUDIENCE: usize = 200;
const URL: &str = "https://congress.example.org/";

async fn connected(edge: &Edge, is: bool) {
    eventually(&format!("the engine is connected: {is}"), async || {
        let engine = edge.stats().await["engine"].clone();
        check(engine["connected"] == is, engine)
    })
    .await;
}

/// Which replicas there are, and since when.
async fn known(edge: &Edge) -> Vec<(Value, Value)> {
    let web = service(edge, "web").await;
    let replicas = web["replicas"].as_array().cloned().unwrap_or_default();
    replicas
        .iter()
        .map(|replica| (replica["name"].clone(), replica["since"].clone()))
        .collect()
}

#[test]
#[ignore = "takes minutes, needs root and dockerd"]
fn a_restarted_daemon_costs_no_websocket_and_no_request_and_is_followed_again() {
    let apart = Apart::new();
    apart.inside(|| restarted(&apart));
}

async fn restarted(apart: &Apart) {
    let mut daemon = Daemon::start(apart).await;
    let project = Project::on(daemon.cli(), "daemon");
    project.up("  web:\n    image: IMAGE\n    stop_grace_period: 2s\n");
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nmode = \"off\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n",
        daemon.socket().display(),
        project.name
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    let mut sockets = attendees(&edge, AUDIENCE).await;
    let before = known(&edge).await;
    assert_eq!(before.len(), 1);

    // Asked all the time, from before the daemon ends until after it is back.
    let over = Cell::new(false);
    let asking = async {
        let mut asked = 0;
        while !over.get() {
            assert_eq!(edge.get(URL).await.status, 200, "after {asked} requests");
            asked += 1;
            sleep(Duration::from_millis(20)).await;
        }
        asked
    };
    let restart = async {
        let began = Instant::now();
        daemon.stop().await;
        connected(&edge, false).await;
        for socket in &mut sockets {
            assert!(socket.echo("without a daemon").await.ends_with("daemon"));
        }
        let newcomer = attendees(&edge, 1).await;
        sockets.extend(newcomer);
        daemon.resume().await;
        connected(&edge, true).await;
        over.set(true);
        began.elapsed()
    };
    let (asked, took) = tokio::join!(asking, restart);
    assert_eq!(known(&edge).await, before, "the same replica, kept");

    // What happens now is seen, and costs nobody else anything.
    project.compose(&["up", "-d", "--scale", "web=2"]);
    let up = replicas(&edge, "web", 2).await;
    project.compose(&["up", "-d", "--scale", "web=1"]);
    let down = replicas(&edge, "web", 1).await;
    assert_eq!(known(&edge).await, before);

    let mut alive = 0;
    for socket in &mut sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
        alive += 1;
    }
    assert_eq!(alive, AUDIENCE + 1);
    assert_eq!(closed_by_usher(&edge).await, Vec::<String>::new());
    println!(
        "{alive} websockets and {asked} requests over a restart of {took:.1?}: none lost; a new \
         container was followed {up:.1?} after Compose was done, its end {down:.1?}"
    );
}

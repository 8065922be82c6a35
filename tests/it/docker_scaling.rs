//! Siblings of Compose containers, made through the engine and accepted by Compose.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Setup;
use crate::harness::audience::{attendees, closed_by_usher, replicas};
use crate::harness::contained::Contained;
use crate::harness::docker::{Project, inspect, must};
use crate::harness::eventually::{check, eventually, within};

const STACK: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 2s\n    environment: {KEPT: \"yes\"}\n\
                     \u{20}   ports: [\"8000\"]\n\
                     \u{20} worker:\n    image: IMAGE\n    stop_grace_period: 2s\n    environment: {ROLE: idle}\n";

fn tables(project: &Project) -> String {
    format!(
        "[engine]\nkind = \"docker\"\n\
         [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\ndown-after = \"1s\"\n\
         [instance.limits]\nreplica-drain = \"20s\"\nreplica-stop = \"2s\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 3\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 2.0\n",
        project.name
    )
}

#[tokio::test]
#[ignore = "needs docker"]
async fn siblings_come_with_the_audience_and_leave_after_it() {
    let project = Project::new("audience");
    project.up(STACK);
    let originals = project.running("web");
    let edge = Setup::new(&tables(&project)).start().await;
    replicas(&edge, "web", 1).await;

    let mut sockets = attendees(&edge, 5).await;
    let up = replicas(&edge, "web", 3).await;
    replicas(&edge, "worker", 6).await;
    println!("three web and six worker replicas {up:?} after the fifth websocket");

    // As Compose would have made them.
    let running = project.running("web");
    assert_eq!(running.len(), 3, "{running:?}");
    for name in &running {
        let container = inspect(name);
        assert!(container["Config"]["Env"].to_string().contains("KEPT=yes"));
        let number = container["Config"]["Labels"]["com.docker.compose.container-number"].clone();
        assert!(
            name.ends_with(&format!("_{}", number.as_str().unwrap())),
            "{name} {number}"
        );
    }
    let listed = project.compose(&["ps"]);
    assert!(running.iter().all(|name| listed.contains(name)), "{listed}");
    let logged = project.compose(&["logs", "--no-color", "web"]);
    for name in &running {
        let own = name.trim_start_matches(&format!("{}_", project.name));
        let mut lines = logged.lines().filter(|line| line.starts_with(own));
        assert!(
            lines.any(|line| line.ends_with("listens on 8000")),
            "{own}: {logged}"
        );
    }

    // Together they get of the processors what one would, and Compose has no say in it.
    within(
        Duration::from_secs(30),
        "shares of the processors",
        async || {
            let shares = |service: &str| -> Vec<u64> {
                let running = project.running(service);
                let each = running.iter().map(|name| {
                    inspect(name)["HostConfig"]["CpuShares"]
                        .as_u64()
                        .unwrap_or(0)
                });
                each.collect()
            };
            let all = (shares("web"), shares("worker"));
            check(all == (vec![341; 3], vec![170; 6]), all)
        },
    )
    .await;
    for name in &running {
        let labels = &inspect(name)["Config"]["Labels"];
        let hash = |labels: &Value| labels["com.docker.compose.config-hash"].clone();
        assert_eq!(
            hash(labels),
            hash(&inspect(&originals[0])["Config"]["Labels"])
        );
    }
    // Newcomers go to the new ones, and nobody who is there is moved.
    sockets.extend(attendees(&edge, 1).await);
    for socket in &mut sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
    }
    for socket in sockets {
        socket.close().await;
    }
    let down = replicas(&edge, "web", 1).await;
    replicas(&edge, "worker", 1).await;
    println!("one web replica {down:?} after the last websocket, and then one worker");
    assert_eq!(project.running("web"), originals, "the originals stay");
    let closed = closed_by_usher(&edge).await;
    assert!(closed.is_empty(), "{closed:?}");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn compose_keeps_siblings_and_takes_them_down_with_the_stack() {
    let project = Project::new("down");
    project.up(STACK);
    let edge = Setup::new(&tables(&project)).start().await;
    replicas(&edge, "web", 1).await;
    let _sockets = attendees(&edge, 5).await;
    replicas(&edge, "web", 3).await;
    replicas(&edge, "worker", 6).await;
    let before = project.running("web");

    within(
        Duration::from_secs(30),
        "its part of the processors",
        async || {
            let shares = inspect(&before[0])["HostConfig"]["CpuShares"].clone();
            check(shares == 341, shares)
        },
    )
    .await;
    let said = project.compose(&["up", "-d", "--scale", "web=3", "--scale", "worker=6"]);
    for word in ["Recreating", "Creating", "Starting", "Stopping"] {
        assert!(!said.contains(word), "it is up to date: {said}");
    }
    assert_eq!(project.running("web"), before, "none was made anew");

    project.compose(&["down"]);
    let filter = format!("label=com.docker.compose.project={}", project.name);
    assert_eq!(must(&["ps", "-aq", "--filter", &filter]), "");
    assert_eq!(must(&["network", "ls", "-q", "--filter", &filter]), "");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn what_cannot_have_a_sibling_says_why_and_serves_on() {
    let project = Project::new("fixedport");
    let port = crate::harness::program::free_port();
    let stack = STACK.replace("\"8000\"", &format!("\"127.0.0.1:{port}:8000\""));
    project.up(&stack);
    let edge = Setup::new(&tables(&project)).start().await;
    replicas(&edge, "web", 1).await;
    let mut sockets = attendees(&edge, 3).await;
    within(
        Duration::from_secs(30),
        "a reason that names the port",
        async || {
            let reasons = edge.instance("congress").await["reasons"].to_string();
            check(
                reasons.contains(&port.to_string()) && reasons.contains("ports"),
                reasons,
            )
        },
    )
    .await;
    for socket in &mut sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
    }
}

/// What the kernel says of a machine with so much left of eight gibibytes.
fn meminfo(available_mib: u32) -> String {
    let available = available_mib * 1024;
    format!("MemTotal: 8388608 kB\nMemFree: {available} kB\nMemAvailable: {available} kB\n")
}

#[tokio::test]
#[ignore = "needs docker"]
async fn nothing_starts_without_memory_for_it_and_what_waited_starts_when_there_is() {
    let project = Project::new("room");
    project.up(STACK);
    let tables = tables(&project).replace("[engine]\nkind = \"docker\"\n", "");
    // Half a gibibyte is everybody else's, and a replica takes 150 MiB.
    let usher = Contained::start_within(&project.name, &tables, &meminfo(600));
    eventually("one web is ready", async || {
        let ready = usher.stats()["instances"][0]["services"][0]["ready"].clone();
        check(ready == 1, (ready, usher.log()))
    })
    .await;
    let order = json!({
        "do": "scale", "instance": "congress", "service": "web", "replicas": 2,
    });
    let said = usher.order(&order).await;
    assert_eq!(said["done"], true, "{said}");
    eventually("the status says why not", async || {
        let reasons = usher.stats()["instances"][0]["reasons"].to_string();
        let why = "web has fewer replicas than it needs: the operator set 2; host memory allows 1";
        check(reasons.contains(why), reasons)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(project.running("web").len(), 1);

    fs::write(usher.folder().join("meminfo"), meminfo(4_096)).expect("written");
    eventually("the second is there", async || {
        let running = project.running("web");
        check(running.len() == 2, (running, usher.log()))
    })
    .await;
}

//! What fails in a stack of a real engine is told at once, with its cause, and of that stack alone.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::audience::replicas;
use crate::harness::docker::Project;
use crate::harness::eventually::{check, eventually, within};
use crate::harness::{Front, Setup};

const STACK: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 2s\n\
                     \u{20} worker:\n    image: IMAGE\n    stop_grace_period: 2s\n    environment: {ROLE: idle}\n\
                     \u{20} redis:\n    image: IMAGE\n    stop_grace_period: 2s\n    environment: {ROLE: idle}\n";
/// The promise is five seconds; a shared machine has more.
const WITHIN: Duration = Duration::from_secs(15);

fn tables(name: &str, project: &Project) -> String {
    format!(
        "[[instance]]\nname = \"{name}\"\nstack = \"{}\"\ndomains = [\"{name}.example.org\"]\n\
         [instance.scale]\nmode = \"off\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 1.0\n\
         [instance.service.redis]\nrole = \"fixed\"\n\
         [instance.depends]\nweb = [\"redis\"]\nworker = [\"redis\"]\n",
        project.name
    )
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_stopped_redis_makes_its_instance_critical_with_that_reason_and_no_other() {
    let (congress, assembly) = (Project::new("cause"), Project::new("beside"));
    congress.up(STACK);
    assembly.up(STACK);
    let text = format!(
        "[engine]\nkind = \"docker\"\n{}{}",
        tables("congress", &congress),
        tables("assembly", &assembly)
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    eventually("both are healthy", async || {
        let both = [
            edge.instance("congress").await,
            edge.instance("assembly").await,
        ];
        let well = both.iter().all(|one| one["status"] == "healthy");
        check(well, both.map(|one| one["reasons"].clone()))
    })
    .await;
    let mut sockets = Vec::new();
    for name in ["congress", "assembly"] {
        let ask = edge.ask(&format!("wss://{name}.example.org/ws/"));
        sockets.push(ask.websocket().await.expect("a websocket"));
    }
    let before = eventually("its websocket is counted", async || {
        let own = edge.instance("assembly").await;
        check(own["websockets"] == 1, own.clone()).map(|()| own)
    })
    .await;

    let began = Instant::now();
    congress.compose(&["stop", "-t", "0", "redis"]);
    let (own, _) = within(WITHIN, "critical, because of redis", async || {
        let own = edge.instance("congress").await;
        let redis = own["reasons"][0]["part"] == "service:redis";
        check(own["status"] == "critical" && redis, own.clone()).map(|()| own)
    })
    .await;
    println!("redis stopped, critical after {:.1?}", began.elapsed());
    assert_eq!(own["reasons"].as_array().map(Vec::len), Some(1), "{own}");
    assert_eq!(own["reasons"][0]["status"], "critical");

    // What needs it and ends is told below it.
    congress.compose(&["stop", "-t", "0", "worker"]);
    within(WITHIN, "the worker as a consequence", async || {
        let reasons = edge.instance("congress").await["reasons"].clone();
        let below = reasons[0]["also"].to_string().contains("worker");
        let one = reasons.as_array().map(Vec::len) == Some(1);
        check(
            below && one && reasons[0]["part"] == "service:redis",
            reasons,
        )
    })
    .await;
    let after = edge.instance("assembly").await;
    for part in ["status", "reasons", "parts", "services", "websockets"] {
        assert_eq!(before[part], after[part], "{part} of the other");
    }
    let whole = edge.stats().await;
    assert_eq!(whole["reasons"][0]["part"], "instance:congress", "{whole}");
    for (socket, name) in sockets.iter_mut().zip(["congress", "assembly"]) {
        let answer = socket.echo("still here").await;
        assert!(answer.ends_with("still here"), "{name}: {answer}");
    }
    congress.compose(&["start", "redis", "worker"]);
    // That they ended so soon after their start is remembered for a while.
    eventually("it works again", async || {
        let own = edge.instance("congress").await;
        check(own["status"] != "critical", own["reasons"].clone())
    })
    .await;
}

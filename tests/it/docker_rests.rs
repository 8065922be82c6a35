//! Compose stacks for nobody: originals are stopped and started again, siblings are removed.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::audience::{attendees, replicas};
use crate::harness::docker::{Project, inspect};
use crate::harness::eventually::{check, within};
use crate::harness::{Front, Setup};

const STACK: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 2s\n\
                     \u{20} worker:\n    image: IMAGE\n    stop_grace_period: 2s\n    environment: {ROLE: idle}\n\
                     \u{20} redis:\n    image: IMAGE\n    stop_grace_period: 2s\n    environment: {ROLE: idle}\n";

#[tokio::test]
#[ignore = "needs docker"]
async fn originals_are_stopped_when_nobody_comes_and_the_same_ones_start_again() {
    let project = Project::new("rests");
    project.up(STACK);
    let originals = [project.running("web"), project.running("worker")].concat();
    let text = format!(
        "[engine]\nkind = \"docker\"\n\
         [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\ndown-after = \"1s\"\nidle-to-zero = \"3s\"\n\
         [instance.limits]\nreplica-stop = \"2s\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 2\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 1.0\n\
         [instance.service.redis]\nrole = \"fixed\"\n",
        project.name
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    for socket in attendees(&edge, 3).await {
        socket.close().await;
    }
    let patience = Duration::from_secs(60);
    within(
        patience,
        "it is asleep and its siblings are gone",
        async || {
            let own = edge.instance("congress").await;
            let running = [project.running("web"), project.running("worker")].concat();
            check(own["asleep"] == true && running.is_empty(), own)
        },
    )
    .await;
    for name in &originals {
        assert_eq!(inspect(name)["State"]["Status"], "exited", "{name}");
    }
    assert_eq!(project.running("redis").len(), 1, "what is fixed runs on");
    let own = edge.instance("congress").await;
    assert_eq!(own["status"], "healthy", "{own}");

    let began = Instant::now();
    let ask = edge.ask("https://congress.example.org/");
    let answer = ask
        .field("user-agent", "Mozilla/5.0 Firefox/140.0")
        .send()
        .await;
    println!("the page came {:?} after it was asked for", began.elapsed());
    assert_eq!(answer.status, 200, "{}", answer.text());
    replicas(&edge, "worker", 1).await;
    let running = [project.running("web"), project.running("worker")].concat();
    assert_eq!(running, originals);
    edge.running.stop().await;
}

//! From the moment somebody comes for whom there is no room to the call that makes a replica.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::audience::{attendees, replicas};
use crate::harness::docker_api::DockerApi;
use crate::harness::{Setup, eventually};
use crate::report::{Rounds, Target, row, table};

const REPETITIONS: usize = 7;
/// What one replica is to hold.
const ROOM: usize = 2;
const CREATE: &str = "POST /containers/create";

/// Seconds, by the clock of an engine in this process.
pub async fn measure() -> Vec<Target> {
    eprintln!("measuring reaction");
    let mut found = Rounds::default();
    for nth in 0..REPETITIONS {
        // Somewhere in the second from one decision to the next.
        let phase = Duration::from_secs(1) * u32::try_from(nth).unwrap_or(0) / 7;
        found.add(one_reaction(phase).await.as_secs_f64());
    }
    table(
        &format!("Somebody too many to the create call in s, median (least-most) of {REPETITIONS}"),
        &[row(&[&"", &"s"]), row(&[&"usher", &found.shown_finely()])],
    );
    vec![Target {
        what: "trigger to create call, the worst".to_owned(),
        unit: "s",
        limit: 2.5,
        measured: found.most(),
    }]
}

async fn one_reaction(phase: Duration) -> Duration {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = {ROOM}\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n",
        api.socket().display()
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    sleep(phase).await;
    let before = api.calls(CREATE).len();
    assert_eq!(before, 0, "nobody was there");
    let trigger = Instant::now();
    let audience = attendees(&edge, ROOM + 1).await;
    let call = eventually("a replica is made", async || {
        api.calls(CREATE).first().cloned().ok_or("no call")
    })
    .await;
    drop(audience);
    let took = call.at.duration_since(trigger);
    edge.running.stop().await;
    took
}

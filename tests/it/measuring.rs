//! What replicas take of the host is looked at through the engine's API.

use std::time::Duration;

use serde_json::json;

use crate::harness::Setup;
use crate::harness::audience::replicas;
use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, within};

#[tokio::test]
async fn a_replica_more_needs_what_is_reserved_for_it_or_was_seen_to_be_taken() {
    let api = DockerApi::start();
    let reserved = json!({ "MemoryReservation": 700 << 20 });
    api.compose_within("congress", "web", 1, reserved).await;
    api.compose("congress", "worker", 1).await;
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\n",
        api.socket().display()
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    let memory = |service: &str, mib: u64| {
        let labels = format!("instance=\"congress\",service=\"{service}\"");
        format!("usher_replica_memory_bytes{{{labels}}} {}", mib << 20)
    };
    within(Duration::from_secs(60), "what they need", async || {
        let metrics = edge.admin("/metrics").await.text();
        // 400 MiB are taken, and a fifth more.
        let expected = [memory("web", 700), memory("worker", 480)];
        let known: Vec<&str> = metrics
            .lines()
            .filter(|line| line.contains("_memory_"))
            .collect();
        let good = expected.iter().all(|line| known.contains(&line.as_str()));
        check(good, format!("{known:?}"))
    })
    .await;
    let looks = api.calls("GET /containers/");
    let looks = looks.iter().filter(|call| call.what.ends_with("/stats"));
    assert!(looks.count() <= 4, "gently");
}

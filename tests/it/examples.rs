//! The files below `config` that operators copy.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Setup};

/// The example as it is, but for the port, with its one service running.
async fn edge(name: &str, port: &str) -> (Edge, Origin) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/examples/{name}.toml"));
    let text = fs::read_to_string(file).unwrap();
    let origin = Origin::start(name).await;
    let line = format!("port = {port}");
    assert!(text.contains(&line), "{text}");
    let text = text.replace(&line, &format!("port = {}", origin.address.port()));
    let engine = FakeEngine::new();
    let container = unit("one", 1, IpAddr::from([127, 0, 0, 1]));
    engine.set(name, name, vec![container]);
    let shared = Arc::new(Shared(engine));
    let text = format!("[engine]\nkind = \"docker\"\n{text}");
    let edge = Setup::new(&text).engine(shared, false).start().await;
    let url = format!("https://{name}.example.org/");
    eventually("it answers", async || {
        let answer = edge.get(&url).await;
        check(answer.status == 200, answer.status)
    })
    .await;
    (edge, origin)
}

#[tokio::test]
async fn a_registry_takes_layers_of_any_size() {
    let (edge, origin) = edge("registry", "5000").await;
    // One byte more than is let through by default.
    let layer = Bytes::from(vec![0; (100 << 20) + 1]);
    let ask = edge.ask("https://registry.example.org/v2/image/blobs/uploads/1");
    let answer = ask.method(Method::PATCH).body(layer).send().await;
    assert_eq!(answer.status, 200);
    let asked = "PATCH /v2/image/blobs/uploads/1".to_owned();
    assert!(origin.requests().contains(&asked));
}

#[tokio::test]
async fn a_console_of_portainer_is_a_websocket() {
    let (edge, _origin) = edge("portainer", "9000").await;
    let ask = edge.ask("wss://portainer.example.org/ws/exec");
    let mut console = ask.websocket().await.expect("open");
    assert_eq!(console.echo("ls").await, "portainer: ls");
    console.close().await;
}

/// What holds for either way to run usher, line by line; Compose's own opinion is asked for in
/// `docker_deploy`.
#[test]
fn deployments_leave_time_files_and_rights_as_usher_needs_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/deploy");
    let unit = fs::read_to_string(folder.join("../usher.service")).unwrap();
    for name in ["compose.yml", "swarm.yml"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let has = |line: &str| text.lines().any(|given| given.trim() == line);
        assert!(!text.contains('\t'), "{name}");
        for line in [
            "stop_grace_period: 15s",
            "DOCKER_HOST: unix:///host/run/docker.sock",
            "- /run:/host/run:ro",
            "- /var/lib/docker/volumes:/var/lib/docker/volumes:ro,rslave",
            "soft: 262144",
            "cap_drop: [ALL]",
        ] {
            assert!(has(line), "{name}: {line}");
        }
        assert!(
            !text.contains("docker.sock:/"),
            "{name} mounts the socket itself"
        );
        assert_eq!(has("network_mode: host"), name == "compose.yml");
        // Joins networks: then it must not be a way between them.
        assert_eq!(has("net.ipv4.ip_forward: 0"), name == "swarm.yml");
    }
    assert!(unit.contains("LimitNOFILE=262144") && unit.contains("TimeoutStopSec=15s"));
}

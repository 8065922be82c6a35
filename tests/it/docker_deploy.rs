//! The ways to deploy usher, in Compose's own opinion.

use std::path::Path;
use std::process::Command;

#[tokio::test]
#[ignore = "needs docker"]
async fn compose_understands_the_files_that_deploy_usher() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/deploy");
    for (name, network, apart) in [
        // The host's own forwarding is the engine's.
        ("compose.yml", "network_mode: host", ""),
        ("swarm.yml", "published", "net.ipv4.ip_forward"),
    ] {
        let output = Command::new("docker-compose")
            .args(["-p", "usherdeploy", "-f"])
            .arg(folder.join(name))
            .arg("config")
            .output()
            .expect("docker-compose");
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {err}");
        let shown = out.contains(network) || out.contains("443:443");
        assert!(out.contains(apart), "{name}: {out}");
        assert!(
            shown && out.contains("stop_grace_period: 15s"),
            "{name}: {out}"
        );
    }
}

//! usher in a container of its own, as most will run it.

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::client::{plain, secure};
use crate::harness::docker::{Project, docker, inspect, must, usher_image};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Pki, configuration_at, prepare_process};

const WEB: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 2s\n";

/// usher's container, which goes with the test.
struct Contained {
    name: String,
    folder: tempfile::TempDir,
    pki: Pki,
}

impl Contained {
    fn start(project: &Project) -> Self {
        prepare_process();
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        pki.write_pair(&folder.path().join("certs"), &["congress.example.org"]);
        let tables = format!(
            "[listen]\nhttp = [\"0.0.0.0:80\"]\nhttps = [\"0.0.0.0:443\"]\n\
             [engine]\nkind = \"docker\"\n\
             [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
             [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 1\n",
            project.name
        );
        let inside = std::path::Path::new("/etc/usher");
        fs::write(
            folder.path().join("usher.toml"),
            configuration_at(inside, [0; 3], &tables),
        )
        .unwrap();
        let name = format!("{}usher", project.name);
        let mount = format!("{}:/etc/usher", folder.path().display());
        let label = format!("com.docker.compose.project={name}");
        let _ = docker(&["rm", "-f", &name]);
        must(&[
            "run",
            "-d",
            "--name",
            &name,
            "--label",
            &label,
            "-v",
            "/var/run/docker.sock:/var/run/docker.sock",
            "-v",
            &mount,
            &usher_image(),
            "run",
            "--config",
            "/etc/usher/usher.toml",
        ]);
        Self { name, folder, pki }
    }

    fn address(&self, port: u16) -> SocketAddr {
        let container = inspect(&self.name);
        let address = container["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].clone();
        SocketAddr::new(address.as_str().unwrap().parse().unwrap(), port)
    }

    fn networks(&self) -> Vec<String> {
        let container = inspect(&self.name);
        let networks = container["NetworkSettings"]["Networks"]
            .as_object()
            .cloned();
        networks.unwrap_or_default().keys().cloned().collect()
    }

    fn log(&self) -> String {
        let output = docker(&["logs", &self.name]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    async fn status(&self) -> u16 {
        let host = "congress.example.org";
        let client = self.pki.client(&["http/1.1"]);
        secure(self.address(443), client, host, "/").await.status
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = docker(&["rm", "-f", &self.name]);
    }
}

#[tokio::test]
#[ignore = "needs docker"]
async fn it_joins_the_networks_of_its_stacks_and_leaves_them() {
    let project = Project::new("contained");
    let usher = Contained::start(&project);
    eventually("usher listens", async || {
        let open = tokio::net::TcpStream::connect(usher.address(443)).await;
        open.map_err(|error| (error, usher.log()))
    })
    .await;
    assert_eq!(usher.status().await, 503, "nothing runs yet");
    // Plain HTTP is up as well, and says where HTTPS is.
    let redirect = plain(usher.address(80), "congress.example.org", "/").await;
    assert_eq!(redirect.field("location"), "https://congress.example.org/");

    project.up(WEB);
    let network = format!("{}_default", project.name);
    eventually("served", async || {
        let status = usher.status().await;
        check(status == 200, (status, usher.log()))
    })
    .await;
    assert!(
        usher.networks().contains(&network),
        "{:?}",
        usher.networks()
    );

    project.compose(&["stop"]);
    project.compose(&["rm", "-f"]);
    eventually("the network is left", async || {
        let networks = usher.networks();
        check(!networks.contains(&network), networks)
    })
    .await;
    // Which is what lets Compose remove it.
    project.compose(&["down"]);
    let filter = format!("name={network}");
    assert_eq!(must(&["network", "ls", "-q", "--filter", &filter]), "");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn it_is_stopped_by_docker_without_being_killed() {
    let project = Project::new("stopped");
    project.up(WEB);
    let usher = Contained::start(&project);
    eventually("served", async || {
        let open = tokio::net::TcpStream::connect(usher.address(443)).await;
        check(open.is_ok() && usher.status().await == 200, usher.log())
    })
    .await;

    must(&["stop", "-t", "10", &usher.name]);

    let state = inspect(&usher.name)["State"].clone();
    assert_eq!(state["ExitCode"], Value::from(0), "{state} {}", usher.log());
    assert!(usher.log().contains("stopped"), "{}", usher.log());
    assert!(usher.folder.path().join("state").exists());
}

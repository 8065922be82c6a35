//! usher in a container of its own, as most will run it.

use serde_json::Value;

use crate::harness::client::plain;
use crate::harness::contained::Contained;
use crate::harness::docker::{Project, inspect, must};
use crate::harness::eventually::{check, eventually};

const WEB: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 2s\n";

/// For the stack of this project.
fn tables(project: &Project) -> String {
    format!(
        "[[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 1\n",
        project.name
    )
}

fn contained(project: &Project) -> Contained {
    Contained::start(&project.name, &tables(project))
}

#[tokio::test]
#[ignore = "needs docker"]
async fn it_joins_the_networks_of_its_stacks_and_leaves_them() {
    let project = Project::new("contained");
    let usher = contained(&project);
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
async fn it_serves_as_a_numeric_user_without_any_capability() {
    let project = Project::new("numeric");
    project.up(WEB);
    let usher = Contained::start_as(&project.name, &tables(&project), 65_532);
    eventually("served", async || {
        let open = tokio::net::TcpStream::connect(usher.address(443)).await;
        check(open.is_ok() && usher.status().await == 200, usher.log())
    })
    .await;
    let redirect = plain(usher.address(80), "congress.example.org", "/").await;
    assert_eq!(redirect.field("location"), "https://congress.example.org/");
    assert_eq!(inspect(&usher.name)["Config"]["User"], "65532:65532");
    assert!(usher.folder().join("state").exists());
}

#[tokio::test]
#[ignore = "needs docker"]
async fn it_is_stopped_by_docker_without_being_killed() {
    let project = Project::new("stopped");
    project.up(WEB);
    let usher = contained(&project);
    eventually("served", async || {
        let open = tokio::net::TcpStream::connect(usher.address(443)).await;
        check(open.is_ok() && usher.status().await == 200, usher.log())
    })
    .await;

    must(&["stop", "-t", "10", &usher.name]);

    let state = inspect(&usher.name)["State"].clone();
    assert_eq!(state["ExitCode"], Value::from(0), "{state} {}", usher.log());
    assert!(usher.log().contains("stopped"), "{}", usher.log());
    assert!(usher.folder().join("state").exists());
}

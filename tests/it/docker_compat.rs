//! Containers of a real engine name themselves, without a Compose project and without a file.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::harness::docker::{Project, docker, must, origin_image};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Setup};

const OPEN: &str = "[engine]\nkind = \"docker\"\nnames-from-containers = \"open\"\n";

/// Containers and images that go with the test.
struct Made(Vec<(&'static str, String)>);

impl Drop for Made {
    fn drop(&mut self) {
        for (kind, name) in &self.0 {
            docker(&[kind, "rm", "-f", name]);
        }
    }
}

async fn answers(edge: &Edge, url: &str, status: u16) -> Duration {
    let began = Instant::now();
    eventually(&format!("{status} from {url}"), async || {
        // Who is on the way to an address that has just gone waits for it; others come meanwhile.
        match timeout(Duration::from_millis(200), edge.get(url)).await {
            Ok(answer) => check(answer.status == status, answer.status.to_string()),
            Err(_) => Err("no answer yet".to_owned()),
        }
    })
    .await;
    began.elapsed()
}

async fn connected(edge: &Edge) {
    eventually("the engine is connected", async || {
        let engine = edge.stats().await["engine"].clone();
        check(engine["connected"] == true, engine)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_container_is_routed_within_two_seconds_and_gone_within_one() {
    let image = origin_image();
    let name = format!("ushertest{}claims", std::process::id());
    let _made = Made(vec![("container", name.clone())]);
    let edge = Setup::new(OPEN).start().await;
    connected(&edge).await;
    let host = format!("{name}.example.org");
    let url = format!("http://{host}/");
    assert_eq!(edge.get(&url).await.status, 503);
    for round in 1..=3 {
        let claim = format!("VIRTUAL_HOST={host}, other.{host},");
        // No VIRTUAL_PORT: the only one that is exposed.
        must(&[
            "run", "-d", "--name", &name, "--expose", "8000", "-e", &claim, &image,
        ]);
        let routed = answers(&edge, &url, 200).await;
        must(&["rm", "-f", &name]);
        let gone = answers(&edge, &url, 503).await;
        println!("round {round}: routed {routed:?} after the start, 503 {gone:?} after the end");
        assert!(routed < Duration::from_secs(2), "{routed:?}");
        assert!(gone < Duration::from_secs(1), "{gone:?}");
    }
}

#[tokio::test]
#[ignore = "needs docker"]
async fn what_an_image_says_claims_nothing_and_a_project_shares_one_name() {
    let origin = origin_image();
    let project = Project::new("claims");
    let host = format!("{}.example.org", project.name);
    let tag = format!("{}:inherited", project.name);
    let _made = Made(vec![
        ("container", project.name.clone()),
        ("image", tag.clone()),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let file = format!("FROM {origin}\nENV VIRTUAL_HOST=image.{host} VIRTUAL_PORT=8000\n");
    std::fs::write(folder.path().join("Dockerfile"), file).unwrap();
    must(&[
        "build",
        "-q",
        "-t",
        &tag,
        &folder.path().display().to_string(),
    ]);
    must(&["run", "-d", "--name", &project.name, &tag]);
    project.up(&format!(
        "  web:\n    image: IMAGE\n    scale: 2\n    stop_grace_period: 1s\n    \
         environment: {{VIRTUAL_HOST: \"{host}\", VIRTUAL_PORT: \"8000\"}}\n"
    ));
    let edge = Setup::new(OPEN).start().await;
    answers(&edge, &format!("http://{host}/"), 200).await;
    eventually("both replicas", async || {
        let instance = edge.instance(&project.name).await;
        check(instance["services"][0]["ready"] == 2, instance)
    })
    .await;
    // It runs as long as they do, and the listing is the same one.
    let of_image = edge.get(&format!("http://image.{host}/")).await;
    assert_eq!(of_image.status, 503);
    assert!(
        edge.instance(&format!("{}-web", project.name))
            .await
            .is_null()
    );
}

#[tokio::test]
#[ignore = "needs docker"]
async fn containers_of_no_project_share_a_name_by_the_labels_that_the_conflict_names() {
    let image = origin_image();
    let name = format!("ushertest{}lone", std::process::id());
    let (one, two) = (format!("{name}-one"), format!("{name}-two"));
    let _made = Made(vec![("container", one.clone()), ("container", two.clone())]);
    let edge = Setup::new(OPEN).start().await;
    connected(&edge).await;
    let host = format!("{name}.example.org");
    let claim = format!("VIRTUAL_HOST={host}");
    let run = |container: &str, labels: &[&str]| {
        let first = [
            "run", "-d", "--name", container, "--expose", "8000", "-e", &claim,
        ];
        must(&[&first[..], labels, &[&image]].concat());
    };
    run(&one, &[]);
    answers(&edge, &format!("http://{host}/"), 200).await;
    run(&two, &[]);
    let remedy = format!("com.docker.compose.project={one}");
    eventually("the conflict is told with its remedy", async || {
        let reasons = edge.stats().await["reasons"].to_string();
        check(reasons.contains(&remedy), reasons)
    })
    .await;
    must(&["rm", "-f", &one, &two]);
    let project = format!("com.docker.compose.project={one}");
    let labels = ["-l", &project, "-l", "com.docker.compose.service=web"];
    run(&one, &labels);
    run(&two, &labels);
    eventually("both are replicas of one site", async || {
        let instance = edge.instance(&one).await;
        check(instance["services"][0]["ready"] == 2, instance)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_container_that_lies_about_its_project_gets_none_of_its_visitors() {
    let image = origin_image();
    let project = Project::new("honest");
    let liar = format!("{}liar", project.name);
    let _made = Made(vec![("container", liar.clone())]);
    let host = format!("{}.example.org", project.name);
    project.up(&format!(
        "  web:\n    image: IMAGE\n    stop_grace_period: 1s\n    \
         environment: {{VIRTUAL_HOST: \"{host}\", VIRTUAL_PORT: \"8000\", ORIGIN_NAME: honest}}\n"
    ));
    let edge = Setup::new(OPEN).start().await;
    let url = format!("http://{host}/");
    answers(&edge, &url, 200).await;
    let label = format!("com.docker.compose.project={}", project.name);
    let claim = format!("VIRTUAL_HOST={host}");
    must(&[
        "run",
        "-d",
        "--name",
        &liar,
        "-l",
        &label,
        "-l",
        "com.docker.compose.service=web",
        "-e",
        &claim,
        "-e",
        "ORIGIN_NAME=liar",
        "-e",
        "VIRTUAL_PORT=8000",
        &image,
    ]);
    eventually("the lie is told", async || {
        let reasons = edge.instance(&project.name).await["reasons"].to_string();
        check(reasons.contains(&format!("{liar} is left out")), reasons)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(edge.get(&url).await.json()["origin"], "honest");
    }
    // Whoever may attach it there is inside already.
    let network = format!("{}_default", project.name);
    must(&["network", "connect", &network, &liar]);
    eventually("it is one of them", async || {
        let instance = edge.instance(&project.name).await;
        check(instance["services"][0]["ready"] == 2, instance)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_container_on_several_networks_is_one_replica_and_follows_what_it_is_connected_to() {
    let image = origin_image();
    let name = format!("ushertest{}nets", std::process::id());
    // Nothing leaves an internal network, and the host is in it.
    let (inner, other) = (format!("{name}-inner"), format!("{name}-other"));
    let _made = Made(vec![
        ("container", name.clone()),
        ("network", inner.clone()),
        ("network", other.clone()),
    ]);
    must(&["network", "create", "--internal", &inner]);
    must(&["network", "create", &other]);
    let edge = Setup::new(OPEN).start().await;
    connected(&edge).await;
    let url = format!("http://{name}.example.org/");
    let claim = format!("VIRTUAL_HOST={name}.example.org");
    must(&[
        "run", "-d", "--name", &name, "--net", &inner, "--expose", "8000", "-e", &claim, &image,
    ]);
    answers(&edge, &url, 200).await;
    must(&["network", "connect", &other, &name]);
    must(&["network", "disconnect", &inner, &name]);
    answers(&edge, &url, 200).await;
    must(&["network", "connect", &inner, &name]);
    answers(&edge, &url, 200).await;
    let replicas = edge.instance(&name).await["services"][0]["replicas"].clone();
    assert_eq!(replicas.as_array().map(Vec::len), Some(1), "{replicas}");

    must(&["network", "disconnect", &inner, &name]);
    must(&["network", "disconnect", &other, &name]);
    let gone = answers(&edge, &url, 502).await;
    must(&["network", "connect", &other, &name]);
    let back = answers(&edge, &url, 200).await;
    println!("502 {gone:?} after the last network, 200 {back:?} after the next");
    assert!(gone < Duration::from_secs(1), "{gone:?}");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_service_on_a_network_of_nobodys_alone_is_routed_where_the_network_is_trusted() {
    let shared = format!("ushertest{}proxy", std::process::id());
    let _made = Made(vec![("network", shared.clone())]);
    docker(&["network", "rm", &shared]);
    must(&["network", "create", &shared]);
    let project = Project::new("trusted");
    let host = format!("{}.example.org", project.name);
    project.up_with(
        &format!(
            "  web:\n    image: IMAGE\n    stop_grace_period: 1s\n    networks: [proxy]\n    \
             environment: {{VIRTUAL_HOST: \"{host}\", VIRTUAL_PORT: \"8000\"}}\n  \
             redis:\n    image: IMAGE\n    stop_grace_period: 1s\n    environment: {{ROLE: idle}}\n"
        ),
        &format!("networks:\n  proxy:\n    external: true\n    name: {shared}\n"),
    );
    let url = format!("http://{host}/");
    let edge = Setup::new(OPEN).start().await;
    let left_out = format!("container {} is left out", project.running("web")[0]);
    eventually("why it is left out, and what lets it in", async || {
        let told = edge.stats().await.to_string();
        check(
            told.contains(&left_out) && told.contains("`[engine] trusted-networks`"),
            told,
        )
    })
    .await;
    assert_eq!(edge.get(&url).await.status, 503);
    edge.running.stop().await;

    let trusting = format!("{OPEN}trusted-networks = [\"{shared}\"]\n");
    let edge = Setup::new(&trusting).start().await;
    answers(&edge, &url, 200).await;
    let told = edge.stats().await.to_string();
    assert!(!told.contains(&left_out), "{told}");
}

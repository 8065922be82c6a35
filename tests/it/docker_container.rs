//! usher in a container of its own, as most will run it.

use serde_json::{Value, json};

use crate::harness::client::{Front, plain};
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

/// As an operator's command finds it.
async fn managed(usher: &Contained) -> Result<(), String> {
    let stats = usher.stats();
    let reasons = stats["instances"][0]["reasons"].to_string();
    let is_there = stats["instances"].is_array() && !reasons.contains("another usher");
    is_there.then_some(()).ok_or(reasons)
}

fn two(project: &Project) -> (Contained, Contained) {
    let tables = tables(project).replace("max = 1", "max = 3");
    let first = Contained::start(&format!("{}a", project.name), &tables);
    (
        first,
        Contained::start(&format!("{}b", project.name), &tables),
    )
}

#[tokio::test]
#[ignore = "needs docker"]
async fn of_two_in_networks_of_their_own_one_acts_and_the_other_takes_over_after_a_kill() {
    let project = Project::new("leased");
    project.up(WEB);
    let (one, other) = two(&project);
    // Whoever was quicker has it; the other says so, and where that one is.
    let mut holder = None;
    eventually("one says that the other manages the stack", async || {
        let reasons = |usher: &Contained| usher.stats()["instances"][0]["reasons"].to_string();
        let told = [reasons(&one), reasons(&other)];
        let names = [&other.name, &one.name];
        holder = (0..2).find(|at| {
            let told = &told[*at];
            told.contains("another usher manages the stack") && told.contains(names[*at].as_str())
        });
        check(holder.is_some(), told)
    })
    .await;
    let (acts, waits) = match holder {
        Some(0) => (other, one),
        _ => (one, other),
    };
    managed(&acts).await.expect("it acts");
    let order = json!({ "do": "scale", "instance": "congress", "service": "web", "replicas": 2 });
    let said = waits.order(&order).await;
    assert!(said.to_string().contains("another usher"), "{said}");
    eventually("who waits knows of its own wish", async || {
        let wanted = waits.stats()["instances"][0]["services"][0]["desired"].clone();
        check(wanted == 2, wanted)
    })
    .await;
    assert_eq!(project.running("web").len(), 1, "and does nothing");

    must(&["kill", "-s", "KILL", &acts.name]);
    eventually("the other has taken over", async || {
        let running = project.running("web");
        check(running.len() == 2, (running, waits.log()))
    })
    .await;
    managed(&waits).await.expect("it acts");
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

#[tokio::test]
#[ignore = "needs docker"]
async fn it_sees_volumes_that_are_mounted_after_its_start_and_those_that_are_not() {
    let project = Project::new("propagated");
    let volumes = format!("{}/volumes", must(&["info", "-f", "{{.DockerRootDir}}"]));
    let more = "[[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
                [[instance.route]]\nprefix = \"/static/\"\nfiles = { volume = \"static\" }\n";
    let tables = format!("{}{more}", tables(&project));
    let mount = format!("{volumes}:{volumes}:ro,rslave");
    let usher = Contained::start_mounting(&project.name, &tables, &mount);
    project.up_with(
        &format!("{WEB}    volumes: [\"static:/static\"]\n"),
        "volumes:\n  static:\n    driver_opts: {type: tmpfs, device: tmpfs}\n",
    );
    let folder = format!("{volumes}/{}_static/_data", project.name);
    let fill = || std::fs::write(format!("{folder}/site.css"), "body { color: red }").unwrap();
    let answers = async |status: u16| {
        eventually(&format!("{status} for a file of it"), async || {
            let url = "https://congress.example.org/static/site.css";
            let open = tokio::net::TcpStream::connect(usher.https()).await;
            open.map_err(|error| (0, error.to_string()))?;
            let answer = usher.ask(url).send().await;
            check(answer.status == status, (answer.status, usher.log()))
        })
        .await;
    };
    fill();
    answers(200).await;
    project.compose(&["stop"]);
    answers(503).await;
    project.compose(&["start"]);
    fill();
    answers(200).await;
}

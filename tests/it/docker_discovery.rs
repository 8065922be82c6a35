//! Stacks of a real Docker engine are found, reached and let go.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::docker::{Project, inspect, must};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Setup};

const URL: &str = "https://congress.example.org/";
const SOCKET: &str = "wss://congress.example.org/ws/";
const WEB: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 2s\n";

/// One instance for a project, with what a test adds to it.
fn tables(project: &Project, more: &str) -> String {
    format!(
        "[engine]\nkind = \"docker\"\n\
         [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nmode = \"off\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n{more}",
        project.name
    )
}

/// Waits until usher knows the engine.
async fn connected(edge: &Edge) {
    eventually("the engine is connected", async || {
        let engine = edge.stats().await["engine"].clone();
        check(engine["connected"] == true, engine)
    })
    .await;
}

async fn ready(edge: &Edge, count: usize) {
    eventually(&format!("{count} replicas ready"), async || {
        let instance = edge.instance("congress").await;
        check(instance["services"][0]["ready"] == count, instance)
    })
    .await;
}

async fn says(edge: &Edge, words: &[&str]) {
    eventually(&format!("a reason with {words:?}"), async || {
        let reasons = edge.instance("congress").await["reasons"].to_string();
        check(words.iter().all(|word| reasons.contains(word)), reasons)
    })
    .await;
}

/// Asks until there is a good answer. Gives every other status that was seen meanwhile.
async fn served(edge: &Edge) -> Vec<u16> {
    let mut seen = Vec::new();
    eventually("served", async || {
        let status = edge.get(URL).await.status;
        if status == 200 {
            return Ok(());
        }
        seen.push(status);
        Err(status)
    })
    .await;
    seen.dedup();
    seen
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_stack_is_served_as_soon_as_it_answers_and_not_before() {
    let project = Project::new("found");
    let edge = Setup::new(&tables(&project, "")).start().await;
    connected(&edge).await;
    assert_eq!(
        edge.get(URL).await.status,
        503,
        "declared, and nothing runs"
    );

    project.up(&format!(
        "{WEB}    environment: {{START_AFTER_MS: \"1500\"}}\n"
    ));

    // Running is not ready: nobody is sent to a replica that refuses.
    let seen = served(&edge).await;
    let at = Timestamp::now();
    assert!(seen.iter().all(|status| *status == 503), "{seen:?}");
    let container = inspect(&project.running("web")[0]);
    let started: Timestamp = container["State"]["StartedAt"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let routed = at.duration_since(started);
    println!("routed {routed:#} after the start of a container that needs 1.5 s itself");
    assert!(routed.as_millis() < 1_500 + 3 * 300, "{routed:#}");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn replicas_that_compose_adds_and_takes_are_followed_and_nobody_else_is_cut() {
    let project = Project::new("scaled");
    project.up(WEB);
    let edge = Setup::new(&tables(&project, "")).start().await;
    ready(&edge, 1).await;
    let mut first = edge.ask(SOCKET).websocket().await.unwrap();

    project.compose(&["up", "-d", "--scale", "web=2"]);
    ready(&edge, 2).await;
    let second = edge.ask(SOCKET).websocket().await.unwrap();
    let began = Instant::now();
    // The newer container is the one that Compose takes away.
    project.compose(&["up", "-d", "--scale", "web=1"]);

    let code = second.closed().await;
    println!(
        "the session of the stopped container ended with {code} after {:?}",
        began.elapsed()
    );
    assert_eq!(
        first.echo("still here").await.split(": ").last(),
        Some("still here")
    );
    ready(&edge, 1).await;
    assert_eq!(edge.get(URL).await.status, 200);
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_restarted_container_is_served_again_without_a_502() {
    let project = Project::new("restarted");
    project.up(WEB);
    let edge = Setup::new(&tables(&project, "")).start().await;
    ready(&edge, 1).await;
    assert_eq!(served(&edge).await, Vec::<u16>::new());
    let before = edge.instance("congress").await["services"][0]["replicas"][0]["since"].clone();
    // Its lives are told apart by their second.
    let second: Timestamp = before.as_str().unwrap().parse().unwrap();
    eventually("another second", async || {
        let now = Timestamp::now();
        check(now.as_second() > second.as_second(), now)
    })
    .await;

    must(&["restart", &project.running("web")[0]]);

    let seen = served(&edge).await;
    assert!(seen.iter().all(|status| *status == 503), "{seen:?}");
    eventually("seen as a new replica", async || {
        let web = edge.instance("congress").await["services"][0].clone();
        check(
            web["ready"] == 1 && web["replicas"][0]["since"] != before,
            web,
        )
    })
    .await;
}

/// A socket of the test's own in front of the engine's, which can be shut.
struct Relay {
    path: PathBuf,
    _folder: tempfile::TempDir,
    task: JoinSet<()>,
}

impl Relay {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let mut relay = Self {
            path,
            _folder: folder,
            task: JoinSet::new(),
        };
        relay.open();
        relay
    }

    fn open(&mut self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        self.task.spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut open = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                open.spawn(async move {
                    let mut engine = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
                });
            }
        });
    }

    /// As if the daemon had ended.
    async fn shut(&mut self) {
        self.task.shutdown().await;
        fs::remove_file(&self.path).unwrap();
    }
}

#[tokio::test]
#[ignore = "needs docker"]
async fn an_engine_that_goes_away_takes_no_route_and_its_return_is_noticed() {
    let project = Project::new("gone");
    project.up(WEB);
    let mut relay = Relay::new();
    let endpoint = format!(
        "kind = \"docker\"\nendpoint = \"unix://{}\"",
        relay.path.display()
    );
    let text = tables(&project, "").replace("kind = \"docker\"", &endpoint);
    let edge = Setup::new(&text).start().await;
    ready(&edge, 1).await;
    let mut socket = edge.ask(SOCKET).websocket().await.unwrap();

    relay.shut().await;

    eventually("the engine is missed", async || {
        let stats = edge.stats().await;
        check(
            stats["engine"]["connected"] == false,
            stats["engine"].clone(),
        )
    })
    .await;
    assert_eq!(edge.get(URL).await.status, 200);
    assert!(socket.echo("still here").await.ends_with("still here"));
    // What happened meanwhile is listed afterwards: no event tells of it.
    project.compose(&["up", "-d", "--scale", "web=2"]);
    relay.open();
    ready(&edge, 2).await;
    assert!(socket.echo("and still").await.ends_with("and still"));
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_container_on_no_network_is_never_asked_and_says_why() {
    let project = Project::new("alone");
    project.up(&format!("{WEB}    network_mode: none\n"));
    let edge = Setup::new(&tables(&project, "")).start().await;
    says(&edge, &["network"]).await;
    let web = edge.instance("congress").await["services"][0].clone();
    assert_eq!(web["ready"], 0, "{web}");
    assert_eq!(web["replicas"][0]["address"], Value::Null, "{web}");
    assert_eq!(
        edge.get(URL).await.status,
        502,
        "it runs, and cannot be reached"
    );
}

#[tokio::test]
#[ignore = "needs docker"]
async fn files_of_a_volume_are_served_and_a_missing_volume_costs_its_route_only() {
    let project = Project::new("files");
    let volume = format!("{}_static", project.name);
    project.up_with(
        &format!("{WEB}    volumes: [\"static:/static\"]\n"),
        "volumes:\n  static:\n",
    );
    let folder = PathBuf::from(inspect(&volume)["Mountpoint"].as_str().unwrap());
    fs::create_dir_all(folder.join("collected/css")).unwrap();
    fs::write(folder.join("collected/css/site.css"), "body { color: red }").unwrap();
    fs::write(folder.join("secret"), "secret").unwrap();
    let more = "[[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
                [[instance.route]]\nprefix = \"/static/\"\nfiles = { volume = \"static\", path = \"collected\" }\n\
                [[instance.route]]\nprefix = \"/media/\"\nfiles = { volume = \"media\" }\n";
    let edge = Setup::new(&tables(&project, more)).start().await;
    ready(&edge, 1).await;

    let file = edge.get(&format!("{URL}static/css/site.css")).await;
    assert_eq!(
        (file.status, file.text().as_str()),
        (200, "body { color: red }")
    );
    assert_eq!(file.field("content-type"), "text/css; charset=utf-8");
    for path in [
        "static/../secret",
        "static/%2e%2e/secret",
        "static/..%2fsecret",
    ] {
        let status = edge.get(&format!("{URL}{path}")).await.status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(edge.get(&format!("{URL}media/photo.jpg")).await.status, 503);
    assert_eq!(edge.get(URL).await.status, 200);
    says(&edge, &["media", "volume"]).await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_volume_that_is_mounted_only_while_its_stack_runs_is_a_503_with_the_reason_until_it_is_back()
 {
    let project = Project::new("mounted");
    let volume = format!("{}_static", project.name);
    project.up_with(
        &format!("{WEB}    volumes: [\"static:/static\"]\n"),
        "volumes:\n  static:\n    driver_opts: {type: tmpfs, device: tmpfs}\n",
    );
    let folder = PathBuf::from(inspect(&volume)["Mountpoint"].as_str().unwrap());
    let fill = || {
        fs::write(folder.join("site.css"), "body { color: red }").unwrap();
    };
    fill();
    let more = "[[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
                [[instance.route]]\nprefix = \"/static/\"\nfiles = { volume = \"static\" }\n";
    let edge = Setup::new(&tables(&project, more)).start().await;
    ready(&edge, 1).await;
    let file = format!("{URL}static/site.css");
    let answers = async |status: u16| {
        eventually(&format!("{status} for a file of it"), async || {
            let answer = edge.get(&file).await;
            check(answer.status == status, (answer.status, answer.text()))
        })
        .await;
    };
    answers(200).await;

    // The engine takes the mount away, and with it what was in there.
    project.compose(&["stop"]);
    answers(503).await;
    says(&edge, &["/static/", "nothing is mounted"]).await;
    let page = edge.get(&file).await;
    assert_eq!(page.field("cache-control"), "no-store");

    project.compose(&["start"]);
    fill();
    answers(200).await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_recycled_address_never_reaches_the_next_tenant() {
    let (one, two) = (Project::new("one"), Project::new("two"));
    // Both stacks on one network, so that the second can get the first one's address.
    let network = format!("{}net", one.name);
    must(&[
        "network",
        "create",
        "--label",
        &format!("com.docker.compose.project={}", one.name),
        &network,
    ]);
    let section = format!("networks:\n  default:\n    external: true\n    name: {network}\n");
    one.up_with(
        &format!("{WEB}    environment: {{ORIGIN_NAME: one}}\n"),
        &section,
    );
    let second = tables(&two, "")
        .split_once("[[instance]]")
        .unwrap()
        .1
        .replace("congress", "assembly");
    let text = format!("{}[[instance]]{second}", tables(&one, ""));
    let edge = Setup::new(&text).start().await;
    ready(&edge, 1).await;
    let address = |project: &Project| {
        let container = inspect(&project.running("web")[0]);
        container["NetworkSettings"]["Networks"][&network]["IPAddress"].to_string()
    };
    // A pooled connection to the first tenant's replica.
    assert_eq!(edge.get(URL).await.json()["origin"], "one");
    let before = address(&one);
    let mut waiting = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();
    assert_eq!(waiting.echo("hello").await, "one: hello");

    must(&["rm", "-f", &one.running("web")[0]]);
    two.up_with(
        &format!("{WEB}    environment: {{ORIGIN_NAME: two}}\n"),
        &section,
    );
    assert_eq!(
        address(&two),
        before,
        "the engine gave the address away again"
    );

    let assembly = "https://assembly.example.org/";
    eventually("the second tenant is served", async || {
        let status = edge.get(assembly).await.status;
        check(status == 200, status)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(edge.get(assembly).await.json()["origin"], "two");
        assert_eq!(edge.get(URL).await.status, 503, "the first has no replica");
    }
    let code = tokio::time::timeout(Duration::from_secs(20), waiting.closed()).await;
    println!("the first tenant's websocket ended with {code:?}");
    must(&["rm", "-f", &two.running("web")[0]]);
    must(&["network", "rm", &network]);
}

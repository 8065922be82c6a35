//! A stack of a real Swarm of one node, with usher in a container on its overlay network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::client::{Front, Socket, plain};
use crate::harness::contained::Contained;
use crate::harness::docker::{docker, must, origin_image};
use crate::harness::eventually::{check, eventually};
use crate::harness::program::run;

const SOCKET: &str = "wss://congress.example.org/ws/";

/// The engine as a manager, for as long as the test takes. Whatever was made in it goes with it.
struct Swarm {
    stack: String,
}

impl Swarm {
    fn init(name: &str) -> Self {
        let swarm = Self {
            stack: format!("ushertest{}{name}", std::process::id()),
        };
        must(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        swarm
    }

    fn network(&self) -> String {
        format!("{}_default", self.stack)
    }

    fn service(&self) -> String {
        format!("{}_web", self.stack)
    }

    /// As `docker stack deploy` does it.
    fn deploy(&self, replicas: u32, attachable: bool) {
        self.deploy_saying(replicas, attachable, &[]);
    }

    /// As [`Swarm::deploy`], with further arguments of `docker service create`.
    fn deploy_saying(&self, replicas: u32, attachable: bool, says: &[&str]) {
        let attachable = format!("--attachable={attachable}");
        must(&[
            "network",
            "create",
            "-d",
            "overlay",
            &attachable,
            &self.network(),
        ]);
        let label = format!("com.docker.stack.namespace={}", self.stack);
        let count = replicas.to_string();
        let network = self.network();
        let service = self.service();
        let usual = [
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            &service,
            "--label",
            &label,
            "--container-label",
            "kept=yes",
            "--network",
            &network,
            "--stop-grace-period",
            "2s",
            "--replicas",
            &count,
        ];
        must(&[&usual[..], says, &[&origin_image()]].concat());
    }

    /// The tasks that are wanted and run: their ids by slot.
    fn tasks(&self) -> BTreeMap<String, String> {
        let filter = ["--filter", "desired-state=running", "--no-trunc"];
        let format = ["--format", "{{.Name}} {{.ID}} {{.CurrentState}}"];
        let service = self.service();
        let listed = must(&[&["service", "ps"], &filter[..], &format[..], &[&service]].concat());
        let running = listed.lines().filter(|line| line.contains("Running"));
        let pairs = running.filter_map(|line| {
            let mut words = line.split(' ');
            let slot = words.next()?.rsplit('.').next()?.to_owned();
            Some((slot, words.next()?.to_owned()))
        });
        pairs.collect()
    }

    fn tables(&self) -> String {
        format!(
            "[[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
             [instance.scale]\nsessions-per-replica = 2\ndown-after = \"1h\"\n\
             [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n",
            self.stack
        )
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        docker(&["service", "rm", &self.service()]);
        // A node that leaves with tasks on it takes them with it, and may leave their containers.
        let filter = format!("label=com.docker.swarm.service.name={}", self.service());
        for _ in 0..50 {
            let listed = docker(&["ps", "-aq", "--filter", &filter]);
            if listed.stdout.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        docker(&["network", "rm", &self.network()]);
        docker(&["swarm", "leave", "--force"]);
        docker(&["network", "rm", "docker_gwbridge"]);
    }
}

async fn served(usher: &Contained) {
    eventually("usher serves the stack", async || {
        let open = tokio::net::TcpStream::connect(usher.https()).await;
        if open.is_err() {
            return Err((0, usher.log()));
        }
        let status = usher.status().await;
        check(status == 200, (status, usher.log()))
    })
    .await;
}

async fn scale(usher: &Contained, replicas: u32) {
    let order = json!({
        "do": "scale", "instance": "congress", "service": "web", "replicas": replicas,
    });
    let said = usher.order(&order).await;
    assert_eq!(said["done"], true, "{said}");
}

fn replica_states(usher: &Contained) -> Vec<(String, String)> {
    let stats = usher.stats();
    let replicas = stats["instances"][0]["services"][0]["replicas"].clone();
    let mut states: Vec<_> = replicas
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| (one["name"].to_string(), one["state"].to_string()))
        .collect();
    states.sort();
    states
}

async fn all_ready(usher: &Contained, count: usize) {
    eventually(&format!("{count} replicas are ready"), async || {
        let states = replica_states(usher);
        let ready = states.iter().all(|(_, state)| state == "\"ready\"");
        check(ready && states.len() == count, (states, usher.log()))
    })
    .await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn scaling_touches_no_other_task_and_ends_exactly_the_drained_one() {
    let swarm = Swarm::init("scaled");
    swarm.deploy(2, true);
    let usher = Contained::start(&swarm.stack, &swarm.tables());
    served(&usher).await;
    all_ready(&usher, 2).await;
    let two = swarm.tasks();
    assert_eq!(two.len(), 2, "{two:?}");

    let socket = usher.folder().join("control.sock").display().to_string();
    let printed = run(usher.folder(), &["logs", "congress", "--socket", &socket]).await;
    for slot in ["web.1", "web.2"] {
        let mut lines = printed.out.lines();
        let found = lines.any(|line| line.contains(slot) && line.contains("listens on"));
        assert!(found, "{slot}: {printed:?}");
    }

    scale(&usher, 3).await;
    all_ready(&usher, 3).await;
    let three = swarm.tasks();
    assert_eq!(three.len(), 3, "{three:?}");
    // Specifications that differed in anything but the number would start every task anew.
    assert!(
        two.iter().all(|task| three.get(task.0) == Some(task.1)),
        "{two:?} {three:?}"
    );

    let mut sockets: Vec<Socket> = Vec::new();
    for _ in 0..6 {
        sockets.push(usher.ask(SOCKET).websocket().await.expect("opened"));
    }
    scale(&usher, 2).await;
    eventually("the highest slot drains", async || {
        let states = replica_states(&usher);
        let drains = states
            .iter()
            .filter(|(name, state)| name.contains("web.3") == (state == "\"draining\""));
        check(drains.count() == 3, states.clone())
    })
    .await;
    for socket in &mut sockets {
        assert!(socket.echo("still here").await.ends_with("still here"));
    }
    assert_eq!(swarm.tasks(), three, "in use, and not ended");

    for socket in sockets {
        socket.close().await;
    }
    eventually("the drained task is ended, and no other", async || {
        let tasks = swarm.tasks();
        check(tasks == two, (tasks, usher.log()))
    })
    .await;
    all_ready(&usher, 2).await;
    assert!(!usher.log().contains("was not drained"), "{}", usher.log());
    assert_eq!(usher.status().await, 200);
}

#[tokio::test]
#[ignore = "needs docker"]
async fn an_overlay_that_is_not_attachable_is_told_with_the_remedy() {
    let swarm = Swarm::init("closed");
    swarm.deploy(1, false);
    let usher = Contained::start(&swarm.stack, &swarm.tables());
    eventually("the reason", async || {
        let reasons = usher.stats()["instances"][0]["reasons"].to_string();
        check(reasons.contains("attachable: true"), (reasons, usher.log()))
    })
    .await;
    let nodes = usher.stats()["nodes"].clone();
    let manager = nodes
        .as_array()
        .into_iter()
        .flatten()
        .any(|node| node["swarm"]["role"] == "manager" && node["swarm"]["state"] == "ready");
    assert!(manager, "{nodes}");
}

/// Asks one after the other until told to stop. How many were answered, and every other answer.
async fn ask_on(usher: &Contained, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut good, mut bad) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        match usher.ask("https://congress.example.org/").try_send().await {
            Ok(answer) if answer.status == 200 => good += 1,
            Ok(answer) => bad.push(answer.status.to_string()),
            Err(error) => bad.push(error.to_string()),
        }
    }
    (good, bad)
}

#[tokio::test]
#[ignore = "needs docker"]
async fn tasks_that_are_replaced_under_load_cost_no_request() {
    let swarm = Swarm::init("replaced");
    swarm.deploy(2, true);
    let usher = Contained::start(&swarm.stack, &swarm.tables());
    served(&usher).await;
    all_ready(&usher, 2).await;
    let before = swarm.tasks();
    let stop = AtomicBool::new(false);
    let replace = async {
        let service = swarm.service();
        // Ends when the last of them has been replaced and the new ones have run for a while.
        let update = [
            "service",
            "update",
            "--force",
            "--quiet",
            "--update-monitor",
            "1s",
        ];
        let arguments: Vec<String> = [&update[..], &[service.as_str()]]
            .concat()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        let updated = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            must(&arguments)
        });
        updated.await.expect("updated");
        eventually("both were replaced", async || {
            let tasks = swarm.tasks();
            let kept = tasks
                .values()
                .any(|id| before.values().any(|old| old == id));
            check(tasks.len() == 2 && !kept, (tasks, usher.log()))
        })
        .await;
        all_ready(&usher, 2).await;
        stop.store(true, Ordering::Relaxed);
    };
    let asked = join_all((0..4).map(|_| ask_on(&usher, &stop)));
    let ((), asked) = tokio::join!(replace, asked);
    let good: usize = asked.iter().map(|(good, _)| good).sum();
    let bad: Vec<&String> = asked.iter().flat_map(|(_, bad)| bad).collect();
    println!("{good} requests were answered while both tasks were replaced");
    assert!(bad.is_empty(), "{bad:?} {}", usher.log());
    assert!(good > 100, "there was a load: {good}");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_service_that_names_itself_is_served_by_the_image_as_it_is() {
    let swarm = Swarm::init("named");
    let host = format!("{}.example.org", swarm.stack);
    let claim = format!("VIRTUAL_HOST={host}");
    let says = ["--env", &claim, "--env", "VIRTUAL_PORT=8000"];
    swarm.deploy_saying(2, true, &says);
    let usher = Contained::open(&swarm.stack, &[]);
    let asked = async |status: u16| {
        eventually(&format!("{status} for {host}"), async || {
            if tokio::net::TcpStream::connect(usher.http()).await.is_err() {
                return Err((0, usher.log()));
            }
            let answer = plain(usher.http(), &host, "/").await;
            check(answer.status == status, (answer.status, usher.log()))
        })
        .await;
    };
    asked(200).await;
    eventually("both tasks, each at its own address", async || {
        let replicas = usher.stats()["instances"][0]["services"][0]["replicas"].clone();
        let addresses: BTreeSet<String> = replicas
            .as_array()
            .into_iter()
            .flatten()
            .filter(|replica| replica["state"] == "ready")
            .map(|replica| replica["address"].to_string())
            .collect();
        check(addresses.len() == 2, replicas)
    })
    .await;
    must(&["service", "rm", &swarm.service()]);
    asked(503).await;
    drop(usher);
}

//! From the start of a container to the first answer through usher, by a real Docker engine.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use crate::harness::docker::{Project, inspect, origin_image};
use crate::harness::{Front, Installed, eventually};
use crate::report::{Rounds, Target, row, table};

const REPETITIONS: usize = 5;
/// How long the applications in the containers take until they listen.
const START_UPS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(3)];
/// How often is looked, and so how wrong a time may be.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);
const ENGINE_SOCKET: &str = "/var/run/docker.sock";

/// Milliseconds of the repetitions of one start-up time.
#[derive(Default)]
struct Found {
    from_start: Rounds,
    from_ready: Rounds,
}

/// A project that is not up yet, and the instance for it.
struct Stack {
    domain: String,
    project: Project,
}

pub async fn measure() -> Vec<Target> {
    if let Err(why) = engine_is_there() {
        println!("\nContainers: skipped, {why}");
        return Vec::new();
    }
    eprintln!("measuring containers");
    // Outside of what is measured, and once.
    origin_image();
    let stacks: Vec<Vec<Stack>> = START_UPS
        .iter()
        .map(|start_up| (0..REPETITIONS).map(|nth| stack(*start_up, nth)).collect())
        .collect();
    let tables: Vec<String> = stacks.iter().flatten().map(Stack::tables).collect();
    let text = format!(
        "[log]\naccess = false\n\n[engine]\nkind = \"docker\"\n\n{}",
        tables.concat()
    );
    let usher = Installed::new(&text);
    // They stay until usher has ended, which would replace what vanishes.
    let mut projects = Vec::new();
    let mut program = usher.start().await;
    eventually("usher knows the engine", async || {
        let engine = usher.stats().await["engine"].clone();
        if engine["connected"] == true {
            Ok(())
        } else {
            Err(engine)
        }
    })
    .await;

    let mut targets = Vec::new();
    let mut rows = vec![row(&[
        &"the application listens after",
        &"from StartedAt",
        &"from its listening",
    ])];
    for (start_up, stacks) in START_UPS.iter().zip(stacks) {
        let mut found = Found::default();
        for stack in stacks {
            projects.push(one_start(&usher, stack, *start_up, &mut found).await);
        }
        rows.push(row(&[
            &format!("{} s", start_up.as_secs()),
            &found.from_start.shown(),
            &found.from_ready.shown(),
        ]));
        targets.push(Target {
            what: format!(
                "container ready to routed, listening after {} s, the worst",
                start_up.as_secs()
            ),
            unit: "ms",
            limit: 300.0,
            measured: found.from_ready.most(),
        });
    }
    table(
        &format!(
            "Container to first answer through usher in ms, median (least-most) of {REPETITIONS}"
        ),
        &rows,
    );
    program.signal(rustix::process::Signal::INT);
    program.ended().await;
    drop(projects);
    targets
}

fn engine_is_there() -> Result<(), String> {
    for (program, argument) in [("docker", "version"), ("docker-compose", "version")] {
        match Command::new(program).arg(argument).output() {
            Ok(output) if output.status.success() => {}
            Ok(_) => return Err(format!("`{program} {argument}` fails")),
            Err(error) => return Err(format!("`{program}`: {error}")),
        }
    }
    Ok(())
}

/// Each repetition has a stack of its own: usher knows nothing of it from before.
fn stack(start_up: Duration, nth: usize) -> Stack {
    let name = format!("bench{}n{nth}", start_up.as_secs());
    Stack {
        domain: format!("{name}.example.org"),
        project: Project::new(&name),
    }
}

impl Stack {
    fn tables(&self) -> String {
        let Self { domain, project } = self;
        let name = &project.name;
        format!(
            "[[instance]]\nname = \"{name}\"\ndomains = [\"{domain}\"]\nhttps = \"both\"\n\n\
             [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n\n"
        )
    }
}

/// Brings a stack up and waits until usher routes to it. Gives the project, to be kept.
async fn one_start(
    usher: &Installed,
    stack: Stack,
    start_up: Duration,
    found: &mut Found,
) -> Project {
    let Stack { domain, project } = stack;
    let container = format!("{}_web_1", project.name);
    let services = format!(
        "  web:\n    image: IMAGE\n    stop_grace_period: 1s\n    environment:\n      \
         START_AFTER_MS: \"{}\"",
        start_up.as_millis()
    );
    // Compose blocks, and goes on working after the container has started.
    let up = tokio::task::spawn_blocking(move || {
        project.up(&services);
        project
    });
    let watching = async { tokio::join!(listens(&container), routed(usher, &domain)) };
    let (ready, routed) = timeout(PATIENCE, watching).await.expect("a route in time");
    let project = up.await.expect("compose");
    let started = inspect(&container)["State"]["StartedAt"].clone();
    let started: Timestamp = started
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("StartedAt");
    found.from_start.add(milliseconds(started, routed));
    found.from_ready.add(milliseconds(ready, routed));
    project
}

fn milliseconds(from: Timestamp, until: Timestamp) -> f64 {
    until.duration_since(from).as_secs_f64() * 1e3
}

/// When the application in the container answers, asked at its own address.
async fn listens(container: &str) -> Timestamp {
    let address = loop {
        if let Some(address) = address(container).await {
            break address;
        }
        sleep(LOOK_EVERY).await;
    };
    loop {
        if TcpStream::connect(address).await.is_ok() {
            return Timestamp::now();
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Where a container listens, once it runs. The command line of Docker takes too long to ask.
async fn address(container: &str) -> Option<SocketAddr> {
    let stream = UnixStream::connect(ENGINE_SOCKET).await.ok()?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .uri(format!("/containers/{container}/json"))
        .header("host", "docker")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let answer = sender.send_request(request).await.ok()?;
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    connection.abort();
    let told: Value = serde_json::from_slice(&body).ok()?;
    if told["State"]["Running"] != true {
        return None;
    }
    let mut networks = told["NetworkSettings"]["Networks"].as_object()?.values();
    let ip = networks.next()?["IPAddress"].as_str()?.parse().ok()?;
    Some(SocketAddr::new(ip, 8000))
}

/// When the first good answer comes through usher.
async fn routed(usher: &Installed, domain: &str) -> Timestamp {
    let url = format!("http://{domain}/");
    loop {
        match usher.ask(&url).try_send().await {
            Ok(answer) if answer.status == 200 => return Timestamp::now(),
            _ => sleep(LOOK_EVERY).await,
        }
    }
}

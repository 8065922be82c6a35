//! What a thousand stacks cost that name themselves: with one name each, and with ten.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::docker_api::DockerApi;
use crate::harness::origin::{self, Seen};
use crate::harness::{Front, Installed, client};
use crate::process::{cpu, resident};
use crate::report::{Rounds, Target, row, table};

const STACKS: u32 = 1_000;
const NAMES_OF_EACH: [u32; 2] = [1, 10];
const REQUESTS: u32 = 20_000;
const CHANGES: u32 = 40;
const SCRAPES: u32 = 20;
/// To see what it costs to look whether a change is in force.
const VISITS: u32 = 400;
const ROUNDS: usize = 3;
/// How long usher is watched that has nothing to do but its own rounds.
const IDLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);

/// What was measured with so many names.
struct Found {
    names: u32,
    resident_mib: f64,
    /// Of a core.
    idle: f64,
    request_us: Rounds,
    change_ms: Rounds,
    metrics_ms: f64,
    stats_ms: f64,
    /// Of the larger of the two.
    scrape_mib: f64,
}

pub async fn measure() -> Vec<Target> {
    eprintln!("measuring names");
    let mut all = Vec::new();
    for each in NAMES_OF_EACH {
        all.push(with(each).await);
    }
    let head = row(&[
        &"names",
        &"resident MiB",
        &"idle % of a core",
        &"µs a request",
        &"ms a change",
        &"ms /metrics",
        &"ms /stats",
        &"MiB a scrape",
    ]);
    let mut rows = vec![head];
    rows.extend(all.iter().map(|found| {
        row(&[
            &found.names,
            &format!("{:.0}", found.resident_mib),
            &format!("{:.1}", found.idle * 100.0),
            &found.request_us.shown(),
            &found.change_ms.shown_finely(),
            &format!("{:.1}", found.metrics_ms),
            &format!("{:.1}", found.stats_ms),
            &format!("{:.2}", found.scrape_mib),
        ])
    }));
    table(
        &format!("{STACKS} stacks whose containers name themselves, CPU of usher"),
        &rows,
    );
    let [few, many] = &all[..] else {
        unreachable!("two were measured");
    };
    let target = |what: &str, unit, limit, measured| Target {
        what: what.to_owned(),
        unit,
        limit,
        measured,
    };
    vec![
        target(
            "a request among 10 000 names",
            "x one among 1 000",
            1.1,
            many.request_us.median() / few.request_us.median(),
        ),
        target(
            "a changed container among 10 000 names",
            "ms",
            5.0,
            many.change_ms.median(),
        ),
        target("resident at 10 000 names", "MiB", 150.0, many.resident_mib),
        target("/metrics of 1 000 instances", "ms", 50.0, few.metrics_ms),
        target("/stats of 1 000 instances", "ms", 50.0, few.stats_ms),
        target(
            "a scrape of 1 000 instances",
            "MB",
            5.0,
            few.scrape_mib * 1.049,
        ),
    ]
}

fn name(stack: u32, nth: u32, version: u32) -> String {
    format!("name{nth}-v{version}.stack{stack}.example.org")
}

fn claim(stack: u32, each: u32, version: u32) -> String {
    let names: Vec<String> = (0..each).map(|nth| name(stack, nth, version)).collect();
    format!("VIRTUAL_HOST={}", names.join(","))
}

async fn with(each: u32) -> Found {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let everybody = tokio::spawn(origin::serve(
        listener,
        "everybody".to_owned(),
        Arc::new(Seen::default()),
    ));
    let api = DockerApi::start();
    let stack = |stack: u32| format!("stack{stack}");
    let mut ids: Vec<String> = (0..STACKS)
        .map(|nth| api.one_of_many(&stack(nth), port, &claim(nth, each, 0)))
        .collect();
    let usher = Installed::new(&format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\nnames-from-containers = \"open\"\n",
        api.socket().display()
    ));
    let mut program = usher.start().await;
    for nth in [0, STACKS / 2, STACKS - 1] {
        answers(usher.http(), &name(nth, each - 1, 0)).await;
    }
    // Until what came first has been followed to its end.
    sleep(IDLE).await;
    let family = [program.id()];
    let resident_mib = resident(&family) as f64 / 1024.0;
    let idle = idle(&family).await;

    let mut request_us = Rounds::default();
    let mut change_ms = Rounds::default();
    let mut version = 0;
    for _ in 0..ROUNDS {
        // The speed of a shared machine changes from minute to minute.
        let idle = self::idle(&family).await;
        let before = cpu(&family);
        let begun = Instant::now();
        requests(usher.http(), each).await;
        request_us.add(busy(before, &family, begun, idle) * 1e6 / f64::from(REQUESTS));
        let visit = visit(usher.http(), &name(0, 0, u32::MAX), &family, idle).await;
        let mut visits = 0;
        let before = cpu(&family);
        let begun = Instant::now();
        for nth in 0..CHANGES {
            version += 1;
            let place = (nth * 17) as usize % ids.len();
            let at = nth * 17 % STACKS;
            api.gone(&ids[place]);
            ids[place] = api.one_of_many(&stack(at), port, &claim(at, each, version));
            visits += answers(usher.http(), &name(at, 0, version)).await;
        }
        let spent = busy(before, &family, begun, idle) - f64::from(visits) * visit;
        change_ms.add(spent * 1e3 / f64::from(CHANGES));
    }
    let (metrics_ms, metrics) = scrapes(&usher, &family, idle, "/metrics").await;
    let (stats_ms, stats) = scrapes(&usher, &family, idle, "/stats").await;
    program.signal(rustix::process::Signal::INT);
    program.ended().await;
    everybody.abort();
    Found {
        names: STACKS * each,
        resident_mib,
        idle,
        request_us,
        change_ms,
        metrics_ms,
        stats_ms,
        scrape_mib: metrics.max(stats) as f64 / f64::from(1 << 20),
    }
}

/// Seconds of CPU since then, less what nothing costs.
fn busy(before: Duration, family: &[u32], begun: Instant, idle: f64) -> f64 {
    let spent = (cpu(family) - before).as_secs_f64();
    (spent - begun.elapsed().as_secs_f64() * idle).max(0.0)
}

async fn idle(family: &[u32]) -> f64 {
    let before = cpu(family);
    sleep(IDLE).await;
    (cpu(family) - before).as_secs_f64() / IDLE.as_secs_f64()
}

async fn scrapes(usher: &Installed, family: &[u32], idle: f64, path: &str) -> (f64, usize) {
    let before = cpu(family);
    let begun = Instant::now();
    let mut length = 0;
    for _ in 0..SCRAPES {
        let answer = client::plain(usher.admin(), "localhost", path).await;
        assert_eq!(answer.status, 200, "{path}");
        length = answer.body.len();
    }
    let spent = busy(before, family, begun, idle);
    (spent * 1e3 / f64::from(SCRAPES), length)
}

/// One after the other on one connection, each for another name.
async fn requests(address: SocketAddr, each: u32) {
    let mut sender = connection(address).await;
    for nth in 0..REQUESTS {
        // Connections end after so many requests.
        if sender.ready().await.is_err() {
            sender = connection(address).await;
        }
        let stack = nth.wrapping_mul(7_919) % STACKS;
        let host = name(stack, nth % each, 0);
        // Changed containers have other names: their answer is 503, which costs less.
        let request = Request::get("/").header("host", host);
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        answer.into_body().collect().await.expect("a body");
    }
}

async fn connection(address: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let tcp = TcpStream::connect(address).await.expect("connected");
    let (sender, connection) = handshake(TokioIo::new(tcp)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

/// Seconds of CPU for a request on a connection of its own, for a name that nobody has (yet).
async fn visit(address: SocketAddr, host: &str, family: &[u32], idle: f64) -> f64 {
    let before = cpu(family);
    let begun = Instant::now();
    for _ in 0..VISITS {
        client::plain(address, host, "/").await;
    }
    busy(before, family, begun, idle) / f64::from(VISITS)
}

/// Waits until this name is served. Returns how often it was asked for.
async fn answers(address: SocketAddr, host: &str) -> u32 {
    let served = async {
        let mut asked = 0;
        loop {
            let answer = client::plain(address, host, "/").await;
            asked += 1;
            if answer.status == 200 {
                return asked;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, served)
        .await
        .unwrap_or_else(|_| panic!("{host} is not served"))
}

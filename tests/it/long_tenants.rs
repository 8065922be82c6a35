//! A tenant at ten times its budget, and the neighbour on the same usher.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::harness::client::{self, tls};
use crate::harness::eventually::{check, eventually};
use crate::harness::program::{self, Program, free_port};
use crate::harness::{Front, Installed, instance};

/// Requests in flight and connections that the noisy tenant may have.
const BUDGET: usize = 10;
/// Ten times both.
const CLIENTS: usize = 10 * BUDGET;
/// What an answer takes, and how long somebody who was sent away stays away: each client asks five
/// times a second, and all of them ten times what can be served.
const ANSWER: Duration = Duration::from_millis(200);
/// The quiet tenant asks fifty times a second.
const EVERY: Duration = Duration::from_millis(20);
const ALONE: Duration = Duration::from_secs(30);
const WITH: Duration = Duration::from_secs(120);

/// Of the quiet tenant's p99 alone.
const PROMISED: f64 = 1.5;
/// A debug build and the clients are on the same few cores as usher, and take time from it that
/// is no doing of usher's.
const BAR: f64 = 3.0 * PROMISED;

/// An origin as a process of its own, so that nothing but the kernel's scheduler is shared.
async fn origin() -> (Program, String) {
    let port = free_port();
    let mut command = Command::new(program::origin());
    command.env("PORT", port.to_string());
    let origin = Program::spawn(command);
    eventually("the origin listens", async || {
        let out = origin.out();
        check(out.contains("listens"), out)
    })
    .await;
    (origin, format!("127.0.0.1:{port}"))
}

/// What the noisy tenant's clients got.
#[derive(Debug, Default)]
struct Noise {
    over: AtomicBool,
    served: AtomicU64,
    sent_away: AtomicU64,
}

/// The clients of the noisy tenant, on a thread of their own, until told that it is over.
fn make_noise(front: SocketAddr, noise: &Arc<Noise>) -> thread::JoinHandle<()> {
    let noise = Arc::clone(noise);
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            join_all((0..CLIENTS).map(|number| insist(front, &noise, number))).await;
        });
    })
}

/// Asks on a connection that is kept, and again on another one when it was not.
async fn insist(front: SocketAddr, noise: &Noise, number: usize) {
    // Not all of them at the same moment.
    sleep(ANSWER.mul_f64(number as f64 / CLIENTS as f64)).await;
    while !noise.over.load(Ordering::Relaxed) {
        if let Ok(tcp) = TcpStream::connect(front).await
            && let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(tcp)).await
        {
            let asking = async {
                while !noise.over.load(Ordering::Relaxed) && sender.ready().await.is_ok() {
                    let slow = format!("/slow?ms={}", ANSWER.as_millis());
                    let request = Request::get(slow).header("host", "noisy.example.org");
                    let request = request.body(Empty::<Bytes>::new()).unwrap();
                    let Ok(answer) = sender.send_request(request).await else {
                        break;
                    };
                    let status = answer.status().as_u16();
                    if answer.into_body().collect().await.is_err() {
                        break;
                    }
                    match status {
                        200 => noise.served.fetch_add(1, Ordering::Relaxed),
                        503 => {
                            sleep(ANSWER).await;
                            noise.sent_away.fetch_add(1, Ordering::Relaxed)
                        }
                        other => panic!("{other} for the noisy tenant"),
                    };
                }
            };
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = &mut connection => {}
                () = asking => {}
            }
        }
        sleep(ANSWER).await;
    }
}

/// What the quiet tenant saw for a while.
#[derive(Debug)]
struct Heard {
    /// Sorted.
    took: Vec<Duration>,
    /// The same over connections that were opened for it.
    newcomers: Vec<Duration>,
    errors: Vec<String>,
}

impl Heard {
    /// By nearest rank.
    fn percentile(took: &[Duration], percent: usize) -> Duration {
        let rank = (took.len() * percent).div_ceil(100).max(1);
        took[rank - 1]
    }

    fn p99(&self) -> Duration {
        Self::percentile(&self.took, 99)
    }

    fn print(&self, when: &str) {
        let at = |percent| Self::percentile(&self.took, percent);
        println!(
            "{when}: {} requests, p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, worst {:.1?}; {} newcomers over TLS, \
             worst {:.1?}; {} errors",
            self.took.len(),
            at(50),
            at(90),
            at(99),
            at(100),
            self.newcomers.len(),
            Self::percentile(&self.newcomers, 100),
            self.errors.len()
        );
    }
}

type Sender = http2::SendRequest<Full<Bytes>>;

/// Asks at fixed moments, whether the last answer is there or not, and counts from these moments: who
/// waits for an answer before it asks again measures nothing while it is kept waiting.
async fn listen(usher: &Installed, span: Duration) -> Heard {
    let stream = tls(usher, "quiet.example.org", &["h2"]).await.unwrap();
    let sender = client::http2(stream).await.unwrap();
    let mut asked = JoinSet::new();
    let mut newcomers = Vec::new();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let end = Instant::now() + span;
    let asking = async {
        while Instant::now() < end {
            let due = ticks.tick().await;
            asked.spawn(ask(sender.clone(), due));
        }
        asked.join_all().await
    };
    let mut errors = Vec::new();
    let arriving = async {
        while Instant::now() < end {
            let began = Instant::now();
            match usher.ask("https://quiet.example.org/page").try_send().await {
                Ok(answer) if answer.status == 200 => newcomers.push(began.elapsed()),
                other => errors.push(format!("a newcomer: {other:?}")),
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (answers, ()) = tokio::join!(asking, arriving);
    let mut took = Vec::new();
    for answer in answers {
        match answer {
            Ok(span) => took.push(span),
            Err(error) => errors.push(error),
        }
    }
    took.sort();
    newcomers.sort();
    Heard {
        took,
        newcomers,
        errors,
    }
}

async fn ask(mut sender: Sender, due: Instant) -> Result<Duration, String> {
    let request = Request::get("https://quiet.example.org/page?bytes=2000");
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
    };
    match timeout(Duration::from_secs(20), answered).await {
        Ok(Ok((status, body))) if status == 200 && body.len() == 2000 => Ok(due.elapsed()),
        other => Err(format!("{other:?}")),
    }
}

async fn noisy(usher: &Installed) -> Value {
    let stats = usher.stats().await;
    let instances = stats["instances"].as_array().unwrap();
    let found = instances
        .iter()
        .find(|instance| instance["name"] == "noisy");
    found.unwrap().clone()
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_tenant_at_ten_times_its_budget_costs_its_neighbour_nothing() {
    let ((_one, loud), (_two, quiet)) = (origin().await, origin().await);
    let text = instance("noisy", &[loud.parse().unwrap()])
        .replace("domains =", "https = \"both\"\ndomains =")
        + &format!("[instance.limits]\nrequests-in-flight = {BUDGET}\nconnections = {BUDGET}\n")
        + &instance("quiet", &[quiet.parse().unwrap()]);
    let usher = Installed::new(&text);
    let _running = usher.start().await;
    usher.answers("https://quiet.example.org/", 200).await;
    usher.answers("http://noisy.example.org/", 200).await;

    let before = listen(&usher, ALONE).await;
    before.print("alone");

    let noise = Arc::new(Noise::default());
    let clients = make_noise(usher.http(), &noise);
    eventually("the noisy tenant is sent away", async || {
        let seen = noise.sent_away.load(Ordering::Relaxed);
        check(seen > CLIENTS as u64, seen)
    })
    .await;
    let (served, sent_away) = (
        noise.served.load(Ordering::Relaxed),
        noise.sent_away.load(Ordering::Relaxed),
    );
    let began = Instant::now();
    let most = async {
        let mut most = (0, 0);
        while began.elapsed() < WITH {
            let now = noisy(&usher).await;
            let of = |key: &str| now[key].as_u64().unwrap();
            most.0 = most.0.max(of("requests_in_flight"));
            most.1 = most.1.max(of("connections"));
            sleep(Duration::from_millis(500)).await;
        }
        most
    };
    let (with, most) = tokio::join!(listen(&usher, WITH), most);
    let seconds = began.elapsed().as_secs();
    let served = noise.served.load(Ordering::Relaxed) - served;
    let sent_away = noise.sent_away.load(Ordering::Relaxed) - sent_away;
    with.print("with the noisy tenant");
    println!(
        "the noisy tenant: {CLIENTS} clients, {}/s served, {}/s sent away, at most {} in flight and {} \
         connections of {BUDGET} each",
        served / seconds,
        sent_away / seconds,
        most.0,
        most.1
    );

    noise.over.store(true, Ordering::Relaxed);
    clients.join().unwrap();
    eventually("the noise is over", async || {
        let now = noisy(&usher).await;
        check(now["connections"] == 0, now["connections"].clone())
    })
    .await;
    let after = listen(&usher, ALONE).await;
    after.print("alone again");

    let alone = before.p99().max(after.p99());
    let times = with.p99().as_secs_f64() / alone.as_secs_f64();
    println!(
        "p99 is {times:.2} times that of alone; promised {PROMISED}, {BAR} beside a debug build"
    );
    for heard in [&before, &with, &after] {
        assert_eq!(heard.errors, Vec::<String>::new());
    }
    // Noise it was: everything that was allowed, and most of it refused.
    assert!(
        most.0 <= BUDGET as u64 && most.1 <= BUDGET as u64,
        "{most:?}"
    );
    assert!(served > 2 * BUDGET as u64 * seconds, "{served}");
    assert!(sent_away > served, "{sent_away}");
    assert!(times <= BAR, "{times:.2}");
}

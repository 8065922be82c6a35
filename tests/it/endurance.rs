//! What lasts: thousands of websockets and a steady load, while everything around them changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tokio::time::Instant;
use usher::inventory::Phase;

use crate::harness::client::{Socket, tls};
use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually, within};
use crate::harness::hall::{echo, everybody_echoes, seats};
use crate::harness::neighbour::Neighbour;
use crate::harness::numbers::numbers;
use crate::harness::{Edge, Front, Installed, Origin, Setup, instance};

const HOST: &str = "congress.example.org";
const URL: &str = "https://congress.example.org/";
/// Handshakes under way while a hall is filled.
const AT_ONCE: usize = 64;
/// A websocket that is stalled for longer is noticed by whoever looks at it.
const STALLED: Duration = Duration::from_secs(1);

/// A hall in front of one replica.
const ROOMY: &str = "[instance.limits]\nsessions-hard = 20000\n";

async fn websockets(installed: &Installed, count: usize) {
    eventually(&format!("{count} websockets"), async || {
        let open = installed.stats().await["totals"]["websockets"].clone();
        check(open == count, open)
    })
    .await;
}

/// Configurations that follow each other. With every step a name comes or goes, so that certificates
/// are read anew, and something else differs as well.
fn forms(origin: SocketAddr) -> [String; 4] {
    let own = instance("congress", &[origin]);
    let other = instance("other", &[origin]) + &instance("third", &[origin]);
    let extra = instance("extra", &[origin]);
    let with = |lines: &str| own.replace("[instance.service", &format!("{lines}[instance.service"));
    [
        own.clone() + ROOMY + &other,
        with("headers = { x-form = \"two\" }\n") + ROOMY + &other + &extra,
        own.clone()
            + ROOMY
            + "requests-in-flight = 50\nmax-body = \"1MiB\"\n"
            + &instance("other", &[origin])
            + &instance("third", &[origin]).replace("third", "second"),
        with("hsts = \"off\"\n")
            + ROOMY
            + "[[instance.route]]\nprefix = \"/else/\"\nto = \"web\"\n\
               [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n"
            + &other
            + &extra,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_lost_while_the_configuration_and_the_certificate_change_again_and_again() {
    let numbers = numbers();
    let origin = Origin::start("origin").await;
    let forms = forms(origin.address);
    let installed = Installed::new(&(forms[0].clone() + &instance("extra", &[origin.address])));
    installed.write(&forms[0]);
    let mut usher = installed.start().await;
    installed.answers(URL, 200).await;
    let began = Instant::now();
    let mut hall = seats(&installed, HOST, numbers.held, AT_ONCE).await;
    websockets(&installed, numbers.held).await;
    println!("{} websockets opened in {:?}", hall.len(), began.elapsed());

    let began = Instant::now();
    let mut longest_echo = Duration::ZERO;
    let mut longest_change = Duration::ZERO;
    for round in 1..=numbers.changes {
        installed.pki.write_pair(&installed.certs(), &[HOST]);
        let pem = installed.certs().join(format!("{HOST}.crt"));
        let written = CertificateDer::from_pem_file(pem).unwrap();
        installed.write(&forms[round % forms.len()]);
        let answer = installed
            .order(&json!({"do": "reload", "force": false}))
            .await;
        assert_eq!(answer["done"], true, "{answer}");
        assert!(
            answer["lines"]
                .to_string()
                .contains("instance congress: changed"),
            "{answer}"
        );

        let (_, took) = within(Duration::from_secs(20), "the new certificate", async || {
            let stream = tls(&installed, HOST, &["http/1.1"]).await.unwrap();
            let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
            check(chain[0] == written, round)
        })
        .await;
        longest_change = longest_change.max(took);
        // Somebody else every time.
        for sample in 0..10 {
            let index = (round * 10 + sample) * 7 % hall.len();
            longest_echo = longest_echo.max(echo(&mut hall[index], "origin").await);
        }
    }
    println!(
        "{} reloads with a new certificate each in {:?}: served after {longest_change:?} at the \
         longest; longest echo meanwhile {longest_echo:?}",
        numbers.changes,
        began.elapsed()
    );
    websockets(&installed, numbers.held).await;
    let last = everybody_echoes(&mut hall, "origin").await;
    println!(
        "{} of {} still echo, within {last:?}",
        hall.len(),
        numbers.held
    );
    assert!(longest_echo < STALLED, "{longest_echo:?}");
    usher.signal(Signal::INT);
    assert!(usher.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hall_behind_one_address_gets_in_all_at_once() {
    let origin = Origin::start("origin").await;
    let edge = Edge::start(&(instance("congress", &[origin.address]) + ROOMY)).await;
    let began = Instant::now();

    let mut hall = seats(&edge, HOST, 900, 900).await;

    println!("900 websockets from one address in {:?}", began.elapsed());
    let longest = everybody_echoes(&mut hall, "origin").await;
    println!("everybody echoes within {longest:?}");
    eventually("900 are counted", async || {
        let open = edge.instance("congress").await["websockets"].clone();
        check(open == 900, open)
    })
    .await;
}

/// Replicas on one port at addresses of loopback, the way containers are on a network.
struct Replicas {
    engine: Arc<FakeEngine>,
    port: u16,
    open: BTreeMap<String, Origin>,
    leaving: Option<String>,
    next: u8,
}

impl Replicas {
    async fn add(&mut self) -> String {
        self.next += 1;
        let name = format!("web-{}", self.next);
        let origin = Origin::start_at(&name, SocketAddr::new(address(&name), self.port)).await;
        self.open.insert(name.clone(), origin);
        self.tell();
        name
    }

    /// The engine's list as it is now.
    fn tell(&self) {
        let all = self.open.keys().chain(&self.leaving).map(|name| {
            let mut unit = unit(name, 1, address(name));
            if self.leaving.as_ref() == Some(name) {
                unit.phase = Phase::Leaving;
            }
            unit
        });
        self.engine.set("congress", "web", all.collect());
    }

    /// Stops one as `docker stop` does: the engine says so, and the program is told at the same
    /// moment, or when everybody knows; then it finishes.
    async fn stop(&mut self, name: &str, known: impl Future<Output = ()>) {
        let origin = self.open.remove(name).expect("it runs");
        self.leaving = Some(name.to_owned());
        self.tell();
        known.await;
        origin.leave().await;
        self.leaving = None;
        self.tell();
    }
}

fn address(name: &str) -> IpAddr {
    let number = name
        .rsplit('-')
        .next()
        .and_then(|number| number.parse().ok());
    IpAddr::from([127, 0, 7, number.expect("a number")])
}

/// Waits until so many replicas are ready.
async fn ready(edge: &Edge, count: usize) {
    eventually(&format!("{count} ready replicas"), async || {
        let service = edge.instance("congress").await["services"][0].clone();
        check(service["ready"] == count, service)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_replicas_ends_their_websockets_alone_and_fails_no_request() {
    let numbers = numbers();
    let engine = FakeEngine::new();
    let mut replicas = Replicas {
        engine: Arc::clone(&engine),
        port: Origin::start("port").await.address.port(),
        open: BTreeMap::new(),
        leaving: None,
        next: 0,
    };
    let text = format!(
        "[engine]\nkind = \"docker\"\n[[instance]]\nname = \"congress\"\ndomains = [\"{HOST}\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nport = {}\nprobe = \"/\"\n",
        replicas.port
    );
    let shared = Arc::new(Shared(engine));
    let edge = Setup::new(&text).engine(shared, false).start().await;
    let mut oldest = replicas.add().await;
    let mut newest = replicas.add().await;
    ready(&edge, 2).await;
    let mut held: BTreeMap<String, Vec<Socket>> = BTreeMap::new();
    let neighbour = Neighbour::start(&edge, HOST);
    let began = Instant::now();

    for round in 0..numbers.replaced {
        for mut socket in seats(&edge, HOST, 6, 6).await {
            let said = socket.echo("who").await;
            let who = said.split(':').next().unwrap().to_owned();
            held.entry(who).or_default().push(socket);
        }
        let leaver = std::mem::replace(&mut oldest, newest);
        newest = replicas.add().await;
        ready(&edge, 3).await;

        let gone = held.remove(&leaver).expect("somebody is on each");
        let closing = gone.into_iter().map(Socket::closed);
        let slow = (0..6).map(|_| edge.get("https://congress.example.org/slow?ms=200"));
        let known = async {
            // Every other one is gone before usher has heard of it.
            if round % 2 == 0 {
                ready(&edge, 2).await;
            }
        };
        let (codes, answers, ()) = tokio::join!(
            join_all(closing),
            join_all(slow),
            replicas.stop(&leaver, known)
        );
        assert!(
            answers.iter().all(|answer| answer.status == 200),
            "{answers:?}"
        );
        assert!(
            codes.iter().all(|code| [1001, 1012].contains(code)),
            "{codes:?}"
        );
        ready(&edge, 2).await;
        for (name, sockets) in &mut held {
            everybody_echoes(sockets, name).await;
        }
    }
    let seen = neighbour.stop().await;
    println!(
        "{} replicas replaced in {:?}: {seen}",
        numbers.replaced,
        began.elapsed()
    );
    assert_eq!(seen.wrong, Vec::<String>::new());
    edge.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_hall_is_told_to_come_back_a_few_at_a_time_and_requests_are_finished() {
    let numbers = numbers();
    let within = numbers.stop_within;
    let origin = Origin::start("origin").await;
    let text = format!("[stop]\nwithin = \"{}s\"\n", within.as_secs());
    let installed = Installed::new(&(text + &instance("congress", &[origin.address]) + ROOMY));
    let mut usher = installed.start().await;
    installed.answers(URL, 200).await;
    let hall = seats(&installed, HOST, numbers.stopped, AT_ONCE).await;
    let slow = format!("{URL}slow?ms=1500");
    let asked = join_all((0..20).map(|_| installed.ask(&slow).send()));
    tokio::pin!(asked);
    let under_way = eventually("requests under way", async || {
        let slow = origin.requests();
        let slow = slow.iter().filter(|line| *line == "GET /slow").count();
        check(slow == 20, slow)
    });
    tokio::select! {
        _ = &mut asked => panic!("answered too early"),
        () = under_way => {}
    }

    let began = Instant::now();
    usher.signal(Signal::TERM);
    let closing = hall
        .into_iter()
        .map(|socket| tokio::spawn(async move { (socket.closed().await, began.elapsed()) }));
    let (closed, answers) = tokio::join!(join_all(closing), asked);
    let status = usher.ended().await;
    let ended = began.elapsed();

    let closed: Vec<(u16, Duration)> = closed.into_iter().map(Result::unwrap).collect();
    let mut at: Vec<Duration> = closed.iter().map(|(_, at)| *at).collect();
    at.sort();
    // Of all who are sent away, how many in the worst of seconds.
    let crowd = at
        .iter()
        .map(|from| {
            at.iter()
                .filter(|at| **at >= *from && **at < *from + STALLED)
                .count()
        })
        .max()
        .unwrap();
    println!(
        "{} websockets told between {:?} and {:?}, at most {crowd} in a second; ended after \
         {ended:?} of {within:?}",
        at.len(),
        at[0],
        at[at.len() - 1]
    );
    assert!(closed.iter().all(|(code, _)| *code == 1012), "{closed:?}");
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{answers:?}"
    );
    assert!(status.success(), "{status:?}: {}", usher.err());
    assert!(ended <= within, "{ended:?}");
    assert!(at[at.len() - 1] - at[0] > within / 4, "spread over time");
    assert!(
        crowd < at.len() * 2 / 3,
        "{crowd} of {} in one second",
        at.len()
    );
}

#[tokio::test]
async fn an_empty_house_closes_at_once() {
    let origin = Origin::start("origin").await;
    let text = "[stop]\nwithin = \"60s\"\n".to_owned() + &instance("congress", &[origin.address]);
    let installed = Installed::new(&text);
    let mut usher = installed.start().await;
    installed.answers(URL, 200).await;
    let began = Instant::now();

    usher.signal(Signal::TERM);

    assert!(usher.ended().await.success(), "{}", usher.err());
    println!("ended after {:?} of a possible 60 s", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10));
}

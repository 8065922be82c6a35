//! What is let in while workers have more than they can answer, and what daphne says when they do.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::client_async;

use crate::harness::audience::replicas;
use crate::harness::client::{Duplex, Socket, tls};
use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Origin, Setup, instance};

const URL: &str = "https://congress.example.org/";
const SOCKET: &str = "wss://congress.example.org/ws/";

/// A web, and so many workers that are ready.
async fn stack(workers: u64) -> (Origin, Edge) {
    let origin = Origin::start("one").await;
    let text = format!(
        "[engine]\nkind = \"docker\"\n[[instance]]\nname = \"congress\"\n\
         domains = [\"congress.example.org\"]\n\
         [instance.limits]\nsessions-hard = 1000\n\
         [instance.service.web]\nrole = \"sessions\"\nport = {}\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 4.0\n",
        origin.address.port()
    );
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&text).engine(shared, false).start().await;
    let here = IpAddr::from([127, 0, 0, 1]);
    let crew = (0..workers).map(|number| unit(&format!("worker_{number}"), 1, here));
    engine.set("congress", "worker", crew.collect());
    engine.set("congress", "web", vec![unit("web_1", 1, here)]);
    replicas(&edge, "web", 1).await;
    // And what is known is in force.
    edge.all_ready().await;
    eventually("the window of these workers", async || {
        let window = window(&edge, "congress").await;
        check(window == 4 * workers, window)
    })
    .await;
    (origin, edge)
}

/// The value of a metric with these labels.
async fn metric(edge: &Edge, name: &str, labels: &str) -> u64 {
    let metrics = edge.admin("/metrics").await.text();
    let wanted = format!("usher_{name}{{{labels}}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

async fn window(edge: &Edge, name: &str) -> u64 {
    let labels = format!("instance=\"{name}\",service=\"web\"");
    metric(edge, "handshake_window", &labels).await
}

#[tokio::test]
async fn a_storm_is_let_in_as_workers_can_answer_and_pages_are_quick_meanwhile() {
    const HALL: usize = 400;
    let (origin, edge) = stack(2).await;
    let began = Instant::now();
    let storm = join_all((0..HALL).map(|_| {
        let url = format!("{SOCKET}late?ms=50");
        edge.ask(&url).websocket()
    }));
    tokio::pin!(storm);
    let mut visits = Vec::new();
    let sockets = loop {
        let visit = async {
            sleep(Duration::from_millis(20)).await;
            let asked = Instant::now();
            let answer = edge.get(URL).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            asked.elapsed()
        };
        tokio::select! {
            sockets = &mut storm => break sockets,
            took = visit => visits.push(took),
        }
    };
    let (longest, visits) = (visits.iter().max().copied().unwrap(), visits.len());
    let took = began.elapsed();
    let most = u64::from(origin.seen.most_handshakes.load(Ordering::Relaxed));
    println!(
        "{HALL} let in within {took:?}, at most {most} at a time; {visits} pages meanwhile, the \
         slowest after {longest:?}"
    );
    let outside: Vec<_> = sockets
        .iter()
        .filter_map(|one| one.as_ref().err())
        .collect();
    assert!(outside.is_empty(), "{} {:?}", outside.len(), outside[0]);
    // Four for each, and one more with every five seconds.
    let allowed = 2 * (4 + took.as_secs() / 5);
    assert!((8..=allowed).contains(&most), "{most} of {allowed}");
    assert!(
        visits >= 5 && longest < Duration::from_secs(3),
        "{longest:?}"
    );
}

#[tokio::test]
async fn workers_get_eight_requests_each_and_writes_first() {
    let (origin, edge) = stack(1).await;
    let url = format!("{URL}slow?ms=300");
    let reads = join_all((0..40).map(|_| edge.get(&url)));
    let write = async {
        eventually("as many reads as may are with it", async || {
            let slow = origin.seen.slow.load(Ordering::Relaxed);
            check(slow == 8, slow)
        })
        .await;
        let came = origin.requests().len();
        let ask = edge.ask(&url).method(Method::POST).body("a vote");
        (ask.send().await.status, came)
    };
    let (reads, (status, came)) = tokio::join!(reads, write);
    assert!(reads.iter().all(|answer| answer.status == 200));
    assert_eq!(status, 200);
    let most = origin.seen.most_slow.load(Ordering::Relaxed);
    // The write was let in before all of it had come, and is counted when it has.
    assert!((8..=9).contains(&most), "{most}");
    let requests = origin.requests();
    let write = requests.iter().position(|one| one.starts_with("POST"));
    // At most one turn of eight came in between.
    assert!(write.unwrap() <= came + 8, "{write:?} after {came}");
    assert!(requests.len() > write.unwrap() + 8, "and before the others");
}

#[tokio::test]
async fn what_workers_have_answered_takes_no_place_while_it_streams() {
    let (origin, edge) = stack(1).await;
    // Answers that go on.
    let streams = format!("{URL}stream?ms=100&count=40");
    let answers = join_all((0..20).map(|_| edge.get(&streams)));
    let visitor = async {
        eventually("all of them are with the replica", async || {
            let came = origin.requests().len();
            check(came >= 20, came)
        })
        .await;
        let asked = Instant::now();
        assert_eq!(edge.get(URL).await.status, 200);
        asked.elapsed()
    };
    let (answers, took) = tokio::join!(answers, visitor);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Waits until a word was counted, and gives the window after it.
async fn counted(edge: &Edge, name: &str, signal: &str) -> u64 {
    let labels = format!("instance=\"{name}\",signal=\"{signal}\"");
    eventually(&format!("{signal} is counted"), async || {
        let count = metric(edge, "backpressure_total", &labels).await;
        check(count == 1, count)
    })
    .await;
    window(edge, name).await
}

#[tokio::test]
async fn every_word_by_which_daphne_says_that_it_is_too_much_is_heard() {
    let origin = Origin::start("daphne").await;
    let words = [
        ("handshake-refused", "wss", "/ws/full"),
        ("handshake-unanswered", "wss", "/ws/unanswered"),
        ("request-queue-full", "https", "/queue-full"),
        ("try-again-later", "wss", "/ws/later"),
        ("worker-silent", "https", "/worker-silent"),
    ];
    let text: String = words
        .iter()
        .map(|(word, ..)| instance(word, &[origin.address]))
        .collect();
    let edge = Edge::start(&(text + &instance("calm", &[origin.address]))).await;
    let began = Instant::now();
    let heard = words.map(async |(word, scheme, path)| {
        let url = format!("{scheme}://{word}.example.org{path}");
        let outcome: Box<dyn Debug> = if scheme == "https" {
            let answer = edge.get(&url).await;
            assert_eq!(answer.status, 503);
            // Passed on as it came.
            assert!(answer.text().ends_with("</html>"), "{}", answer.text());
            Box::new(answer.status)
        } else {
            // As patient as no browser is.
            let host = format!("{word}.example.org");
            let stream = tls(&edge, &host, &["http/1.1"]).await.expect("a handshake");
            let stream: Box<dyn Duplex> = Box::new(stream);
            match client_async(&url, stream).await {
                Ok((socket, _)) => Box::new(Socket(socket).closed().await),
                Err(error) => Box::new(error.to_string()),
            }
        };
        println!("{word}: {outcome:?} after {:?}", began.elapsed());
        let window = counted(&edge, word, word).await;
        let errors = edge.admin(&format!("/stats/{word}/errors")).await.text();
        assert!(errors.contains(&format!("\"{word}\"")), "{errors}");
        (word, window)
    });
    // What only looks like one.
    let calm = async {
        let refused = edge.ask("wss://calm.example.org/ws/refuse").websocket();
        assert!(refused.await.is_err());
        let status = edge.get("https://calm.example.org/status?code=503").await;
        assert_eq!(status.status, 503);
        ("calm", window(&edge, "calm").await)
    };
    let (mut windows, calm) = tokio::join!(join_all(heard), calm);
    windows.push(calm);
    for (word, window) in windows {
        // It grows again only when it is needed, or with quick answers below its beginning.
        let expected = if word == "calm" { 16 } else { 8 };
        assert_eq!(window, expected, "{word}");
    }
}

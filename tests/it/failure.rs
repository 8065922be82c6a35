//! Replicas that fail: what a client sees, and who else is asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use crate::harness::program::free_port;
use crate::harness::{Edge, Front, Origin, Setup, eventually, instance};

const URL: &str = "https://congress.example.org";

#[tokio::test]
async fn a_refused_connection_is_tried_on_another_replica_even_for_a_post() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let gone = one.address;
    let text = instance("congress", &[one.address, two.address]);
    let edge = Edge::start(&text).await;
    drop(one);

    // Faster than any probe notices that it has gone.
    for number in 0..6 {
        let ask = edge.ask(&format!("{URL}/{number}")).method(Method::POST);
        let answer = ask.body("x").send().await;
        assert_eq!(answer.status, 200, "{gone} is gone: {}", answer.text());
        assert_eq!(answer.json()["origin"], "two");
    }
}

#[tokio::test]
async fn what_a_replica_takes_with_it_is_asked_of_another_unless_it_may_have_done_something() {
    for (method, expected) in [(Method::GET, 200), (Method::POST, 502)] {
        let mut origins = vec![Origin::start("one").await, Origin::start("two").await];
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
        let edge = Edge::start(&instance("congress", &addresses)).await;
        let url = format!("{URL}/slow?ms=700");
        let ask = edge.ask(&url).method(method.clone());
        let with = |origin: &Origin| origin.seen.slow.load(Ordering::Relaxed) == 1;
        let dies = async {
            let place = eventually("somebody works on it", async || {
                origins.iter().position(with).ok_or("nobody")
            })
            .await;
            drop(origins.remove(place));
        };
        let (answer, ()) = tokio::join!(ask.send(), dies);

        assert_eq!(answer.status, expected, "{method}: {}", answer.text());
        let left = origins[0].seen.requests.lock().expect("lock").clone();
        let again = left.iter().any(|line| line.ends_with("/slow"));
        assert_eq!(again, method == Method::GET, "{left:?}");
    }
}

#[tokio::test]
async fn what_no_replica_survives_is_not_asked_of_all_of_them() {
    let mut origins = Vec::new();
    for _ in 0..6 {
        origins.push(Origin::start("frail").await);
    }
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let edge = Edge::start(&instance("congress", &addresses)).await;
    let answer = edge.get(&format!("{URL}/raw/nothing")).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let each = origins.iter();
    let asked: u32 = each
        .map(|origin| origin.seen.raw.load(Ordering::Relaxed))
        .sum();
    // As many as a handshake is offered to.
    assert_eq!(asked, 4);
}

#[tokio::test]
async fn nonsense_from_a_replica_is_a_502_and_reaches_nobody() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    for path in ["/raw/nothing", "/raw/nonsense", "/raw/unasked-101"] {
        let answer = edge.get(&format!("{URL}{path}")).await;
        assert_eq!(answer.status, 502, "{path}: {}", answer.text());
        assert!(!answer.text().contains("SSH"), "{path}");
    }
    // The next visitor is served.
    assert_eq!(edge.get(URL).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_stops_early_is_not_passed_off_as_whole() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    for http2 in [false, true] {
        let ask = edge.ask(&format!("{URL}/raw/short"));
        let ask = if http2 { ask.http2() } else { ask };
        ask.try_send().await.expect_err("a broken body");
    }
}

#[tokio::test]
async fn what_a_replica_says_beyond_its_answer_is_nobodys_answer() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;

    let answer = edge.get(&format!("{URL}/raw/two-answers")).await;
    assert_eq!(answer.text(), "one");
    for _ in 0..5 {
        let next = edge.get(&format!("{URL}/next")).await;
        assert_eq!(next.json()["target"], "/next");
    }
}

#[tokio::test]
async fn a_silent_replica_is_a_504_after_the_deadline() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]);
    let edge = Edge::start(&(text + "[instance.limits]\nrequest-timeout = \"1s\"\n")).await;

    for ask in [
        edge.ask(&format!("{URL}/silent")),
        edge.ask(&format!("{URL}/silent")).http2(),
    ] {
        let began = Instant::now();
        let answer = ask.send().await;
        let took = began.elapsed();
        assert_eq!(answer.status, 504);
        println!("a silent replica was given up after {took:?} of a promised 1 s");
        assert!(
            took > Duration::from_millis(900) && took < Duration::from_secs(3),
            "{took:?}"
        );
    }
    // A slow body is not a slow replica.
    assert_eq!(
        edge.get(&format!("{URL}/stream?ms=400&count=5"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_replica_that_does_not_answer_its_probe_gets_no_traffic() {
    let good = Origin::start("good").await;
    let bad = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let edge = Setup::new(&instance("congress", &[good.address, bad]))
        .start()
        .await;
    eventually("one is ready", async || {
        let ready = edge.instance("congress").await["services"][0]["ready"].clone();
        if ready == 1 { Ok(()) } else { Err(ready) }
    })
    .await;

    for _ in 0..10 {
        assert_eq!(edge.get(URL).await.json()["origin"], "good");
    }
    let replicas = edge.instance("congress").await["services"][0]["replicas"].clone();
    let of_bad = replicas
        .as_array()
        .unwrap()
        .iter()
        .find(|replica| replica["address"] == bad.to_string());
    assert_eq!(of_bad.unwrap()["state"], "starting", "{replicas}");
}

#[tokio::test]
async fn a_service_that_comes_back_is_served_again() {
    let origin = Origin::start("one").await;
    let address = origin.address;
    let edge = Edge::start(&instance("congress", &[address])).await;
    drop(origin);

    eventually("the only replica is unhealthy", async || {
        let state = edge.instance("congress").await["services"][0]["replicas"][0]["state"].clone();
        if state == "unhealthy" {
            Ok(())
        } else {
            Err(state)
        }
    })
    .await;
    // A probe may be wrong and there is no better one, so it is tried all the same.
    let answer = edge.get(URL).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("congress"), "{}", answer.text());
    let _back = Origin::start_at("back", address).await;
    let began = Instant::now();
    eventually("served again", async || {
        let status = edge.get(URL).await.status;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    println!(
        "served again {:?} after the replica came back",
        began.elapsed()
    );
}

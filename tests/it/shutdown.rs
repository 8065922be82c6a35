//! The end of usher itself: everybody is told, nobody is waited for longer than promised.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::harness::{Front, Installed, Origin, instance};

const URL: &str = "https://congress.example.org/";

#[tokio::test]
async fn term_closes_sessions_one_after_the_other_and_ends_when_the_last_has_gone() {
    let origin = Origin::start("origin").await;
    let text = format!(
        "[stop]\nwithin = \"6s\"\n{}",
        instance("congress", &[origin.address])
    );
    let installed = Installed::new(&text);
    let mut usher = installed.start().await;
    installed.answers(URL, 200).await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let socket = installed.ask("wss://congress.example.org/ws/").websocket();
        sockets.push(socket.await.unwrap());
    }
    let began = Instant::now();

    usher.signal(Signal::TERM);

    let closed = sockets.into_iter().map(|socket| async move {
        let code = socket.closed().await;
        (code, began.elapsed())
    });
    let closed = futures_util::future::join_all(closed).await;
    assert!(usher.ended().await.success(), "{}", usher.err());
    let ended = began.elapsed();
    let codes: Vec<u16> = closed.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        codes,
        vec![1012; 8],
        "service restart, so that they come back"
    );
    let mut at: Vec<Duration> = closed.iter().map(|(_, at)| *at).collect();
    at.sort();
    println!("closed after {at:?}, ended after {ended:?}");
    assert!(
        at[7] - at[0] > Duration::from_secs(1),
        "spread over time: {at:?}"
    );
    assert!(
        ended < Duration::from_secs(6),
        "not before, but when the last has gone: {ended:?}"
    );
}

#[tokio::test]
async fn requests_under_way_are_answered_and_new_connections_refused() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let mut usher = installed.start().await;
    installed.answers(URL, 200).await;
    let slow = installed
        .ask("https://congress.example.org/slow?ms=1200")
        .send();
    tokio::pin!(slow);
    tokio::select! {
        answer = &mut slow => panic!("too early: {answer:?}"),
        () = async {
            while !origin.requests().contains(&"GET /slow".to_owned()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } => {}
    }

    usher.signal(Signal::TERM);
    usher.says("\"stopping\"").await;

    crate::harness::eventually("refused", async || {
        match installed.ask(URL).try_send().await {
            Err(_) => Ok(()),
            Ok(answer) => Err(answer),
        }
    })
    .await;
    assert_eq!(slow.await.status, 200);
    assert!(usher.ended().await.success());
}

#[tokio::test]
async fn a_second_term_and_an_interrupt_wait_for_nobody() {
    for signals in [&[Signal::TERM, Signal::TERM][..], &[Signal::INT]] {
        let origin = Origin::start("origin").await;
        let text = format!(
            "[stop]\nwithin = \"60s\"\n{}",
            instance("congress", &[origin.address])
        );
        let installed = Installed::new(&text);
        let mut usher = installed.start().await;
        installed.answers(URL, 200).await;
        let socket = installed.ask("wss://congress.example.org/ws/").websocket();
        let socket = socket.await.unwrap();
        let began = Instant::now();

        for signal in signals {
            usher.signal(*signal);
            if *signal == Signal::TERM {
                usher.says("\"stopping\"").await;
            }
        }

        assert!(usher.ended().await.success(), "{}", usher.err());
        println!("{signals:?}: ended after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(20));
        drop(socket);
    }
}

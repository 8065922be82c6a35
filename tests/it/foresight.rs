//! Replicas that stay or come although nobody is there, and those that do not come although somebody is.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::harness::audience::{attendees, replicas, service};
use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Setup};
use crate::scaling::configuration;

/// How many of a service demand and calendar ask for, whatever keeps them away.
async fn wanted(edge: &Edge, service: &str) -> Option<usize> {
    let metrics = edge.admin("/metrics").await.text();
    let key = format!("usher_replicas_wanted{{instance=\"congress\",service=\"{service}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&key));
    value.map(|value| value.parse().expect("a number"))
}

async fn wants(edge: &Edge, count: usize) {
    eventually(&format!("{count} webs are wanted"), async || {
        let wanted = wanted(edge, "web").await;
        check(wanted == Some(count), wanted)
    })
    .await;
}

/// Waits for a reason of the status with these words.
async fn says(edge: &Edge, words: &str) -> String {
    eventually(words, async || {
        let reasons = edge.instance("congress").await["reasons"].to_string();
        check(reasons.contains(words), reasons.clone()).map(|()| reasons)
    })
    .await
}

#[tokio::test]
async fn many_who_are_lost_at_once_find_their_replicas_when_they_come_back() {
    const DOWN_AFTER: Duration = Duration::from_secs(2);
    let scale = "sessions-per-replica = 8\ndown-after = \"2s\"";
    let edge = Setup::new(&configuration(scale, "")).start().await;
    replicas(&edge, "web", 1).await;
    let sockets = attendees(&edge, 24).await;
    replicas(&edge, "web", 3).await;
    // Who is lost is told by those who were there ten seconds ago.
    sleep(Duration::from_secs(11)).await;

    drop(sockets);
    let lost = Instant::now();
    eventually("nobody is connected", async || {
        let websockets = edge.instance("congress").await["websockets"].clone();
        check(websockets == 0, websockets)
    })
    .await;
    while lost.elapsed() < 3 * DOWN_AFTER {
        let web = service(&edge, "web").await;
        assert_eq!(web["ready"], 3, "{:?} later: {web}", lost.elapsed());
        assert_eq!(wanted(&edge, "web").await, Some(3));
        sleep(Duration::from_millis(200)).await;
    }
    let back = attendees(&edge, 24).await;
    assert_eq!(service(&edge, "web").await["ready"], 3);
    drop(back);
    edge.running.stop().await;
}

#[tokio::test]
async fn what_ran_before_usher_was_started_anew_stays_for_those_who_come_back() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\ndown-after = \"8s\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n",
        api.socket().display()
    );
    let before = Setup::new(&text).start().await;
    replicas(&before, "web", 1).await;
    let sockets = attendees(&before, 6).await;
    replicas(&before, "web", 3).await;
    before.running.stop().await;
    drop(sockets);

    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 3).await;
    wants(&edge, 3).await;
    // Nobody came back.
    wants(&edge, 0).await;
    edge.running.stop().await;
}

#[tokio::test]
async fn who_is_announced_finds_replicas_before_the_date_begins() {
    let scale = configuration("sessions-per-replica = 4\ndown-after = \"1s\"", "");
    let begins = Timestamp::now().as_second() + 600;
    let date = |seconds: i64| Timestamp::from_second(begins + seconds).expect("a date");
    let announced = |prewarm: &str| {
        format!(
            "{scale}[[instance.event]]\nname = \"Assembly\"\nstart = {}\nend = {}\n\
             attendees = 12\nprewarm = \"{prewarm}\"\n",
            date(0),
            date(7_200)
        )
    };
    let edge = Setup::new(&announced("5m")).start().await;
    replicas(&edge, "web", 1).await;
    replicas(&edge, "worker", 1).await;
    wants(&edge, 0).await;

    // The date is the same, and the time to prepare for it has come.
    edge.reload(&announced("15m")).await;
    replicas(&edge, "web", 3).await;
    replicas(&edge, "worker", 6).await;
    let decision = service(&edge, "web").await["last_decision"].clone();
    let reason = decision["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("Assembly expects 12 sessions, 4 per replica: 3"),
        "{decision}"
    );

    // It is called off.
    edge.reload(&scale).await;
    replicas(&edge, "web", 1).await;
    edge.running.stop().await;
}

#[tokio::test]
async fn where_more_workers_were_no_help_twice_the_status_says_what_else_to_look_at() {
    let scale = "down-after = \"4s\"";
    let edge = Setup::new(&configuration(scale, "")).start().await;
    replicas(&edge, "web", 1).await;
    // Answers are slow whoever works, as with a slow database, and nobody opens a websocket.
    let visitor = async || {
        loop {
            edge.get("https://congress.example.org/slow?ms=600").await;
        }
    };
    let told = async {
        // Two for the one web, and half as many more.
        replicas(&edge, "worker", 3).await;
        says(&edge, "more of worker would be no help").await
    };
    let told = tokio::select! {
        told = told => told,
        _ = join_all((0..14).map(|_| visitor())) => unreachable!("they stay"),
    };
    assert!(
        told.contains("something else is slow (database, Redis, processor)"),
        "{told}"
    );
    edge.running.stop().await;
}

#[tokio::test]
async fn on_hold_nothing_comes_and_nothing_goes_whoever_is_there() {
    let scale = |mode: &str| {
        let scale = format!("sessions-per-replica = 4\ndown-after = \"1s\"\nmode = \"{mode}\"");
        configuration(&scale, "")
    };
    let edge = Setup::new(&scale("auto")).start().await;
    replicas(&edge, "web", 1).await;
    edge.reload(&scale("hold")).await;
    let sockets = attendees(&edge, 9).await;
    wants(&edge, 3).await;
    // Some decisions later.
    sleep(Duration::from_secs(3)).await;
    let web = service(&edge, "web").await;
    assert_eq!((&web["ready"], &web["desired"]), (&json!(1), &json!(1)));

    edge.reload(&scale("auto")).await;
    replicas(&edge, "web", 3).await;
    edge.reload(&scale("hold")).await;
    drop(sockets);
    wants(&edge, 0).await;
    sleep(Duration::from_secs(3)).await;
    let web = service(&edge, "web").await;
    assert_eq!((&web["ready"], &web["desired"]), (&json!(3), &json!(3)));
    edge.running.stop().await;
}

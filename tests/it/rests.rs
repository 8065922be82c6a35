//! Stacks for nobody: nothing runs until somebody comes, or while they are not rented.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::audience::{attendees, replicas, service};
use crate::harness::eventually::{check, eventually};
use crate::harness::program::origin;
use crate::harness::{Edge, Front, Setup};

const URL: &str = "https://congress.example.org/";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1)";

/// Child processes that rest after two seconds without anybody.
fn configuration(more: &str) -> String {
    let program = origin().display().to_string();
    format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n{more}\
         [instance.scale]\ndown-after = \"1s\"\nidle-to-zero = \"2s\"\nno-wake = [\"/backup/\"]\n\
         [instance.service.web]\nrole = \"sessions\"\ncommand = [\"{program}\"]\nprobe = \"/\"\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 1.0\n\
         command = [\"env\", \"ROLE=idle\", \"{program}\"]\n"
    )
}

async fn asleep(edge: &Edge) {
    replicas(edge, "web", 0).await;
    replicas(edge, "worker", 0).await;
    eventually("it is asleep", async || {
        let own = edge.instance("congress").await;
        check(own["asleep"] == true && own["reasons"] == json!([]), own)
    })
    .await;
}

/// No replica of any service.
async fn runs_nothing(edge: &Edge) -> bool {
    let none = |service: &Value| service["replicas"] == json!([]);
    none(&service(edge, "web").await) && none(&service(edge, "worker").await)
}

#[tokio::test]
async fn it_rests_when_nobody_comes_and_a_browser_wakes_it_and_gets_its_page() {
    let edge = Setup::new(&configuration("")).start().await;
    // Nobody has asked for it yet.
    asleep(&edge).await;

    for (method, path, agent) in [
        (Method::GET, "", ROBOT),
        (Method::GET, "favicon.ico", BROWSER),
        (Method::GET, "backup/1.tar", BROWSER),
        (Method::HEAD, "", BROWSER),
        (Method::OPTIONS, "", BROWSER),
    ] {
        let began = Instant::now();
        let ask = edge.ask(&format!("{URL}{path}")).method(method.clone());
        let answer = ask.field("user-agent", agent).send().await;
        assert_eq!(answer.status, 503, "{method} /{path} by {agent}");
        assert_ne!(answer.field("retry-after"), "");
        assert!(began.elapsed() < Duration::from_secs(2), "at once");
    }
    // Longer than any signal takes.
    sleep(Duration::from_millis(1_500)).await;
    assert!(runs_nothing(&edge).await);

    let began = Instant::now();
    let ask = edge.ask(URL).field("user-agent", BROWSER);
    let answer = ask.field("accept", "text/html,*/*;q=0.8").send().await;
    let took = began.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    println!("the page of a stack that was asleep came after {took:?}");
    replicas(&edge, "web", 1).await;
    replicas(&edge, "worker", 1).await;
    let decision = service(&edge, "web").await["last_decision"].clone();
    assert_eq!(decision["reason"], "somebody has come: 1", "{decision}");

    // A robot is served now, and keeps nothing awake.
    let ask = edge.ask(URL).field("user-agent", ROBOT);
    assert_eq!(ask.send().await.status, 200);
    asleep(&edge).await;
    let decision = service(&edge, "web").await["last_decision"].clone();
    assert_eq!(decision["reason"], "nobody has come for 2s: 0");
    edge.running.stop().await;
}

/// How long the program takes from its start to its first answer, by itself.
async fn cold_start(port: u16) -> Duration {
    let began = Instant::now();
    let mut program = tokio::process::Command::new(origin());
    program
        .env("PORT", port.to_string())
        .env("START_AFTER_MS", "500");
    let mut running = program.kill_on_drop(true).spawn().expect("started");
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    running.kill().await.expect("ended");
    took
}

#[tokio::test]
async fn a_page_that_wakes_comes_half_a_second_after_the_cold_start_at_the_latest() {
    let program = origin().display().to_string();
    let slow = format!("command = [\"env\", \"START_AFTER_MS=500\", \"{program}\"]\nprobe");
    let text = configuration("").replacen(&format!("command = [\"{program}\"]\nprobe"), &slow, 1);
    let edge = Setup::new(&text).start().await;
    let (mut cold, mut woken) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        cold.push(cold_start(port).await);
        asleep(&edge).await;
        let began = Instant::now();
        let ask = edge.ask(URL).field("user-agent", BROWSER);
        let answer = ask.field("accept", "text/html").send().await;
        woken.push(began.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    println!("cold starts {cold:?}, woken {woken:?}");
    let (slowest, latest) = (cold.iter().max(), woken.iter().max());
    let allowed = *slowest.expect("four") + Duration::from_millis(500);
    assert!(*latest.expect("four") <= allowed, "{cold:?} {woken:?}");
    edge.running.stop().await;
}

#[tokio::test]
async fn a_websocket_is_held_while_it_wakes_and_keeps_it_awake() {
    let edge = Setup::new(&configuration("")).start().await;
    asleep(&edge).await;
    let url = "wss://congress.example.org/ws/";
    let began = Instant::now();
    let ask = || edge.ask(url).field("user-agent", BROWSER).websocket();
    let (one, two) = tokio::join!(ask(), ask());
    println!("two websockets were let in after {:?}", began.elapsed());
    let mut socket = one.expect("let in");
    two.expect("let in").close().await;
    assert_eq!(
        service(&edge, "web").await["replicas"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    sleep(Duration::from_secs(4)).await;
    assert!(socket.echo("still").await.ends_with("still"));
    // Nobody needs to be woken for these.
    for more in attendees(&edge, 2).await {
        more.close().await;
    }
    socket.close().await;
    asleep(&edge).await;
    edge.running.stop().await;
}

#[tokio::test]
async fn a_stack_that_does_not_start_says_so_at_once_and_is_tried_again() {
    let text =
        configuration("").replacen(&origin().display().to_string(), "/nonexistent/program", 1);
    let edge = Setup::new(&text).start().await;
    asleep(&edge).await;
    let page = async || {
        let ask = edge.ask(URL).field("user-agent", BROWSER);
        ask.field("accept", "text/html").send().await
    };
    let began = Instant::now();
    let answer = page().await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("Could not be started"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("http-equiv=\"refresh\""));
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "before its patience ends"
    );
    let reasons = edge.instance("congress").await["reasons"].to_string();
    assert!(reasons.contains("/nonexistent/program"), "{reasons}");
    edge.running.stop().await;
}

#[tokio::test]
async fn outside_its_rental_nothing_runs_and_the_page_says_why() {
    let rental = "rental = { from = 2000-01-01, until = 2000-12-31 }\n";
    let edge = Setup::new(&configuration(rental)).start().await;
    let ask = edge.ask(URL).field("user-agent", BROWSER);
    let answer = ask.field("accept", "text/html").send().await;
    assert_eq!(answer.status, 503);
    assert_ne!(answer.field("retry-after"), "");
    let text = answer.text();
    assert!(
        text.contains("not rented") && text.contains("congress"),
        "{text}"
    );
    sleep(Duration::from_millis(1_500)).await;
    assert!(runs_nothing(&edge).await);
    let own = edge.instance("congress").await;
    assert_eq!(
        (&own["rented_out"], &own["reasons"]),
        (&json!(true), &json!([]))
    );
    assert_ne!(edge.stats().await["status"], "critical");
    let page = edge.admin("/").await.text();
    assert!(page.contains("rented-out"), "{page}");
    edge.running.stop().await;
}

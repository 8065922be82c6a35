//! Watching: `/events`, the history, failures and decisions, and watchers that are a burden.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::eventually::{check, eventually};
use crate::harness::program::origin as origin_program;
use crate::harness::{Edge, Front, Installed, Origin, Setup, instance};

const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who watches.
struct Watcher(BufReader<TcpStream>);

impl Watcher {
    async fn start(address: SocketAddr, target: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("an answer");
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        Self(stream)
    }

    /// The next record: its event and its data.
    async fn record(&mut self) -> (String, Value) {
        let next = async {
            let mut event = String::new();
            loop {
                let mut line = String::new();
                let read = self.0.read_line(&mut line).await.expect("a line");
                assert!(read > 0, "the events ended");
                if let Some(name) = line.strip_prefix("event: ") {
                    event = name.trim().to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    return (event, serde_json::from_str(data.trim()).expect(data));
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a record in time")
    }

    /// The next record that is as wanted.
    async fn until(&mut self, mut wanted: impl FnMut(&str, &Value) -> bool) -> Value {
        let mut seen = Vec::new();
        for _ in 0..40 {
            let (event, data) = self.record().await;
            if wanted(&event, &data) {
                return data;
            }
            seen.push((event, data));
        }
        panic!("not among {seen:?}");
    }
}

#[tokio::test]
async fn a_watcher_hears_everything_first_and_then_what_changes() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]) + &instance("quiet", &[origin.address]);
    let edge = Edge::start(&text).await;
    let mut watcher = Watcher::start(edge.running.admin, "/events").await;
    let (event, full) = watcher.record().await;
    assert_eq!(event, "full");
    assert_eq!(full["instances"].as_array().unwrap().len(), 2);
    let keys = |value: &Value| {
        value
            .as_object()
            .map(|table| table.keys().cloned().collect())
    };
    let keys: [Option<Vec<String>>; 2] = [keys(&full), keys(&edge.stats().await)];
    assert_eq!(keys[0], keys[1], "the first record is `/stats`");

    // Until everything is at rest.
    watcher
        .until(|_, data| data["instances"] == json!([]))
        .await;
    let socket = edge.ask("wss://congress.example.org/ws/").websocket().await;
    let change = watcher
        .until(|event, data| event == "change" && data["totals"]["websockets"] == 1)
        .await;
    let changed: Vec<_> = change["instances"].as_array().unwrap().iter().collect();
    assert_eq!(changed.len(), 1, "only what changed: {change}");
    assert_eq!(changed[0]["name"], "congress");
    assert_eq!(changed[0]["websockets"], 1);
    // What is closed is told as well, and an instance that goes.
    socket.unwrap().close().await;
    watcher
        .until(|_, data| data["totals"]["websockets"] == 0)
        .await;
    edge.reload(&instance("congress", &[origin.address])).await;
    watcher
        .until(|_, data| data["gone"] == json!(["quiet"]))
        .await;
}

#[tokio::test]
async fn history_begins_with_the_first_session() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let history = async || edge.admin("/stats/congress/history").await.json();
    assert_eq!(history().await["hour"]["sessions"], json!([]));
    let _socket = edge.ask("wss://congress.example.org/ws/").websocket().await;
    eventually("a session in the history", async || {
        let history = history().await;
        let newest = |span: &str, line: &str| history[span][line].as_array()?.last().cloned();
        let good = newest("hour", "sessions") == Some(json!(1))
            && newest("day", "ready") == Some(json!(1))
            && history["hour"]["step_seconds"] == 10
            && history["day"]["sessions"].as_array().map(Vec::len) == Some(1_440);
        check(good, history.clone())
    })
    .await;
    assert_eq!(edge.admin("/stats/nobody/history").await.status, 404);
}

#[tokio::test]
async fn a_failure_is_told_with_its_path_its_replica_and_its_cause() {
    let origin = Origin::start("one").await;
    let asleep =
        instance("asleep", &[origin.address]).replace("domains", "standby = true\ndomains");
    let text = instance("congress", &[origin.address]) + &asleep;
    // Nobody looks whether the replica of one that sleeps is ready, so nobody waits for that.
    let edge = Setup::new(&text).start().await;
    let broken = "https://congress.example.org/raw/nothing?token=secret";
    assert_eq!(edge.get(broken).await.status, 502);
    edge.get("https://asleep.example.org/votes?token=secret")
        .await;
    let errors = async |name: &str, count: usize| {
        let path = format!("/stats/{name}/errors");
        eventually("the failures", async || {
            let errors = edge.admin(&path).await.json();
            check(
                errors.as_array().map(Vec::len) == Some(count),
                errors.clone(),
            )
            .map(|()| errors)
        })
        .await
    };
    let failed = errors("congress", 1).await;
    assert_eq!(failed[0]["path"], "/raw/nothing");
    assert_eq!(failed[0]["status"], 502);
    assert_eq!(failed[0]["cause"], "upstream-failed");
    assert_eq!(failed[0]["replica"], origin.address.to_string(), "{failed}");
    let refused = errors("asleep", 1).await;
    let [path, cause, status] = ["path", "cause", "status"].map(|key| refused[0][key].clone());
    assert_eq!(
        [path, cause, status],
        [json!("/votes"), json!("standby"), json!(503)]
    );
    assert_eq!(refused[0]["replica"], Value::Null);
    assert!(!format!("{failed}{refused}").contains("secret"));
    // What a client asks wrongly is no failure.
    let upgrade = edge
        .ask("https://congress.example.org/")
        .method(http::Method::TRACE);
    assert_eq!(upgrade.send().await.status, 405);
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
    errors("congress", 1).await;
}

fn scaled() -> String {
    let program = origin_program().display().to_string();
    format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\ncommand = [\"{program}\"]\nmax = 3\n"
    )
}

#[tokio::test]
async fn a_decision_is_told_as_it_is_taken_and_remembered() {
    let installed = Installed::new(&scaled());
    let _usher = installed.start().await;
    installed
        .answers("https://congress.example.org/", 200)
        .await;
    let mut watcher = Watcher::start(installed.admin(), "/events").await;
    watcher.record().await;
    let order = json!({ "do": "scale", "instance": "congress", "service": "web", "replicas": 2 });
    installed.order(&order).await;
    let told = watcher.until(|event, _| event == "decision").await;
    assert_eq!(
        (&told["from"], &told["to"]),
        (&json!(1), &json!(2)),
        "{told}"
    );
    assert_eq!(told["reason"], "the operator set 2");

    let log = installed.command(&["events"]).await;
    assert_eq!(log.code, 0, "{}", log.err);
    let last = log.out.lines().last().unwrap_or_default();
    assert!(
        last.ends_with("congress/web  1 → 2  the operator set 2"),
        "{}",
        log.out
    );
    let log = installed.command(&["events", "--format", "json"]).await;
    let list: Value = serde_json::from_str(&log.out).unwrap();
    assert_eq!(list.as_array().unwrap().last(), Some(&told));
}

#[tokio::test]
async fn events_are_followed_from_a_terminal() {
    let installed = Installed::new(&scaled());
    let mut usher = installed.start().await;
    installed
        .answers("https://congress.example.org/", 200)
        .await;
    let arguments = ["events", "-f", "--socket"];
    let socket = installed.folder.path().join("control.sock");
    let socket = socket.display().to_string();
    let mut following = crate::harness::program::Program::start(
        installed.folder.path(),
        &[arguments[0], arguments[1], arguments[2], &socket],
    );
    let lines = async |count: usize| {
        eventually("so many decisions", async || {
            let out = following.out();
            check(out.lines().count() == count, out.clone()).map(|()| out)
        })
        .await
    };
    lines(1).await;
    for replicas in [2, 1] {
        let order = json!({ "do": "scale", "instance": "congress", "service": "web", "replicas": replicas });
        installed.order(&order).await;
        lines(usize::try_from(4 - replicas).unwrap()).await;
    }
    usher.signal(rustix::process::Signal::TERM);
    usher.ended().await;
    assert_eq!(following.ended().await.code(), Some(1));
    assert!(
        following.err().contains("error: usher "),
        "{}",
        following.err()
    );
}

#[tokio::test]
async fn a_hundred_watchers_are_no_burden_and_more_are_refused() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let address = edge.running.admin;
    let mut watchers = Vec::new();
    for _ in 0..128 {
        watchers.push(Watcher::start(address, "/events").await);
    }
    assert_eq!(edge.admin("/events").await.status, 503);
    for watcher in &mut watchers {
        assert_eq!(watcher.record().await.0, "full");
    }
    // All hear the same, and others are answered meanwhile.
    let mut firsts = Vec::new();
    for watcher in &mut watchers {
        firsts.push(watcher.until(|event, _| event == "change").await);
    }
    assert_eq!(edge.get("https://congress.example.org/").await.status, 200);
    assert_eq!(edge.admin("/metrics").await.status, 200);
    let at = |change: &Value| change["at"].to_string();
    for change in &firsts {
        let same = firsts.iter().find(|other| at(other) == at(change));
        assert_eq!(same, Some(change));
    }
    // Whoever leaves makes room.
    watchers.truncate(100);
    eventually("room for another", async || {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|e| e.to_string())?;
        let request = b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request).await.map_err(|e| e.to_string())?;
        let mut line = String::new();
        let mut stream = BufReader::new(stream);
        stream
            .read_line(&mut line)
            .await
            .map_err(|e| e.to_string())?;
        check(line.contains(" 200 "), line)
    })
    .await;
}

#[tokio::test]
async fn a_watcher_that_never_reads_is_dropped_and_nobody_else() {
    let origin = Origin::start("one").await;
    // A first record larger than what the kernel keeps for somebody who does not read.
    let many: String = (0..600)
        .map(|index| instance(&format!("i{index}"), &[origin.address]))
        .collect();
    let edge = Setup::new(&many).without_certificates().start().await;
    let address = edge.running.admin;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut mute = socket.connect(address).await.unwrap();
    mute.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut watcher = Watcher::start(address, "/events").await;
    let (_, full) = watcher.record().await;
    assert!(
        full.to_string().len() > 600_000,
        "{}",
        full.to_string().len()
    );
    // Longer than anybody is waited for.
    for _ in 0..13 {
        watcher.until(|event, _| event == "change").await;
    }
    // What the kernel still has comes, and then the end, before the record has.
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, mute.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "still open after {} bytes", rest.len());
    assert!(rest.len() < 600_000, "{} bytes were sent", rest.len());
}

#[tokio::test]
async fn bad_questions_are_refused() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    for (path, status) in [
        ("/instance/nobody", 404),
        ("/instance/", 404),
        ("/instance/../stats", 404),
        ("/stats/", 404),
        ("/stats/nobody/errors", 404),
        ("/stats/congress/elsewhere", 404),
        ("/stats/congress/errors/", 404),
        ("/events?view=nothing", 400),
        ("/events?view=page&instance=nobody", 404),
        ("/events?instance=congress", 400),
        ("/events?view=output", 400),
        ("/events?view=output&instance=nobody", 404),
        ("/events?view=page&instance=congress&replica=x", 400),
        (
            "/events?view=output&instance=congress&replica=%3Cscript%3E",
            400,
        ),
        ("/instance/congress?replica=", 400),
        ("/instance/congress?replica=a&replica=b", 400),
        ("/instance/nobody?replica=x", 404),
        ("/stats?pretty", 400),
        ("/?show=everything", 400),
        ("/metrics?x=1", 400),
    ] {
        let answer = edge.admin(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert_eq!(edge.admin("/?show=all").await.status, 200);
}

//! Alerts: whoever is named hears of a change of the status once, and of its end.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::engine::{FakeEngine, Shared};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Origin, Setup, instance};

/// Takes alerts, and answers as a test wants it.
struct Receiver {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
    status: Arc<Mutex<u16>>,
    /// How many were refused.
    refused: Arc<Mutex<usize>>,
    _serving: JoinSet<()>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, refused): (Arc<Mutex<Vec<_>>>, Arc<Mutex<usize>>) = Default::default();
        let status = Arc::new(Mutex::new(200));
        let answer = {
            let (heard, refused, status) = (
                Arc::clone(&heard),
                Arc::clone(&refused),
                Arc::clone(&status),
            );
            move |request: Request<Incoming>| {
                let (heard, refused, status) = (
                    Arc::clone(&heard),
                    Arc::clone(&refused),
                    Arc::clone(&status),
                );
                async move {
                    assert_eq!(request.headers()["content-type"], "application/json");
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let status = *status.lock().unwrap();
                    if status == 200 {
                        let value = serde_json::from_slice(&body).expect("JSON");
                        heard.lock().unwrap().push((path, value));
                    } else {
                        *refused.lock().unwrap() += 1;
                    }
                    let answer = Response::builder().status(status);
                    Ok::<_, Infallible>(answer.body(Full::<Bytes>::default()).unwrap())
                }
            }
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let answer = service_fn(answer.clone());
                open.spawn(async move {
                    let connection =
                        http1::Builder::new().serve_connection(TokioIo::new(tcp), answer);
                    let _ = connection.await;
                });
            }
        });
        Self {
            address,
            heard,
            status,
            refused,
            _serving: serving,
        }
    }

    fn heard(&self) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(_, value)| value.clone()).collect()
    }

    async fn hears(&self, count: usize) -> Vec<Value> {
        eventually("alerts", async || {
            let heard = self.heard();
            check(heard.len() >= count, heard.clone()).map(|()| heard)
        })
        .await
    }
}

fn labels(alert: &Value) -> Value {
    let mut labels = alert["labels"].clone();
    // The name of this machine.
    labels.as_object_mut().unwrap().remove("edge");
    labels
}

#[tokio::test]
async fn alertmanager_hears_of_a_cause_with_its_consequences_and_of_its_end() {
    let receiver = Receiver::start().await;
    let (web, redis) = (Origin::start("web").await, Origin::start("redis").await);
    let text = format!(
        "[[alert]]\nurl = \"http://{}/api/v2/alerts\"\n{}\
         [instance.service.redis]\nrole = \"fixed\"\nprobe = \"tcp\"\naddresses = [\"{}\"]\n\
         [instance.depends]\nweb = [\"redis\"]\n",
        receiver.address,
        instance("congress", &[web.address]),
        redis.address
    );
    let edge = Edge::start(&text).await;
    let addresses = (web.address, redis.address);
    drop(redis);
    drop(web);
    let posts = receiver.hears(1).await;
    // Both may not have been found down in the same second; the cause gathers what follows.
    let alert = &posts[0][0];
    assert_eq!(
        labels(alert),
        json!({"alertname": "UsherStatus", "instance": "congress", "part": "service:redis",
            "severity": "critical"}),
        "{posts:?}"
    );
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.contains("does not answer its probe"), "{summary}");
    assert!(
        alert["startsAt"].as_str() < alert["endsAt"].as_str(),
        "{alert}"
    );

    let _back = (
        Origin::start_at("web", addresses.0).await,
        Origin::start_at("redis", addresses.1).await,
    );
    let ended = eventually("the end", async || {
        let posts = receiver.heard();
        let last = posts.last().and_then(|post| post[0].as_object()).cloned();
        let now = jiff_now();
        let over = |alert: &serde_json::Map<String, Value>| alert["endsAt"].as_str() <= Some(&now);
        last.filter(over).ok_or(posts)
    })
    .await;
    assert_eq!(labels(&Value::Object(ended)), labels(alert));
    let posts = receiver.heard();
    let mut parts: Vec<_> = posts
        .iter()
        .flat_map(|post| post.as_array().unwrap())
        .collect();
    parts.retain(|alert| alert["labels"]["part"] != "service:redis");
    assert_eq!(parts, [&Value::Null; 0], "one alert for one cause");
    assert_eq!(edge.stats().await["status"], "healthy");
}

/// Now, as alerts write it.
fn jiff_now() -> String {
    usher::moment::text(std::time::SystemTime::now())
}

#[tokio::test]
async fn who_refuses_is_told_again_and_is_a_warning_until_he_hears() {
    let (deaf, other) = (Receiver::start().await, Receiver::start().await);
    *deaf.status.lock().unwrap() = 500;
    let origin = Origin::start("one").await;
    let alerts = format!(
        "[[alert]]\nurl = \"http://{}/secret-token\"\n\
         [[alert]]\nurl = \"http://{}/\"\nmin-status = \"critical\"\n",
        deaf.address, other.address
    );
    let text = alerts + &instance("congress", &[origin.address]);
    let edge = Edge::start(&text).await;
    drop(origin);
    let stats = eventually("the warning", async || {
        let stats = edge.stats().await;
        let reasons = stats["reasons"].as_array().unwrap();
        let part = format!("alert:http://{}", deaf.address);
        check(
            reasons.iter().any(|reason| reason["part"] == part),
            stats.clone(),
        )
        .map(|()| stats.to_string())
    })
    .await;
    assert!(stats.contains("it answered 500"), "{stats}");
    assert!(!stats.contains("secret-token"), "{stats}");
    assert!(*deaf.refused.lock().unwrap() >= 3);
    *deaf.status.lock().unwrap() = 200;
    let heard = deaf.hears(1).await;
    assert_eq!(heard[0]["change"], "started", "{heard:?}");
    eventually("no warning any more", async || {
        let stats = edge.stats().await;
        check(
            !stats["reasons"].to_string().contains("alert:"),
            stats.clone(),
        )
    })
    .await;
    assert_eq!(deaf.heard().len(), 1, "and once only");
    // The other one hears nothing of a warning.
    let heard = other.hears(1).await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0]["status"], "critical");
}

#[tokio::test]
async fn a_command_gets_each_change_on_its_standard_input() {
    let engine = FakeEngine::new();
    let mut setup = Setup::new("").engine(Arc::new(Shared(Arc::clone(&engine))), true);
    let (program, log) = (setup.path("page"), setup.path("log"));
    let script = format!(
        "#!/bin/sh\ncat >> {0}; echo \" $1 $(env | grep -vcE '^(PATH|PWD|SHLVL|_|OLDPWD)=')\" >> {0}\n",
        log.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    setup.text(&format!(
        "[[alert]]\ncommand = [\"{}\", \"ops\"]\n",
        program.display()
    ));
    let _edge = setup.start().await;
    let lines = async |count: usize| {
        eventually("lines", async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            // The program writes a line in two steps.
            let whole = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let lines: Vec<String> = whole.map(|line| line.trim_end().to_owned()).collect();
            check(lines.len() >= count, text).map(|()| lines)
        })
        .await
    };
    engine.go_away(true);
    lines(1).await;
    engine.go_away(false);
    let heard: Vec<Value> = lines(2)
        .await
        .iter()
        .map(|line| {
            let (json, rest) = line.rsplit_once("} ").expect(line);
            assert_eq!(
                rest, "ops 0",
                "its argument, and nothing of the environment"
            );
            serde_json::from_str(&format!("{json}}}")).expect(line)
        })
        .collect();
    let shown = |alert: &Value| {
        let part = alert["part"].as_str().unwrap().to_owned();
        (
            part,
            alert["change"].as_str().unwrap().to_owned(),
            alert["ended"].clone(),
        )
    };
    let heard: Vec<_> = heard.iter().map(shown).collect();
    let word = ToOwned::to_owned;
    let expected = [
        ("engine", "started", Value::Null),
        ("engine", "ended", json!("healthy")),
    ];
    assert_eq!(
        heard,
        expected.map(|(part, change, ended)| (word(part), word(change), ended))
    );
}

#[tokio::test]
async fn a_pause_ends_the_alerts_of_its_instance_and_begins_none() {
    let receiver = Receiver::start().await;
    let (origin, asleep) = (Origin::start("one").await, Origin::start("two").await);
    let standby =
        instance("asleep", &[asleep.address]).replace("domains", "standby = true\ndomains");
    let alert = format!("[[alert]]\nurl = \"http://{}/\"\n", receiver.address);
    let text = alert + &instance("congress", &[origin.address]) + &standby;
    let edge = Setup::new(&text).start().await;
    eventually("a good answer", async || {
        let answer = edge.get("https://congress.example.org/").await;
        check(answer.status == 200, answer.status)
    })
    .await;
    drop(asleep);
    drop(origin);
    let heard = receiver.hears(1).await;
    assert_eq!(heard[0]["instance"], "congress", "{heard:?}");
    let paused = edge
        .order(&json!({"do": "pause", "instance": "congress"}))
        .await;
    assert_eq!(paused["done"], true, "{paused}");
    let heard = receiver.hears(2).await;
    assert_eq!(heard[1]["ended"], "silenced", "{heard:?}");
    assert_eq!(heard.len(), 2);
}

//! A real Prometheus reads usher's metrics, its rules and the questions of its dashboard.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::admin_stats::{configuration, everything_moves};
use crate::harness::client::plain;
use crate::harness::eventually::{check, eventually};
use crate::harness::program::Program;
use crate::harness::{Edge, Origin, Setup, instance};
use crate::monitoring::{RULES, of_dashboard};

const PATIENCE: Duration = Duration::from_secs(30);

async fn edge_under_load(origin: &Origin) -> Edge {
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    for path in ["/", "/status?code=500", "/nothing"] {
        edge.get(&format!("https://congress.example.org{path}"))
            .await;
    }
    edge
}

/// What a program of Prometheus says; panics when it complains.
async fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("promtool");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).await.expect("written");
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("an end in time").expect("ended");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test]
#[ignore = "needs prometheus"]
async fn promtool_finds_nothing_wrong_with_metrics_and_rules() {
    let origin = Origin::start("one").await;
    let edge = edge_under_load(&origin).await;
    let page = edge.admin("/metrics").await.text();
    let said = promtool(&["check", "metrics"], &page).await;
    assert_eq!(said.trim(), "");
    let rules = edge.folder.path().join("rules.yml");
    fs::write(&rules, RULES).unwrap();
    let said = promtool(&["check", "rules", rules.to_str().unwrap()], "").await;
    assert!(said.contains("SUCCESS"), "{said}");
}

#[tokio::test]
#[ignore = "needs prometheus"]
async fn promtool_finds_nothing_wrong_while_stacks_come_and_go() {
    let edge = Setup::new(&configuration("")).start().await;
    let mut looked = 0;
    let look = async {
        loop {
            let page = edge.admin("/metrics").await.text();
            assert_eq!(promtool(&["check", "metrics"], &page).await.trim(), "");
            looked += 1;
        }
    };
    tokio::select! {
        () = everything_moves(&edge) => {}
        () = look => {}
    }
    println!("looked {looked} times");
    assert!(looked > 5, "{looked}");
}

#[tokio::test]
#[ignore = "needs prometheus"]
async fn prometheus_evaluates_the_rules_and_answers_the_dashboard() {
    let origin = Origin::start("one").await;
    let edge = edge_under_load(&origin).await;
    let folder = edge.folder.path();
    fs::write(folder.join("rules.yml"), RULES).unwrap();
    let configuration = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n\
         \x20 - job_name: usher\n\
         \x20   honor_labels: true\n\
         \x20   static_configs: [{{ targets: [\"{}\"], labels: {{ edge: edge-1 }} }}]\n",
        edge.running.admin
    );
    fs::write(folder.join("prometheus.yml"), configuration).unwrap();
    let mut command = Command::new("prometheus");
    command
        .current_dir(folder)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg("--web.listen-address=127.0.0.1:0");
    let mut prometheus = Program::spawn(command);
    let line = prometheus.says("msg=\"Listening on\"").await;
    let address = line.rsplit("address=").next().unwrap().trim();
    let address = address.parse().expect("an address");
    prometheus.says("ready to receive").await;
    let ask = async |path: &str| -> Value { plain(address, "localhost", path).await.json() };

    let rules = eventually("every rule evaluated", async || {
        let answer = ask("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().cloned();
        let rules: Vec<Value> = groups
            .into_iter()
            .flatten()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        let good = rules.iter().all(|rule| rule["health"] == "ok");
        check(good && !rules.is_empty(), rules.clone()).map(|()| rules)
    })
    .await;
    assert_eq!(rules.len(), RULES.matches("expr: ").count());

    let query = async |expression: &str| {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        ask(&path).await
    };
    eventually("sums", async || {
        let answer = query("instance:usher_requests:rate5m{instance=\"congress\"}").await;
        let result = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        // The tenant, and not the address that was asked.
        check(
            result.len() == 1 && result[0]["metric"]["edge"] == "edge-1",
            answer,
        )
    })
    .await;
    for expression in of_dashboard() {
        let answer = query(&expression).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
    }

    // And what is wrong is seen.
    drop(origin);
    eventually("an alert that is pending", async || {
        let answer = ask("/api/v1/alerts").await;
        let alerts = answer["data"]["alerts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = alerts.iter().any(|alert| {
            let labels = &alert["labels"];
            labels["alertname"] == "UsherInstanceCritical" && labels["instance"] == "congress"
        });
        check(found, answer)
    })
    .await;
}

/// As RFC 3986 has a text in a query.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

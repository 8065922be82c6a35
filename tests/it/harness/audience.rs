//! An audience at the instance `congress`, and what follows it.

use std::time::Duration;

use serde_json::Value;

use super::client::Socket;
use super::eventually::within;
use super::{Edge, Front};

pub const URL: &str = "wss://congress.example.org/ws/";

pub async fn service(edge: &Edge, name: &str) -> Value {
    let instance = edge.instance("congress").await;
    let services = instance["services"].as_array().cloned().unwrap_or_default();
    services
        .into_iter()
        .find(|service| service["name"] == name)
        .unwrap_or(Value::Null)
}

/// Waits until so many replicas are there and ready, and no other.
pub async fn replicas(edge: &Edge, name: &str, count: usize) -> Duration {
    let what = format!("{count} replicas of {name}");
    let (_, took) = within(Duration::from_secs(90), &what, async || {
        let service = service(edge, name).await;
        let there = service["replicas"].as_array().map_or(0, Vec::len);
        if service["ready"] == count && there == count {
            Ok(())
        } else {
            Err(service)
        }
    })
    .await;
    took
}

pub async fn attendees(edge: &Edge, count: usize) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        sockets.push(edge.ask(URL).websocket().await.expect("opened"));
    }
    sockets
}

pub async fn closed_by_usher(edge: &Edge) -> Vec<String> {
    let metrics = edge.admin("/metrics").await.text();
    let ours = |line: &&str| {
        line.starts_with("usher_sessions_closed_total")
            && !line.ends_with(" 0")
            && !["\"client\"", "\"upstream\""]
                .iter()
                .any(|reason| line.contains(reason))
    };
    metrics
        .lines()
        .filter(ours)
        .map(ToOwned::to_owned)
        .collect()
}

//! Whether the host is large enough for what is declared.

use super::*;
use crate::control::Shortage;

/// An edge with one web and two workers running, and memory for five replicas more.
fn with_bounds(web: &str, worker: &str) -> Option<Shortage> {
    let text = CONFIG
        .replace("max = 4", web)
        .replace("ratio = 2.0", &format!("ratio = 2.0\n{worker}"));
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.list();
    memory(&mut edge, 5);
    edge.controller.shortage()
}

#[tokio::test]
async fn a_host_too_small_for_all_floors_or_all_ceilings_is_told_with_the_numbers() {
    assert_eq!(
        with_bounds("min = 2\nmax = 4", "min = 2\nmax = 4"),
        None,
        "what runs has its room"
    );
    let max = with_bounds("max = 4", "max = 8");
    assert_eq!(max, Some(Shortage::Max { room: 8, max: 12 }));
    let min = with_bounds("min = 4\nmax = 4", "min = 6\nmax = 8");
    assert_eq!(min, Some(Shortage::Min { room: 8, min: 10 }));
    let text = min.expect("short").to_string();
    assert!(text.contains("memory for 8 replicas of 150 MiB"), "{text}");
    assert!(
        text.contains("comes to 10: no more than fit are started"),
        "{text}"
    );
    assert!(text.ends_with("300 MiB more"), "{text}");
}

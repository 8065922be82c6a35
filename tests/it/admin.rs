//! Looking in: health, statistics and metrics, as the contract has them.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::client::plain;
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Kept, Origin, Setup, instance};

#[tokio::test]
async fn statistics_have_every_field_of_the_contract() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]);
    let edge = Edge::start(&text).await;
    let _socket = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();
    eventually("one websocket", async || {
        let stats = edge.stats().await;
        if stats["totals"]["websockets"] == 1 {
            Ok(())
        } else {
            Err(stats["totals"].clone())
        }
    })
    .await;
    let stats = edge.stats().await;

    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .expect("a table")
            .keys()
            .cloned()
            .collect()
    };
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!(
        keys(&stats),
        sorted("version edge started generation status reasons totals engine nodes instances")
    );
    assert_eq!(
        keys(&stats["totals"]),
        sorted("connections websockets streams requests_in_flight held requests_total")
    );
    assert_eq!(keys(&stats["engine"]), sorted("kind connected last_sync"));
    assert_eq!(
        keys(&stats["nodes"][0]),
        sorted("name load_15m_per_core memory_available disk_available status")
    );
    let congress = &stats["instances"][0];
    assert_eq!(
        keys(congress),
        sorted(
            "name stack domains standby paused asleep rented_out status reasons parts connections websockets streams \
             requests_in_flight held requests_total limits services certificates next_event savings"
        )
    );
    assert_eq!(
        keys(&congress["limits"]),
        sorted("sessions connections requests_in_flight")
    );
    let web = &congress["services"][0];
    assert_eq!(
        keys(web),
        sorted(
            "name role wanted desired limited_by ready min max mode override_until last_decision \
             replicas"
        )
    );
    assert_eq!(
        keys(&web["replicas"][0]),
        sorted(
            "id name node image address state websockets streams requests_in_flight since \
             drain_deadline"
        )
    );
    assert_eq!(
        keys(&congress["certificates"][0]),
        sorted("names state source not_after next_renewal last_error")
    );
    assert_eq!(web["replicas"][0]["websockets"], 1);
    assert_eq!(congress["certificates"][0]["state"], "valid");
    assert_eq!(stats["status"], "healthy", "{}", stats["reasons"]);

    let one = edge.admin("/stats/congress").await;
    assert_eq!(one.json()["name"], "congress");
    assert_eq!(edge.admin("/stats/nobody").await.status, 404);
}

#[tokio::test]
async fn every_session_is_listed_with_what_it_carried_and_why_it_ended() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let ask = || edge.ask("wss://congress.example.org/ws/").websocket();
    let mut stays = ask().await.unwrap();
    let leaves = ask().await.unwrap();
    assert_eq!(stays.echo("0123456789").await, "one: 0123456789");
    leaves.close().await;

    let path = "/stats/congress/sessions";
    let list = eventually("one open and one ended", async || {
        let list = edge.admin(path).await.json();
        let counts = ["open", "ended"].map(|key| list[key].as_array().map_or(0, Vec::len));
        check(counts == [1, 1], list.clone()).map(|()| list)
    })
    .await;
    let open = &list["open"][0];
    assert_eq!(open["kind"], "websocket");
    assert_eq!(open["service"], "web");
    assert_eq!(open["client"], "127.0.0.1");
    // Ten bytes and the header of a masked frame; fifteen and that of a plain one.
    assert_eq!(
        (&open["bytes_in"], &open["bytes_out"]),
        (&json!(16), &json!(17))
    );
    assert_eq!(list["ended"][0]["reason"], "client");
    assert_eq!(edge.admin("/stats/nobody/sessions").await.status, 404);
}

#[tokio::test]
async fn metrics_carry_the_names_of_the_contract() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    edge.get("https://congress.example.org/").await;
    let text = edge.admin("/metrics").await.text();
    for name in [
        "connections",
        "websockets",
        "streams",
        "requests_in_flight",
        "held",
        "requests_total",
        "request_duration_seconds",
        "sessions_closed_total",
        "replicas",
        "replicas_desired",
        "scale_decisions_total",
        "status",
        "certificate_not_after_timestamp_seconds",
        "certificate_failed_attempts",
        "acme_orders_total",
        "tls_handshakes_total",
        "bytes_total",
        "engine_connected",
        "config_generation",
        "config_last_reload_success",
        "sessions_opened_total",
        "panics_total",
        "build_info",
    ] {
        assert!(
            text.contains(&format!("# TYPE usher_{name} ")),
            "usher_{name}"
        );
    }
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
    // What a scraper would choke on: a sample without a type, a type twice.
    let mut types: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        let name = sample.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        assert!(types.contains(&name) || types.contains(&base), "{line}");
    }
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), count);
}

#[tokio::test]
async fn health_says_what_an_orchestrator_needs() {
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(edge.admin(path).await.status, 200, "{path}");
    }
    assert_eq!(edge.admin("/nginx_status").await.status, 200);
    assert_eq!(edge.admin("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn a_page_of_another_site_learns_nothing() {
    let edge = Setup::new("").start().await;
    let address = edge.running.admin;
    for host in [
        "evil.example.net",
        "congress.example.org",
        "127.0.0.1.evil.net",
    ] {
        let answer = plain(address, host, "/stats").await;
        assert!(
            (400..500).contains(&answer.status),
            "{host}: {}",
            answer.status
        );
        assert!(!answer.text().contains("version"), "{host}");
    }
    let good = format!("127.0.0.1:{}", address.port());
    assert_eq!(plain(address, &good, "/stats").await.status, 200);
}

#[tokio::test]
async fn only_its_owner_may_use_the_control_socket() {
    let edge = Setup::new("").start().await;
    let socket = edge.folder.path().join("control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let state = std::fs::metadata(edge.folder.path().join("state")).unwrap();
    assert_eq!(state.permissions().mode() & 0o777, 0o700);
    edge.running.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn the_access_log_has_one_line_per_request_and_two_per_websocket() {
    let origin = Origin::start("one").await;
    let kept = Kept::default();
    let edge = Setup::new(&instance("congress", &[origin.address]))
        .access_log(kept.clone())
        .start()
        .await;
    edge.all_ready().await;
    edge.get("https://congress.example.org/page?token=secret")
        .await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = edge
        .ask("https://congress.example.org/two")
        .http2()
        .field("traceparent", &parent)
        .send()
        .await;
    let told = answer.json()["fields"]["traceparent"][0].clone();
    let socket = edge
        .ask("wss://congress.example.org/ws/?token=secret")
        .field("traceparent", &parent)
        .websocket()
        .await
        .unwrap();
    socket.close().await;

    let lines = eventually("four lines", async || {
        let text = kept.text();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        if lines.len() == 4 {
            Ok(lines)
        } else {
            Err(text)
        }
    })
    .await;
    let field = |index: usize, name: &str| lines[index][name].clone();
    assert_eq!(field(0, "kind"), "request");
    assert_eq!(field(0, "path"), "/page");
    assert_eq!(field(0, "status"), 200);
    assert_eq!(field(0, "instance"), "congress");
    assert_eq!(field(0, "protocol"), "http/1.1");
    assert_eq!(field(0, "client"), "127.0.0.1");
    assert_eq!(field(1, "protocol"), "h2");
    assert_eq!(
        (field(2, "kind"), field(2, "status")),
        ("open".into(), 101.into())
    );
    assert_eq!(
        (field(3, "kind"), field(3, "reason")),
        ("close".into(), "client".into())
    );
    let traces: Vec<_> = (1..4).map(|index| field(index, "trace")).collect();
    assert_eq!(traces, [trace, trace, trace], "the client's goes on");
    let told = told.as_str().unwrap();
    assert!(told.contains(trace) && told != parent, "{told}");
    let begun = field(0, "trace");
    assert!(begun != trace && begun.as_str().unwrap().len() == 32);
    let all = kept.text();
    assert!(!all.contains("secret"), "{all}");
}

#[tokio::test]
async fn the_access_log_has_queries_where_the_operator_wants_them() {
    let origin = Origin::start("one").await;
    let kept = Kept::default();
    let text = format!(
        "[log]\nqueries = true\n{}",
        instance("congress", &[origin.address])
    );
    let edge = Setup::new(&text).access_log(kept.clone()).start().await;
    edge.all_ready().await;
    edge.get("https://congress.example.org/page?at=5").await;
    let socket = edge
        .ask("wss://congress.example.org/ws/?change=7")
        .websocket()
        .await
        .unwrap();
    socket.close().await;
    eventually("both queries", async || {
        let text = kept.text();
        let both = text.contains("\"query\":\"at=5\"") && text.contains("\"query\":\"change=7\"");
        if both { Ok(()) } else { Err(text) }
    })
    .await;
}

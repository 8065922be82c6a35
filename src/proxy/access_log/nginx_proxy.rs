//! A line with the keys of nginx-proxy's `LOG_JSON`, for whoever reads its logs already.
//!
//! Its values are texts, all of them, and empty where there is nothing to say. A websocket is one line,
//! at its end, as there.

use std::io;

use serde::Serialize;

use super::{Line, without_query};
use crate::config::model::Addresses;

/// In the order of nginx-proxy's template, `LOG_JSON`.
#[derive(Serialize)]
struct Keys<'a> {
    time_local: &'a str,
    client_ip: &'a str,
    remote_addr: String,
    request: String,
    status: String,
    body_bytes_sent: String,
    request_time: String,
    upstream_response_time: String,
    upstream_addr: String,
    http_referrer: &'a str,
    http_user_agent: &'a str,
    request_id: &'a str,
}

/// `$request`.
pub(super) fn request(line: &Line<'_>) -> String {
    let version = match line.protocol {
        Some("h2") => "HTTP/2.0",
        Some("http/1.0") => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let target = match (line.path.unwrap_or("/"), line.query) {
        (path, Some(query)) => format!("{path}?{query}"),
        (path, None) => path.to_owned(),
    };
    format!("{} {target} {version}", line.method.unwrap_or("-"))
}

/// `$status`. A websocket is told at its end as it was answered, when it was opened.
pub(super) fn status(line: &Line<'_>) -> u16 {
    match line.kind {
        "close" => 101,
        _ => line.status.unwrap_or_default(),
    }
}

/// Whether a line is written at all.
pub(super) fn tells(line: &Line<'_>) -> bool {
    line.kind != "open"
}

pub(super) fn write(
    out: &mut Vec<u8>,
    line: &Line<'_>,
    addresses: Addresses,
    queries: bool,
) -> io::Result<()> {
    let seconds = |millis: Option<u64>| match millis {
        Some(millis) => format!("{}.{:03}", millis / 1_000, millis % 1_000),
        None => String::new(),
    };
    let shown = |ip| addresses.shown(ip).map(|ip| ip.to_string());
    let keys = Keys {
        time_local: line.time,
        // What the client says itself cannot be masked: nobody knows what it is.
        client_ip: match addresses {
            Addresses::Full => line.forwarded_for.unwrap_or_default(),
            Addresses::Masked | Addresses::Off => "",
        },
        remote_addr: line.peer.and_then(shown).unwrap_or_default(),
        request: request(line),
        status: status(line).to_string(),
        body_bytes_sent: line.bytes_out.unwrap_or_default().to_string(),
        request_time: seconds(line.duration_ms),
        upstream_response_time: seconds(line.upstream_ms),
        upstream_addr: line.upstream.map_or_else(String::new, |to| to.to_string()),
        http_referrer: without_query(line.referrer, queries).unwrap_or_default(),
        http_user_agent: line.agent.unwrap_or_default(),
        request_id: line.trace.unwrap_or_default(),
    };
    serde_json::to_writer(out, &keys).map_err(io::Error::from)
}

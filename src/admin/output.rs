//! What replicas print, over the control socket: one JSON object for each line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, declined, pieces};
use super::view::View;
use crate::engine::Span;
use crate::logs::{Logs, Printed, Wish};

const LONGEST_REQUEST: usize = 64 * 1024;

/// Whose output is asked for, and which of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutputRequest {
    pub instance: String,
    pub service: Option<String>,
    pub replica: Option<String>,
    pub follow: bool,
    /// Milliseconds since 1970.
    pub since: Option<u64>,
    pub word: Option<String>,
}

/// One line of the answer.
#[derive(Debug, Deserialize, Serialize)]
pub struct OutputLine {
    /// Milliseconds since 1970.
    pub at: u64,
    pub replica: String,
    pub stream: String,
    pub text: String,
}

impl OutputLine {
    fn new(printed: Printed) -> Self {
        let at = printed
            .line
            .at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            replica: printed.replica.to_string(),
            stream: printed.line.stream.word().to_owned(),
            text: printed.line.text,
        }
    }
}

/// Answers with the lines until there are no more, or whoever asked has gone.
pub(super) async fn output(request: Request<Incoming>, view: &View, logs: &Logs) -> Answer {
    let body = Limited::new(request.into_body(), LONGEST_REQUEST);
    let Ok(body) = body.collect().await else {
        return declined("the request is too long");
    };
    let asked: OutputRequest = match serde_json::from_slice(&body.to_bytes()) {
        Ok(asked) => asked,
        Err(error) => return declined(&format!("this asks for no output: {error}")),
    };
    let status = std::sync::Arc::clone(&view.status.borrow());
    let found = status
        .instances
        .iter()
        .find(|known| known.name == asked.instance);
    let Some(stack) = found.and_then(|instance| instance.stack.parse().ok()) else {
        let known: Vec<_> = status
            .instances
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        return declined(&format!(
            "there is no instance `{}`; there is {}",
            asked.instance,
            known.join(", ")
        ));
    };
    let since = asked
        .since
        .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(since)));
    let wish = Wish {
        stack,
        service: asked.service,
        replica: asked.replica,
        span: Span {
            since,
            follow: asked.follow,
            last: None,
        },
        word: asked.word,
    };
    let lines = match logs.read(wish).await {
        Ok(lines) => lines,
        Err(why) => return declined(&why),
    };
    let lines = lines.map(|printed| {
        let mut line = serde_json::to_vec(&OutputLine::new(printed)).unwrap_or_default();
        line.push(b'\n');
        Bytes::from(line)
    });
    pieces("application/x-ndjson", lines)
}

//! Talking to the usher that runs, over its control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{At, Exit, config_file};
use crate::admin::{Done, Order};
use crate::config;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// An authority takes its time, and a directory that is down is waited for before the next.
const RENEWED_WITHIN: Duration = Duration::from_secs(600);

/// The socket that is meant: named, or the configuration's, or the usual one.
fn socket(at: &At) -> PathBuf {
    at.socket.clone().unwrap_or_else(|| {
        let config = config_file(at.config.clone()).unwrap_or_default();
        config::control_socket(&config)
    })
}

type Sender = http1::SendRequest<Full<Bytes>>;
type Connection = http1::Connection<TokioIo<UnixStream>, Full<Bytes>>;

/// A connection to the usher behind this socket. Nothing moves unless both parts are polled.
async fn open(
    socket: &Path,
) -> Result<(Sender, Connection), Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    Ok(http1::handshake(TokioIo::new(stream)).await?)
}

/// Asks for a path, or posts a body, and gives the body of the answer.
///
/// # Errors
/// A sentence for the operator.
pub(super) async fn ask(at: &At, path: &str, body: Option<Vec<u8>>) -> Result<Bytes, String> {
    ask_within(ANSWER_WITHIN, at, path, body).await
}

async fn ask_within(
    patience: Duration,
    at: &At,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<Bytes, String> {
    let socket = socket(at);
    let unreachable = |error: &dyn std::error::Error| unreachable(&socket, error);
    let exchange = async {
        let (mut sender, connection) = open(&socket).await.map_err(|error| unreachable(&*error))?;
        let method = if body.is_some() { "POST" } else { "GET" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "usher")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| error.to_string())?;
        let answered = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| unreachable(&error))?;
            let body = answer.into_body().collect().await;
            Ok(body.map_err(|error| unreachable(&error))?.to_bytes())
        };
        tokio::select! {
            answer = answered => answer,
            ended = connection => Err(match ended {
                Ok(()) => "usher closed the connection".to_owned(),
                Err(error) => unreachable(&error),
            }),
        }
    };
    match timeout(patience, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
    }
}

/// A record of `/events`.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) event: String,
    pub(super) data: String,
}

/// Follows the events until usher ends them. The sentence says why they ended.
pub(super) async fn follow(at: &At, mut hear: impl AsyncFnMut(Record)) -> String {
    let socket = socket(at);
    let unreachable = |error: &dyn std::error::Error| {
        format!("no usher answers at {}: {error}", socket.display())
    };
    let opened = async {
        let (sender, connection) = open(&socket).await.map_err(|error| unreachable(&*error))?;
        let request = Request::get("/events").header("host", "usher");
        let request = request.body(Full::new(Bytes::new()));
        let request = request.map_err(|error| error.to_string())?;
        Ok::<_, String>((sender, connection, request))
    };
    let (mut sender, connection, request) = match opened.await {
        Ok(opened) => opened,
        Err(why) => return why,
    };
    let heard = async {
        let answer = match sender.send_request(request).await {
            Ok(answer) => answer,
            Err(error) => return unreachable(&error),
        };
        if answer.status() != http::StatusCode::OK {
            return format!("usher answered {}", answer.status());
        }
        let mut body = answer.into_body();
        let mut records = Records::default();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            for record in records.take(&data) {
                hear(record).await;
            }
        }
        "usher ended the events; it has stopped, or this did not read on".to_owned()
    };
    tokio::select! {
        why = heard => why,
        _ = connection => "usher closed the connection".to_owned(),
    }
}

/// Server-sent events from pieces of text (HTML §9.2.6), as far as usher writes them.
#[derive(Debug, Default)]
struct Records {
    line: Vec<u8>,
    record: Record,
}

impl Records {
    fn take(&mut self, data: &[u8]) -> Vec<Record> {
        let mut whole = Vec::new();
        for byte in data {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            if line.is_empty() {
                whole.push(std::mem::take(&mut self.record));
            } else if let Some(event) = line.strip_prefix("event: ") {
                self.record.event = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                self.record.data = data.to_owned();
            }
            self.line.clear();
        }
        whole
    }
}

/// Posts a body and hands every line of the answer on as it comes, until there are no more or
/// `take` has had enough.
///
/// # Errors
/// A sentence for the operator.
pub(super) async fn lines(
    at: &At,
    path: &str,
    body: Vec<u8>,
    mut take: impl FnMut(&[u8]) -> Result<bool, String>,
) -> Result<(), String> {
    let socket = socket(at);
    let unreachable = |error: &dyn std::error::Error| unreachable(&socket, error);
    let (mut sender, connection) = open(&socket).await.map_err(|error| unreachable(&*error))?;
    let request = Request::post(path)
        .header("host", "usher")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answered = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let good = answer.status().is_success();
        let mut body = answer.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable(&error))?;
            rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
            while let (true, Some(end)) = (good, rest.iter().position(|byte| *byte == b'\n')) {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !take(&line)? {
                    return Ok(());
                }
            }
        }
        if good {
            return Ok(());
        }
        let refused = serde_json::from_slice::<Done>(&rest);
        Err(refused.map_or_else(
            |_| "this usher has no such command: is it an older one?".to_owned(),
            |done| done.lines.join("\n"),
        ))
    };
    tokio::pin!(connection);
    tokio::select! {
        biased;
        answer = answered => answer,
        // The last lines may be there when the connection has ended.
        ended = &mut connection => Err(match ended {
            Ok(()) => "usher closed the connection".to_owned(),
            Err(error) => unreachable(&error),
        }),
    }
}

fn unreachable(socket: &Path, error: &dyn std::error::Error) -> String {
    format!(
        "no usher answers at {}: {error}; is it running, and is this its configuration?",
        socket.display()
    )
}

/// Whoever waits longer than this is told that something is being done.
const PATIENT_FOR: Duration = Duration::from_secs(1);
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Waits for the answer and meanwhile says on standard error what takes so long.
async fn with_progress<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    if let Ok(done) = timeout(PATIENT_FOR, &mut work).await {
        return done;
    }
    eprintln!("{what} …");
    let mut waited = PATIENT_FOR;
    loop {
        if let Ok(done) = timeout(TOLD_EVERY, &mut work).await {
            return done;
        }
        waited += TOLD_EVERY;
        eprintln!("{what} … {} s", waited.as_secs());
    }
}

/// Sends a command and prints what came of it.
pub(super) async fn command(at: &At, order: &Order) -> Exit {
    let body = match serde_json::to_vec(order) {
        Ok(body) => body,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Failed;
        }
    };
    let patience = match order {
        Order::Renew { .. } => RENEWED_WITHIN,
        _ => ANSWER_WITHIN,
    };
    let what = match order {
        Order::Renew { name } => format!("ordering a certificate for {name}"),
        Order::Reload { .. } => "reading the configuration".to_owned(),
        _ => "waiting for usher".to_owned(),
    };
    let asked = ask_within(patience, at, "/command", Some(body));
    let answer = with_progress(&what, asked).await;
    let done = answer.and_then(|body| {
        serde_json::from_slice::<Done>(&body).map_err(|error| format!("not understood: {error}"))
    });
    match done {
        Ok(Done { done, lines }) => {
            for line in lines {
                if done {
                    println!("{line}");
                } else {
                    eprintln!("{line}");
                }
            }
            if done { Exit::Fine } else { Exit::Failed }
        }
        Err(why) => {
            eprintln!("error: {why}");
            Exit::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_whatever_pieces() {
        let text = "event: full\ndata: {\"a\":1}\n\nid: 7\nevent: decision\ndata: {}\n\n";
        for size in 1..text.len() {
            let mut records = Records::default();
            let heard: Vec<(String, String)> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| records.take(piece))
                .map(|record| (record.event, record.data))
                .collect();
            let expected = [("full", "{\"a\":1}"), ("decision", "{}")];
            let expected = expected.map(|(event, data)| (event.to_owned(), data.to_owned()));
            assert_eq!(heard, expected, "in pieces of {size}");
        }
    }
}

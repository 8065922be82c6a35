//! Talking to the usher that runs, over its control socket.

use std::path::PathBuf;
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

/// The socket that is meant: named, or the configuration's, or the usual one.
fn socket(at: &At) -> PathBuf {
    at.socket.clone().unwrap_or_else(|| {
        let config = config_file(at.config.clone()).unwrap_or_default();
        config::control_socket(&config)
    })
}

/// Asks for a path, or posts a body, and gives the body of the answer.
///
/// # Errors
/// A sentence for the operator.
pub(super) async fn ask(at: &At, path: &str, body: Option<Vec<u8>>) -> Result<Bytes, String> {
    let socket = socket(at);
    let unreachable = |error: &dyn std::error::Error| {
        format!(
            "no usher answers at {}: {error}; is it running, and is this its configuration?",
            socket.display()
        )
    };
    let exchange = async {
        let stream = UnixStream::connect(&socket)
            .await
            .map_err(|error| unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error))?;
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
    match timeout(ANSWER_WITHIN, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
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
    let answer = ask(at, "/command", Some(body)).await;
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

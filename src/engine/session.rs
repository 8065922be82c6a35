//! A name at the engine that one client holds at a time, for as long as it is there.
//!
//! That is `POST /session`, which docker makes for every build: of two with one name the engine
//! refuses the second. It asks by gRPC whether the holder lives, and forgets one that does not
//! answer, or whose connection has ended. So nothing is written down, and nothing is left behind.

use bytes::Bytes;
use h2::server::handshake;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::dial::{DialError, Road};

/// No refusal is longer.
const LONGEST_REFUSAL: usize = 64 << 10;
/// Protobuf: the first field, a number, is 1, which is SERVING (grpc.health.v1). Before it the frame of
/// gRPC: not compressed, two bytes.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 1];

/// What came of asking for a name.
pub(super) enum Asked {
    /// Held, as long as [`attend`] runs on this.
    Granted(TokioIo<Upgraded>),
    /// Somebody else has it.
    Taken,
    /// This engine, or what is in front of it, has no such names.
    Unknown { why: String },
}

/// Asks for a name, over a connection of its own. `path`: of the engine's API, with its version.
pub(super) async fn ask(road: &Road, path: &str, name: &str) -> Result<Asked, DialError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .version(Version::HTTP_11)
        .header("host", "docker")
        .header("connection", "Upgrade")
        .header("upgrade", "h2c")
        .header("x-docker-expose-session-uuid", name)
        .body(Empty::<Bytes>::new())?;
    let stream = road.connect().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the exchange, and the connection with it; or is given over where the session begins.
    let exchange = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(answer).await?;
            return Ok::<_, DialError>(Asked::Granted(TokioIo::new(upgraded)));
        }
        let body = Limited::new(answer.into_body(), LONGEST_REFUSAL);
        let body = body.collect().await?.to_bytes();
        let said = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        Ok(refusal(status, said["message"].as_str()))
    };
    let (asked, _) = futures_util::future::join(exchange, connection.with_upgrades()).await;
    asked
}

fn refusal(status: StatusCode, message: Option<&str>) -> Asked {
    let message = message.unwrap_or("no reason given");
    if status == StatusCode::BAD_REQUEST && message.contains("already exists") {
        return Asked::Taken;
    }
    Asked::Unknown {
        why: format!("{message} ({status})"),
    }
}

/// Says that the holder lives as often as the engine asks. Returns when the name is not held any more.
pub(super) async fn attend(io: impl AsyncRead + AsyncWrite + Unpin) {
    if let Err(error) = answer(io).await {
        debug!(%error, "a session at the engine broke off");
    }
}

async fn answer(io: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), h2::Error> {
    let mut connection = handshake(io).await?;
    while let Some(call) = connection.accept().await {
        let (_, mut answer) = call?;
        let mut head = Response::new(());
        let grpc = HeaderValue::from_static("application/grpc");
        head.headers_mut().insert("content-type", grpc);
        let mut body = answer.send_response(head, false)?;
        body.send_data(Bytes::from_static(SERVING), false)?;
        let ok = HeaderValue::from_static("0");
        body.send_trailers(HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            ok,
        )]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_held_is_taken() {
        let held = "session usher/congress already exists";
        let taken = refusal(StatusCode::BAD_REQUEST, Some(held));
        assert!(matches!(taken, Asked::Taken));
        for (status, message) in [
            (StatusCode::NOT_FOUND, Some("page not found")),
            (StatusCode::FORBIDDEN, None),
            (StatusCode::BAD_REQUEST, Some("no upgrade proto in request")),
        ] {
            let unknown = refusal(status, message);
            assert!(matches!(unknown, Asked::Unknown { .. }), "{message:?}");
        }
    }

    /// More than fit the windows of HTTP/2, which a body that nobody reads would use up.
    #[tokio::test]
    async fn the_engine_may_ask_for_years() {
        let (ours, engine) = tokio::io::duplex(16 << 10);
        let attending = tokio::spawn(attend(ours));
        let (mut calls, connection) = h2::client::handshake(engine).await.expect("a connection");
        let connection = tokio::spawn(connection);
        for _ in 0..20_000 {
            calls = calls.ready().await.expect("open");
            let question = Request::post("http://localhost/grpc.health.v1.Health/Check");
            let question = question.body(()).expect("a request");
            let (answer, mut body) = calls.send_request(question, false).expect("sent");
            let empty = Bytes::from_static(&[0; 5]);
            body.send_data(empty, true).expect("sent");
            let mut said = answer.await.expect("an answer").into_body();
            let data = said.data().await.expect("a message").expect("data");
            assert_eq!(data, SERVING);
            let _ = said.flow_control().release_capacity(data.len());
            let trailers = said.trailers().await.expect("received").expect("trailers");
            assert_eq!(trailers["grpc-status"], "0");
        }
        drop(calls);
        connection.abort();
        attending.await.expect("no panic");
    }
}

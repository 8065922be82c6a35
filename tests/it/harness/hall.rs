//! A hall full of people: many websockets at once, each over TLS, each held.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::Front;
use super::client::{Duplex, Socket};

/// How many say something at a time when everybody is asked.
const ASKED_AT_ONCE: usize = 100;

/// Opens `count` websockets to `host`, `at_once` of them on their way at any time. Everybody has to
/// get in.
pub async fn seats(front: &impl Front, host: &str, count: usize, at_once: usize) -> Vec<Socket> {
    let connector = TlsConnector::from(Arc::new(front.trust(&["http/1.1"])));
    stream::iter(0..count)
        .map(|_| seat(front, connector.clone(), host))
        .buffer_unordered(at_once)
        .collect()
        .await
}

async fn seat(front: &impl Front, connector: TlsConnector, host: &str) -> Socket {
    let tcp = TcpStream::connect(front.https()).await.expect("connected");
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let tls = connector.connect(name, tcp).await.expect("a handshake");
    let stream: Box<dyn Duplex> = Box::new(tls);
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_frame_size(None)
        .max_message_size(None);
    let url = format!("wss://{host}/ws/");
    let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await;
    Socket(opened.expect("a seat").0)
}

/// Everybody says something and hears it from `origin`; the longest time that took.
pub async fn everybody_echoes(hall: &mut [Socket], origin: &str) -> Duration {
    let mut worst = Duration::ZERO;
    for some in hall.chunks_mut(ASKED_AT_ONCE) {
        let asked = some.iter_mut().map(|socket| echo(socket, origin));
        worst = join_all(asked).await.into_iter().fold(worst, Duration::max);
    }
    worst
}

/// One says something and hears it from `origin`; the time that took.
pub async fn echo(socket: &mut Socket, origin: &str) -> Duration {
    let began = Instant::now();
    assert_eq!(socket.echo("here").await, format!("{origin}: here"));
    began.elapsed()
}

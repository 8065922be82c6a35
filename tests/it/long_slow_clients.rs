//! Slow bodies and slow readers, in real time. The arithmetic of it is tested in `proxy::pace`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::client::tls;
use crate::harness::eventually::{check, eventually, within};
use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";
/// Of `proxy::pace`, and for each part of an answer over HTTP/2.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(15);
/// Of the tests themselves, with everybody.
const NO_LONGER: Duration = Duration::from_secs(150);

async fn start() -> (Origin, Installed, crate::harness::program::Program) {
    let origin = Origin::start("origin").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let usher = installed.start().await;
    installed.answers(&format!("https://{HOST}/"), 200).await;
    (origin, installed, usher)
}

/// Nothing of the client is left: no connection, no request.
async fn nobody_is_left(installed: &Installed) {
    eventually("nobody is left", async || {
        let stats = installed.stats().await;
        let left = (
            stats["totals"]["connections"].clone(),
            stats["instances"][0]["requests_in_flight"].clone(),
        );
        check(left.0 == 0 && left.1 == 0, left)
    })
    .await;
}

/// Waits until one request is in flight, and then for its end.
async fn comes_and_goes(installed: &Installed) {
    for count in [1, 0] {
        within(NO_LONGER, "requests in flight", async || {
            let stats = installed.stats().await;
            let open = stats["instances"][0]["requests_in_flight"].clone();
            check(open == count, open)
        })
        .await;
    }
}

fn in_time(what: &str, took: Duration, due: Duration) {
    println!("{what}: ended after {took:?} of {due:?}");
    let early = due - Duration::from_secs(5);
    assert!(took > early && took < due + SLACK, "{what}: {took:?}");
}

#[tokio::test]
#[ignore = "takes half a minute; make test-long runs it"]
async fn a_body_of_ten_bytes_a_second_ends_with_408_on_http1() {
    let (_origin, installed, _usher) = start().await;
    let stream = tls(&installed, HOST, &["http/1.1"]).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let head = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 100000\r\n\r\n");
    writer.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let slow = async {
        while writer.write_all(b"0123456789").await.is_ok() && writer.flush().await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    let mut answer = Vec::new();
    let read = async {
        let _ = timeout(NO_LONGER, reader.read_to_end(&mut answer))
            .await
            .expect("an end");
    };
    tokio::select! { () = read => {}, () = slow => {} }

    in_time("a slow body over HTTP/1", began.elapsed(), PATIENCE);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    nobody_is_left(&installed).await;
}

#[tokio::test]
#[ignore = "takes half a minute; make test-long runs it"]
async fn a_body_of_ten_bytes_a_second_ends_with_408_on_http2() {
    let (_origin, installed, _usher) = start().await;
    let stream = tls(&installed, HOST, &["h2"]).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let parts = futures_util::stream::unfold((), |()| async {
        sleep(Duration::from_secs(1)).await;
        let frame = Frame::data(Bytes::from_static(b"0123456789"));
        Some((Ok::<_, std::convert::Infallible>(frame), ()))
    });
    let body = StreamBody::new(parts.boxed());
    let request = Request::post(format!("https://{HOST}/")).body(body);
    let began = Instant::now();

    let answer = timeout(NO_LONGER, sender.send_request(request.unwrap())).await;

    in_time("a slow body over HTTP/2", began.elapsed(), PATIENCE);
    assert_eq!(answer.expect("an end").unwrap().status(), 408);
    drop(sender);
    connection.abort();
    nobody_is_left(&installed).await;
}

#[tokio::test]
#[ignore = "takes half a minute; make test-long runs it"]
async fn a_replica_that_reads_late_is_not_the_clients_fault() {
    const LENGTH: usize = 32 << 20;
    let (_origin, installed, _usher) = start().await;
    let late = 1000 * (PATIENCE + SLACK).as_secs();
    let ask = |http2: bool| {
        let url = format!("https://{HOST}/late?ms={late}");
        let ask = installed
            .ask(&url)
            .method(http::Method::POST)
            .body(vec![7; LENGTH]);
        let ask = if http2 { ask.http2() } else { ask };
        async {
            let began = Instant::now();
            let answer = timeout(NO_LONGER, ask.try_send()).await;
            println!("answered after {:?}", began.elapsed());
            answer
        }
    };

    let (one, two) = tokio::join!(ask(false), ask(true));

    for answer in [one, two] {
        let answer = answer.expect("in time").unwrap();
        assert_eq!(
            (answer.status, &answer.json()["body"]),
            (200, &LENGTH.into())
        );
    }
}

#[tokio::test]
#[ignore = "takes a minute; make test-long runs it"]
async fn a_reader_of_64_bytes_a_second_is_cut_on_http1() {
    let (_origin, installed, _usher) = start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let tcp = socket.connect(installed.https()).await.unwrap();
    let connector = installed.pki.connector(&["http/1.1"]);
    let name = ServerName::try_from(HOST).unwrap();
    let mut stream = connector.connect(name, tcp).await.unwrap();
    let head = format!("GET /big?bytes=50000000 HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut part = [0; 64];
    let slow = async {
        loop {
            let _ = stream.read(&mut part).await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    let gone = comes_and_goes(&installed);
    tokio::select! { () = slow => unreachable!(), _ = gone => {} }

    let took = began.elapsed();
    println!("a slow reader over HTTP/1: ended after {took:?}");
    // pingora allows a second for each KiB of what it writes at once, and that is 64 KiB.
    assert!(took < Duration::from_secs(64) + SLACK, "{took:?}");
}

/// Asks for much over HTTP/2 with this window, reads as `pause` says, and waits to be cut.
async fn reads_slowly(installed: &Installed, window: u32, pause: Option<Duration>) -> Duration {
    let stream = tls(installed, HOST, &["h2"]).await.unwrap();
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("https://{HOST}/big?bytes=50000000"));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let began = Instant::now();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let slow = async {
        let Some(pause) = pause else {
            return std::future::pending().await;
        };
        while let Some(Ok(_)) = body.frame().await {
            sleep(pause).await;
        }
    };
    let gone = comes_and_goes(installed);
    tokio::select! { _ = gone => {}, () = async { slow.await; std::future::pending().await } => {} }
    let took = began.elapsed();
    drop(sender);
    connection.abort();
    took
}

#[tokio::test]
#[ignore = "takes half a minute; make test-long runs it"]
async fn a_reader_of_64_bytes_a_second_is_cut_on_http2() {
    let (_origin, installed, _usher) = start().await;
    let took = reads_slowly(&installed, 64, Some(Duration::from_secs(1))).await;
    in_time("a slow reader over HTTP/2", took, PATIENCE);
    nobody_is_left(&installed).await;
}

#[tokio::test]
#[ignore = "takes half a minute; make test-long runs it"]
async fn a_reader_that_opens_no_window_is_cut() {
    let (_origin, installed, _usher) = start().await;
    let took = reads_slowly(&installed, 0, None).await;
    in_time("a window of nothing", took, PATIENCE);
    nobody_is_left(&installed).await;
}

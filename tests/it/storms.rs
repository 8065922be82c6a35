//! Websockets that shout: pings without end, frames of every size. Others hear nothing of it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::client::Socket;
use crate::harness::hall::{echo, seats};
use crate::harness::neighbour::Neighbour;
use crate::harness::numbers::numbers;
use crate::harness::program::Program;
use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";
const NEIGHBOUR: &str = "other.example.org";
const PATIENCE: Duration = Duration::from_secs(60);
/// What others may notice, on a machine that is busy with the storm itself.
const UNNOTICED: Duration = Duration::from_secs(1);

async fn start() -> (Origin, Installed, Program) {
    let origin = Origin::start("origin").await;
    let text = instance("congress", &[origin.address]) + &instance("other", &[origin.address]);
    let installed = Installed::new(&text);
    let usher = installed.start().await;
    installed
        .answers(&format!("https://{NEIGHBOUR}/"), 200)
        .await;
    (origin, installed, usher)
}

/// Does something loud beside a neighbour, who must not notice.
async fn beside<T>(installed: &Installed, what: &str, storm: impl Future<Output = T>) -> T {
    beside_within(installed, what, UNNOTICED, storm).await
}

/// As [`beside`], where that much is not noticed.
async fn beside_within<T>(
    installed: &Installed,
    what: &str,
    unnoticed: Duration,
    storm: impl Future<Output = T>,
) -> T {
    let mut other = seats(installed, NEIGHBOUR, 1, 1).await;
    let neighbour = Neighbour::start(installed, NEIGHBOUR);
    tokio::pin!(storm);
    let began = Instant::now();
    let mut echoes = Vec::new();
    let result = loop {
        tokio::select! {
            result = &mut storm => break result,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        // The storm goes on meanwhile: both are in this select.
        tokio::select! {
            result = &mut storm => break result,
            took = echo(&mut other[0], "origin") => echoes.push(took),
        }
    };
    let took = began.elapsed();
    let seen = neighbour.stop().await;
    echoes.sort();
    let worst = echoes.last().copied().unwrap_or_default();
    println!(
        "{what} took {took:?}; beside it {} echoes, longest {worst:?}; requests: {seen}",
        echoes.len()
    );
    assert_eq!(seen.wrong, Vec::<String>::new());
    assert!(worst < unnoticed, "echo {worst:?}");
    assert!(seen.per_mille(990) < unnoticed, "{seen}");
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_is_answered_and_disturbs_nobody() {
    let (_origin, installed, _usher) = start().await;
    let Socket(flooder) = seats(&installed, HOST, 1, 1).await.remove(0);
    let pings = numbers().pings;
    let (mut sink, mut stream) = flooder.split();
    let flood = tokio::spawn(async move {
        let send = async {
            for _ in 0..pings {
                sink.feed(Message::Ping("x".into())).await.unwrap();
            }
            sink.send(Message::text("enough")).await.unwrap();
        };
        let hear = async {
            let mut pongs = 0;
            loop {
                match stream.next().await {
                    Some(Ok(Message::Pong(_))) => pongs += 1,
                    Some(Ok(Message::Text(text))) => return (pongs, text.to_string()),
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::join!(send, hear).1
    });

    let what = format!("{pings} pings");
    let heard = beside(&installed, &what, timeout(PATIENCE * 3, flood)).await;

    let (pongs, text) = heard.expect("in time").unwrap();
    // A server may answer the last ping of several only (RFC 6455 §5.5.3).
    println!("{pongs} pongs");
    assert!(pongs > 0);
    assert_eq!(text, "origin: enough");
}

/// What the process holds in memory.
fn resident(usher: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", usher.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_64_mebibytes_passes_and_is_never_held() {
    const LENGTH: usize = 64 << 20;
    let (_origin, installed, usher) = start().await;
    let mut loud = seats(&installed, HOST, 1, 1).await.remove(0);
    echo(&mut loud, "origin").await;
    let before = resident(&usher);
    let frame = tokio::spawn(async move {
        loud.0.send(Message::binary(vec![7; LENGTH])).await.unwrap();
        match loud.0.next().await {
            Some(Ok(Message::Binary(bytes))) => bytes.len(),
            other => panic!("{other:?}"),
        }
    });
    let watch = async {
        let mut most = 0;
        tokio::pin!(frame);
        loop {
            most = most.max(resident(&usher));
            tokio::select! {
                length = &mut frame => return (length.unwrap(), most),
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
    };

    let (length, most) = beside(
        &installed,
        "64 MiB there and back",
        timeout(PATIENCE, watch),
    )
    .await
    .expect("in time");

    let grown = most.saturating_sub(before);
    println!(
        "{} KiB before, {} KiB more at most",
        before / 1024,
        grown / 1024
    );
    assert_eq!(length, LENGTH);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_one_byte_arrive_each_and_in_order() {
    const COUNT: usize = 20_000;
    let (_origin, installed, _usher) = start().await;
    let Socket(talker) = seats(&installed, HOST, 1, 1).await.remove(0);
    let (mut sink, mut stream) = talker.split();
    let letter = |number: usize| char::from(b'a' + u8::try_from(number % 26).unwrap());
    let talk = tokio::spawn(async move {
        let send = async {
            for number in 0..COUNT {
                // Each in a write of its own.
                sink.send(Message::text(letter(number).to_string()))
                    .await
                    .unwrap();
            }
        };
        let hear = async {
            for number in 0..COUNT {
                match stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        assert_eq!(text.as_str(), format!("origin: {}", letter(number)));
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::join!(send, hear);
    });

    let what = format!("{COUNT} frames of one byte");
    let heard = beside(&installed, &what, timeout(PATIENCE, talk)).await;

    heard.expect("in time").unwrap();
}

/// Everybody's first message at once, from one address; how many of them are in, and the longest time
/// that took one of them.
async fn all_at_once(config: ClientConfig, to: SocketAddr, count: usize) -> (usize, Duration) {
    let config = Arc::new(config);
    let mut doors = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 9, 1], 0).into()).unwrap();
        let tcp = socket.connect(to).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        // What a client has to reckon for its first message is done before.
        let session = ClientConnection::new(Arc::clone(&config), name).unwrap();
        doors.push((tcp, session));
    }
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for (mut tcp, mut session) in doors {
        clients.spawn(async move {
            let mut hello = Vec::new();
            session.write_tls(&mut hello).unwrap();
            tcp.write_all(&hello).await?;
            while session.is_handshaking() {
                let mut some = [0; 4096];
                let read = tcp.read(&mut some).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                session.read_tls(&mut &some[..read])?;
                session.process_new_packets().map_err(io::Error::other)?;
                let mut reply = Vec::new();
                while session.wants_write() {
                    session.write_tls(&mut reply)?;
                }
                tcp.write_all(&reply).await?;
            }
            Ok::<_, io::Error>(began.elapsed())
        });
    }
    let ended = clients.join_all().await;
    let took: Vec<Duration> = ended.into_iter().filter_map(Result::ok).collect();
    (took.len(), took.into_iter().max().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshakes_of_a_hall_behind_one_address_are_all_made_and_disturb_nobody() {
    let count = numbers().handshakes;
    let (_origin, installed, _usher) = start().await;

    // The other half of the work is done beside it, by the clients. Without turns an echo takes as
    // long as all of the handshakes.
    let unnoticed = 2 * UNNOTICED;
    let what = format!("{count} handshakes");
    let storm = async {
        // On a thread of its own: who looks must not wait for those who storm, but for usher.
        let (done, ended) = oneshot::channel();
        let (config, to) = (installed.trust(&["http/1.1"]), installed.https());
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let _ = done.send(runtime.unwrap().block_on(all_at_once(config, to, count)));
        });
        ended.await.unwrap()
    };
    let storm = beside_within(&installed, &what, unnoticed, storm);
    let (made, longest) = storm.await;

    println!("{made} of {count} handshakes, the last after {longest:?}");
    assert_eq!(made, count);
}

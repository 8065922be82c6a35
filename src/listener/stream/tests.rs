use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HANDSHAKE: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const SOON: Duration = Duration::from_millis(200);

/// A client, and its connection as pingora would read it.
async fn pair(header_timeout: Duration) -> (TcpStream, Downstream, HandBack) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let client = TcpStream::connect(address).await.expect("connected");
    let (tcp, peer) = listener.accept().await.expect("accepted");
    let connection = Arc::new(Connection::new(peer, address, None));
    let hand_back = HandBack::default();
    let back = Arc::clone(&hand_back);
    let stream = Downstream::new(Io::Plain(tcp), connection, header_timeout, back);
    (client, stream.expect("a stream"), hand_back)
}

async fn read(stream: &mut Downstream) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    let length = stream.read(&mut bytes).await.expect("read");
    bytes.truncate(length);
    bytes
}

/// Everything the client gets until the end.
async fn answer(mut client: TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.expect("an answer");
    text
}

#[tokio::test]
async fn a_head_is_given_out_whole() {
    let (mut client, mut stream, _) = pair(SOON * 50).await;
    let (first, rest) = GET.split_at(9);
    client.write_all(first).await.expect("sent");
    let reading = timeout(SOON, read(&mut stream)).await;
    assert!(reading.is_err(), "half a head is none");
    client.write_all(rest).await.expect("sent");
    assert_eq!(read(&mut stream).await, GET);
}

#[tokio::test]
async fn a_slow_head_ends_in_408_and_nothing_reaches_pingora() {
    let (mut client, mut stream, _) = pair(SOON).await;
    client.write_all(b"GET / HT").await.expect("sent");
    assert!(read(&mut stream).await.is_empty());
    drop(stream);
    assert!(answer(client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn the_deadline_holds_for_the_second_head_too() {
    let (mut client, mut stream, _) = pair(SOON).await;
    client.write_all(GET).await.expect("sent");
    assert_eq!(read(&mut stream).await, GET);
    client.write_all(b"GET / HT").await.expect("sent");
    assert!(read(&mut stream).await.is_empty());
    drop(stream);
    assert!(answer(client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let (client, mut stream, _) = pair(SOON).await;
    assert!(read(&mut stream).await.is_empty());
    drop(stream);
    assert_eq!(answer(client).await, "");
}

#[tokio::test]
async fn an_ambiguous_head_is_answered_and_the_connection_closed() {
    let (mut client, mut stream, _) = pair(SOON * 50).await;
    client
        .write_all(b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n")
        .await
        .expect("sent");
    assert!(read(&mut stream).await.is_empty());
    drop(stream);
    assert!(answer(client).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_first_handshake_never_enters_pingora() {
    let (mut client, mut stream, hand_back) = pair(SOON * 50).await;
    client
        .write_all(&[HANDSHAKE, b"frames"].concat())
        .await
        .expect("sent");
    assert!(stream.first_is_handshake().await.expect("classified"));
    drop(stream);
    let handshake = hand_back.lock().expect("lock").take().expect("handed back");
    assert_eq!(handshake.head, HANDSHAKE);
    assert_eq!(handshake.rest, &b"frames"[..]);
}

#[tokio::test]
async fn a_later_handshake_ends_the_stream_and_is_taken_back() {
    let (mut client, mut stream, hand_back) = pair(SOON * 50).await;
    client.write_all(GET).await.expect("sent");
    assert!(!stream.first_is_handshake().await.expect("classified"));
    assert_eq!(read(&mut stream).await, GET);
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .expect("answered");
    stream.flush().await.expect("flushed");
    client.write_all(HANDSHAKE).await.expect("sent");
    assert!(read(&mut stream).await.is_empty());
    Shutdown::shutdown(&mut stream).await;
    drop(stream);
    let mut handshake = hand_back.lock().expect("lock").take().expect("handed back");
    handshake
        .io
        .write_all(b"still open")
        .await
        .expect("written");
    drop(handshake);
    assert!(answer(client).await.ends_with("\r\n\r\nstill open"));
}

#[tokio::test]
async fn a_pipelined_request_waits_its_turn() {
    let (mut client, mut stream, _) = pair(SOON * 50).await;
    client.write_all(&[GET, GET].concat()).await.expect("sent");
    assert_eq!(read(&mut stream).await, GET);
    // The probe with which pingora looks for the client's end while it waits for an answer.
    let mut probe = [0; 1];
    let probing = timeout(SOON, stream.read(&mut probe)).await;
    assert!(probing.is_err(), "the next request is no end");
    assert_eq!(read(&mut stream).await, GET);
    drop(client);
    assert_eq!(
        stream.read(&mut probe).await.expect("probed"),
        0,
        "this is the end"
    );
}

#[tokio::test]
async fn answers_leave_in_one_piece_at_the_flush() {
    let (mut client, mut stream, _) = pair(SOON * 50).await;
    stream.write_all(b"head ").await.expect("written");
    stream.write_all(b"body").await.expect("written");
    let mut bytes = [0; 64];
    let early = timeout(SOON, client.read(&mut bytes)).await;
    assert!(early.is_err(), "nothing before the flush");
    stream.flush().await.expect("flushed");
    let length = client.read(&mut bytes).await.expect("read");
    assert_eq!(&bytes[..length], b"head body");
}

#[tokio::test]
async fn a_long_answer_is_written_completely() {
    let (client, mut stream, _) = pair(SOON * 50).await;
    let long: Vec<u8> = (0..1_000_000_u32)
        .map(|n| u8::try_from(n % 251).expect("small"))
        .collect();
    let expected = long.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut client = client.into_std().expect("std");
        client.set_nonblocking(false).expect("blocking");
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut client, &mut bytes).expect("read");
        bytes
    });
    for part in long.chunks(777) {
        stream.write_all(part).await.expect("written");
    }
    Shutdown::shutdown(&mut stream).await;
    drop(stream);
    assert!(reading.await.expect("joined") == expected);
}

use super::*;

/// Everything a connection's bytes become when they arrive in parts of this size.
fn walk(bytes: &[u8], part: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut guard = Guard::new();
    let mut inbox: Vec<u8> = Vec::new();
    let mut seen: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for bytes in bytes.chunks(part) {
        inbox.extend_from_slice(bytes);
        loop {
            let (what, length) = match guard.step(&inbox) {
                Step::More => break,
                Step::Skip(length) => ("skip", length),
                Step::Pass(length) => ("pass", length),
                Step::Handshake(length) => ("handshake", length),
                Step::Refuse(_) => {
                    seen.push(("refuse", Vec::new()));
                    return seen;
                }
            };
            let taken: Vec<u8> = inbox.drain(..length).collect();
            match seen.last_mut() {
                Some((last, all)) if *last == what => all.extend(taken),
                _ => seen.push((what, taken)),
            }
            if what == "handshake" {
                return seen;
            }
        }
    }
    seen
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HANDSHAKE: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
}

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[test]
fn messages_pass_whole_and_the_next_head_is_always_seen() {
    let stream = [
        GET.to_owned(),
        format!("{}{}", post(300), "x".repeat(300)),
        chunked("5\r\nhello\r\n0\r\n\r\n"),
        chunked("A;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"),
        GET.to_owned(),
        HANDSHAKE.to_owned(),
        "frames".to_owned(),
    ]
    .concat();
    let before = stream.len() - HANDSHAKE.len() - "frames".len();
    for part in [1, 2, 3, 17, 4_096] {
        let seen = walk(stream.as_bytes(), part);
        assert_eq!(seen.len(), 2, "in parts of {part}: {seen:?}");
        assert_eq!(seen[0], ("pass", stream.as_bytes()[..before].to_vec()));
        assert_eq!(seen[1], ("handshake", HANDSHAKE.as_bytes().to_vec()));
    }
}

#[test]
fn a_body_that_looks_like_a_handshake_is_a_body() {
    let stream = format!("{}{HANDSHAKE}{GET}", post(HANDSHAKE.len()));
    for part in [1, 4_096] {
        let seen = walk(stream.as_bytes(), part);
        assert_eq!(seen, [("pass", stream.as_bytes().to_vec())]);
    }
}

#[test]
fn chunks_that_two_readers_could_split_differently_end_the_connection() {
    for body in [
        "g\r\n",
        "\r\n",
        "5\nhello\r\n",
        "5 \r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n",
        "5;a\nb\r\nhello\r\n",
        "00000000000000001\r\n",
        "0\r\nTrailer: x\n\r\n",
        "0\r\nTrailer: x\r\n folded\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nTrailer : x\r\n\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\nTrailer: \x01\r\n\r\n",
    ] {
        for part in [1, 4_096] {
            let seen = walk(chunked(body).as_bytes(), part);
            assert_eq!(
                seen.last().map(|(what, _)| *what),
                Some("refuse"),
                "{body:?}"
            );
        }
    }
}

#[test]
fn a_second_request_that_is_wrong_does_not_pass() {
    let stream = format!("{GET}GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let seen = walk(stream.as_bytes(), 4_096);
    assert_eq!(
        seen,
        [("pass", GET.as_bytes().to_vec()), ("refuse", Vec::new())]
    );
}

#[test]
fn it_knows_when_nothing_is_under_way() {
    let mut guard = Guard::new();
    assert!(guard.is_between());
    assert_eq!(guard.step(b"GET"), Step::More);
    assert!(!guard.is_between() && guard.in_head());
    assert_eq!(guard.step(post(5).as_bytes()), Step::Pass(post(5).len()));
    assert!(!guard.in_head());
    assert_eq!(guard.step(b"hello, next"), Step::Pass(5));
    assert!(guard.is_between());
}

//! Ceilings and deadlines: what is over them costs itself.

use std::time::Duration;

use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::client::{raw, tls};
use crate::harness::{Edge, Front, Origin, eventually, instance};

const HOST: &str = "congress.example.org";

async fn edge_with(limits: &str) -> (Origin, Edge) {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]) + "[instance.limits]\n" + limits;
    let edge = Edge::start(&text).await;
    (origin, edge)
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_the_surplus_reaches_a_replica() {
    let (origin, edge) = edge_with("max-body = \"1MiB\"").await;

    let ask = edge
        .ask("https://congress.example.org/declared")
        .method(Method::POST);
    let answer = ask.body(vec![0; (1 << 20) + 1]).send().await;
    assert_eq!(answer.status, 413);
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());

    // Without a length, the limit is noticed on the way.
    let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
    let mut request = format!(
        "POST /chunked HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n"
    )
    .into_bytes();
    request.extend(vec![b'x'; 0x20_0000]);
    request.extend(b"\r\n0\r\n\r\n");
    let answer = raw(stream, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn heads_and_targets_over_their_size_are_refused() {
    let (origin, edge) = edge_with("").await;
    let long = "x".repeat(9 * 1024);
    let answer = edge.get(&format!("https://{HOST}/{long}")).await;
    assert_eq!(answer.status, 414);

    let filler = format!("x-filler: {}\r\n", "y".repeat(4000)).repeat(10);
    let many = "x-a: b\r\n".repeat(101);
    for fields in [filler, many] {
        let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n");
        let answer = raw(stream, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_head_has_one_deadline_however_it_dribbles() {
    let (_origin, edge) = edge_with("header-timeout = \"1s\"").await;
    let mut stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx-slow: ");
    stream.write_all(head.as_bytes()).await.unwrap();

    let began = Instant::now();
    loop {
        // Every byte would buy more time from a proxy that counts silence only.
        if stream.write_all(b"z").await.is_err() || stream.flush().await.is_err() {
            break;
        }
        let spent = began.elapsed();
        assert!(spent < Duration::from_secs(3), "still open after {spent:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "a dribbled head was cut after {:?} of a promised 1 s",
        began.elapsed()
    );
}

#[tokio::test]
async fn ambiguous_framing_is_refused_on_every_request() {
    let (origin, edge) = edge_with("").await;
    let long_ago = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n");
    for fields in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        "content-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "content-length: +3\r\n\r\nabc",
        "transfer-encoding: gzip\r\n\r\n",
        "x-folded: a\r\n b\r\n\r\n",
        "x bad: a\r\n\r\n",
        "x-bare: a\nx-b: c\r\n\r\n",
    ] {
        let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
        let answer = raw(stream, format!("{long_ago}{fields}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{fields:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "{fields:?}: {answer}"
        );
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[tokio::test]
async fn methods_of_proxies_are_not_ours() {
    let (origin, edge) = edge_with("").await;
    for (request, status) in [
        (
            format!("CONNECT {HOST}:443 HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
            "400",
        ),
        (
            format!("TRACE / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n"),
            "405",
        ),
    ] {
        let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
        let answer = raw(stream, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn requests_over_the_limit_are_sent_away_with_a_time_to_come_back() {
    let (_origin, edge) = edge_with("requests-in-flight = 2").await;
    let slow = "https://congress.example.org/silent";
    let waiting = async { tokio::join!(edge.get(slow), edge.get(slow)) };
    let third = async {
        eventually("two in flight", async || {
            let open = edge.instance("congress").await["requests_in_flight"].clone();
            if open == 2 { Ok(()) } else { Err(open) }
        })
        .await;
        edge.get("https://congress.example.org/").await
    };
    let third = tokio::select! {
        _ = waiting => panic!("nobody answers these"),
        third = third => third,
    };
    assert_eq!(third.status, 503);
    assert_ne!(third.field("retry-after"), "");
}

#[tokio::test]
async fn a_request_over_the_limit_waits_for_one_that_ends() {
    let (_origin, edge) = edge_with("requests-in-flight = 2").await;
    let slow = "https://congress.example.org/slow?ms=700";
    let answers = futures_util::future::join_all((0..6).map(|_| edge.get(slow))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200; 6]);
}

#[tokio::test]
async fn a_full_instance_keeps_the_sessions_it_has() {
    let (_origin, edge) = edge_with("sessions = 2").await;
    let url = "wss://congress.example.org/ws/";
    let mut one = edge.ask(url).websocket().await.unwrap();
    let mut two = edge.ask(url).websocket().await.unwrap();

    eventually("the third is refused", async || {
        match edge.ask(url).websocket().await {
            Err(error) if error.to_string().contains("503") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err("opened".to_owned()),
        }
    })
    .await;
    assert_eq!(one.echo("a").await, "one: a");
    assert_eq!(two.echo("b").await, "one: b");
}

#[tokio::test]
async fn connections_over_the_edges_limit_wait_their_turn() {
    let origin = Origin::start("one").await;
    let text = "[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
                max-connections = 2\n"
        .to_owned()
        + &instance("congress", &[origin.address]);
    let edge = Edge::start(&text).await;
    let one = TcpStream::connect(edge.http()).await.unwrap();
    let _two = TcpStream::connect(edge.http()).await.unwrap();
    eventually("both are counted", async || {
        let open = edge.stats().await["totals"]["connections"].clone();
        if open == 2 { Ok(()) } else { Err(open) }
    })
    .await;

    let third = edge.ask("http://congress.example.org/").send();
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(one);
    };
    let (answer, ()) = tokio::join!(third, later);
    assert_eq!(answer.status, 301);
}

#[tokio::test]
async fn a_chunked_body_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
    const MOST: usize = 64 * 1024;
    let (_origin, edge) = edge_with("max-body = \"64KiB\"").await;
    for (length, status) in [(MOST, "200"), (MOST + 1, "413")] {
        let stream = tls(&edge, HOST, &["http/1.1"]).await.unwrap();
        let mut request = format!(
            "POST /chunked HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        // The byte that is too much comes in a chunk of its own.
        for part in [vec![b'x'; MOST], vec![b'x'; length - MOST]] {
            if !part.is_empty() {
                request.extend(format!("{:x}\r\n", part.len()).into_bytes());
                request.extend(part);
                request.extend(b"\r\n");
            }
        }
        request.extend(b"0\r\n\r\n");
        let answer = raw(stream, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{length}: {answer}"
        );
    }
}

#[tokio::test]
async fn many_ranges_are_answered_as_one_file_and_a_million_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.txt"), vec![b'x'; 10_000]).unwrap();
    let text = format!(
        "[[instance]]\nname = \"congress\"\ndomains = [\"{HOST}\"]\n\
         [[instance.route]]\nprefix = \"/\"\nfiles = {{ dir = \"{}\" }}\n",
        folder.path().display()
    );
    let edge = Edge::start(&text).await;
    let ask = |parts: usize| {
        let ranges: Vec<String> = (0..parts).map(|part| format!("{part}-")).collect();
        edge.ask("https://congress.example.org/file.txt")
            .field("range", &format!("bytes={}", ranges.join(",")))
    };
    // As many as a head holds: the whole, and once (RFC 9110 §14.2 allows to ignore them).
    let answer = ask(4000).send().await;
    assert_eq!((answer.status, answer.body.len()), (200, 10_000));

    let began = Instant::now();
    match ask(1_000_000).try_send().await {
        Ok(answer) => assert_eq!(answer.status, 431),
        // Closed while the client was still sending its millions.
        Err(error) => println!("a million ranges: {error}"),
    }
    println!("a million ranges were refused after {:?}", began.elapsed());
    let answer = ask(1).send().await;
    assert_eq!((answer.status, answer.body.len()), (206, 10_000));
}

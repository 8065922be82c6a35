//! HTTP/2 from clients that mean no good: each costs itself, and its neighbours nothing.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use tokio::time::{Instant, timeout};

use crate::harness::client::{http2, tls};
use crate::harness::eventually::{check, eventually};
use crate::harness::h2flood::{
    AGAIN, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE,
    Raw, block, indexed,
};
use crate::harness::h2wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame,
};
use crate::harness::{Edge, Front, Installed, Origin, Setup, instance};

const HOST: &str = "congress.example.org";
const ENHANCE_YOUR_CALM: u32 = 0xb;
const REFUSED_STREAM: u32 = 0x7;
/// Within this a flood has been ended.
const PROMISED: Duration = Duration::from_secs(5);

async fn edge_with(limits: &str) -> (Origin, Edge) {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address]) + limits;
    let edge = Edge::start(&text).await;
    (origin, edge)
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = END_HEADERS | END_STREAM;
    frame(HEADERS, flags, stream, &block("GET", HOST, path))
}

fn begin_post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block("POST", HOST, path))
}

/// A good client on a connection of its own, for as long as the test runs.
struct Neighbour(SendRequest<Full<Bytes>>);

impl Neighbour {
    async fn of(edge: &dyn Front) -> Self {
        let stream = tls(edge, HOST, &["h2"]).await.unwrap();
        Self(http2(stream).await.unwrap())
    }

    /// One request, answered in time.
    async fn asks(&mut self) {
        let request = Request::get(format!("https://{HOST}/")).body(Full::default());
        let answered = async {
            let answer = self.0.send_request(request.unwrap()).await.unwrap();
            let status = answer.status();
            answer.into_body().collect().await.unwrap();
            status
        };
        let status = timeout(PROMISED, answered).await.expect("in time");
        assert_eq!(status, 200);
    }
}

/// Sends until it is cut off.
async fn flood(raw: &mut Raw, mut next: impl FnMut(u32) -> Vec<u8>, most: u32) {
    for round in 0..most / 50 {
        let many: Vec<u8> = (0..50).flat_map(|one| next(round * 50 + one)).collect();
        if !raw.send(&many).await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

type Next = fn(u32) -> Vec<u8>;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_frames_is_ended_within_five_seconds_beside_a_neighbour_that_is_served() {
    let (_origin, edge) = edge_with("").await;
    let mut neighbour = Neighbour::of(&edge).await;
    // What comes first, and what comes ten thousand times.
    let floods: [(&str, Vec<u8>, Next); 10] = [
        ("rapid reset", vec![], |n| {
            let stream = 2 * n + 1;
            [
                get(stream, "/"),
                frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        }),
        ("MadeYouReset", vec![], |n| {
            // A window over its bound is an error of its stream (RFC 9113 §6.9.1), so usher resets.
            let stream = 2 * n + 1;
            let most = 0x7fff_ffff_u32.to_be_bytes();
            let over = frame(WINDOW_UPDATE, 0, stream, &most);
            [get(stream, "/slow?ms=50"), over].concat()
        }),
        ("streams over the limit", vec![], |n| {
            get(2 * n + 1, "/silent")
        }),
        ("PING", vec![], |n| {
            frame(PING, 0, 0, &u64::from(n).to_be_bytes())
        }),
        ("SETTINGS", vec![], |_| frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", vec![], |n| {
            frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 7])
        }),
        ("WINDOW_UPDATE", vec![], |_| {
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
        }),
        ("empty DATA", begin_post(1, "/upload"), |_| {
            frame(DATA, 0, 1, &[])
        }),
        (
            "CONTINUATION",
            frame(HEADERS, 0, 1, &block("GET", HOST, "/")),
            |_| frame(CONTINUATION, 0, 1, &[]),
        ),
        ("an unknown kind", vec![], |_| frame(0xee, 0, 0, b"abc")),
    ];
    for (name, first, next) in floods {
        let mut raw = Raw::connect(&edge, HOST, &[(HEADER_TABLE_SIZE, 0)]).await;
        assert!(raw.send(&first).await, "{name}");
        let began = Instant::now();
        let attack = async {
            flood(&mut raw, next, 10_000).await;
            raw.ended(PROMISED).await
        };
        tokio::pin!(attack);
        let mut served = 0;
        let ended = loop {
            tokio::select! {
                ended = &mut attack => break ended,
                () = neighbour.asks() => served += 1,
            }
        };
        let ended = ended.unwrap_or_else(|| panic!("{name}: still open"));
        let took = began.elapsed();
        println!("{name}: {ended:?} after {took:?}, {served} requests of the neighbour meanwhile");
        assert!(took < PROMISED, "{name}: {took:?}");
        // Where its word was heard before the connection was gone.
        if let Some(code) = ended.goaway {
            assert_eq!(code, ENHANCE_YOUR_CALM, "{name}");
        }
        neighbour.asks().await;
    }
}

#[tokio::test]
async fn a_busy_client_is_no_flood() {
    let (_origin, edge) = edge_with("").await;
    let mut raw = Raw::connect(&edge, HOST, &[(HEADER_TABLE_SIZE, 0)]).await;
    // Five times the allowance, and each of them belongs to a request that is answered.
    for batch in 0..25 {
        let mut bytes = Vec::new();
        for n in batch * 20..batch * 20 + 20 {
            let stream = 2 * n + 1;
            bytes.extend(frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 7]));
            bytes.extend(get(stream, "/"));
            bytes.extend(frame(PING, 0, 0, &[1; 8]));
            for _ in 0..6 {
                bytes.extend(frame(WINDOW_UPDATE, 0, 0, &1000_u32.to_be_bytes()));
            }
            bytes.extend(frame(SETTINGS, 0, 0, &[]));
        }
        assert!(raw.send(&bytes).await, "cut off in batch {batch}");
        for n in batch * 20..batch * 20 + 20 {
            assert_eq!(raw.status(2 * n + 1).await, 200);
        }
    }
}

#[tokio::test]
async fn what_a_connection_may_ask_is_said_and_meant() {
    let (origin, edge) = edge_with("").await;
    let mut raw = Raw::connect(&edge, HOST, &[(HEADER_TABLE_SIZE, 0)]).await;
    assert_eq!(raw.setting(MAX_HEADER_LIST_SIZE).await, 16 * 1024);
    assert_eq!(raw.setting(MAX_CONCURRENT_STREAMS).await, 100);

    // Three kilobytes on the wire, eighteen when decoded.
    let mut fields = block("GET", HOST, "/too-long");
    fields.extend(indexed("x-filler", &"y".repeat(3000)));
    fields.extend([AGAIN; 5]);
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields);
    assert!(raw.send(&head).await);
    assert_eq!(raw.status(1).await, 431);
    // Twelve when decoded, and a hundred and one fields.
    let mut fields = block("GET", HOST, "/too-many");
    fields.extend(indexed("cookie", "a=b"));
    fields.extend([AGAIN; 100]);
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 3, &fields);
    assert!(raw.send(&head).await);
    assert_eq!(raw.status(3).await, 431);

    let all: Vec<u8> = (0..100).flat_map(|n| get(2 * n + 5, "/silent")).collect();
    assert!(raw.send(&all).await);
    eventually("a hundred are with the replica", async || {
        let count = origin
            .requests()
            .iter()
            .filter(|line| *line == "GET /silent")
            .count();
        check(count == 100, count)
    })
    .await;
    assert!(raw.send(&get(205, "/one-more")).await);
    assert_eq!(raw.reset(205).await, REFUSED_STREAM);
    let reached = origin.requests();
    for path in ["GET /too-long", "GET /too-many", "GET /one-more"] {
        assert!(!reached.iter().any(|line| line == path), "{path}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_stream_is_not() {
    let origin = Origin::start("one").await;
    let idle = Duration::from_secs(1);
    let edge = Setup::new(&instance("congress", &[origin.address]))
        .http2_idle(idle)
        .start()
        .await;
    edge.all_ready().await;
    let mut raw = Raw::connect(&edge, HOST, &[(HEADER_TABLE_SIZE, 0)]).await;
    assert!(raw.send(&get(1, "/slow?ms=2500")).await);
    let began = Instant::now();
    assert_eq!(raw.status(1).await, 200);
    assert!(began.elapsed() > idle * 2, "{:?}", began.elapsed());

    // Pings are no requests.
    let answered = Instant::now();
    while raw.send(&frame(PING, 0, 0, &[0; 8])).await {
        let open = answered.elapsed();
        assert!(open < idle * 4, "still open after {open:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(raw.ended(PROMISED).await.is_some());
    assert!(answered.elapsed() >= idle / 2, "{:?}", answered.elapsed());
}

#[tokio::test]
async fn a_body_that_stalls_ends_at_the_deadline_of_its_request() {
    let origin = Origin::start("one").await;
    let limits = "[instance.limits]\nrequest-timeout = \"1s\"\n";
    let edge = Setup::new(&(instance("congress", &[origin.address]) + limits))
        .http2_idle(Duration::from_secs(1))
        .start()
        .await;
    edge.all_ready().await;
    let mut raw = Raw::connect(&edge, HOST, &[(HEADER_TABLE_SIZE, 0)]).await;
    let bytes = [
        begin_post(1, "/upload"),
        frame(DATA, 0, 1, b"the first part"),
    ]
    .concat();
    let began = Instant::now();
    assert!(raw.send(&bytes).await);
    assert_eq!(raw.status(1).await, 504);
    assert!(began.elapsed() < PROMISED, "{:?}", began.elapsed());
    eventually("nothing is in flight", async || {
        let open = edge.instance("congress").await["requests_in_flight"].clone();
        check(open == 0, open)
    })
    .await;
    // The connection is good for others.
    assert!(raw.send(&get(3, "/")).await);
    assert_eq!(raw.status(3).await, 200);
    // What usher answers by itself has no deadline, and waits for no body.
    let elsewhere = block("POST", "other.example.org", "/");
    assert!(raw.send(&frame(HEADERS, END_HEADERS, 5, &elsewhere)).await);
    assert_eq!(raw.status(5).await, 421);
    let ended = raw.ended(PROMISED).await;
    assert!(ended.is_some(), "a stream is still taken for an open one");
}

/// Resident KiB of a process.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.expect("the line").trim().trim_end_matches(" kB");
    text.parse().unwrap()
}

/// usher as a program, by how many KiB one connection with these settings makes it grow that asks
/// for a hundred of these heads, and how many requests a neighbour got answered meanwhile.
async fn growth(heads: &[u8], window: u32) -> (u64, u32) {
    let origin = Origin::start("one").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    // In the kernel's own pages: a huge one counts two mebibytes where a kilobyte was used.
    let usher = installed.start_with(&[("MIMALLOC_ALLOW_THP", "0".as_ref())]);
    installed.answers(&format!("https://{HOST}/"), 200).await;
    let mut neighbour = Neighbour::of(&installed).await;
    for _ in 0..50 {
        neighbour.asks().await;
    }
    let before = resident(usher.id());
    let settings = [(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, window)];
    let mut raw = Raw::connect(&installed, HOST, &settings).await;
    for n in 0..100 {
        let flags = END_HEADERS | END_STREAM;
        if !raw.send(&frame(HEADERS, flags, 2 * n + 1, heads)).await {
            break;
        }
    }
    // Whatever usher does with them, it does in this time.
    let (began, mut most, mut served) = (Instant::now(), before, 0);
    while began.elapsed() < Duration::from_millis(1200) {
        most = most.max(resident(usher.id()));
        neighbour.asks().await;
        served += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (most - before, served)
}

/// A head with one small field, and the same again as often as this.
fn bomb(path: &str, name: &str, count: usize) -> Vec<u8> {
    let mut fields = block("GET", HOST, path);
    fields.extend(indexed(name, ""));
    fields.extend(vec![AGAIN; count]);
    fields
}

#[tokio::test]
async fn no_bomb_of_fields_takes_more_than_eight_mebibytes() {
    let bombs = [
        (
            "crumbs, and an answer that is not read",
            bomb("/", "cookie", 90),
        ),
        ("crumbs, and no answer", bomb("/silent", "cookie", 90)),
        ("too many fields", bomb("/", "a", 400)),
        ("too long a list", bomb("/", "a", 4000)),
    ];
    let all = bombs.map(|(name, head)| async move { (name, growth(&head, 0).await) });
    for (name, (grown, served)) in futures_util::future::join_all(all).await {
        println!("{name}: grown by {grown} KiB, {served} requests of the neighbour meanwhile");
        assert!(grown <= 8 * 1024, "{name}: grown by {grown} KiB");
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept_whole() {
    // Two hundred megabytes are asked for.
    let (grown, served) = growth(&block("GET", HOST, "/big?bytes=2000000"), 0).await;
    println!("grown by {grown} KiB, {served} requests of the neighbour meanwhile");
    assert!(grown <= 64 * 1024, "grown by {grown} KiB");
}

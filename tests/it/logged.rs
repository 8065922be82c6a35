//! What is written down about requests: one line each whatever they hold, and no secrets.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use crate::harness::eventually::{check, eventually};
use crate::harness::program::{Program, usher};
use crate::harness::{Front, Installed, Kept, Origin, Setup, client, instance};

const HOST: &str = "congress.example.org";

/// Bytes that mean something to a terminal, a log or a reader of JSON, in some order.
fn hostile(seed: u32) -> Vec<u8> {
    const PARTS: [&[u8]; 16] = [
        b"\x1b[2J\x1b]0;x\x07",
        b"\xff\xfe",
        b"\xc3\x28",
        "\u{202e}gnp.exe".as_bytes(),
        "\u{85}\u{2028}".as_bytes(),
        b"\"}{\"status\":200,\"",
        b"\\u000a\\",
        b"%0d%0a%1b%00",
        b"\x7f\x08\x08",
        b"' - - [x] \"GET / HTTP/1.1\" 200",
        b"<script>",
        b"\t",
        b"\r\nx-two: 1",
        b"\n",
        b"\x00",
        b"a",
    ];
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut bytes = Vec::new();
    for _ in 0..1 + seed % 5 {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(PARTS[state as usize % PARTS.len()]);
    }
    bytes
}

#[tokio::test]
async fn whatever_a_request_holds_its_record_is_one_line_of_json() {
    const REQUESTS: u32 = 2_000;
    let origin = Origin::start("origin").await;
    let log = Kept::default();
    let text = instance("congress", &[origin.address]);
    let text = text.replacen("domains", "https = \"off\"\ndomains", 1);
    let text = format!("[log]\nqueries = true\n{text}");
    let edge = Setup::new(&text).access_log(log.clone()).start().await;
    edge.all_ready().await;
    for seed in 0..REQUESTS {
        let bytes = hostile(seed);
        let mut request = b"GET /".to_vec();
        let mut put = |text: &str, value: &[u8]| {
            request.extend_from_slice(text.as_bytes());
            request.extend_from_slice(value);
        };
        // In every place that is written down, one after the other.
        let places: [&[u8]; 4] = std::array::from_fn(|place| match seed as usize % 4 == place {
            true => &bytes[..],
            false => b"x",
        });
        put("", places[0]);
        put("?", places[1]);
        put(" HTTP/1.1\r\nhost: ", HOST.as_bytes());
        put("", if seed % 4 == 2 { places[2] } else { b"" });
        put("\r\ntraceparent: ", places[3]);
        put("\r\nconnection: close\r\n\r\n", b"");
        let stream = TcpStream::connect(edge.http()).await.unwrap();
        client::raw(stream, &request).await;
    }
    client::plain(edge.http(), HOST, "/last").await;
    let text = eventually("the last record", async || {
        let text = log.text();
        check(text.contains("/last"), text.len()).map(|()| text)
    })
    .await;
    let mut records = 0;
    for line in text.split_terminator('\n') {
        let record: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(
            record["time"].is_string() && record["kind"].is_string(),
            "{line}"
        );
        assert!(!line.chars().any(char::is_control), "{line:?}");
        records += 1;
    }
    println!("{records} records of {} requests", REQUESTS + 1);
    assert!(records <= REQUESTS + 1, "{records}");
    // Whatever is no request at all is refused before anybody would write it down.
    assert!(records > REQUESTS / 8, "{records}");
}

#[tokio::test]
async fn the_combined_line_is_one_line_whatever_a_request_holds() {
    const REQUESTS: u32 = 400;
    let origin = Origin::start("origin").await;
    let log = Kept::default();
    let text = instance("congress", &[origin.address]);
    let text = text.replacen("domains", "https = \"off\"\ndomains", 1);
    let text = format!("[log]\naccess-format = \"combined\"\nqueries = true\n{text}");
    let edge = Setup::new(&text).access_log(log.clone()).start().await;
    edge.all_ready().await;
    for seed in 0..REQUESTS {
        let bytes = hostile(seed);
        let mut request = b"GET /".to_vec();
        let mut put = |text: &str, value: &[u8]| {
            request.extend_from_slice(text.as_bytes());
            request.extend_from_slice(value);
        };
        let places: [&[u8]; 4] = std::array::from_fn(|place| match seed as usize % 4 == place {
            true => &bytes[..],
            false => b"x",
        });
        put("", places[0]);
        put("?", places[1]);
        put(" HTTP/1.1\r\nhost: ", HOST.as_bytes());
        put("\r\nreferer: ", places[2]);
        put("\r\nuser-agent: ", places[3]);
        put("\r\nconnection: close\r\n\r\n", b"");
        let stream = TcpStream::connect(edge.http()).await.unwrap();
        client::raw(stream, &request).await;
    }
    let agent = "GET /last HTTP/1.1\r\nhost: congress.example.org\r\nuser-agent: a\"b\\c\r\n\
                 connection: close\r\n\r\n";
    let stream = TcpStream::connect(edge.http()).await.unwrap();
    client::raw(stream, agent.as_bytes()).await;
    let text = eventually("the last record", async || {
        let text = log.text();
        check(text.contains("/last"), text.len()).map(|()| text)
    })
    .await;
    for line in text.split_terminator('\n') {
        assert!(
            line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{line:?}"
        );
        // Host, address and moment; the request; status and size; from where; by what; to whom.
        let quoted: Vec<&str> = line.split('"').collect();
        assert_eq!(quoted.len(), 9, "{line}");
        assert!(quoted[0].ends_with("] ") && quoted[8].is_empty(), "{line}");
    }
    let last = text.lines().last().expect("a line");
    let origin = origin.address;
    assert!(
        last.starts_with("congress.example.org 127.0.0.1 - - ["),
        "{last}"
    );
    assert!(
        last.contains("\"GET /last HTTP/1.1\" ")
            && last.ends_with(&format!("\"-\" \"a\\x22b\\x5Cc\" \"{origin}\"")),
        "{last}"
    );
}

#[tokio::test]
async fn no_secret_of_a_request_or_a_configuration_is_written_anywhere() {
    const CANARIES: [&str; 5] = [
        "canary-cookie",
        "canary-bearer",
        "canary-query",
        "canary-body",
        "canary-token",
    ];
    let origin = Origin::start("origin").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let mut usher = installed.start_with(&[("USHER_LOG", OsStr::new("debug"))]);
    installed.answers(&format!("https://{HOST}/"), 200).await;
    for path in ["/", "/missing", "/big?bytes=10"] {
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = format!("https://{HOST}{path}{joint}key=canary-query");
        for http2 in [false, true] {
            let mut ask = installed
                .ask(&url)
                .method(Method::POST)
                .field("cookie", "sessionid=canary-cookie")
                .field("authorization", "Bearer canary-bearer")
                .body("canary-body");
            if http2 {
                ask = ask.http2();
            }
            ask.send().await;
        }
    }
    // Refused before anything is routed: what is told then is told of it.
    let stream = TcpStream::connect(installed.http()).await.unwrap();
    let refused = format!(
        "GET /?canary-query HTTP/1.1\r\nhost: {HOST}\r\ncookie: canary-cookie\r\n\
         authorization : canary-bearer\r\n\r\n"
    );
    client::raw(stream, refused.as_bytes()).await;
    let stream = TcpStream::connect(installed.admin()).await.unwrap();
    let asked = "GET /stats?canary-query HTTP/1.1\r\nhost: localhost\r\n\
                 authorization: Bearer canary-token\r\nconnection: close\r\n\r\n";
    client::raw(stream, asked.as_bytes()).await;
    let mut shown = vec![installed.stats().await.to_string()];
    for path in [
        "/metrics",
        "/",
        "/stats/congress/errors",
        "/stats/congress/sessions",
    ] {
        shown.push(
            client::plain(installed.admin(), "localhost", path)
                .await
                .text(),
        );
    }
    for arguments in [&["show", "--config", "usher.toml"][..], &["status"]] {
        let said = installed.command(arguments).await;
        shown.push(said.out + &said.err);
    }
    usher.signal(rustix::process::Signal::TERM);
    usher.ended().await;
    let (out, err) = (usher.out(), usher.err());
    assert!(
        out.contains("\"status\":200"),
        "requests were written down: {out}"
    );
    assert!(err.contains("DEBUG"), "the log was at debug");
    shown.extend([out, err]);
    for canary in CANARIES {
        for text in &shown {
            let at = text.find(canary);
            let around = at.map(|at| &text[at.saturating_sub(200)..(at + 60).min(text.len())]);
            assert_eq!(around, None, "{canary}");
        }
    }
}

/// So many strangers, some at once, who say what is neither TLS nor HTTP.
async fn strangers(address: std::net::SocketAddr, count: usize) {
    const AT_ONCE: usize = 40;
    let mut open = tokio::task::JoinSet::new();
    for nth in 0..count {
        if open.len() == AT_ONCE {
            open.join_next().await;
        }
        open.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            let garbage: [&[u8]; 4] = [
                b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x00\xff\x1b[2J\r\n\r\n",
                b"\x15\x03\x01\x00\x02\x02\x28",
            ];
            // Whether it is read or refused is usher's.
            let _ = stream.write_all(garbage[nth % garbage.len()]).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
    }
    open.join_all().await;
}

#[tokio::test]
async fn a_flood_of_bad_handshakes_is_counted_and_not_written_down() {
    const EACH: usize = 3_000;
    /// Lines a second, whatever comes.
    const MOST: f64 = 100.0;
    let origin = Origin::start("origin").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let usher = installed.start().await;
    installed.answers(&format!("https://{HOST}/"), 200).await;
    // A request that can be read at all has its line in the access log, as any other has.
    let lines = |usher: &Program| usher.err().lines().count();
    let records = |usher: &Program| usher.out().lines().count();
    eventually("the record of the answer", async || {
        check(usher.out().contains("\"status\":200"), usher.out())
    })
    .await;
    let before_all = records(&usher);
    let before = lines(&usher);
    let begun = Instant::now();
    strangers(installed.https(), EACH).await;
    assert_eq!(records(&usher), before_all, "no handshake is a request");
    strangers(installed.http(), EACH).await;
    installed.answers(&format!("https://{HOST}/"), 200).await;
    let took = begun.elapsed().as_secs_f64();
    let written = lines(&usher) - before;
    let rate = written as f64 / took;
    println!(
        "{} strangers in {took:.1} s, {written} lines: {rate:.1} a second",
        2 * EACH
    );
    assert!(rate <= MOST, "{rate}");
    // Counts are told once a second.
    eventually("all of them are counted", async || {
        let page = client::plain(installed.admin(), "localhost", "/metrics").await;
        let failed: f64 = page
            .text()
            .lines()
            .filter(|line| {
                line.starts_with("usher_tls_handshakes_total") && line.contains("failed")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        check(
            failed >= EACH as f64,
            format!("{failed} of {EACH} were counted"),
        )
    })
    .await;
}

/// Runs a program that may leave a core of any size, in this folder.
fn with_cores(folder: &Path, program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\""])
        .arg(program)
        .args(arguments)
        .current_dir(folder);
    command
}

#[tokio::test]
async fn a_process_that_dies_leaves_no_core_with_keys_in_it() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let folder = installed.folder.path();
    let arguments = ["run", "--config", "usher.toml"];
    let mut usher = Program::spawn(with_cores(folder, usher(), &arguments));
    installed.answers(&format!("https://{HOST}/"), 200).await;
    usher.signal(rustix::process::Signal::ABORT);
    let ended = usher.ended().await;
    assert_eq!(ended.signal(), Some(6), "{ended:?}");
    assert!(!ended.core_dumped(), "{ended:?}");
    let left: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("core"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // Anybody else would have left one, or this shows nothing.
    let mut other = Program::spawn(with_cores(folder, Path::new("/bin/sleep"), &["60"]));
    other.signal(rustix::process::Signal::ABORT);
    let other = other.ended().await;
    match other.core_dumped() {
        true => println!("a program beside it left a core"),
        false => println!("no program leaves a core on this machine: {other:?}"),
    }
}

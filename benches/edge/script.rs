//! CPU time per large static file over HTTP/2, for clients that take gzip and brotli.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use tokio::time::sleep;

use crate::harness::client::{http2, tls};
use crate::process;
use crate::proxies::{Kind, NAME, Packing, Proxy, SCRIPT, SCRIPT_LENGTH, Stage};
use crate::report::{Rounds, Target, row, table};

const ROUNDS: usize = 3;
/// Enough for usher to have packed the file, and for every cache to be warm.
const WARM_UP: u32 = 20;
const REQUESTS: u32 = 400;
const PACKED_WITHIN: Duration = Duration::from_secs(60);

pub async fn measure(stage: &Stage) -> Vec<Target> {
    if !stage.kinds.contains(&Kind::Nginx) {
        return Vec::new();
    }
    eprintln!("measuring a script of {SCRIPT_LENGTH} bytes");
    let peers = [
        ("nginx, as it is", Packing::None, 6.0),
        ("nginx, gzip on", Packing::OnTheWay, 30.0),
        ("nginx, packed before", Packing::Before, 1.2),
    ];
    let usher = stage.start(Kind::Usher).await;
    let mut proxies = vec![("usher", usher)];
    for (name, packing, _) in peers {
        proxies.push((name, stage.start_packing(Kind::Nginx, packing).await));
    }
    until_packed(&proxies[0].1).await;
    let mut found = vec![Rounds::default(); proxies.len()];
    let mut lengths = vec![0; proxies.len()];
    for _ in 0..ROUNDS {
        for (index, (_, proxy)) in proxies.iter().enumerate() {
            let (millis, length) = milliseconds_per_request(proxy).await;
            found[index].add(millis);
            lengths[index] = length;
        }
    }
    let mut rows = vec![row(&[&"", &"ms CPU each", &"bytes sent", &"x usher"])];
    let usher = found[0].median();
    for ((name, _), (found, length)) in proxies.iter().zip(found.iter().zip(&lengths)) {
        let ratio = format!("{:.1}", found.median() / usher);
        rows.push(row(&[name, &found.shown_finely(), length, &ratio]));
    }
    table(
        &format!(
            "A script of {SCRIPT_LENGTH} bytes over HTTP/2, median (least-most) of {ROUNDS} rounds of {REQUESTS}"
        ),
        &rows,
    );
    for (_, proxy) in proxies {
        proxy.stop().await;
    }
    peers
        .iter()
        .zip(found.iter().skip(1))
        .map(|((name, _, times), theirs)| Target {
            what: format!("CPU time per script, beside {name}"),
            unit: "x nginx",
            limit: 1.0 / times,
            measured: usher / theirs.median(),
        })
        .collect()
}

type Sender = SendRequest<Full<Bytes>>;

/// One connection, as a browser keeps it.
async fn connect(proxy: &Proxy) -> Sender {
    let tls = tls(proxy, NAME, &["h2"]).await.expect("a handshake");
    http2(tls).await.expect("HTTP/2")
}

async fn get(sender: &mut Sender) -> usize {
    let request = Request::get(format!("https://{NAME}{SCRIPT}"))
        .header("accept-encoding", "gzip, br")
        .body(Full::default())
        .expect("a request");
    sender.ready().await.expect("a connection");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.expect("a body");
    body.to_bytes().len()
}

/// Asks until a packed form comes.
async fn until_packed(proxy: &Proxy) {
    let packed = async {
        let mut sender = connect(proxy).await;
        while get(&mut sender).await == SCRIPT_LENGTH {
            sleep(Duration::from_millis(100)).await;
        }
        // The best form may come after the first.
        sleep(Duration::from_secs(5)).await;
    };
    if tokio::time::timeout(PACKED_WITHIN, packed).await.is_err() {
        eprintln!("usher has not packed the script within {PACKED_WITHIN:?}");
    }
}

async fn milliseconds_per_request(proxy: &Proxy) -> (f64, usize) {
    let mut sender = connect(proxy).await;
    for _ in 0..WARM_UP {
        get(&mut sender).await;
    }
    let before = process::cpu(&proxy.processes);
    let mut length = 0;
    for _ in 0..REQUESTS {
        length = get(&mut sender).await;
    }
    let used = process::cpu(&proxy.processes) - before;
    (used.as_secs_f64() * 1e3 / f64::from(REQUESTS), length)
}

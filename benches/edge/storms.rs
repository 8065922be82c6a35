//! Everybody at once: a hall that comes back, and what a hundred thousand connections leave behind.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::harness::Front;
use crate::harness::client::{Socket, tls};
use crate::process;
use crate::proxies::{Kind, NAME, Proxy, Stage};
use crate::report::{Rounds, Target, row, table};

const ROUNDS: usize = 3;
const HALL: u32 = 5_000;
const CONNECTIONS: u32 = 100_000;
/// Of these every so many speak TLS.
const TLS_EVERY: u32 = 10;
const AT_ONCE: usize = 64;
const SETTLES: Duration = Duration::from_secs(5);

pub async fn measure(stage: &Stage) -> Vec<Target> {
    let mut targets = hall(stage).await;
    targets.push(churn(stage).await);
    targets
}

/// A hall drops and comes back, all at the same moment; a full handshake each.
async fn hall(stage: &Stage) -> Vec<Target> {
    eprintln!("measuring a hall of {HALL} that comes back");
    let mut all: Vec<(Kind, Rounds, u32)> = Vec::new();
    for kind in &stage.kinds {
        all.push((*kind, Rounds::default(), 0));
    }
    for _ in 0..ROUNDS {
        for (kind, found, refused) in &mut all {
            let proxy = stage.start(*kind).await;
            let (first, _) = everybody(&proxy).await;
            drop(first);
            let began = Instant::now();
            let (back, lost) = everybody(&proxy).await;
            found.add(began.elapsed().as_secs_f64());
            *refused += lost;
            drop(back);
            proxy.stop().await;
        }
    }
    let mut rows = vec![row(&[&"", &"s until all are back", &"refused"])];
    for (kind, found, refused) in &all {
        rows.push(row(&[&kind.name(), &found.shown(), refused]));
    }
    table(
        &format!(
            "{HALL} websockets over TLS dropped and back, median (least-most) of {ROUNDS} rounds"
        ),
        &rows,
    );
    let (_, usher, refused) = &all[0];
    let mut targets = vec![Target {
        what: "refused of a hall that comes back".to_owned(),
        unit: "websockets",
        limit: 0.0,
        measured: f64::from(*refused),
    }];
    if let Some((_, nginx, _)) = all.iter().find(|(kind, ..)| *kind == Kind::Nginx) {
        targets.push(Target {
            what: "time until a hall is back".to_owned(),
            unit: "x nginx",
            limit: 1.0,
            measured: usher.median() / nginx.median(),
        });
    }
    targets
}

async fn everybody(proxy: &Proxy) -> (Vec<Socket>, u32) {
    let url = format!("wss://{NAME}/ws/");
    let one = async |_| proxy.ask(&url).websocket().await.ok();
    let all: Vec<Option<Socket>> = stream::iter(0..HALL)
        .map(one)
        .buffer_unordered(usize::try_from(HALL).expect("few"))
        .collect()
        .await;
    let lost = all.iter().filter(|socket| socket.is_none()).count();
    let open = all.into_iter().flatten().collect();
    (open, u32::try_from(lost).expect("few"))
}

/// How much larger usher is after many connections came and went.
async fn churn(stage: &Stage) -> Target {
    eprintln!("measuring what {CONNECTIONS} connections leave behind");
    let proxy = stage.start(Kind::Usher).await;
    come_and_go(&proxy, CONNECTIONS / 10).await;
    sleep(SETTLES).await;
    let before = process::resident(&proxy.processes);
    come_and_go(&proxy, CONNECTIONS).await;
    sleep(SETTLES).await;
    let after = process::resident(&proxy.processes);
    proxy.stop().await;
    let [before, after] = [before, after].map(|kib| u32::try_from(kib).map_or(0.0, f64::from));
    table(
        &format!("Resident memory of usher in KiB before and after {CONNECTIONS} connections"),
        &[row(&[&"before", &before]), row(&[&"after", &after])],
    );
    Target {
        what: "resident memory after many connections".to_owned(),
        unit: "x before",
        limit: 1.1,
        measured: after / before,
    }
}

async fn come_and_go(proxy: &Proxy, count: u32) {
    let one = async |index: u32| {
        if index.is_multiple_of(TLS_EVERY) {
            let _ = tls(proxy, NAME, &["http/1.1"]).await.expect("a handshake");
        } else {
            let _ = TcpStream::connect(proxy.http()).await.expect("connected");
        }
    };
    stream::iter(0..count)
        .map(one)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

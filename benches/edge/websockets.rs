//! Memory per idle websocket, and CPU time per websocket that is opened.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use crate::harness::Front;
use crate::harness::client::Socket;
use crate::process;
use crate::proxies::{Kind, NAME, Proxy, Stage};
use crate::report::{Rounds, Target, row, table};

const ROUNDS: usize = 3;
const WEBSOCKETS: u32 = 2_000;
/// Opened and closed first: what a proxy sets up once is no cost of a websocket.
const WARM_UP: u32 = 50;
const AT_ONCE: usize = 16;
const SETTLES: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Found {
    /// KiB of the whole proxy without and with the websockets.
    before: Rounds,
    after: Rounds,
    kib_each: Rounds,
    microseconds_each: Rounds,
}

pub async fn measure(stage: &Stage) -> Vec<Target> {
    let mut all: Vec<(Kind, Found)> = Vec::new();
    for kind in &stage.kinds {
        all.push((*kind, Found::default()));
    }
    eprintln!("measuring websockets");
    for _ in 0..ROUNDS {
        for (kind, found) in &mut all {
            // A fresh one each time: memory that an earlier round left behind would be used again.
            let proxy = stage.start(*kind).await;
            one_round(&proxy, found).await;
            proxy.stop().await;
        }
    }
    let mut rows = vec![row(&[
        &"",
        &"KiB each, idle",
        &"KiB before",
        &"KiB after",
        &"us CPU to open",
    ])];
    for (kind, found) in &all {
        rows.push(row(&[
            &kind.name(),
            &found.kib_each.shown(),
            &found.before.median(),
            &found.after.median(),
            &found.microseconds_each.shown(),
        ]));
    }
    table(
        &format!("{WEBSOCKETS} websockets over TLS, median (least-most) of {ROUNDS} rounds"),
        &rows,
    );
    let usher = all.iter().find(|(kind, _)| *kind == Kind::Usher);
    let (_, usher) = usher.expect("usher is always there");
    vec![Target {
        what: "resident memory per idle websocket".to_owned(),
        unit: "KiB",
        limit: 14.0,
        measured: usher.kib_each.median(),
    }]
}

async fn one_round(proxy: &Proxy, found: &mut Found) {
    drop(open(proxy, WARM_UP).await);
    sleep(SETTLES).await;
    let before = process::resident(&proxy.processes);
    let cpu = process::cpu(&proxy.processes);
    let open = open(proxy, WEBSOCKETS).await;
    let cpu = process::cpu(&proxy.processes) - cpu;
    sleep(SETTLES).await;
    let after = process::resident(&proxy.processes);
    drop(open);
    let [before, after] = [before, after].map(|kib| u32::try_from(kib).map_or(0.0, f64::from));
    found.before.add(before);
    found.after.add(after);
    found.kib_each.add((after - before) / f64::from(WEBSOCKETS));
    let each = cpu.as_secs_f64() * 1e6 / f64::from(WEBSOCKETS);
    found.microseconds_each.add(each);
}

/// Opens websockets and exchanges a message over each.
async fn open(proxy: &Proxy, count: u32) -> Vec<Socket> {
    let url = format!("wss://{NAME}/ws/");
    let one = async |_| {
        let mut socket = proxy.ask(&url).websocket().await.expect("a websocket");
        assert_eq!(socket.echo("hello").await, "origin: hello");
        socket
    };
    stream::iter(0..count)
        .map(one)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

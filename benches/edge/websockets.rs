//! Memory per idle websocket, and CPU time per websocket that is opened and per message.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::Front;
use crate::harness::client::Socket;
use crate::process;
use crate::proxies::{Kind, NAME, Proxy, Stage};
use crate::report::{Rounds, Target, row, table};

const ROUNDS: usize = 3;
const WEBSOCKETS: u32 = 5_000;
/// Over this many of them, one after the other on each.
const TALKING: usize = 100;
const MESSAGES: u32 = 20_000;
const MESSAGE_LENGTH: usize = 100;
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
    microseconds_per_message: Rounds,
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
        &"us CPU per message",
    ])];
    for (kind, found) in &all {
        rows.push(row(&[
            &kind.name(),
            &found.kib_each.shown(),
            &found.before.median(),
            &found.after.median(),
            &found.microseconds_each.shown(),
            &found.microseconds_per_message.shown(),
        ]));
    }
    table(
        &format!("{WEBSOCKETS} websockets over TLS, median (least-most) of {ROUNDS} rounds"),
        &rows,
    );
    let of = |wanted| all.iter().find(|(kind, _)| *kind == wanted);
    let (_, usher) = of(Kind::Usher).expect("usher is always there");
    let mut targets = vec![Target {
        what: "resident memory per idle websocket".to_owned(),
        unit: "KiB",
        limit: 12.0,
        measured: usher.kib_each.median(),
    }];
    if let Some((_, nginx)) = of(Kind::Nginx) {
        for (what, ours, theirs) in [
            (
                "CPU time per websocket opened",
                &usher.microseconds_each,
                &nginx.microseconds_each,
            ),
            (
                "CPU time per message and its echo",
                &usher.microseconds_per_message,
                &nginx.microseconds_per_message,
            ),
        ] {
            targets.push(Target {
                what: what.to_owned(),
                unit: "x nginx",
                limit: 1.0,
                measured: ours.median() / theirs.median(),
            });
        }
    }
    targets
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
    let per_message = talk(proxy, open).await;
    found.microseconds_per_message.add(per_message);
    let [before, after] = [before, after].map(|kib| u32::try_from(kib).map_or(0.0, f64::from));
    found.before.add(before);
    found.after.add(after);
    found.kib_each.add((after - before) / f64::from(WEBSOCKETS));
    let each = cpu.as_secs_f64() * 1e6 / f64::from(WEBSOCKETS);
    found.microseconds_each.add(each);
}

/// CPU time per message and its echo, in us. The websockets end with it.
async fn talk(proxy: &Proxy, open: Vec<Socket>) -> f64 {
    let text = "x".repeat(MESSAGE_LENGTH);
    let each = MESSAGES / u32::try_from(TALKING).expect("few");
    let before = process::cpu(&proxy.processes);
    let mut idle = open;
    let talking = idle.split_off(idle.len() - TALKING);
    let mut tasks = JoinSet::new();
    for mut socket in talking {
        let text = text.clone();
        tasks.spawn(async move {
            for _ in 0..each {
                let echo = socket.echo(&text).await;
                assert_eq!(echo.len(), "origin: ".len() + MESSAGE_LENGTH);
            }
            socket
        });
    }
    let talked = tasks.join_all().await;
    let used = process::cpu(&proxy.processes) - before;
    drop((talked, idle));
    used.as_secs_f64() * 1e6 / f64::from(MESSAGES)
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

//! The books balance: every session that began is told once how it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::audience::{attendees, replicas, service};
use crate::harness::client::Socket;
use crate::harness::eventually::{check, eventually};
use crate::harness::numbers::numbers;
use crate::harness::program::origin;
use crate::harness::{Edge, Setup};

/// Of each kind there are about half as many.
const SESSIONS: usize = 60;
/// Sessions that are opened before they go.
const WAVE: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

fn configuration() -> String {
    format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.limits]\nreplica-drain = \"1s\"\n\
         [instance.service.web]\nrole = \"sessions\"\ncommand = [\"{}\"]\nmin = 2\nmax = 3\n\
         probe = \"/\"\n",
        origin().display()
    )
}

/// The sums of the metrics of sessions: opened, open, and closed by their reasons.
async fn books(edge: &Edge) -> (u64, u64, BTreeMap<String, u64>) {
    let page = edge.admin("/metrics").await.text();
    let (mut opened, mut open) = (0, 0);
    let mut closed = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let count = || value.parse::<u64>().expect(line);
        match name.split('{').next().unwrap_or_default() {
            "usher_sessions_opened_total" => opened += count(),
            "usher_websockets" | "usher_streams" => open += count(),
            "usher_sessions_closed_total" => {
                let reason = name.split("reason=\"").nth(1).expect(line);
                let reason = reason.trim_end_matches("\"}").to_owned();
                *closed.entry(reason).or_default() += count();
            }
            _ => {}
        }
    }
    (opened, open, closed)
}

#[tokio::test]
async fn totals_agree_to_the_unit_after_sessions_were_closed_dropped_and_drained() {
    let edge = Setup::new(&configuration()).start().await;
    replicas(&edge, "web", 2).await;
    let sockets = attendees(&edge, SESSIONS).await;
    let web = eventually("everybody is counted where he is", async || {
        let web = service(&edge, "web").await;
        let replicas = web["replicas"].as_array().cloned().unwrap_or_default();
        let on: Vec<u64> = replicas
            .iter()
            .filter_map(|replica| replica["websockets"].as_u64())
            .collect();
        let all = on.iter().sum::<u64>() == SESSIONS as u64 && on.iter().all(|on| *on > 0);
        check(all, on).map(|()| web)
    })
    .await;
    let one = &web["replicas"][0];
    let on_it = one["websockets"].as_u64().expect("a number");
    let order = json!({
        "do": "drain", "instance": "congress", "service": "web", "replica": one["name"],
    });
    let said = edge.order(&order).await;
    assert_eq!(said["done"], true, "{said}");

    // Whoever is told to go goes; of the others one half says goodbye and the other does not.
    let (enough, _) = watch::channel(false);
    let mut told = JoinSet::new();
    for socket in sockets {
        let mut enough = enough.subscribe();
        let enough = async move {
            let _ = enough.wait_for(|enough| *enough).await;
        };
        told.spawn(socket.closed_unless(enough));
    }
    for _ in 0..on_it {
        let ended = timeout(PATIENCE, told.join_next()).await;
        let ended = ended.expect("an end in time").expect("somebody").unwrap();
        assert!(ended.is_none());
    }
    enough.send_replace(true);
    let staying: Vec<Socket> = told.join_all().await.into_iter().flatten().collect();
    let stayed = staying.len() as u64;
    assert_eq!(stayed, SESSIONS as u64 - on_it, "nobody else was sent away");
    for (number, socket) in staying.into_iter().enumerate() {
        if number % 2 == 0 {
            socket.close().await;
        }
    }
    let all = SESSIONS as u64;
    let closed = eventually("balanced books", async || {
        let (opened, open, closed) = books(&edge).await;
        let sum: u64 = closed.values().sum();
        check(
            open == 0 && opened == all && sum == all,
            (opened, open, closed.clone()),
        )
        .map(|()| closed)
    })
    .await;
    assert_eq!(closed["drain"], on_it, "{closed:?}");
    let left = |closed: &BTreeMap<String, u64>| -> u64 {
        let of = |reason| closed.get(reason).copied().unwrap_or_default();
        of("client") + of("error")
    };
    assert_eq!(left(&closed), stayed, "{closed:?}");

    // And many more, of whom two thirds say nothing when they go.
    let turnover = numbers().turnover;
    let mut gone = 0;
    while gone < turnover {
        let wave = attendees(&edge, WAVE.min(turnover - gone)).await;
        gone += wave.len();
        for (number, socket) in wave.into_iter().enumerate() {
            if number % 3 == 0 {
                socket.close().await;
            }
        }
    }
    let all = all + gone as u64;
    let closed = eventually("balanced books", async || {
        let (opened, open, closed) = books(&edge).await;
        check(
            open == 0 && opened == all && left(&closed) == all - on_it,
            (opened, open, closed.clone()),
        )
        .map(|()| closed)
    })
    .await;
    println!("{all} sessions: {closed:?}");
    assert_eq!(edge.stats().await["totals"]["websockets"], 0);
    edge.running.stop().await;
}

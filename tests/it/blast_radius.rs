//! What one stack can do to another by being broken or hostile: nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use usher::inventory::{Claims, Phase, Unit};

use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::hall::{everybody_echoes, seats};
use crate::harness::{Origin, Setup};

const HOST: &str = "congress.example.org";
const SEATS: usize = 1_000;

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// A container that says three hundred things, none of them good.
fn hostile(round: usize) -> Unit {
    const VALUES: [&str; 9] = [
        "",
        ",,,",
        "congress.example.org",
        "~(((.*",
        "\r\nX-Evil: 1",
        "{{ .Env }} $(id) `id`",
        "../../etc/passwd",
        "65536",
        "\u{0}\u{202e}\u{1b}[2J",
    ];
    const KEYS: [&str; 8] = [
        "VIRTUAL_HOST",
        "VIRTUAL_PORT",
        "VIRTUAL_PATH",
        "VIRTUAL_DEST",
        "HTTPS_METHOD",
        "HSTS",
        "CERT_NAME",
        "LETSENCRYPT_HOST",
    ];
    let value = |at: usize| VALUES[(at + round) % VALUES.len()].repeat(1 + at % 3);
    let labels = (KEYS.len()..300).map(|at| {
        let label = format!("com.github.nginx-proxy.nginx-proxy.{at}");
        (label, value(at))
    });
    let keys = KEYS.into_iter().enumerate();
    let variables = keys.map(|(at, key)| (key.to_owned(), value(at)));
    let mut unit = unit("hostile_web_1", 1, loopback(3));
    unit.claims = Arc::new(Claims {
        values: variables.chain(labels).collect(),
        left_out: Vec::new(),
    });
    unit
}

#[tokio::test]
async fn a_crash_loop_and_three_hundred_hostile_values_leave_a_full_hall_as_it_is() {
    let origin = Origin::start_at("hall", SocketAddr::new(loopback(1), 0)).await;
    let port = origin.address.port();
    let engine = FakeEngine::new();
    engine.set(
        "congress",
        "web",
        vec![unit("congress_web_1", 1, loopback(1))],
    );
    let text = format!(
        "[engine]\nkind = \"docker\"\nnames-from-containers = \"open\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"{HOST}\"]\n\
         [instance.limits]\nsessions-hard = 2000\n\
         [instance.scale]\nmode = \"off\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = {port}\n"
    );
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&text).engine(shared, false).start().await;
    eventually("the hall is open", async || {
        let web = edge.instance("congress").await["services"][0].clone();
        check(web["ready"] == 1, web)
    })
    .await;
    let mut hall = seats(&edge, HOST, SEATS, 32).await;
    eventually("everybody is counted", async || {
        let open = edge.instance("congress").await["websockets"].clone();
        check(open == SEATS, open)
    })
    .await;
    let entry = || {
        let table = edge.running.routes.load();
        Arc::clone(
            table
                .instance(&"congress".parse().unwrap())
                .expect("served"),
        )
    };
    let before = entry();
    let generation = edge.running.reports.borrow().applied.0;

    // It listens, so each life of it is ready and in the table.
    let crash = Origin::start_at("crash", SocketAddr::new(loopback(2), 0)).await;
    let applied = || edge.running.reports.borrow().applied.0;
    // A listing takes in what happened since the last one, a tenth of a second ago at least.
    let for_a_moment = async |than: u64| {
        let mut reports = edge.running.reports.clone();
        let newer = reports.wait_for(|report| report.applied.0 > than);
        let _ = timeout(Duration::from_millis(30), newer).await;
    };
    let began = Instant::now();
    for round in 0..100 {
        let started = u64::try_from(round).unwrap() + 1;
        let mut crashing = unit("crash_web_1", started, loopback(2));
        crashing.ports = vec![crash.address.port()];
        crashing.claims = Arc::new(Claims {
            values: [("VIRTUAL_HOST".to_owned(), "crash.example.org".to_owned())].into(),
            left_out: Vec::new(),
        });
        engine.set("hostile", "web", vec![hostile(round)]);
        for phase in [Phase::Running, Phase::Exited { code: 1 }] {
            let known = applied();
            crashing.phase = phase;
            engine.set("crash", "web", vec![crashing.clone()]);
            for_a_moment(known).await;
        }
        assert!(Arc::ptr_eq(&before, &entry()), "round {round}");
    }
    let tables = applied() - generation;
    println!("100 crashes in {:?}, {tables} tables", began.elapsed());
    assert!(tables >= 20, "the others were in the table: {tables}");

    let worst = everybody_echoes(&mut hall, "hall").await;
    println!("{SEATS} websockets answered, the slowest after {worst:?}");
    assert!(Arc::ptr_eq(&before, &entry()));
    let instance = edge.instance("congress").await;
    assert_eq!(instance["services"][0]["ready"], 1, "{instance}");
}

use std::os::unix::net::UnixDatagram as Socket;

use super::*;
use crate::shutdown;

/// A manager, and the way to it by an abstract name.
fn manager(name: &str, watchdog: Option<Duration>) -> (Socket, Supervisor) {
    let name = format!("usher-test-{name}-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = Socket::bind_addr(&address).expect("bound");
    socket.set_nonblocking(true).expect("set");
    let supervisor = Supervisor::to(&format!("@{name}").into(), watchdog).expect("a socket");
    (socket, supervisor)
}

/// What has been said since the last time.
fn heard(socket: &Socket) -> Vec<String> {
    let mut datagrams = Vec::new();
    let mut bytes = [0; 1024];
    while let Ok(length) = socket.recv(&mut bytes) {
        datagrams.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    datagrams
}

/// Lets everything happen that can happen now.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn line(count: &u32) -> String {
    format!("{count}\ninstances")
}

#[tokio::test(start_paused = true)]
async fn readiness_is_told_once_and_the_status_when_it_changes() {
    let (socket, supervisor) = manager("ready", None);
    let (beat, alive) = watch::channel(0);
    let (_stop, going) = shutdown::channel();
    let serving = Arc::new(AtomicBool::new(false));
    let condition = Arc::clone(&serving);
    let ready = move || match condition.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("the engine\nis away\n"),
    };
    let following = supervisor.clone().follow(ready, line, alive, going);
    tokio::pin!(following);
    let mut expect = async |expected: &[&str]| {
        tokio::select! {
            () = &mut following => panic!("ended"),
            () = settle() => {}
        }
        assert_eq!(heard(&socket), expected);
    };

    expect(&["STATUS=Not ready: the engine is away"]).await;
    beat.send_replace(1);
    expect(&[]).await;
    // Nothing is reloaded before it is ready.
    assert_eq!(supervisor.reloading(async { 7 }).await, 7);
    expect(&[]).await;
    serving.store(true, Ordering::Relaxed);
    beat.send_replace(2);
    expect(&["READY=1\nSTATUS=2 instances"]).await;
    beat.send_replace(2);
    expect(&[]).await;
    // Readiness is not taken back: an engine that goes later is no reason for a restart.
    serving.store(false, Ordering::Relaxed);
    beat.send_replace(3);
    expect(&["STATUS=3 instances"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_hangs_gives_no_sign_of_life() {
    let limit = Duration::from_secs(30);
    let (socket, supervisor) = manager("watchdog", Some(limit));
    let (beat, alive) = watch::channel(0);
    let (_stop, going) = shutdown::channel();
    let following = supervisor.follow(|| Err("not yet"), line, alive, going);
    tokio::pin!(following);
    let mut signs = async |seconds: u32, beats: bool| {
        for _ in 0..seconds {
            if beats {
                beat.send_modify(|count| *count += 1);
            }
            tokio::select! {
                () = &mut following => panic!("ended"),
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
        let all = heard(&socket);
        all.iter().filter(|said| *said == "WATCHDOG=1").count()
    };

    let seen = signs(60, true).await;
    assert!((4..=6).contains(&seen), "one per half: {seen}");
    assert_eq!(signs(60, false).await, 0);
    assert!(signs(20, true).await > 0, "and it may come back");
}

#[test]
fn there_is_room_for_two_rounds_of_the_loop() {
    let round = Duration::from_secs(1);
    for seconds in [4, 10, 30, 3600] {
        let limit = Duration::from_secs(seconds);
        assert!(pause(limit) + round <= limit / 2 + round / 2, "{limit:?}");
    }
    assert!(pause(Duration::from_millis(80)) >= Duration::from_millis(10));
}

#[test]
fn a_reload_carries_the_time_and_ends_in_ready() {
    let (socket, supervisor) = manager("reload", None);
    let channel = supervisor.0.as_ref().expect("a channel");
    channel.ready.store(true, Ordering::Relaxed);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime
        .expect("a runtime")
        .block_on(supervisor.reloading(async {
            let begun = heard(&socket).join("");
            let usec = begun
                .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
                .expect(&begun);
            assert!(usec.parse::<u64>().expect("a number") > 0);
        }));
    assert_eq!(heard(&socket), ["READY=1"]);
    supervisor.stopping();
    assert!(heard(&socket).join("").starts_with("STOPPING=1\n"));
}

#[test]
fn a_manager_that_is_gone_is_nobodys_fault() {
    let (socket, supervisor) = manager("gone", None);
    drop(socket);
    supervisor.stopping();
    Supervisor::default().stopping();
}

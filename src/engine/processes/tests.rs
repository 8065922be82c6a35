use std::fs;

use rustix::process::test_kill_process_group;
use tokio::time::{Instant, sleep};

use super::*;
use crate::drain::Gate;

fn slot() -> (StackName, ServiceName) {
    ("demo".parse().expect("name"), "web".parse().expect("name"))
}

fn start(script: &str) -> Action {
    let (stack, service) = slot();
    Action::Start {
        stack,
        service,
        command: ["sh", "-c", script].map(str::to_owned).into(),
    }
}

async fn units(engine: &Processes) -> Vec<Unit> {
    let (stack, service) = slot();
    let inventory = engine.list().await.expect("listed");
    let services = inventory
        .stacks
        .get(&stack)
        .map(|stack| stack.services.clone());
    services
        .and_then(|services| services.get(&service).cloned())
        .unwrap_or_default()
}

/// Waits until the units look like this, for three times what it may take.
async fn until(engine: &Processes, what: impl Fn(&[Unit]) -> bool) -> Vec<Unit> {
    for _ in 0..300 {
        let units = units(engine).await;
        if what(&units) {
            return units;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("last seen: {:?}", units(engine).await);
}

fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process_group(pid).is_ok())
}

fn recorded(folder: &Path) -> Vec<Recorded> {
    serde_json::from_slice(&fs::read(folder.join("processes.json")).expect("record")).expect("json")
}

#[tokio::test]
async fn a_replica_is_a_process_with_a_port_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Processes::open(folder.path()).expect("open");
    for _ in 0..2 {
        engine.act(&start("sleep 60")).await.expect("started");
    }
    let units = units(&engine).await;
    let names: Vec<_> = units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(names, ["demo_web_1", "demo_web_2"]);
    assert_ne!(units[0].reach, units[1].reach);
    assert_eq!(recorded(folder.path()).len(), 2);
    engine.close().await;
    assert!(recorded(folder.path()).is_empty());
}

#[tokio::test]
async fn stopping_gives_time_and_then_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Processes::open(folder.path()).expect("open");
    engine
        .act(&start("trap '' TERM; while :; do sleep 0.05; done"))
        .await
        .expect("started");
    let unit = until(&engine, |units| units.len() == 1).await.remove(0);
    let pid = recorded(folder.path())[0].pid;
    let stop = stop(&unit, StopWhen::Now);
    engine.act(&stop).await.expect("stopped");
    // What the shell had started was killed with it, and is collected by somebody else.
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_alive(pid) && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_alive(pid));
    assert!(units(&engine).await.is_empty());
}

/// As the control plane orders it when nobody is inside.
fn stop(unit: &Unit, when: StopWhen) -> Action {
    let (stack, service) = slot();
    let gate = Gate::new(unit.id.clone());
    gate.close();
    Action::Stop {
        stack,
        service,
        proof: gate.proof(Instant::now()).expect("nobody is inside"),
        others: Vec::new(),
        when,
        grace: Duration::from_millis(200),
    }
}

#[tokio::test]
async fn who_is_at_work_is_not_stopped_until_the_work_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Processes::open(folder.path()).expect("open");
    let done = folder.path().join("done");
    // The work is in a process of the replica's group, as behind a shell.
    let work = format!(
        "(while [ ! -e {0} ]; do :; done); exec sleep 60",
        done.display()
    );
    engine.act(&start(&work)).await.expect("started");
    let unit = until(&engine, |units| units.len() == 1).await.remove(0);
    let stop = stop(&unit, StopWhen::Idle);
    let refused = engine.act(&stop).await.expect_err("at work");
    assert!(matches!(refused, EngineError::Busy { .. }), "{refused}");
    assert_eq!(units(&engine).await.len(), 1);
    fs::write(done, "").expect("written");
    let deadline = Instant::now() + Duration::from_secs(20);
    while engine.act(&stop).await.is_err() {
        assert!(Instant::now() < deadline, "idle by now");
    }
    assert!(units(&engine).await.is_empty());
}

#[tokio::test]
async fn a_process_that_ends_shows_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Processes::open(folder.path()).expect("open");
    let mut hints = engine.subscribe().await.expect("hints");
    engine.act(&start("exit 7")).await.expect("started");
    until(&engine, |units| {
        units
            .iter()
            .any(|unit| unit.phase == Phase::Exited { code: 7 })
    })
    .await;
    assert_eq!(hints.next().await, Some(()));
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_started_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Processes::open(folder.path()).expect("open");
    let (stack, service) = slot();
    let action = Action::Start {
        stack,
        service,
        command: vec!["/does/not/exist".to_owned()],
    };
    let error = engine.act(&action).await.expect_err("missing");
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
}

#[tokio::test]
async fn the_next_start_ends_what_a_killed_usher_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Processes::open(folder.path()).expect("open");
    engine
        .act(&start("sleep 60 & wait"))
        .await
        .expect("started");
    let pid = recorded(folder.path())[0].pid;
    // As after a kill: nothing is told, nothing is dropped.
    std::mem::forget(engine);
    assert!(is_alive(pid));
    let again = Processes::open(folder.path()).expect("open");
    // The child of this test is a zombie until its waiting task has seen it.
    for _ in 0..300 {
        if !is_alive(pid) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!is_alive(pid));
    drop(again);
}

#[tokio::test]
async fn a_process_id_that_means_another_process_now_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .expect("spawned");
    let pid = i32::try_from(other.id()).expect("pid");
    let stranger = Recorded {
        pid,
        started: 1,
        boot: boot_id(),
        name: "demo_web_1".to_owned(),
    };
    write_record(&folder.path().join("processes.json"), &[stranger]).expect("written");
    let _engine = Processes::open(folder.path()).expect("open");
    assert!(other.try_wait().expect("waited").is_none(), "it still runs");
    other.kill().expect("killed");
    other.wait().expect("waited");
}

#[tokio::test]
async fn what_a_child_takes_is_counted_with_all_of_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Processes::open(folder.path()).expect("open");
    // The shell waits; its child works.
    let work = start("sh -c 'while :; do :; done' & wait");
    engine.act(&work).await.expect("started");
    let runners = engine.running().await.expect("known");
    let unit = units(&engine).await.remove(0);
    assert_eq!(runners.len(), 1);
    assert_eq!(runners[0].unit, unit.id.unit());
    for _ in 0..300 {
        let usage = engine.usage(&runners[0].handle).await.expect("counted");
        let usage = usage.expect("it runs");
        // A program that has only just been started has no memory of its own yet.
        if usage.memory > Some(100 << 10) && usage.processor > Some(Duration::from_millis(100)) {
            engine.close().await;
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("it was never seen to work");
}

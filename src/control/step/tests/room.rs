//! Whether the host is large enough for what is declared.

use super::*;
use crate::control::Shortage;
use crate::engine::meter::{Metered, Taken};

/// An edge with one web and two workers running, and memory for five replicas more.
fn with_bounds(web: &str, worker: &str) -> Option<Shortage> {
    let text = CONFIG
        .replace("max = 4", web)
        .replace("ratio = 2.0", &format!("ratio = 2.0\n{worker}"));
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.list();
    memory(&mut edge, 5);
    edge.controller.shortage()
}

#[tokio::test]
async fn a_host_too_small_for_all_floors_or_all_ceilings_is_told_with_the_numbers() {
    assert_eq!(
        with_bounds("min = 2\nmax = 4", "min = 2\nmax = 4"),
        None,
        "what runs has its room"
    );
    let max = with_bounds("max = 4", "max = 8");
    assert_eq!(
        max,
        Some(Shortage::Max {
            room: 8,
            max: 12,
            size: 150 << 20
        })
    );
    let min = with_bounds("min = 4\nmax = 4", "min = 6\nmax = 8");
    assert_eq!(
        min,
        Some(Shortage::Min {
            room: 8,
            min: 10,
            size: 150 << 20
        })
    );
    let text = min.expect("short").to_string();
    assert!(text.contains("memory for 8 replicas of 150 MiB"), "{text}");
    assert!(
        text.contains("comes to 10: no more than fit are started"),
        "{text}"
    );
    assert!(text.ends_with("300 MiB more"), "{text}");
}

/// A host with so much memory, all of it available, and so many processors.
fn host(gib: u64, cores: Option<u32>) -> Event {
    Event::Host(Host {
        memory: Some(crate::host::Memory {
            total: gib << 30,
            available: gib << 30,
        }),
        cores,
        ..Host::default()
    })
}

fn taken(unit: &str, mib: u64, processor: u64) -> Event {
    Event::Metered(Metered::Taken(Taken {
        unit: unit.to_owned(),
        memory: Some(mib << 20),
        processor: Some(processor),
        reserved: None,
    }))
}

/// As it is a second later.
fn web(edge: &mut Edge) -> crate::control::status::ServiceStatus {
    edge.second();
    let status = edge.controller.status(edge.now);
    status.instances[0].services[0].clone()
}

/// One web that is to become four, beside a worker for each.
fn growing() -> Edge {
    growing_beside(2)
}

/// The same beside so many workers.
fn growing_beside(workers: u32) -> Edge {
    let text = CONFIG.replace("ratio = 2.0", "ratio = 1.0");
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    let worker = |number| unit(&format!("worker_{number}"), Origin::Declared { number });
    edge.units
        .insert("worker", (1..=workers).map(worker).collect());
    edge.list();
    edge.probe("web_1", true);
    edge.controller.plan();
    edge.sessions.insert("web_1".into(), 390);
    edge
}

#[tokio::test]
async fn a_replica_is_taken_to_need_what_its_like_were_seen_to_take_and_a_fifth_more() {
    let mut edge = growing();
    edge.settle();
    assert_eq!(
        web(&mut edge).cost,
        Some((150 << 20, 100)),
        "nobody has looked"
    );
    edge.take(taken("web_1", 100, 40));
    assert_eq!(web(&mut edge).cost, Some((150 << 20, 100)), "the least");
    for _ in 0..2 {
        edge.take(taken("web_1", 1_000, 700));
    }
    assert_eq!(web(&mut edge).cost, Some((1_200 << 20, 700)));
    let said = CONFIG.replace("max = 4", "max = 4\nmemory = \"2GiB\"\ncpus = 1.5");
    edge.take(Event::Config(current(&said)));
    assert_eq!(web(&mut edge).cost, Some((2 << 30, 1_500)), "as configured");
}

#[tokio::test]
async fn what_is_set_aside_for_what_runs_keeps_others_from_starting_before_it_is_taken() {
    let mut edge = growing();
    // All that is available is 15 GiB; 12.75 may be set aside.
    edge.take(host(15, None));
    edge.take(taken("web_1", 5_000, 0));
    edge.seconds(3);
    // 5.9 GiB for each of two, although hardly anything of the second is taken yet.
    assert_eq!(edge.units["web"].len(), 2);
    let web = web(&mut edge);
    assert_eq!(
        web.limited_by.as_deref(),
        Some("host memory budget (density)"),
        "{web:?}"
    );
}

#[tokio::test]
async fn what_others_take_is_not_set_aside_twice_and_is_forgotten_with_them() {
    let mut edge = growing();
    edge.take(host(15, None));
    let room = |edge: &mut Edge| {
        edge.second();
        edge.controller.status(edge.now).room.0.expect("known") >> 20
    };
    // Nobody has looked: all but a reserve, less what has been ordered.
    assert_eq!(room(&mut edge), 15 * 1_024 - 768 - 300);
    edge.take(host(15, None));
    edge.take(taken("redis_1", 8_192, 0));
    // 12.75 GiB, less those 8 and what was ordered and is not there yet.
    let left = 15 * 1_024 * 85 / 100 - 8_192 - 300;
    assert_eq!(room(&mut edge), left);
    edge.take(Event::Metered(Metered::Running(BTreeSet::new())));
    assert_eq!(room(&mut edge), left + 8_192);
}

#[tokio::test]
async fn processors_that_are_busy_twice_over_let_nothing_start_and_the_sentence_says_so() {
    let mut edge = growing();
    edge.sessions.insert("web_1".into(), 190);
    edge.take(host(100, Some(2)));
    for _ in 0..2 {
        edge.take(taken("web_1", 60, 1_500));
        edge.take(taken("worker_1", 60, 1_000));
    }
    // Of the four that are set aside the three that run have 3.5; a worker needs one.
    let web = web(&mut edge);
    assert_eq!(
        web.limited_by.as_deref(),
        Some("host processor time (density)"),
        "{web:?}"
    );
    let own = edge.controller.status(edge.now).instances[0].clone();
    let told = "; host processor time allows 1, and each fills up to 250 meanwhile";
    assert!(
        own.reasons.iter().any(|reason| reason.text.contains(told)),
        "{:?}",
        own.reasons
    );
}

#[tokio::test]
async fn hundreds_that_idle_keep_nobody_from_a_start() {
    let mut edge = growing_beside(60);
    // At the least that a start needs these would take six processors and nine GiB.
    edge.take(host(8, Some(1)));
    for name in ["web_1", "worker_1", "worker_2", "worker_3"] {
        edge.take(taken(name, 58, 3));
    }
    assert!(edge.second().contains(&"start web".to_owned()));
}

/// One web that is to become four and sixty workers, which the engine has started again five seconds
/// ago. `seen`: whether usher was quicker than they, and has seen them rest.
fn after_a_reboot(seen: bool) -> Edge {
    let text = CONFIG.replace("ratio = 2.0", "ratio = 1.0");
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    let worker = |number| unit(&format!("worker_{number}"), Origin::Declared { number });
    edge.units.insert("worker", (1..=60).map(worker).collect());
    let phase = |edge: &mut Edge, phase: Phase, since: SystemTime| {
        for unit in edge.units.values_mut().flatten() {
            (unit.phase, unit.since) = (phase, since);
        }
        edge.list();
    };
    let began = edge.now.wall;
    let five = Duration::from_secs(5);
    if seen {
        phase(&mut edge, Phase::Exited { code: 137 }, began);
        edge.now.at += five;
        edge.now.wall += five;
        phase(&mut edge, Phase::Running, began + five);
    } else {
        phase(&mut edge, Phase::Running, began - five);
    }
    edge.probe("web_1", true);
    edge.controller.plan();
    edge.sessions.insert("web_1".into(), 390);
    edge
}

#[tokio::test]
async fn what_the_engine_has_brought_back_after_a_reboot_keeps_nobody_from_a_start() {
    for seen in [false, true] {
        let mut edge = after_a_reboot(seen);
        // At the least that a start needs they would take six processors and nine GiB.
        edge.take(host(8, Some(1)));
        let ordered = edge.second();
        assert!(
            ordered.contains(&"start web".to_owned()),
            "{seen}: {ordered:?}"
        );
    }
}

#[tokio::test]
async fn what_somebody_has_put_there_meanwhile_has_its_room_until_it_was_seen() {
    let mut edge = growing();
    edge.take(host(100, Some(1)));
    let worker = |number| unit(&format!("worker_{number}"), Origin::Declared { number });
    let mut new: Vec<Unit> = (3..=20).map(worker).collect();
    new.iter_mut().for_each(|unit| unit.since = edge.now.wall);
    edge.units.get_mut("worker").expect("worker").extend(new);
    edge.list();
    // Eighteen at a tenth of a processor, of two that are set aside.
    let room = |edge: &mut Edge| {
        edge.controller
            .room_now(edge.now)
            .expect("known")
            .left
            .processor
    };
    assert_eq!(room(&mut edge), 200);
    edge.now.wall += Duration::from_secs(120);
    assert_eq!(room(&mut edge), 2_000);
}

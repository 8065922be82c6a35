//! What deciding costs: a thousand stacks, each second.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use usher::autoscaler::{
    Crew, Kind, Load, Observation, Policy, Seen, ServicePolicy, Spans, State, decide,
};
use usher::config::model::{Bounds, ScaleMode};
use usher::moment::Now;

use crate::report::Target;

const STACKS: u32 = 1_000;
const SECONDS: u32 = 120;

fn policy() -> Policy {
    let service = |name: &str, kind, max| ServicePolicy {
        name: name.into(),
        kind,
        bounds: Bounds { min: 1, max },
    };
    Policy {
        per_replica: 150,
        hard: 250,
        mode: ScaleMode::Auto,
        spans: Spans::of(Duration::from_secs(600)),
        services: vec![
            service("web", Kind::Sessions, 16),
            service("worker", Kind::Ratio { of: 0, ratio: 4.0 }, 64),
        ],
        events: std::sync::Arc::from([]),
        idle_to_zero: None,
        rental: None,
    }
}

/// Seconds of this thread.
fn spent() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

pub fn measure() -> Vec<Target> {
    let policy = policy();
    let start = Now {
        at: Instant::now(),
        wall: std::time::SystemTime::now(),
    };
    let mut stacks: Vec<(State, Observation)> = (0..STACKS)
        .map(|stack| {
            let seen = |present, sessions| Seen {
                crew: Crew {
                    present,
                    ready: present,
                    ..Crew::default()
                },
                load: Load {
                    sessions,
                    in_flight: 3,
                    ..Load::default()
                },
                ..Seen::default()
            };
            let observation = Observation {
                fresh: true,
                visitors: 0,
                visits: 0,
                services: vec![seen(4, stack % 600), seen(16, 0)],
            };
            (State::default(), observation)
        })
        .collect();
    let before = spent();
    let mut changes = 0;
    for second in 0..SECONDS {
        let passed = Duration::from_secs(second.into());
        let now = Now {
            at: start.at + passed,
            wall: start.wall + passed,
        };
        for (state, observation) in &mut stacks {
            observation.services[0].load.sessions += 1;
            let decisions = decide(&policy, state, observation, now);
            changes += u32::from(decisions[0].desired != 4);
        }
    }
    let spent = spent() - before;
    assert!(changes > 0, "nothing was decided");
    let each = spent / f64::from(STACKS * SECONDS) * 1e6;
    let share = spent / f64::from(SECONDS) * 100.0;
    println!(
        "\nDeciding for a stack: {each:.2} µs; for {STACKS} stacks each second: {share:.2} % of a core"
    );
    vec![
        Target {
            what: "deciding for one stack".to_owned(),
            unit: "µs",
            limit: 50.0,
            measured: each,
        },
        Target {
            what: format!("deciding for {STACKS} stacks each second"),
            unit: "% of a core",
            limit: 5.0,
            measured: share,
        },
    ]
}

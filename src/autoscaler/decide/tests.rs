use super::*;
use crate::config::model::ScaleMode;

const DOWN_AFTER: Duration = Duration::from_secs(600);

fn policy() -> ScalePolicy {
    ScalePolicy {
        sessions_per_replica: 100,
        down_after: DOWN_AFTER,
        mode: ScaleMode::Auto,
    }
}

fn bounds(min: u32, max: u32) -> Bounds {
    Bounds { min, max }
}

fn all_ready(present: u32) -> Crew {
    Crew {
        present,
        ready: present,
        ..Crew::default()
    }
}

/// A window full of `demand`, and the moment it is full.
fn watched(demand: u32) -> (Window, Instant) {
    let start = Instant::now();
    let mut window = Window::default();
    let mut now = start;
    while now <= start + DOWN_AFTER {
        window.push(now, demand, DOWN_AFTER);
        now += Duration::from_secs(1);
    }
    (window, now - Duration::from_secs(1))
}

fn decide(demand: u32, crew: Crew) -> Decision {
    sessions(
        &policy(),
        bounds(1, 16),
        Instant::now(),
        demand,
        &Window::default(),
        crew,
    )
}

#[tokio::test]
async fn it_grows_at_once_to_what_the_sessions_need() {
    let decision = decide(350, all_ready(2));
    assert_eq!(decision.desired, 4);
    assert_eq!(decision.reason, "350 sessions, 100 per replica: 4");
}

#[tokio::test]
async fn replicas_that_are_starting_count() {
    let starting = Crew {
        present: 4,
        ready: 1,
        ..Crew::default()
    };
    assert_eq!(decide(350, starting).desired, 4);
}

#[tokio::test]
async fn one_step_doubles_or_adds_four() {
    let decision = decide(1_600, all_ready(1));
    assert_eq!(
        (decision.desired, decision.limited_by),
        (5, Some(Limit::Growth))
    );
    assert_eq!(decide(1_600, all_ready(6)).desired, 12);
}

#[tokio::test]
async fn max_is_never_exceeded_and_named() {
    let decision = decide(9_000, all_ready(12));
    assert_eq!(
        (decision.desired, decision.limited_by),
        (16, Some(Limit::Max))
    );
    assert!(
        decision.reason.ends_with("max allows 16"),
        "{}",
        decision.reason
    );
}

#[tokio::test]
async fn min_is_started_without_any_session() {
    let decision = sessions(
        &policy(),
        bounds(2, 16),
        Instant::now(),
        0,
        &Window::default(),
        Crew::default(),
    );
    assert_eq!(
        (decision.desired, decision.limited_by),
        (2, Some(Limit::Min))
    );
}

#[tokio::test]
async fn a_replica_above_max_leaves_whatever_the_demand() {
    let decision = sessions(
        &policy(),
        bounds(1, 2),
        Instant::now(),
        900,
        &Window::default(),
        all_ready(4),
    );
    assert_eq!(
        (decision.desired, decision.limited_by),
        (3, Some(Limit::Max))
    );
}

#[tokio::test]
async fn it_shrinks_by_one_after_a_quiet_window() {
    let (window, now) = watched(140);
    let decision = sessions(&policy(), bounds(1, 16), now, 140, &window, all_ready(3));
    assert_eq!(decision.desired, 2);
    assert_eq!(
        decision.reason,
        "at most 140 sessions in 10m, 100 per replica: 2 are enough"
    );
}

#[tokio::test]
async fn the_hysteresis_keeps_a_replica_that_would_be_missed_soon() {
    // 151 of 200 is more than three quarters.
    let (window, now) = watched(151);
    let decision = sessions(&policy(), bounds(1, 16), now, 151, &window, all_ready(3));
    assert_eq!(decision.desired, 3);
}

#[tokio::test]
async fn nothing_shrinks_on_lost_history() {
    let decision = decide(0, all_ready(5));
    assert_eq!(decision.desired, 5);
    assert!(
        decision.reason.contains("not watched"),
        "{}",
        decision.reason
    );
}

#[tokio::test]
async fn nothing_shrinks_while_something_moves() {
    let (window, now) = watched(0);
    let crew = all_ready(5);
    let moving = [
        Crew { ready: 4, ..crew },
        Crew {
            last_up: Some(now - Duration::from_secs(10)),
            ..crew
        },
        Crew {
            last_drain: Some(now - Duration::from_secs(10)),
            ..crew
        },
        Crew {
            draining: 1,
            ..crew
        },
    ];
    for crew in moving {
        let decision = sessions(&policy(), bounds(1, 16), now, 0, &window, crew);
        assert_eq!(decision.desired, 5, "{crew:?}");
    }
}

#[tokio::test]
async fn min_is_never_left() {
    let (window, now) = watched(0);
    let decision = sessions(&policy(), bounds(3, 16), now, 0, &window, all_ready(3));
    assert_eq!(decision.desired, 3);
}

#[test]
fn a_follower_keeps_its_ratio() {
    let decision = follow(4.0, bounds(1, 64), 3, "web", all_ready(4));
    assert_eq!(decision.desired, 12);
    assert_eq!(decision.reason, "3 web times 4: 12");
    assert_eq!(
        follow(0.5, bounds(1, 64), 3, "web", all_ready(1)).desired,
        2
    );
}

#[test]
fn a_follower_shrinks_one_by_one_and_keeps_its_bounds() {
    assert_eq!(
        follow(4.0, bounds(1, 64), 1, "web", all_ready(12)).desired,
        11
    );
    assert_eq!(follow(4.0, bounds(1, 6), 3, "web", all_ready(6)).desired, 6);
    assert_eq!(
        follow(4.0, bounds(2, 64), 0, "web", all_ready(2)).desired,
        2
    );
}

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn sessions(count: u32) -> Sample {
    Sample {
        sessions: count,
        ready: 1,
        desired: 1,
        ..Sample::default()
    }
}

fn counts(samples: &[Option<Sample>]) -> Vec<Option<u32>> {
    let counts = samples.iter().map(|sample| sample.map(|s| s.sessions));
    counts.collect()
}

#[test]
fn an_hour_by_ten_seconds_and_a_day_by_the_minute() {
    let mut history = History::default();
    // Each second for 25 hours, as many sessions as minutes have passed and one.
    for second in 0..25 * 3_600_u64 {
        let count = u32::try_from(second / 60).expect("small") + 1;
        history.observe(at(second), "congress", sessions(count));
    }
    let series = history.of("congress").expect("a history");
    let now = at(25 * 3_600 - 1);
    let (hour, day) = (series.hour.until(now), series.day.until(now));
    assert_eq!((hour.len(), day.len()), (360, 1_440));
    assert_eq!(
        (series.hour.samples.len(), series.day.samples.len()),
        (360, 1_440)
    );
    assert_eq!(
        hour.last().copied().flatten().map(|s| s.sessions),
        Some(1_500)
    );
    assert_eq!(
        day.last().copied().flatten().map(|s| s.sessions),
        Some(1_500)
    );
    // A million seconds are no whole minute: the first slot of the day began in minute 60.
    let first = day.first().copied().flatten().map(|s| s.sessions);
    assert!(matches!(first, Some(61 | 62)), "{first:?}");
}

#[test]
fn steps_keep_the_highest_sessions_and_the_mean_rate() {
    let mut ring = Ring::new(Duration::from_secs(10), 3);
    for (second, count, rate) in [(0, 5, 1.0), (3, 9, 2.0), (9, 2, 6.0)] {
        let sample = Sample {
            requests_per_second: rate,
            ..sessions(count)
        };
        ring.observe(at(second), sample);
    }
    let [None, None, Some(last)] = ring.until(at(9))[..] else {
        panic!("{:?}", ring.until(at(9)));
    };
    assert_eq!((last.sessions, last.requests_per_second), (9, 3.0));
}

#[test]
fn what_was_not_observed_is_a_gap() {
    let mut ring = Ring::new(Duration::from_secs(10), 5);
    ring.observe(at(0), sessions(1));
    ring.observe(at(30), sessions(4));
    assert_eq!(
        counts(&ring.until(at(40))),
        [Some(1), None, None, Some(4), None]
    );
    // Longer away than the ring is long.
    ring.observe(at(1_000), sessions(7));
    assert_eq!(
        counts(&ring.until(at(1_000))),
        [None, None, None, None, Some(7)]
    );
    // A clock that was set back.
    ring.observe(at(10), sessions(2));
    assert_eq!(
        counts(&ring.until(at(10))),
        [None, None, None, None, Some(2)]
    );
}

#[test]
fn only_instances_with_sessions_have_a_history_and_it_ends() {
    let mut history = History::default();
    history.observe(at(0), "idle", sessions(0));
    history.observe(at(0), "congress", sessions(1));
    history.observe(at(60), "congress", sessions(0));
    assert!(history.of("idle").is_none());
    history.prune(at(86_399), |_| true);
    assert!(history.of("congress").is_some());
    history.prune(at(86_400), |_| true);
    assert!(history.of("congress").is_none());
    history.observe(at(86_400), "congress", sessions(1));
    history.prune(at(86_401), |name| name != "congress");
    assert!(history.of("congress").is_none());
}

#[test]
fn there_is_a_bound_on_histories_and_the_idle_go_first() {
    let mut history = History::default();
    for index in 0..MOST_INSTANCES {
        history.observe(at(0), &format!("i{index}"), sessions(1));
    }
    history.observe(at(0), "late", sessions(1));
    assert!(history.of("late").is_none(), "everybody has sessions now");
    for index in 1..MOST_INSTANCES {
        history.observe(at(10), &format!("i{index}"), sessions(1));
    }
    history.observe(at(10), "late", sessions(1));
    assert!(history.of("late").is_some());
    assert!(history.of("i0").is_none());
    assert_eq!(history.series.len(), MOST_INSTANCES);
}

//! Dated events: who is expected, and when.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::model::Event;

/// People stay a little after the end.
const AFTERWARDS: Duration = Duration::from_secs(30 * 60);
const DAY: i64 = 86_400;

/// The event of this moment with the largest audience: from its prewarming until a while after its
/// end, and within its hours.
pub(super) fn expected(events: &[Event], now: SystemTime) -> Option<&Event> {
    events
        .iter()
        .filter(|event| is_on(event, now))
        .max_by_key(|event| event.sessions)
}

/// The event that runs, or the next that will.
pub fn next_event(events: &[Event], now: SystemTime) -> Option<&Event> {
    events.iter().find(|event| event.end > now)
}

/// Whether replicas are held for an event at this moment.
pub fn is_on(event: &Event, now: SystemTime) -> bool {
    is_held(event, AFTERWARDS, now)
}

/// Whether an event is prepared or runs: the while that people stay after its end is not in it.
pub(super) fn is_running(event: &Event, now: SystemTime) -> bool {
    is_held(event, Duration::ZERO, now)
}

fn is_held(event: &Event, afterwards: Duration, now: SystemTime) -> bool {
    let (now, start, end) = (seconds(now), seconds(event.start), seconds(event.end));
    let before = i64::try_from(event.prewarm.as_secs()).unwrap_or(i64::MAX);
    let after = i64::try_from(afterwards.as_secs()).unwrap_or(0);
    if now < start.saturating_sub(before) || now > end.saturating_add(after) {
        return false;
    }
    let Some(hours) = event.hours else {
        return true;
    };
    let midnight = (now + hours.offset).div_euclid(DAY) * DAY - hours.offset;
    // The prewarming of tomorrow's and the rest of yesterday's may reach into today.
    [midnight - DAY, midnight, midnight + DAY]
        .into_iter()
        .any(|midnight| {
            let opens = (midnight + i64::from(hours.from)).max(start);
            let closes = (midnight + i64::from(hours.until)).min(end);
            opens < closes && opens.saturating_sub(before) <= now && now <= closes + after
        })
}

/// Whether an event runs, its nights included, or begins within this time.
pub(super) fn is_near(event: &Event, within: Duration, now: SystemTime) -> bool {
    let (now, start, end) = (seconds(now), seconds(event.start), seconds(event.end));
    let within = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    let after = i64::try_from(AFTERWARDS.as_secs()).unwrap_or(0);
    start.saturating_sub(within) <= now && now <= end.saturating_add(after)
}

/// What is to be there for so many: nine of ten, because not everybody comes; the rest is scaled
/// for when it does.
pub fn replicas_for(sessions: u32, per_replica: u32) -> u32 {
    let nine_of_ten = u64::from(sessions) * 9;
    let count = nine_of_ten.div_ceil(10 * u64::from(per_replica.max(1)));
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn seconds(moment: SystemTime) -> i64 {
    moment
        .duration_since(UNIX_EPOCH)
        .map(|since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Hours;

    const START: u64 = 1_796_457_600; // 2026-12-05T09:00:00+01:00

    fn event() -> Event {
        Event {
            name: "Congress".into(),
            start: at(0),
            end: at(33 * 3_600),
            hours: Some(Hours {
                from: 8 * 3_600,
                until: 19 * 3_600,
                offset: 3_600,
            }),
            attendees: 900,
            sessions: 900,
            prewarm: Duration::from_secs(900),
        }
    }

    fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(START.checked_add_signed(seconds).expect("after 1970"))
    }

    #[test]
    fn an_event_is_prepared_and_held_a_little_longer_and_the_night_is_free() {
        const HOUR: i64 = 3_600;
        for (when, on) in [
            (-901, false),
            (-900, true),
            (5 * HOUR, true),
            // 19:00 is ten hours after the start.
            (10 * HOUR + 1_800, true),
            (10 * HOUR + 1_801, false),
            (20 * HOUR, false),
            // 08:00 of the next day, less a quarter of an hour.
            (23 * HOUR - 901, false),
            (23 * HOUR - 900, true),
            (33 * HOUR + 1_800, true),
            (33 * HOUR + 1_801, false),
            (47 * HOUR, false),
        ] {
            assert_eq!(is_on(&event(), at(when)), on, "{when}");
        }
    }

    #[test]
    fn people_stay_a_little_after_an_end_and_the_event_does_not_run_any_more() {
        const HOUR: i64 = 3_600;
        // Before the opening, at 18:59 and at 19:01 of the first day, and after the end.
        for (when, held, runs) in [
            (-60, true, true),
            (10 * HOUR - 60, true, true),
            (10 * HOUR + 60, true, false),
            (33 * HOUR + 60, true, false),
        ] {
            let found = (is_on(&event(), at(when)), is_running(&event(), at(when)));
            assert_eq!(found, (held, runs), "{when}");
        }
    }

    #[test]
    fn without_hours_the_night_counts() {
        let event = Event {
            hours: None,
            ..event()
        };
        assert!(is_on(&event, at(20 * 3_600)));
    }

    #[test]
    fn an_event_is_near_from_before_its_start_until_a_while_after_its_end() {
        const HOUR: i64 = 3_600;
        let within = Duration::from_secs(12 * 3_600);
        for (when, near) in [
            (-12 * HOUR - 1, false),
            (-12 * HOUR, true),
            // Its night.
            (15 * HOUR, true),
            (33 * HOUR + 1_800, true),
            (33 * HOUR + 1_801, false),
        ] {
            assert_eq!(is_near(&event(), within, at(when)), near, "{when}");
        }
    }

    #[test]
    fn the_larger_of_two_audiences_counts() {
        let small = Event {
            sessions: 10,
            hours: None,
            ..event()
        };
        let events = [small, event()];
        assert_eq!(
            expected(&events, at(0)).map(|event| event.sessions),
            Some(900)
        );
        let night = expected(&events, at(20 * 3_600));
        assert_eq!(night.map(|event| event.sessions), Some(10));
        assert_eq!(expected(&events, at(40 * 3_600)), None);
    }

    #[test]
    fn nine_of_ten_are_prepared_for() {
        assert_eq!(replicas_for(900, 150), 6);
        assert_eq!(replicas_for(1_000, 150), 6);
        assert_eq!(replicas_for(1, 150), 1);
    }
}

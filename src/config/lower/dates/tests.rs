use std::cell::RefCell;

use super::*;
use crate::config::fixture::{Files, SMALL, good, instance, issues};
use crate::config::issue::Source;

const EVENT: &str = r#"
[[instance.event]]
name = "Congress"
start = 2026-12-05T09:00:00+01:00
end = 2026-12-06T18:00:00+01:00
attendees = 900
"#;

/// The issues of an instance with these events, without their place.
fn event_issues(events: &str) -> Vec<String> {
    issues(&format!("{SMALL}{events}"))
        .iter()
        .map(|issue| issue.split(": ").skip(1).collect::<Vec<_>>().join(": "))
        .collect()
}

#[test]
fn an_event_is_read_with_its_defaults() {
    let more = "hours = \"08:00-19:00\"\nsessions-per-attendee = 1.3\nprewarm = \"30m\"\n";
    let config = good(&format!("{SMALL}{EVENT}{more}"));
    let events = &instance(&config, "congress").events;
    let [event] = &**events else {
        panic!("{events:?}");
    };
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_457_600);
    assert_eq!(event.start, start, "08:00 UTC");
    assert_eq!((event.attendees, event.sessions), (900, 1_170));
    let hours = event.hours.expect("hours");
    assert_eq!(
        (hours.from, hours.until, hours.offset),
        (8 * 3_600, 19 * 3_600, 3_600)
    );
    let config = good(&format!("{SMALL}{EVENT}"));
    let event = instance(&config, "congress").events[0].clone();
    assert_eq!((event.sessions, event.hours), (900, None));
    assert_eq!(event.prewarm, Duration::from_secs(900));
}

#[test]
fn an_event_that_cannot_be_meant_is_refused_with_one_message() {
    for (from, to, message) in [
        (
            "end = 2026-12-06",
            "end = 2026-12-04",
            "`Congress` ends before it starts",
        ),
        (
            "attendees = 900",
            "attendees = 0",
            "must be between 1 and 1000000",
        ),
        ("attendees = 900\n", "", "is missing; an event needs it"),
        (
            "T09:00:00+01:00",
            "T09:00:00",
            "needs a day, a time and an offset",
        ),
        (
            "attendees",
            "hours = \"8-19\"\nattendees",
            "are no hours of a day",
        ),
        (
            "attendees",
            "hours = \"19:00-08:00\"\nattendees",
            "ends before it begins; hours lie within one day",
        ),
        (
            "attendees",
            "sessions-per-attendee = 0.0\nattendees",
            "must be above 0",
        ),
    ] {
        let found = event_issues(&EVENT.replacen(from, to, 1));
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert!(found[0].contains(message), "{found:?}");
    }
}

#[test]
fn events_that_overlap_say_what_happens_then() {
    let text = format!("{EVENT}{}", EVENT.replace("Congress", "Workshop"));
    let found = event_issues(&text);
    assert_eq!(
        found,
        [
            "instance.congress.event: `Workshop` overlaps `Congress`; while both run, the larger audience counts"
        ]
    );
    let files = Files::new(&format!("{SMALL}{text}"));
    assert!(
        files
            .load(None)
            .config
            .is_some_and(|config| config.instances.contains_key("congress"))
    );
}

fn lower(from: &str, until: &str, zone: &TimeZone) -> Result<Rental, Vec<String>> {
    let (rental, told) = lower_and_tell(from, until, zone);
    rental.ok_or(told)
}

fn lower_and_tell(from: &str, until: &str, zone: &TimeZone) -> (Option<Rental>, Vec<String>) {
    let issues = RefCell::default();
    let at = At {
        source: Source::new("usher.toml".to_owned(), String::new()).into(),
        offset: 0,
        key: "rental".to_owned(),
    };
    let value = RawRental {
        from: from.parse().expect("a date"),
        until: until.parse().expect("a date"),
    };
    let rental = lower_rental(&Field { value, at }, zone, &issues);
    let issues = issues.borrow();
    (rental, issues.iter().map(ToString::to_string).collect())
}

fn at(text: &str) -> SystemTime {
    let moment: Timestamp = text.parse().expect("a moment");
    moment.into()
}

#[test]
fn both_days_are_rented_whole_by_the_local_clock() {
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let rental = lower("2026-12-01", "2026-12-31", &zone).expect("good");
    let moment = Duration::from_secs(1);
    let (begins, ends) = (at("2026-11-30T23:00:00Z"), at("2026-12-31T23:00:00Z"));
    assert!(rental.includes(begins) && !rental.includes(begins - moment));
    assert!(rental.includes(ends - moment) && !rental.includes(ends));
    assert_eq!(rental.to_string(), "2026-12-01 to 2026-12-31");
}

#[test]
fn a_day_on_which_clocks_change_is_as_long_as_it_is() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
    let length = |day: &str| {
        let rental = lower(day, day, &zone).expect("good");
        rental.ends.duration_since(rental.begins).expect("forwards")
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    assert_eq!(length("2026-03-29"), hours(23));
    assert_eq!(length("2026-03-30"), hours(24));
    assert_eq!(length("2026-10-25"), hours(25));
}

#[test]
fn a_machine_that_does_not_know_its_time_zone_says_so_and_counts_by_utc() {
    let (rental, told) = lower_and_tell("2026-12-01", "2026-12-31", &TimeZone::unknown());
    assert!(rental.is_some_and(|rental| rental.includes(at("2026-12-01T00:00:00Z"))));
    assert!(told.join("").contains("mount /etc/localtime"), "{told:?}");
}

#[test]
fn what_are_no_days_in_order_is_refused_with_the_place() {
    let zone = TimeZone::UTC;
    let told = lower("2026-12-31", "2026-12-01", &zone).expect_err("backwards");
    assert!(told[0].contains("ends on 2026-12-01, before"), "{told:?}");
    let told = lower("2026-12-01T08:00:00", "2026-12-31", &zone).expect_err("an hour");
    assert!(told[0].contains("rental.from: `2026"), "{told:?}");
}

//! The days an instance is rented for, from what was written to two moments.

use std::time::SystemTime;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::issue::{Issues, report};
use super::model::Rental;
use super::raw::RawRental;
use super::reader::{Datetime, Field};

/// `zone`: whose midnights are meant.
pub(super) fn lower_rental(
    field: &Field<RawRental>,
    zone: &TimeZone,
    issues: &Issues,
) -> Option<Rental> {
    let day = |key: &str, written: &Datetime| {
        let date = written.date.filter(|_| written.time.is_none());
        let date: Option<Date> = date.and_then(|date| date.to_string().parse().ok());
        if date.is_none() {
            let text = format!("`{written}` is no day; write for example 2026-12-01");
            report(issues, field.at.below(key).error(text));
        }
        date
    };
    let (from, until) = (
        day("from", &field.value.from),
        day("until", &field.value.until),
    );
    let (from, until) = (from?, until?);
    if until < from {
        let text = format!("ends on {until}, before it begins on {from}");
        report(issues, field.at.error(text));
        return None;
    }
    if zone.is_unknown() {
        let text = "counts days of UTC: the time zone of this machine is not known; set `TZ`, or \
                    mount /etc/localtime into usher's container";
        report(issues, field.at.warning(text));
    }
    let after = until.tomorrow().ok();
    let (Some(begins), Some(ends)) = (
        midnight(from, zone),
        after.and_then(|after| midnight(after, zone)),
    ) else {
        report(issues, field.at.error("is beyond what a calendar holds"));
        return None;
    };
    Some(Rental {
        from,
        until,
        begins,
        ends,
    })
}

/// The first moment of a day: where clocks are put forward at midnight, it is not 0:00.
fn midnight(day: Date, zone: &TimeZone) -> Option<SystemTime> {
    let begins = day.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    Some(begins.timestamp().into())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::super::issue::{At, Source};
    use super::*;

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
        let moment: jiff::Timestamp = text.parse().expect("a moment");
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
}

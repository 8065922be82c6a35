//! When an instance is rented and when its audience comes, from what was written to moments.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config::issue::{At, Issues, report};
use crate::config::model::{Event, Hours, Rental};
use crate::config::raw::{RawEvent, RawRental};
use crate::config::reader::{Datetime, Field, Offset};
use crate::config::units::Span;

/// What is started before an event opens, unless it says otherwise.
const PREWARM: Duration = Duration::from_secs(15 * 60);
/// More people than any hall and any arena hold: what is above is a slip of the finger.
const MOST_ATTENDEES: u32 = 1_000_000;

/// Lowers all events of one instance, the first to begin first.
pub(super) fn lower_events(raw: Vec<RawEvent>, issues: &Issues) -> Vec<Event> {
    let mut events: Vec<(At, Event)> = raw
        .into_iter()
        .filter_map(|event| {
            let at = event.at.clone();
            Some((at, event.lower(issues)?))
        })
        .collect();
    events.sort_by_key(|(_, event)| event.start);
    let mut latest: Option<&Event> = None;
    for (at, event) in &events {
        if let Some(other) = latest.filter(|other| event.start < other.end) {
            let text = format!(
                "`{}` overlaps `{}`; while both run, the larger audience counts",
                event.name, other.name
            );
            report(issues, at.warning(text));
        }
        if latest.is_none_or(|other| event.end > other.end) {
            latest = Some(event);
        }
    }
    events.into_iter().map(|(_, event)| event).collect()
}

impl RawEvent {
    fn lower(self, issues: &Issues) -> Option<Event> {
        let Self {
            at,
            name,
            start,
            end,
            hours,
            attendees,
            sessions_per_attendee,
            prewarm,
        } = self;
        for (key, missing) in [
            ("name", name.is_none()),
            ("start", start.is_none()),
            ("end", end.is_none()),
            ("attendees", attendees.is_none()),
        ] {
            let key = at.below(key);
            // A value of a wrong type has been told already.
            let told = issues.borrow().iter().any(|issue| issue.key == key.key);
            if missing && !told {
                report(issues, key.error("is missing; an event needs it"));
            }
        }
        let begins = start.as_ref().and_then(|field| moment(field, issues));
        let ends = end.as_ref().and_then(|field| moment(field, issues));
        let (name, attendees, end) = (name?, attendees?, end?);
        let (Some((start, offset)), Some((ending, _))) = (begins, ends) else {
            return None;
        };
        if ending <= start {
            let text = format!("`{}` ends before it starts", name.value);
            report(issues, end.at.error(text));
        }
        if attendees.value == 0 || attendees.value > MOST_ATTENDEES {
            let text = format!("must be between 1 and {MOST_ATTENDEES}");
            report(issues, attendees.at.error(text));
        }
        let each = sessions_per_attendee.as_ref().map_or(1.0, |one| one.value);
        if let Some(field) = sessions_per_attendee
            && !(field.value > 0.0 && field.value <= 100.0)
        {
            report(issues, field.at.error("must be above 0 and at most 100"));
        }
        let hours = hours.and_then(|field| match parse_hours(&field.value) {
            Ok((from, until)) => Some(Hours {
                from,
                until,
                offset,
            }),
            Err(why) => {
                report(issues, field.at.error(why));
                None
            }
        });
        // At most 100 × a million, and saturating.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and both factors are positive"
        )]
        let sessions = (f64::from(attendees.value) * each).ceil() as u32;
        Some(Event {
            name: name.value.as_str().into(),
            start,
            end: ending,
            hours,
            attendees: attendees.value,
            sessions,
            prewarm: prewarm.map_or(
                PREWARM,
                |Field {
                     value: Span(span), ..
                 }| span,
            ),
        })
    }
}

/// A moment and the offset from UTC it was written in, in seconds.
fn moment(field: &Field<Datetime>, issues: &Issues) -> Option<(SystemTime, i64)> {
    let offset = match field.value.offset {
        Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i64::from(minutes) * 60,
        None => {
            let text = "needs a day, a time and an offset, for example 2026-12-05T09:00:00+01:00";
            report(issues, field.at.error(text));
            return None;
        }
    };
    match field.value.to_string().parse::<Timestamp>() {
        Ok(moment) => Some((moment.into(), offset)),
        Err(error) => {
            report(issues, field.at.error(format!("is no moment: {error}")));
            None
        }
    }
}

/// `"08:00-19:00"` as seconds of the day.
fn parse_hours(text: &str) -> Result<(u32, u32), String> {
    let time = |part: &str| {
        let (hour, minute) = part.split_once(':')?;
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(hour) || !digits(minute) {
            return None;
        }
        let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
        let seconds = hour * 3_600 + minute * 60;
        (minute < 60 && seconds <= 86_400).then_some(seconds)
    };
    let hours = text
        .split_once('-')
        .and_then(|(from, until)| Some((time(from)?, time(until)?)));
    match hours {
        None => Err(format!(
            "`{text}` are no hours of a day; write for example \"08:00-19:00\""
        )),
        Some((from, until)) if until <= from => Err(format!(
            "`{text}` ends before it begins; hours lie within one day"
        )),
        Some(hours) => Ok(hours),
    }
}

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
mod tests;

//! Numbers and times as people say them.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use crate::moment::{self, Moment};

/// With a narrow space between thousands.
pub(super) fn number(value: impl Into<u64>) -> String {
    let digits = value.into().to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Below ten with one digit behind the point.
pub(super) fn rate(value: f32) -> String {
    if value < 0.05 {
        "0".to_owned()
    } else if value < 10.0 {
        format!("{value:.1}")
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive rate"
        )]
        number(value.round() as u64)
    }
}

/// In the largest unit that fits.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// How long ago, coarse enough that a page at rest does not change every second.
pub(super) fn ago(at: Moment, now: SystemTime) -> Markup {
    let passed = now.duration_since(at.0).unwrap_or_default();
    let words = match passed.as_secs() {
        0..60 => "under 1 min".to_owned(),
        _ => span(passed),
    };
    let exact = moment::text(at.0);
    html! { time datetime=(exact) title=(exact) { (words) } }
}

/// How long from now, in days; negative days are over.
pub(super) fn days_until(at: Moment, now: SystemTime) -> i64 {
    let days = |span: Duration| i64::try_from(span.as_secs() / 86_400).unwrap_or(i64::MAX);
    match at.0.duration_since(now) {
        Ok(left) => days(left),
        Err(over) => -days(over.duration()) - 1,
    }
}

/// A time of today by the clock, another one by the day, in UTC.
pub(super) fn clock(at: SystemTime, now: SystemTime) -> String {
    let (text, today) = (moment::text(at), moment::text(now));
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    if today.starts_with(day) {
        time.trim_end_matches('Z').to_owned()
    } else {
        format!("{day} {}", time.get(..5).unwrap_or(time))
    }
}

/// One and many.
pub(super) fn count(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", number(count as u64)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn numbers_and_spans_are_short() {
        assert_eq!(number(7_u64), "7");
        assert_eq!(number(120_331_u64), "120\u{202f}331");
        assert_eq!(number(1_000_000_u64), "1\u{202f}000\u{202f}000");
        assert_eq!([0.0, 0.04, 3.26, 412.4].map(rate), ["0", "0", "3.3", "412"]);
        let spans = [0, 59, 60, 7_199, 7_200, 172_799, 172_800].map(Duration::from_secs);
        assert_eq!(
            spans.map(span),
            ["0 s", "59 s", "1 min", "119 min", "2 h", "47 h", "2 d"]
        );
        assert_eq!(count(1, "replica", "replicas"), "1 replica");
        assert_eq!(count(1_200, "replica", "replicas"), "1\u{202f}200 replicas");
    }

    #[test]
    fn what_is_over_has_negative_days() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let now = at(10 * 86_400);
        assert_eq!(days_until(Moment(at(12 * 86_400 + 5)), now), 2);
        assert_eq!(days_until(Moment(at(10 * 86_400 - 5)), now), -1);
        assert_eq!(clock(at(10 * 86_400 + 3_661), now), "01:01:01");
        assert_eq!(clock(at(0), now), "1970-01-01 00:00");
    }
}

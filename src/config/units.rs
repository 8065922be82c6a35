//! Quantities as operators write them: `"90s"`, `"100MiB"`.

use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span(pub(super) Duration);

/// A length of time as [`Span`], or `"never"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Never(pub(super) Option<Duration>);

/// A number of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB`, or `"unlimited"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size(pub(super) Option<u64>);

/// Reads a length of time as operators write it.
///
/// # Errors
/// What is wrong with it, and how one is written.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let per_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(format!(
                "`{text}` is no length of time; write for example \"90s\", \"15m\" or \"1h\""
            ));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(per_unit))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` needs a whole number before `{unit}`"))
}

fn parse_size(text: &str) -> Result<Option<u64>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    let (number, unit) = split(text);
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => {
            return Err(format!(
                "`{text}` is no size; write for example \"100MiB\", or \"unlimited\""
            ));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .map(Some)
        .ok_or_else(|| format!("`{text}` needs a whole number before `{unit}`"))
}

fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// The shortest exact way to write `span`, the inverse of reading it.
pub fn format_span(span: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let millis = span.as_millis();
    UNITS
        .iter()
        .find(|(per_unit, _)| millis > 0 && millis.is_multiple_of(*per_unit))
        .map_or_else(
            || format!("{millis}ms"),
            |(per_unit, unit)| format!("{}{unit}", millis / per_unit),
        )
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        parse_span(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if text == "never" {
            return Ok(Self(None));
        }
        let span =
            parse_span(&text).map_err(|why| D::Error::custom(format!("{why}, or \"never\"")))?;
        Ok(Self(Some(span)))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        parse_size(&text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_as_they_are_written() {
        for (text, millis) in [
            ("250ms", 250),
            ("90s", 90_000),
            ("15m", 900_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
        ] {
            let span = parse_span(text).expect(text);
            assert_eq!(span, Duration::from_millis(millis));
            assert_eq!(parse_span(&format_span(span)), Ok(span));
        }
        assert_eq!(format_span(Duration::ZERO), "0ms");
    }

    #[test]
    fn a_span_without_its_unit_says_how_to_write_one() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5h",
            "10 minutes",
            "99999999999999999999s",
        ] {
            assert!(parse_span(text).is_err(), "{text:?}");
        }
        assert!(parse_span("10").expect_err("no unit").contains("\"90s\""));
    }

    #[test]
    fn sizes_are_powers_of_two_or_unlimited() {
        assert_eq!(parse_size("100MiB"), Ok(Some(104_857_600)));
        assert_eq!(parse_size("1 GiB"), Ok(Some(1 << 30)));
        assert_eq!(parse_size("unlimited"), Ok(None));
        for text in ["100", "100MB", "MiB", "99999999999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }
}

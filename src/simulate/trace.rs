//! An audience over time.

use serde::Deserialize;

/// How many want to be connected in each second, and what happens to them.
#[derive(Clone, Debug)]
pub struct Trace {
    pub name: String,
    pub wanted: Vec<f64>,
    pub losses: Vec<Loss>,
    /// Seconds of a worker's time that a connection costs.
    pub connect_work: f64,
    /// The audience as a calendar would have announced it.
    pub expected: Vec<Expected>,
}

/// A network that fails: sessions end at once, and nobody gets through for a while.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// In seconds from the beginning.
    pub at: usize,
    /// Of those who are connected, 0 to 1.
    pub share: f64,
    /// Seconds until they can come back.
    #[serde(rename = "for")]
    pub lasts: usize,
}

/// What an operator would have written into the calendar.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// In seconds from the beginning.
    pub from: u64,
    pub until: u64,
    pub sessions: u32,
}

/// A recording that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("has nobody in it: `sessions` needs at least two numbers")]
    Empty,
    #[error("`every` must be between 1 and 86400 seconds")]
    Every,
    #[error("is longer than a month")]
    Long,
    #[error("`sessions` must lie between 0 and 1000000, and `share` between 0 and 1")]
    Range,
    #[error("is no recording: {0}")]
    Shape(#[from] serde_json::Error),
}

/// A recording as it lies on the disk.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Seconds between two numbers.
    every: u32,
    sessions: Vec<f64>,
    #[serde(default)]
    losses: Vec<Loss>,
    #[serde(default)]
    events: Vec<Expected>,
}

/// What a connection costs a worker, unless a trace says otherwise.
pub(super) const CONNECT_WORK: f64 = 0.25;
const LONGEST: usize = 31 * 86_400;

impl Trace {
    /// Reads a recording: `{"every": 60, "sessions": [3, 40, …]}`, with `losses` and `events` where
    /// there were any. Between two numbers the audience changes evenly.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn recorded(name: &str, text: &str) -> Result<Self, TraceError> {
        let Recording {
            every,
            sessions,
            losses,
            events,
        } = serde_json::from_str(text)?;
        if !(1..=86_400).contains(&every) {
            return Err(TraceError::Every);
        }
        if sessions.len() < 2 {
            return Err(TraceError::Empty);
        }
        let steps = usize::try_from(every).map_err(|_| TraceError::Every)?;
        if sessions.len().saturating_mul(steps) > LONGEST {
            return Err(TraceError::Long);
        }
        let good = |value: &f64| (0.0..=1_000_000.0).contains(value);
        let shares = losses.iter().all(|loss| (0.0..=1.0).contains(&loss.share));
        if !sessions.iter().all(good) || !shares {
            return Err(TraceError::Range);
        }
        let mut wanted = Vec::with_capacity(sessions.len() * steps);
        for pair in sessions.windows(2) {
            let &[from, to] = pair else { continue };
            for step in 0..every {
                wanted.push(from + (to - from) * f64::from(step) / f64::from(every));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            wanted,
            losses,
            connect_work: CONNECT_WORK,
            expected: events,
        })
    }

    /// The most that want to be connected at once.
    pub fn peak(&self) -> f64 {
        self.wanted.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_and_filled_in_between() {
        let text = r#"{"every": 2, "sessions": [0, 10, 10], "losses": [{"at": 1, "share": 0.5, "for": 20}],
                       "events": [{"from": 0, "until": 4, "sessions": 10}]}"#;
        let trace = Trace::recorded("mine", text).expect("good");
        assert_eq!(trace.wanted, [0.0, 5.0, 10.0, 10.0]);
        assert_eq!(
            (trace.losses[0].lasts, trace.expected[0].sessions),
            (20, 10)
        );
    }

    #[test]
    fn what_is_no_recording_says_why() {
        for (text, why) in [
            ("[]", "is no recording"),
            (r#"{"every": 0, "sessions": [1, 2]}"#, "`every` must be"),
            (r#"{"every": 1, "sessions": [1]}"#, "has nobody"),
            (r#"{"every": 1, "sessions": [1, -2]}"#, "must lie between"),
            (
                r#"{"every": 86400, "sessions": [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5]}"#,
                "longer than a month",
            ),
            (r#"{"every": 1, "sessions": [1, 2], "colour": 1}"#, "colour"),
        ] {
            let error = Trace::recorded("mine", text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

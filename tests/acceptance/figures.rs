//! The closing lines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::storm::Storm;
use super::tally::Tally;
use super::wait::elapsed;

#[derive(Debug)]
pub struct Figures {
    pub tally: Tally,
    /// Ready replicas of web and worker.
    pub peak: [usize; 2],
    pub after: [usize; 2],
    pub growth: Growth,
    /// From the last goodbye of those who left to the replicas that stay.
    pub down: Duration,
    /// Websockets that each web replica held at the peak.
    pub sessions: BTreeMap<String, u64>,
    /// Requests that each web replica answered while all were there.
    pub requests: BTreeMap<String, usize>,
    /// Commands that each worker gave to redis within a moment.
    pub work: BTreeMap<String, usize>,
    /// What usher counted, by reason.
    pub endings: BTreeMap<String, u64>,
    pub storm: Storm,
    /// Replica-hours that were spent, and those without scaling.
    pub spent: [f64; 2],
    /// usher's log lines of levels above info.
    pub warnings: usize,
}

/// How the first sibling came, all from the moment it was needed.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// The engine started the container.
    pub started: Duration,
    /// usher found it ready.
    pub ready: Duration,
    /// It held a session.
    pub session: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, growth, .. } = self;
        let heard: usize = tally.heard.iter().sum();
        let mut line = |name: &str, value: String| writeln!(f, "{name:<28}{value}");
        line("websockets opened", tally.opened.len().to_string())?;
        line("handshakes tried again", tally.retries.to_string())?;
        line("handshake", spread(&tally.handshakes))?;
        line(
            "messages answered",
            format!(
                "{}, {}; unanswered {}, late {}, each socket at least {}",
                tally.answers.len(),
                spread(&tally.answers),
                tally.unanswered,
                tally.late,
                tally.fewest.unwrap_or_default()
            ),
        )?;
        line(
            "broadcasts",
            format!("{}, delivered {heard} times", tally.heard.len()),
        )?;
        line("replicas at the peak", both(self.peak))?;
        line("replicas after", both(self.after))?;
        line(
            "need to first session",
            format!(
                "{:.1} s (container started {:.1} s, then ready in usher after {:.1} s)",
                growth.session.as_secs_f64(),
                growth.started.as_secs_f64(),
                growth.ready.saturating_sub(growth.started).as_secs_f64()
            ),
        )?;
        line(
            "last goodbye to down again",
            format!("{:.1} s", self.down.as_secs_f64()),
        )?;
        line("websockets by web replica", counts(&self.sessions))?;
        line("requests by web replica", counts(&self.requests))?;
        line("redis commands by worker", counts(&self.work))?;
        line("a hall of one address", self.storm.to_string())?;
        let [used, always] = self.spent;
        line(
            "replica-hours",
            format!("{used:.2} (always as many as at the peak: {always:.2})"),
        )?;
        line("warnings in usher's log", self.warnings.to_string())?;
        let closed: u64 = self
            .endings
            .iter()
            .filter(|(reason, _)| *reason != "client")
            .map(|(_, count)| count)
            .sum();
        line(
            "closed by usher",
            format!(
                "{closed} (ended early for their clients: {}; usher counts {})",
                tally.cut.len(),
                counts(&self.endings)
            ),
        )?;
        write!(f, "{:<28}{:.0} s", "total", elapsed().as_secs_f64())
    }
}

fn both([web, worker]: [usize; 2]) -> String {
    format!("web {web}, worker {worker}")
}

fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    format!(
        "median {:.0} ms, worst {:.0} ms",
        ms(times.get(times.len() / 2)),
        ms(times.last())
    )
}

pub fn counts<N: fmt::Display>(counts: &BTreeMap<String, N>) -> String {
    let parts: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    parts.join(", ")
}

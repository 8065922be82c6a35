//! How many there are, how fast they become more, and how many there were.

use std::time::Duration;

use tokio::time::Instant;

use super::observation::Load;
use super::recent::Recent;
use super::window::Window;

const DAY: u64 = 86_400;
/// Days whose peak is remembered.
const DAYS: usize = 7;
/// Sessions fewer than these can all leave at once without being missed.
const CROWD: u32 = 20;

/// What is remembered of the demand for one service.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    began: Instant,
    all: Recent<64>,
    requests: Recent<8>,
    sessions: Recent<16>,
    window: Window,
    days: [u32; DAYS],
    day: u64,
}

/// Demand as of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// Sessions, handshakes, who waits, and requests in flight over six seconds. Who waits counts,
    /// or a storm would look like idleness.
    pub(super) demand: u32,
    /// More of it per second.
    pub(super) growth: f64,
    /// The highest of the span; `None` while not all of it is known.
    pub(super) peak: Option<u32>,
    /// The highest of what is known of the span.
    pub(super) known_peak: u32,
    /// The most sessions of a week.
    pub(super) population: u32,
    pub(super) sessions: u32,
    /// Sessions ten seconds ago.
    pub(super) before: u32,
    /// Many of them are not there now.
    pub(super) lost: bool,
}

impl Demand {
    pub(super) fn new(span: Duration, began: Instant) -> Self {
        Self {
            began,
            all: Recent::default(),
            requests: Recent::default(),
            sessions: Recent::default(),
            window: Window::new(span, began),
            days: [0; DAYS],
            day: 0,
        }
    }

    /// Takes the counts of this second in, if they are of now.
    pub(super) fn read(
        &mut self,
        load: Load,
        fresh: bool,
        span: Duration,
        now: Instant,
    ) -> Reading {
        if self.window.span() != span {
            self.window = Window::new(span, now);
        }
        if fresh {
            self.push(load, now);
        }
        let demand = self.all.ago(0).unwrap_or_else(|| self.sum(load));
        let known_peak = self.window.known_peak(now);
        Reading {
            demand,
            growth: self.growth(demand, known_peak),
            peak: self.window.peak(now),
            known_peak,
            population: self.days.iter().copied().max().unwrap_or_default(),
            sessions: load.sessions,
            before: self.sessions.ago(10).unwrap_or_default(),
            lost: fresh && self.lost(load.sessions),
        }
    }

    /// The most sessions of each day, this one first.
    pub(super) fn peaks(&self) -> &[u32] {
        &self.days
    }

    /// Takes in what an earlier process saw, `days_ago` days before this one.
    pub(super) fn remember(&mut self, peaks: &[u32], days_ago: usize) {
        for (day, peak) in self.days.iter_mut().skip(days_ago).zip(peaks) {
            *day = (*day).max(*peak);
        }
    }

    fn push(&mut self, load: Load, now: Instant) {
        let second = now.duration_since(self.began).as_secs();
        self.requests.push(second, load.in_flight);
        self.sessions.push(second, load.sessions);
        let demand = self.sum(load);
        self.all.push(second, demand);
        self.window.push(now, demand);
        let day = second / DAY;
        if day != self.day {
            self.days.rotate_right(1);
            if let Some(today) = self.days.first_mut() {
                *today = 0;
            }
            self.day = day;
        }
        if let Some(today) = self.days.first_mut() {
            *today = (*today).max(load.sessions);
        }
    }

    fn sum(&self, load: Load) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of u32"
        )]
        let requests = self.requests.mean(6).round() as u32;
        load.crowd().saturating_add(requests)
    }

    /// The smaller of two rates, so that noise is none; and only near the highest that was, so that
    /// those who come back from lunch are no growth.
    fn growth(&self, demand: u32, known_peak: u32) -> f64 {
        let (Some(ten), Some(thirty)) = (self.all.ago(10), self.all.ago(30)) else {
            return 0.0;
        };
        let now = f64::from(demand);
        let near = now >= 0.98 * f64::from(self.all.highest()) && now > 0.9 * f64::from(known_peak);
        if !near {
            return 0.0;
        }
        let short = (now - f64::from(ten)) / 10.0;
        let long = 1.5 * (now - f64::from(thirty)) / 30.0;
        short.min(long).max(0.0)
    }

    fn lost(&self, sessions: u32) -> bool {
        self.sessions.ago(10).is_some_and(|before| {
            before >= CROWD && u64::from(sessions) * 10 <= u64::from(before) * 7
        })
    }
}

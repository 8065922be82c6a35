//! How near usher is to what it can hold, and what it gives up first.
//!
//! Kept-alive connections go before new requests, new requests of whoever has too much before anybody
//! else's, and new connections before sessions: those are never given up.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::plan::Level;
use crate::shutdown::Shutdown;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A level ends this far below where it began, or it would come and go.
const HYSTERESIS: f64 = 0.05;

const LEVELS: [Level; 4] = [Level::Calm, Level::Tight, Level::Shedding, Level::Full];

/// The share of what there is at which a level begins.
fn begins(level: Level) -> f64 {
    match level {
        Level::Calm => 0.0,
        Level::Tight => 0.8,
        Level::Shedding => 0.9,
        Level::Full => 0.95,
    }
}

/// The level for a share in use, coming from another.
fn next(before: Level, used: f64) -> Level {
    let reached = |level: &Level| {
        let held = *level <= before;
        let slack = if held { HYSTERESIS } else { 0.0 };
        used >= begins(*level) - slack
    };
    LEVELS.into_iter().rfind(reached).unwrap_or_default()
}

/// One look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// The largest share in use of anything that can run out.
    pub used: f64,
    /// Connections of an instance, on average over those that have any.
    pub average: u32,
}

/// The level, for everybody who has to know.
#[derive(Debug, Default)]
pub struct Pressure {
    level: AtomicU8,
    average: AtomicU32,
    eased: Notify,
}

impl Pressure {
    pub fn level(&self) -> Level {
        let step = usize::from(self.level.load(Ordering::Relaxed));
        LEVELS.get(step).copied().unwrap_or_default()
    }

    /// Whether an instance with so many connections should take no more requests: those with
    /// clearly more than their share. Who is alone, or one of many alike, is in nobody's way.
    pub fn sheds(&self, connections: u32) -> bool {
        let share = self.average.load(Ordering::Relaxed);
        self.level() >= Level::Shedding && connections > share + share / 4
    }

    /// Until connections may be accepted. Cancel safe.
    pub async fn accepts(&self) {
        loop {
            let eased = self.eased.notified();
            if self.level() < Level::Full {
                return;
            }
            eased.await;
        }
    }

    fn measured(&self, measured: Measured) {
        self.average.store(measured.average, Ordering::Relaxed);
        let before = self.level();
        let now = next(before, measured.used);
        if now == before {
            return;
        }
        // A variant is its own index.
        self.level.store(now as u8, Ordering::Relaxed);
        self.eased.notify_waiters();
        let percent = (measured.used * 100.0).round();
        if now > before {
            warn!(level = ?now, percent, "overload: usher gives up what it can do without");
        } else {
            info!(level = ?now, percent, "overload eases");
        }
    }

    /// Looks again and again until shutdown.
    pub async fn watch(&self, look: impl Fn() -> Measured + Send, mut shutdown: Shutdown) {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                _ = tick.tick() => self.measured(look()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn levels_come_at_their_share_and_go_five_points_below() {
        let mut level = Level::Calm;
        let mut step = |used| {
            level = next(level, used);
            level
        };
        assert_eq!(step(0.79), Level::Calm);
        assert_eq!(step(0.80), Level::Tight);
        assert_eq!(step(0.76), Level::Tight);
        assert_eq!(step(0.74), Level::Calm);
        assert_eq!(step(0.96), Level::Full);
        assert_eq!(step(0.91), Level::Full);
        assert_eq!(step(0.89), Level::Shedding);
        assert_eq!(step(0.20), Level::Calm);
        assert_eq!(step(f64::NAN), Level::Calm);
    }

    #[test]
    fn only_those_with_more_than_their_share_are_sent_away() {
        let pressure = Pressure::default();
        let of = |used| Measured { used, average: 40 };
        pressure.measured(of(0.85));
        assert!(!pressure.sheds(1000), "not yet");
        pressure.measured(of(0.92));
        assert!(pressure.sheds(51) && !pressure.sheds(50));
        assert!(!pressure.sheds(40), "alone with all of them");
    }

    #[test]
    fn nobody_is_accepted_until_it_eases() {
        let pressure = Pressure::default();
        assert!(pressure.accepts().now_or_never().is_some());
        pressure.measured(Measured {
            used: 0.97,
            average: 1,
        });
        let mut waits = Box::pin(pressure.accepts());
        assert!((&mut waits).now_or_never().is_none());
        pressure.measured(Measured::default());
        assert!(waits.now_or_never().is_some());
    }
}

//! The two rules. See the room's header for why they are so.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::Window;
use crate::config::model::{Bounds, ScalePolicy};

/// The replicas of one service, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crew {
    /// Everything that serves or soon will: ready, unhealthy, starting, ordered. Not draining.
    pub present: u32,
    pub ready: u32,
    pub draining: u32,
    pub last_up: Option<Instant>,
    pub last_drain: Option<Instant>,
}

/// What should be, and the arithmetic behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What demand alone asks for.
    pub wanted: u32,
    /// What is to be done now.
    pub desired: u32,
    pub limited_by: Option<Limit>,
    /// One sentence with the numbers.
    pub reason: String,
}

/// What kept a wish from being granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// One step at most doubles.
    Growth,
    Max,
    Min,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Growth => "growth per step",
            Self::Max => "max",
            Self::Min => "min",
        })
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    Down,
    Up,
}

impl Direction {
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// No two drains of one service begin closer together, unless `down-after` is shorter.
const BETWEEN_DRAINS: Duration = Duration::from_secs(30);

/// For a service that carries sessions. `demand` is what is connected now.
pub fn sessions(
    policy: &ScalePolicy,
    bounds: Bounds,
    now: Instant,
    demand: u32,
    window: &Window,
    crew: Crew,
) -> Decision {
    let per_replica = policy.sessions_per_replica;
    let wanted = demand.div_ceil(per_replica);
    let because = format!("{demand} sessions, {per_replica} per replica: {wanted}");
    let allowed = wanted.clamp(bounds.min, bounds.max);
    if allowed > crew.present {
        let step = (crew.present * 2).max(crew.present + 4);
        let desired = allowed.min(step);
        return Decision {
            limited_by: limit(wanted, desired, bounds),
            reason: explain(&because, wanted, desired, bounds),
            wanted,
            desired,
        };
    }
    if crew.present > bounds.max {
        return Decision {
            wanted,
            desired: crew.present - 1,
            limited_by: Some(Limit::Max),
            reason: format!("{because}; max allows {}", bounds.max),
        };
    }
    let (desired, reason) = match may_shrink(policy, bounds, now, window, crew) {
        Ok(peak) => (
            crew.present - 1,
            format!(
                "at most {peak} sessions in {}, {per_replica} per replica: {} are enough",
                crate::config::format_span(policy.down_after),
                crew.present - 1,
            ),
        ),
        Err(why) => {
            let reason = explain(&because, wanted, allowed, bounds);
            let keeps = allowed < crew.present;
            let reason = if keeps {
                format!("{reason}; {why}")
            } else {
                reason
            };
            (crew.present, reason)
        }
    };
    Decision {
        wanted,
        desired,
        limited_by: limit(wanted, desired, bounds).filter(|_| desired == allowed),
        reason,
    }
}

/// The peak that allows one replica less, or why none may go.
fn may_shrink(
    policy: &ScalePolicy,
    bounds: Bounds,
    now: Instant,
    window: &Window,
    crew: Crew,
) -> Result<u32, &'static str> {
    let since =
        |at: Option<Instant>, least: Duration| at.is_none_or(|at| now.duration_since(at) >= least);
    if crew.present <= bounds.min {
        return Err("min keeps the rest");
    }
    let Some(peak) = window.peak(now, policy.down_after) else {
        return Err("not watched for long enough to shrink");
    };
    let room = u64::from(policy.sessions_per_replica) * u64::from(crew.present - 1);
    if u64::from(peak) * 4 > room * 3 {
        return Err("the peak of the window keeps the rest");
    }
    if crew.ready < crew.present {
        return Err("waits until all are ready");
    }
    if !since(crew.last_up, policy.down_after) {
        return Err("grew a moment ago");
    }
    if !since(crew.last_drain, BETWEEN_DRAINS.min(policy.down_after)) {
        return Err("a drain began a moment ago");
    }
    if crew.draining >= (crew.present / 4).max(1) {
        return Err("others are draining");
    }
    Ok(peak)
}

/// For a service that follows another, of which `leaders` are wanted.
pub fn follow(ratio: f64, bounds: Bounds, leaders: u32, leader: &str, crew: Crew) -> Decision {
    let exact = (ratio * f64::from(leaders)).ceil();
    // At most 1000 × u32::MAX, and saturating.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and both factors are positive"
    )]
    let wanted = exact as u32;
    let desired = wanted.clamp(bounds.min, bounds.max);
    // One less at a time; more at once, because they come up together.
    let desired = desired.max(crew.present.saturating_sub(1));
    let because = format!("{leaders} {leader} times {ratio}: {wanted}");
    Decision {
        limited_by: limit(wanted, desired, bounds),
        reason: explain(&because, wanted, desired, bounds),
        wanted,
        desired,
    }
}

fn limit(wanted: u32, desired: u32, bounds: Bounds) -> Option<Limit> {
    if desired == wanted {
        None
    } else if desired == bounds.max && wanted > desired {
        Some(Limit::Max)
    } else if desired == bounds.min && wanted < desired {
        Some(Limit::Min)
    } else if wanted > desired {
        Some(Limit::Growth)
    } else {
        None
    }
}

fn explain(because: &str, wanted: u32, desired: u32, bounds: Bounds) -> String {
    match limit(wanted, desired, bounds) {
        Some(Limit::Max) => format!("{because}; max allows {}", bounds.max),
        Some(Limit::Min) => format!("{because}; min keeps {}", bounds.min),
        Some(Limit::Growth) => format!("{because}; this step adds up to {desired}"),
        None => because.to_owned(),
    }
}

#[cfg(test)]
mod tests;

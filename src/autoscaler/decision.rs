//! What should be, what it comes from, and what stood in the way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::resources::Scarce;
use crate::config::format_span;
use crate::config::model::Rental;

/// What is to become of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What demand, calendar and memory ask for, whatever the limits.
    pub wanted: u32,
    /// What is to be done now.
    pub desired: u32,
    /// What asks for the most.
    pub term: Term,
    pub limited_by: Option<Limit>,
    /// What puts it off beside that, and is over before it.
    pub put_off: Option<Limit>,
    /// Why nobody leaves although fewer would do.
    pub kept: Option<Kept>,
    /// What the ratio asks for, where more than that is wanted because workers are busy or slow.
    pub by_ratio: Option<u32>,
    /// What the host has not enough of, where that is the limit.
    pub scarce: Scarce,
    pub inputs: Inputs,
}

/// The numbers a decision was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inputs {
    pub present: u32,
    pub ready: u32,
    pub draining: u32,
    /// Sessions, handshakes, who waits, and requests in flight.
    pub demand: u32,
    pub sessions: u32,
    pub pending: u32,
    pub held: u32,
    pub in_flight: u32,
    /// Demand as it will be when a replica ordered now is ready.
    pub expected: u32,
    /// More demand per second.
    pub growth: f64,
    pub lead: Duration,
    /// The highest demand of `down-after`, if all of it is known.
    pub peak: Option<u32>,
    pub panic: bool,
    /// Many sessions were lost at once and are expected back.
    pub ghost: bool,
}

/// What a number comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// Nobody has been there for so long.
    Asleep { span: Duration },
    /// Workers are too slow or push back.
    Boost { workers: u32 },
    /// usher has just started, and what runs stays.
    Boot { found: u32 },
    /// Workers have more to do than their ratio allows for.
    Busy { busy: u32 },
    Calendar {
        event: Arc<str>,
        sessions: u32,
        per_replica: u32,
        count: u32,
    },
    /// Many sessions were lost at once, and their replicas stay.
    Ghost { count: u32 },
    /// The sessions there will be.
    Growth {
        demand: u32,
        expected: u32,
        lead: Duration,
        per_replica: u32,
        count: u32,
    },
    /// Hardly anybody is there, and one is enough.
    Idle { spare: u32 },
    /// An operator's number.
    Operator { count: u32 },
    /// An operator's lowest number.
    OperatorFloor { count: u32 },
    Ratio {
        leader: Arc<str>,
        leaders: u32,
        ratio: f64,
        count: u32,
    },
    /// The sessions there are.
    Sessions {
        demand: u32,
        per_replica: u32,
        count: u32,
    },
    /// Fewer would do, by the highest demand of the span.
    Spare {
        peak: u32,
        span: Duration,
        per_replica: u32,
        count: u32,
    },
    /// Those it follows are not full, by the highest demand of the span.
    Spread {
        peak: u32,
        span: Duration,
        leader: Arc<str>,
        ratio: f64,
        per_replica: u32,
        count: u32,
    },
    /// Its rental has not begun or is over.
    Unrented { rental: Rental },
    /// Nothing ran, and somebody has come.
    Woken { count: u32 },
}

/// What kept a wish from being granted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many start on the host at a time.
    AtOnce(u32),
    /// The host has no room for everybody, and what is beyond the ratio goes first.
    Boost(u32),
    /// An operator allows no more for now.
    Cap(u32),
    /// The host has no room for more, and these hold more sessions than they are to.
    Density {
        replicas: u32,
        hard: u32,
    },
    /// The host has no room for more, and these cannot hold everybody.
    Full {
        replicas: u32,
        hard: u32,
    },
    /// One step at most doubles.
    Growth(u32),
    /// The host has no room for more.
    Host(u32),
    Max(u32),
    Min(u32),
    /// The engine has told several stacks that it has no room, a moment ago.
    NoRoom,
    /// So many start on the host in a minute.
    PerMinute(u32),
    /// The host has waited for memory for so many hundredths of the time, lately.
    Pressure(u32),
    /// The host has no room for everybody, and who holds more than its share has fewer for each that
    /// is followed.
    Ratio {
        each: f64,
        count: u32,
    },
    /// The host has no room for everybody, and who holds more than its share waits no longer to let go
    /// of what is to spare.
    Surplus(u32),
    /// So many starts in a minute are for stacks that wake.
    WakesPerMinute(u32),
}

/// Why nobody leaves although fewer would do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    Busy,
    Draining,
    Floor,
    Grew,
    /// More workers were no help twice: they are not what is slow.
    NotTheWorkers,
    Mode,
    Panic,
    Peak,
    Spacing,
    Unready,
    Unwatched,
}

impl Kept {
    fn text(self) -> &'static str {
        match self {
            Self::Busy => "the others have work",
            Self::Draining => "others are draining",
            Self::Floor => "min keeps the rest",
            Self::Grew => "grew a moment ago",
            Self::NotTheWorkers => {
                "more workers were no help, something else is slow (database, Redis, processor)"
            }
            Self::Mode => "mode hold keeps what there is",
            Self::Panic => "it was too much a moment ago",
            Self::Peak => "the peak of the window keeps the rest",
            Self::Spacing => "a drain began a moment ago",
            Self::Unready => "waits until all are ready",
            Self::Unwatched => "not watched for long enough to shrink",
        }
    }
}

impl Limit {
    /// Whether nobody is kept by it for longer than a minute, whatever happens.
    fn passes(self) -> bool {
        match self {
            Self::AtOnce(_)
            | Self::Growth(_)
            | Self::Min(_)
            | Self::PerMinute(_)
            | Self::WakesPerMinute(_) => true,
            Self::Boost(_)
            | Self::Cap(_)
            | Self::Density { .. }
            | Self::Full { .. }
            | Self::Host(_)
            | Self::Max(_)
            | Self::NoRoom
            | Self::Pressure(_)
            | Self::Ratio { .. }
            | Self::Surplus(_) => false,
        }
    }

    /// The word of the statistics.
    fn word(self, scarce: Scarce) -> String {
        let of_host = |step: &str| format!("{scarce} ({step})");
        let word = match self {
            Self::Boost(_) => return of_host("boost"),
            Self::Density { .. } => return of_host("density"),
            Self::Full { .. } => return of_host("full"),
            Self::Host(_) => return scarce.to_string(),
            Self::Ratio { .. } => return of_host("ratio"),
            Self::Surplus(_) => return of_host("surplus"),
            Self::AtOnce(_) => "starts at a time",
            Self::Cap(_) => "operator",
            Self::Growth(_) => "growth per step",
            Self::Max(_) => "max",
            Self::Min(_) => "min",
            Self::NoRoom => "engine room",
            Self::PerMinute(_) => "starts per minute",
            Self::Pressure(_) => "memory pressure",
            Self::WakesPerMinute(_) => "wakes per minute",
        };
        word.to_owned()
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asleep { span } => write!(f, "nobody has come for {}: 0", format_span(*span)),
            Self::Boost { workers } => write!(f, "handshakes are slow or refused: {workers}"),
            Self::Boot { found } => write!(f, "usher has just started; the {found} it found stay"),
            Self::Busy { busy } => write!(f, "{busy} messages at once are worked on or wait"),
            Self::Calendar {
                event,
                sessions,
                per_replica,
                count,
            } => write!(
                f,
                "{event} expects {sessions} sessions, {per_replica} per replica: {count}"
            ),
            Self::Ghost { count } => {
                write!(
                    f,
                    "many sessions were lost at once; the {count} stay for them"
                )
            }
            Self::Growth {
                demand,
                expected,
                lead,
                per_replica,
                count,
            } => write!(
                f,
                "{demand} sessions, {expected} expected in {} s, {per_replica} per replica: {count}",
                lead.as_secs()
            ),
            Self::Idle { spare } => write!(f, "hardly anybody is there: {spare}"),
            Self::Operator { count } => write!(f, "the operator set {count}"),
            Self::OperatorFloor { count } => write!(f, "the operator keeps at least {count}"),
            Self::Ratio {
                leader,
                leaders,
                ratio,
                count,
            } => write!(f, "{leaders} {leader} times {ratio}: {count}"),
            Self::Sessions {
                demand,
                per_replica,
                count,
            } => write!(f, "{demand} sessions, {per_replica} per replica: {count}"),
            Self::Spare {
                peak,
                span,
                per_replica,
                count,
            } => write!(
                f,
                "at most {peak} sessions in {}, {per_replica} per replica: {count} are enough",
                format_span(*span)
            ),
            Self::Spread {
                peak,
                span,
                leader,
                ratio,
                per_replica,
                count,
            } => write!(
                f,
                "at most {peak} sessions in {}, {ratio} per {per_replica} of {leader} and a third more: \
                 {count}",
                format_span(*span)
            ),
            Self::Unrented { rental } => write!(f, "rented from {rental} only: 0"),
            Self::Woken { count } => write!(f, "somebody has come: {count}"),
        }
    }
}

/// One sentence with the numbers, what asked for the most, and what stood in the way.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.term)?;
        for limit in self.limited_by.into_iter().chain(self.put_off) {
            self.tell(limit, f)?;
        }
        match self.kept {
            None => Ok(()),
            Some(kept) => write!(f, "; {}", kept.text()),
        }
    }
}

impl Decision {
    /// What a limit means, with the numbers.
    fn tell(&self, limit: Limit, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scarce = self.scarce;
        match limit {
            Limit::AtOnce(count) => {
                write!(f, "; no more than {count} start on the host at a time")
            }
            Limit::Boost(count) => {
                write!(f, "; the host is full and boosts go first, down to {count}")
            }
            Limit::Cap(count) => write!(f, "; the operator allows {count}"),
            Limit::Density { replicas, hard } => write!(
                f,
                "; {scarce} allows {replicas}, and each fills up to {hard} meanwhile"
            ),
            Limit::Full { replicas, hard } => write!(
                f,
                "; {scarce} allows {replicas}, which hold {} at most: who comes beyond that waits, \
                 and is turned away in the end",
                replicas.saturating_mul(hard)
            ),
            Limit::Growth(count) => write!(f, "; this step adds up to {count}"),
            Limit::Host(count) if self.desired > count => {
                write!(f, "; {scarce} allows {count} of {}", self.desired)
            }
            Limit::Host(count) => write!(f, "; {scarce} allows {count}"),
            Limit::Max(count) => write!(f, "; max allows {count}"),
            Limit::Min(count) => write!(f, "; min keeps {count}"),
            Limit::NoRoom => write!(
                f,
                "; the engine has no room (storage, memory, addresses), and nothing starts on the host \
                 for five minutes"
            ),
            Limit::PerMinute(count) => {
                write!(f, "; no more than {count} start on the host in a minute")
            }
            Limit::Pressure(percent) => write!(
                f,
                "; the host waits for memory {percent} % of the time, and nothing starts until that is over"
            ),
            Limit::Ratio { each, count } => write!(
                f,
                "; the host is full and others hold less than their share: {each} for each it follows, \
                 down to {count}"
            ),
            Limit::Surplus(count) => write!(
                f,
                "; the host is full and others hold less than their share: what is to spare leaves \
                 early, down to {count}"
            ),
            Limit::WakesPerMinute(count) => write!(
                f,
                "; no more than {count} starts on the host in a minute are for those who wake"
            ),
        }
    }
}

/// For a service that nothing was decided for: it has none and wants none.
impl Default for Decision {
    fn default() -> Self {
        Self {
            wanted: 0,
            desired: 0,
            term: Term::Idle { spare: 0 },
            limited_by: None,
            put_off: None,
            kept: None,
            by_ratio: None,
            scarce: Scarce::default(),
            inputs: Inputs::default(),
        }
    }
}

impl Decision {
    /// The word of the statistics for what stands in the way.
    pub fn limit(&self) -> Option<String> {
        Some(self.limited_by?.word(self.scarce))
    }

    /// The same where the host has room for so many. Nobody leaves for want of room, and who is about
    /// to leave takes none by staying: its sessions are not to be closed for another stack. `density`:
    /// sessions that one replica is to hold and may hold, if it carries any.
    pub fn within(mut self, granted: u32, density: Option<(u32, u32)>, scarce: Scarce) -> Self {
        let there = self.inputs.present.saturating_add(self.inputs.draining);
        let replicas = granted.max(there);
        if self.desired > replicas {
            let demand = u64::from(self.inputs.demand);
            let hold = |each: u32| u64::from(replicas) * u64::from(each);
            self.desired = replicas;
            self.scarce = scarce;
            self.limited_by = Some(match density {
                Some((_, hard)) if demand > hold(hard) => Limit::Full { replicas, hard },
                Some((soft, hard)) if demand > hold(soft) => Limit::Density { replicas, hard },
                _ => Limit::Host(replicas),
            });
        }
        self
    }

    /// The same where the host lets nothing start now. What is over in a minute does not hide what
    /// stands in the way for longer.
    pub fn refused(&mut self, limit: Limit, scarce: Scarce) {
        let lasts = self.limited_by.is_some_and(|known| !known.passes());
        if lasts && limit.passes() {
            self.put_off = Some(limit);
        } else {
            self.limited_by = Some(limit);
            self.scarce = scarce;
        }
    }

    /// Whether something that an operator can change keeps it below what it needs.
    pub fn falls_short(&self) -> bool {
        let mut both = self.limited_by.into_iter().chain(self.put_off);
        both.any(|limit| self.falls_short_by(limit))
    }

    fn falls_short_by(&self, limit: Limit) -> bool {
        match limit {
            Limit::Boost(_)
            | Limit::Cap(_)
            | Limit::Density { .. }
            | Limit::Full { .. }
            | Limit::Max(_)
            | Limit::Ratio { .. }
            | Limit::Surplus(_) => self.wanted > self.desired,
            // The least there should be, or what is wanted.
            Limit::Host(_) => self.wanted > self.desired || self.desired > self.inputs.present,
            Limit::NoRoom | Limit::PerMinute(_) | Limit::Pressure(_) | Limit::WakesPerMinute(_) => {
                self.desired > self.inputs.present
            }
            // These pass by themselves, or are somebody's wish.
            Limit::AtOnce(_) | Limit::Growth(_) | Limit::Min(_) => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Refused for the starts of a minute, with this known before.
    fn put_off(known: Option<Limit>) -> Decision {
        let mut decision = Decision {
            wanted: 30,
            desired: 24,
            limited_by: known,
            ..Decision::default()
        };
        decision.refused(Limit::PerMinute(20), Scarce::default());
        decision
    }

    #[test]
    fn what_is_over_in_a_minute_is_told_after_what_lasts() {
        let told = put_off(Some(Limit::Host(24)));
        assert_eq!(told.limit().as_deref(), Some("host memory"));
        let end = "; host memory allows 24; no more than 20 start on the host in a minute";
        assert!(told.to_string().ends_with(end), "{told}");
        assert!(told.falls_short());
        for passing in [None, Some(Limit::Growth(24)), Some(Limit::Min(24))] {
            let told = put_off(passing);
            assert_eq!(told.limit().as_deref(), Some("starts per minute"));
            let end = ": 0; no more than 20 start on the host in a minute";
            assert!(told.to_string().ends_with(end), "{told}");
        }
    }
}

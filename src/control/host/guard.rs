//! What protects the host from its starts: so many at a time, so many in a minute and half of those for
//! stacks that wake, and none while the host waits for memory or the engine says that it has no room.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::room::Room;
use crate::autoscaler::{Limit, Resources, Scarce};
use crate::engine::Trouble;
use crate::host::Host;
use crate::names::StackName;

/// So many may start at a time on the smallest of hosts.
const LEAST_AT_ONCE: u32 = 2;
/// More starts than these in a minute come from a configuration that nobody has thought through.
const PER_MINUTE: u32 = 20;
/// Of those, for stacks that wake: who knocks at every sleeping name of a host wakes a few of them a
/// minute, and leaves starts for those that have visitors already.
const WAKES_PER_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// After two stacks were told that there is no room, nothing starts for so long.
const NO_ROOM_FOR: Duration = Duration::from_secs(300);
/// Hundredths of the time that somebody waits for memory. With more, one more makes all slower.
const PRESSURE: u32 = 10;

/// When starts were ordered, lately.
#[derive(Debug, Default)]
pub(in crate::control) struct Guard {
    pub(in crate::control) ordered: VecDeque<(Instant, For)>,
    /// Stacks whose last start failed because the engine had no room, and when.
    no_room: BTreeMap<StackName, Instant>,
}

/// What a start is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::control) enum For {
    /// A stack that wakes.
    Waking,
    /// One that is awake.
    Working,
}

/// What may be started at one moment.
pub(in crate::control) struct Allowance {
    pub(in crate::control) room: Option<Room>,
    at_once: u32,
    starting: u32,
    in_minute: u32,
    wakes_in_minute: u32,
    /// Started of this allowance.
    pub(in crate::control) new: Vec<For>,
    pub(in crate::control) spent: Resources,
    /// Hundredths, if it is too much.
    pressure: Option<u32>,
    full: bool,
}

impl Guard {
    pub(in crate::control) fn allow(
        &mut self,
        host: &Host,
        room: Option<Room>,
        starting: u32,
        now: Instant,
    ) -> Allowance {
        let old = |(at, _): &(Instant, For)| now.duration_since(*at) >= MINUTE;
        while self.ordered.front().is_some_and(old) {
            self.ordered.pop_front();
        }
        let pressure = host.memory_pressure.map(hundredths);
        Allowance {
            room,
            at_once: (host.cores.unwrap_or_default() / 2).max(LEAST_AT_ONCE),
            starting,
            in_minute: number(self.ordered.len()),
            wakes_in_minute: number(
                self.ordered
                    .iter()
                    .filter(|(_, reason)| *reason == For::Waking)
                    .count(),
            ),
            new: Vec::new(),
            spent: Resources::default(),
            pressure: pressure.filter(|pressure| *pressure >= PRESSURE),
            full: self.is_full(now),
        }
    }

    /// Remembers how a start of a stack ended.
    pub(in crate::control) fn started(
        &mut self,
        stack: &StackName,
        trouble: Option<Trouble>,
        now: Instant,
    ) {
        match trouble {
            Some(Trouble::Capacity) => {
                self.no_room.insert(stack.clone(), now);
            }
            // It had room for this one.
            None => self.no_room.clear(),
            Some(Trouble::Passing | Trouble::Stack) => {}
        }
    }

    /// Whether the engine has no room. What one stack alone is told may be of its own making, a limit
    /// that it has set itself, and pauses nobody else.
    fn is_full(&mut self, now: Instant) -> bool {
        self.no_room
            .retain(|_, at| now.duration_since(*at) < NO_ROOM_FOR);
        self.no_room.len() > 1
    }
}

impl Allowance {
    /// Why no further replica of a service may be started, if so, and what the host has not enough of
    /// where that is why. `present`: those it has; `cost`: of one more.
    pub(in crate::control) fn refuses(
        &self,
        present: u32,
        cost: Resources,
        reason: For,
    ) -> Option<(Limit, Scarce)> {
        let scarce = self.room.and_then(|room| room.scarce_for(cost));
        let limit = self.limit(present, scarce.is_some(), reason)?;
        Some((limit, scarce.unwrap_or_default()))
    }

    fn limit(&self, present: u32, short: bool, reason: For) -> Option<Limit> {
        if let Some(pressure) = self.pressure {
            Some(Limit::Pressure(pressure))
        } else if self.full {
            Some(Limit::NoRoom)
        } else if short {
            Some(Limit::Host(present))
        } else if self.in_minute >= PER_MINUTE {
            Some(Limit::PerMinute(PER_MINUTE))
        } else if reason == For::Waking && self.wakes_in_minute >= WAKES_PER_MINUTE {
            Some(Limit::WakesPerMinute(WAKES_PER_MINUTE))
        } else {
            (self.starting >= self.at_once).then_some(Limit::AtOnce(self.at_once))
        }
    }

    /// So many more were ordered.
    pub(in crate::control) fn spend(&mut self, starts: u32, cost: Resources, reason: For) {
        let taken = cost.times(starts);
        self.room = self.room.map(|room| room.minus(taken));
        self.spent = self.spent.plus(taken);
        self.starting += starts;
        self.in_minute += starts;
        if reason == For::Waking {
            self.wakes_in_minute += starts;
        }
        self.new.extend((0..starts).map(|_| reason));
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn hundredths(share: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is no more than 1, and `as` saturates"
    )]
    let hundredths = (share * 100.0) as u32;
    hundredths
}

//! What an instance's configuration means for its replicas, with every span worked out.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Instance;
use crate::config::model::{Bounds, Event, Rental, Role, ScaleMode};

/// How one stack is scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Sessions one replica is to hold.
    pub per_replica: u32,
    /// Sessions one replica may hold: nothing more is sent to it.
    pub hard: u32,
    pub mode: ScaleMode,
    pub spans: Spans,
    /// The services that are scaled; those that follow come after those they follow.
    pub services: Vec<ServicePolicy>,
    pub events: Arc<[Event]>,
    /// Nothing runs when nobody has been there for so long.
    pub idle_to_zero: Option<Duration>,
    /// Outside it nothing runs.
    pub rental: Option<Rental>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ServicePolicy {
    pub name: Arc<str>,
    pub kind: Kind,
    pub bounds: Bounds,
}

/// What the number of replicas comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Its replicas are at fixed addresses: others may follow it, and it is not scaled itself.
    Fixed,
    /// So many for each replica of another service, by its place in the policy.
    Ratio { of: usize, ratio: f64 },
    /// Its own sessions.
    Sessions,
}

/// Replicas of so many and a part of one.
pub fn whole(exact: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and a ratio is positive"
    )]
    let whole = exact.ceil() as u32;
    whole
}

/// How long things last. All follow `down-after`: who wants a stack to shrink within seconds does
/// not want it held for half an hour either. With its default they are what simulation found best.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spans {
    /// Demand has to be low for so long before anything shrinks.
    pub down_after: Duration,
    /// Between two drains of one service.
    pub between_drains: Duration,
    /// A mass of sessions that vanished is expected back for so long.
    pub ghost: Duration,
    /// What ran when usher started stays for so long.
    pub boot: Duration,
    /// Nothing shrinks for so long after a panic, and workers are boosted.
    pub panic: Duration,
    /// In which at most a quarter of the workers leave.
    pub quarter: Duration,
    /// More workers than the ratio are judged so long after they are ready.
    pub trial: Duration,
    /// After two trials in vain there are no more for so long.
    pub resigned: Duration,
}

impl Spans {
    pub fn of(down_after: Duration) -> Self {
        let at_most = |seconds, span: Duration| span.min(Duration::from_secs(seconds));
        Self {
            down_after,
            between_drains: at_most(30, down_after),
            ghost: at_most(1_800, down_after * 3),
            boot: at_most(600, down_after),
            panic: at_most(300, down_after / 2),
            quarter: at_most(60, down_after),
            trial: at_most(60, down_after),
            resigned: at_most(600, down_after),
        }
    }
}

impl Policy {
    pub fn of(instance: &Instance) -> Self {
        let mut services: Vec<ServicePolicy> = Vec::new();
        for (name, service) in &instance.services {
            if let Role::Sessions { bounds } = service.role {
                let kind = service.bounds().map_or(Kind::Fixed, |_| Kind::Sessions);
                services.push(ServicePolicy {
                    name: name.as_str().into(),
                    kind,
                    bounds,
                });
            }
        }
        for (name, service) in &instance.services {
            let (Role::Ratio { of, ratio, .. }, Some(bounds)) = (&service.role, service.bounds())
            else {
                continue;
            };
            let leader = services
                .iter()
                .position(|leader| *leader.name == *of.as_str());
            if let Some(leader) = leader {
                services.push(ServicePolicy {
                    name: name.as_str().into(),
                    kind: Kind::Ratio {
                        of: leader,
                        ratio: *ratio,
                    },
                    bounds,
                });
            }
        }
        let hard = instance.site.limits.sessions_hard;
        Self {
            // More than it may hold would never be reached, and the stack would never grow.
            per_replica: instance.scale.sessions_per_replica.min(hard),
            hard,
            mode: instance.scale.mode,
            spans: Spans::of(instance.scale.down_after),
            services,
            events: Arc::clone(&instance.events),
            idle_to_zero: instance.scale.idle_to_zero,
            rental: instance.rental,
        }
    }

    /// A stack with at most so many people is idle: a fifteenth of a replica, at most ten.
    pub(super) fn idle_below(&self) -> u32 {
        (self.per_replica / 15).min(10)
    }
}

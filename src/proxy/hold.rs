//! Holding a request for a place that is about to be there.
//!
//! A replica that starts takes seconds, and a hall that reconnects comes within one. Whoever waits
//! here would otherwise get an error page and come again, and again with all the others.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::{Gateway, now};
use crate::names::Hostname;
use crate::plan::Condition;
use crate::routing::{
    Counted, Counters, InstanceTable, Line, NoPick, Pick, Pool, Rank, SessionPick, Turn, Waiting,
};

/// Browsers and their proxies give up on a handshake after about 20 s.
const UPGRADE_WAITS: Duration = Duration::from_secs(18);
/// Somebody looks at an empty page meanwhile, and ours says what is going on.
const PAGE_WAITS: Duration = Duration::from_secs(8);
/// A script asks, and would not understand a page; common limits begin at 30 s.
const OTHER_WAITS: Duration = Duration::from_secs(25);
/// For other requests of the same instance to end.
const LIMIT_WAITS: Duration = Duration::from_secs(3);

/// Who waits, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    rank: Rank,
    until: Instant,
}

impl Patience {
    pub(super) fn rank(self) -> Rank {
        self.rank
    }

    pub(super) fn of_upgrade(began: Instant) -> Self {
        Self {
            rank: Rank::Upgrade,
            until: began + UPGRADE_WAITS,
        }
    }

    pub(super) fn of_request(began: Instant, method: &Method, fields: &HeaderMap) -> Self {
        let page = fields
            .get_all("accept")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("text/html"));
        Self {
            rank: if method.is_safe() {
                Rank::Read
            } else {
                Rank::Write
            },
            until: began + if page { PAGE_WAITS } else { OTHER_WAITS },
        }
    }
}

/// A way to a place in one of the replicas of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) host: &'a Hostname,
    /// As it was when the request came.
    pub(super) pool: &'a Arc<Pool>,
    pub(super) patience: Patience,
}

impl Gateway {
    /// The pool in the newest table: what closed a moment ago is not in it.
    fn newest(&self, way: &Way<'_>) -> Arc<Pool> {
        self.instance_of(way.host)
            .and_then(|instance| instance.pool(way.pool.service()).cloned())
            .unwrap_or_else(|| Arc::clone(way.pool))
    }

    /// Waits while an operator has paused the instance.
    pub(super) async fn while_paused(
        &self,
        instance: &InstanceTable,
        patience: Patience,
    ) -> Result<Option<Turn>, Failure> {
        if instance.plan().condition != Condition::Paused {
            return Ok(None);
        }
        let paused = || {
            let table = self.routes.load();
            let newest = table.instance(instance.name());
            newest.is_some_and(|newest| newest.plan().condition == Condition::Paused)
        };
        let line = instance.counters().paused();
        let mut waiting = None;
        while paused() {
            wait(line, &mut waiting, patience)
                .await
                .map_err(|Impatient| Failure::Paused)?;
        }
        Ok(waiting.map(Waiting::served))
    }

    /// A place for a request, now or as soon as a replica is ready.
    pub(super) async fn place(
        &self,
        way: Way<'_>,
        pick: impl Fn(&Pool) -> Result<Pick, NoPick>,
    ) -> Result<(Pick, Option<Turn>), Failure> {
        self.through_gate(way, pick).await.map_err(Failure::from)
    }

    /// A place for a session, now or as soon as a replica is ready and has room.
    pub(super) async fn seat(
        &self,
        way: Way<'_>,
        pick: impl Fn(&Pool) -> Result<SessionPick, NoPick>,
    ) -> Result<(SessionPick, Option<Turn>), Failure> {
        let seats = Arc::clone(way.pool.seats());
        let mut waiting = None;
        loop {
            if waiting.is_some() || seats.length() == 0 {
                match self.through_gate(way, &pick).await {
                    Ok(seat) => {
                        if let Some(waiting) = waiting {
                            Waiting::leave(waiting);
                        }
                        return Ok(seat);
                    }
                    Err(NoPick::Busy | NoPick::Full) => {}
                    Err(none) => return Err(none.into()),
                }
            }
            wait(&seats, &mut waiting, way.patience)
                .await
                .map_err(|Impatient| Failure::OverLimit)?;
        }
    }

    async fn through_gate<P>(
        &self,
        way: Way<'_>,
        pick: impl Fn(&Pool) -> Result<P, NoPick>,
    ) -> Result<(P, Option<Turn>), NoPick> {
        let gate = Arc::clone(way.pool.gate());
        let mut waiting = None;
        loop {
            if waiting.is_some() || gate.length() == 0 {
                match pick(&self.newest(&way)) {
                    Ok(place) => return Ok((place, waiting.map(Waiting::served))),
                    Err(NoPick::Coming) => {}
                    Err(none) => return Err(none),
                }
            }
            wait(&gate, &mut waiting, way.patience)
                .await
                .map_err(|Impatient| NoPick::Coming)?;
        }
    }
}

/// Its patience has ended, or the line is too long.
struct Impatient;

/// Joins the line at first, and then waits for a word.
async fn wait(
    line: &Arc<Line>,
    waiting: &mut Option<Waiting>,
    patience: Patience,
) -> Result<(), Impatient> {
    match waiting {
        None => {
            let joined = waiting.insert(line.join(patience.rank).ok_or(Impatient)?);
            // What happened before the first joined was told to nobody, so it tries once more at
            // once. Whoever finds others there is told after them.
            if line.length() == 1 {
                return Ok(());
            }
            until_told(joined, patience).await
        }
        Some(waiting) => {
            waiting.again();
            until_told(waiting, patience).await
        }
    }
}

async fn until_told(waiting: &Waiting, patience: Patience) -> Result<(), Impatient> {
    let told = timeout_at(patience.until, waiting.told()).await;
    told.map_err(|_| Impatient)
}

/// Counts a request in flight, as soon as fewer than `most` are.
pub(super) async fn in_flight(counters: &Arc<Counters>, most: u32, rank: Rank) -> Option<Counted> {
    let line = counters.over_limit();
    let mut waiting = None;
    let mut patience = None;
    loop {
        if (waiting.is_some() || line.length() == 0)
            && let Some(counted) = counters.request(most)
        {
            if let Some(waiting) = waiting {
                Waiting::leave(waiting);
                // When two end at once and only one waits, the second word reaches nobody. Whoever
                // joins before the first is gone would wait beside a free place.
                if counters.in_flight() < most {
                    line.tell(1);
                }
            }
            return Some(counted);
        }
        let patience = *patience.get_or_insert_with(|| Patience {
            rank,
            until: now() + LIMIT_WAITS,
        });
        wait(line, &mut waiting, patience).await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beside_a_free_place() {
        let counters = Arc::new(Counters::default());
        let come = || Box::pin(in_flight(&counters, 2, Rank::Read));
        let one = come().await.expect("room");
        let other = come().await.expect("room");
        let mut early = come();
        assert!(poll!(&mut early).is_pending());
        drop((one, other));
        let mut late = come();
        assert!(poll!(&mut late).is_pending(), "after who came earlier");

        let early = early.await.expect("room");
        let began = now();
        let late = late.await.expect("room");

        assert_eq!(now() - began, Duration::ZERO);
        assert_eq!(counters.in_flight(), 2);
        drop((early, late));
    }
}

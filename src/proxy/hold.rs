//! Holding a request for a place that is about to be there.
//!
//! A replica that starts takes seconds, and a hall that reconnects comes within one. Whoever waits
//! here would otherwise get an error page and come again, and again with all the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::admit::Limit;
use super::failure::{Failure, Held};
use super::queue::{Patience, Queue};
use super::{Gateway, now};
use crate::names::Hostname;
use crate::routing::{Counted, Line, NoPick, Pick, Pool, SessionPick, Turn, Waiting};

/// Replicas that stop all at once refuse before anybody has heard that they stop; by then it is known.
const NEWS_TAKES: Duration = Duration::from_secs(1);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(25);

/// How many replicas are asked of which none answers.
pub(super) const TRIES: usize = 4;

/// A way to a place in one of the replicas of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) host: &'a Hostname,
    /// As it was when the request came.
    pub(super) pool: &'a Arc<Pool>,
    pub(super) limit: Limit<'a>,
    pub(super) patience: Patience,
}

/// A place, and what its request holds until it ends.
pub(super) struct Placed<P> {
    pub(super) pick: P,
    pub(super) in_flight: Counted,
    /// Where it has waited: others go on there when this one has an answer.
    pub(super) turn: Option<Turn>,
}

impl Gateway {
    /// The pool in the newest table: what closed a moment ago is not in it.
    fn newest(&self, way: &Way<'_>) -> Arc<Pool> {
        let table = self.routes.load();
        table
            .find(way.host)
            .and_then(|host| host.instance.pool(way.pool.service()).cloned())
            .unwrap_or_else(|| Arc::clone(way.pool))
    }

    /// A place for a request, now or as soon as a replica is ready and workers have time for it.
    pub(super) async fn place(
        &self,
        way: Way<'_>,
        in_flight: Option<Counted>,
        pick: impl Fn(&Pool) -> Result<Pick, NoPick>,
    ) -> Result<Placed<Pick>, Failure> {
        self.let_through(way.pool.calls(), way, in_flight, pick)
            .await
    }

    /// A place for a session, now or as soon as a replica is ready and has room.
    pub(super) async fn seat(
        &self,
        way: Way<'_>,
        in_flight: Option<Counted>,
        pick: impl Fn(&Pool) -> Result<SessionPick, NoPick>,
    ) -> Result<Placed<SessionPick>, Failure> {
        self.let_through(way.pool.seats(), way, in_flight, pick)
            .await
    }

    /// A place, and the request counted in flight: what it was counted before for another replica
    /// goes on where it has not to wait.
    async fn let_through<P>(
        &self,
        line: &Arc<Line>,
        way: Way<'_>,
        in_flight: Option<Counted>,
        pick: impl Fn(&Pool) -> Result<P, NoPick>,
    ) -> Result<Placed<P>, Failure> {
        let mut queue = Queue::new(way.pool.holding(), way.patience);
        queue.in_flight = in_flight;
        let mut last_turn = None;
        loop {
            let (pick, turn) = self.in_line(line, way, &mut queue, &pick).await?;
            // Kept while it waits for the limit: those behind it have still to wait for its answer,
            // and are not all driven on to a line in which nobody waits for long.
            last_turn = turn.or(last_turn);
            if let Some(in_flight) = queue.in_flight.take().or_else(|| way.limit.count()) {
                return Ok(Placed {
                    pick,
                    in_flight,
                    turn: last_turn,
                });
            }
            // Others may have the place meanwhile, and it may be gone by then. Nor is it held for a
            // replica any more, which would be a reason to start one.
            drop(pick);
            queue.hold_no_longer();
            let in_flight = way.limit.admit(way.patience).await?;
            queue.in_flight = Some(in_flight);
        }
    }

    /// A place, behind those who wait in this line for the same.
    async fn in_line<P>(
        &self,
        line: &Arc<Line>,
        way: Way<'_>,
        queue: &mut Queue<'_>,
        pick: impl Fn(&Pool) -> Result<P, NoPick>,
    ) -> Result<(P, Option<Turn>), Failure> {
        let mut waiting = None;
        loop {
            if (waiting.is_some() || line.length() == 0)
                && let Some(place) = self.through_gate(way, queue, &pick).await?
            {
                if let Some(waiting) = waiting {
                    Waiting::leave(waiting);
                }
                return Ok(place);
            }
            let told = queue.wait(line, &mut waiting).await;
            told.map_err(|why| why.failure(Held::OverLimit))?;
        }
    }

    /// As soon as any replica takes something; `None`: they have enough.
    async fn through_gate<P>(
        &self,
        way: Way<'_>,
        queue: &mut Queue<'_>,
        pick: impl Fn(&Pool) -> Result<P, NoPick>,
    ) -> Result<Option<(P, Option<Turn>)>, Failure> {
        let gate = way.pool.gate();
        let mut waiting = None;
        let known_at = now() + NEWS_TAKES;
        loop {
            if waiting.is_some() || gate.length() == 0 {
                match pick(&self.newest(&way)) {
                    Ok(place) => return Ok(Some((place, waiting.map(Waiting::served)))),
                    Err(NoPick::Busy | NoPick::Full) => return Ok(None),
                    Err(NoPick::Coming) => {}
                    // All have refused it. Those behind it have not met them and need not wait.
                    Err(NoPick::Tried) if waiting.is_none() && now() < known_at => {
                        sleep(LOOK_AGAIN_AFTER).await;
                        continue;
                    }
                    Err(none) => return Err(none.into()),
                }
            }
            let told = queue.wait(gate, &mut waiting).await;
            told.map_err(|why| why.failure(Held::Starting))?;
        }
    }
}

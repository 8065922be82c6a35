//! Whether a request is let in: overload, ceilings, a pause. The same for both doors.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, Held};
use super::hold::{Patience, Queue};
use super::{Gateway, now};
use crate::listener::Connection;
use crate::plan::Condition;
use crate::routing::{Counted, Counters, InstanceTable, Turn, Waiting};

/// For other requests of the same instance to end.
const LIMIT_WAITS: Duration = Duration::from_secs(3);

/// What a request that was let in holds until it ends.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) in_flight: Counted,
    /// Where it has waited: others go on there when this one has an answer.
    pub(super) turn: Option<Turn>,
}

impl Gateway {
    /// Lets a request in, now or as soon as others have ended.
    pub(super) async fn admit(
        &self,
        instance: &InstanceTable,
        connection: &Connection,
        patience: Patience,
    ) -> Result<Admitted, Failure> {
        let limits = &instance.plan().site.limits;
        let counters = instance.counters();
        if self.pressure.sheds(counters.connections()) {
            return Err(Failure::Overload);
        }
        let room = || counters.connect(limits.connections);
        connection.count(room).ok_or(Failure::OverLimit)?;
        let in_flight = in_flight(counters, limits.requests_in_flight, patience).await?;
        let turn = self.while_paused(instance, patience).await?;
        Ok(Admitted { in_flight, turn })
    }

    /// Waits while an operator has paused the instance.
    async fn while_paused(
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
        let counters = instance.counters();
        let mut queue = Queue::new(counters.holding(), patience);
        let mut waiting = None;
        while paused() {
            let told = queue.wait(counters.paused(), &mut waiting).await;
            told.map_err(|why| why.failure(Held::Paused))?;
        }
        Ok(waiting.map(Waiting::served))
    }
}

/// Counts a request in flight, as soon as fewer than `most` are.
async fn in_flight(
    counters: &Arc<Counters>,
    most: u32,
    patience: Patience,
) -> Result<Counted, Failure> {
    let line = counters.over_limit();
    let mut waiting = None;
    let mut queue = None;
    loop {
        if (waiting.is_some() || line.length() == 0)
            && let Some(counted) = counters.request(most)
        {
            if let Some(waiting) = waiting {
                Waiting::leave(waiting);
            }
            return Ok(counted);
        }
        let queue = queue.get_or_insert_with(|| {
            let patience = patience.of_others(now() + LIMIT_WAITS);
            Queue::new(counters.holding(), patience)
        });
        let told = queue.wait(line, &mut waiting).await;
        told.map_err(|why| why.failure(Held::OverLimit))?;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use http::{HeaderMap, Method};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beside_a_free_place() {
        let counters = Arc::new(Counters::default());
        let patience = Patience::of_request(now(), &Method::GET, &HeaderMap::new());
        let come = || Box::pin(in_flight(&counters, 2, patience));
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

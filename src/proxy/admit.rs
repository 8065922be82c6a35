//! Whether a request is let in: overload, ceilings, a pause. The same for both doors.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, Held};
use super::queue::{Patience, Queue};
use super::{Gateway, now};
use crate::listener::Connection;
use crate::plan::Condition;
use crate::routing::{Counted, Counters, InstanceTable, Turn, Waiting};

/// For other requests of the same instance to end.
const LIMIT_WAITS: Duration = Duration::from_secs(3);

/// How many requests of an instance may be in flight: with a replica, or with usher itself. Who is held
/// for a replica is none of them, as nobody works on it; how many are held has bounds of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit<'a> {
    counters: &'a Arc<Counters>,
    most: u32,
}

impl Gateway {
    /// Lets a request in, now or when a pause has ended. Where it has waited others go on when this one
    /// has an answer.
    pub(super) async fn admit(
        &self,
        instance: &InstanceTable,
        connection: &Connection,
        patience: Patience,
    ) -> Result<Option<Turn>, Failure> {
        let limits = &instance.plan().site.limits;
        let counters = instance.counters();
        if self.pressure.sheds(counters.connections()) {
            return Err(Failure::Overload);
        }
        let room = || counters.connect(limits.connections);
        connection.count(room).ok_or(Failure::OverLimit)?;
        self.while_paused(instance, patience).await
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

impl<'a> Limit<'a> {
    pub(super) fn of(instance: &'a InstanceTable) -> Self {
        Self {
            counters: instance.counters(),
            most: instance.plan().site.limits.requests_in_flight,
        }
    }

    /// Counts a request in flight, unless too many are or others wait for their end.
    pub(super) fn count(self) -> Option<Counted> {
        let alone = self.counters.over_limit().length() == 0;
        alone.then(|| self.counters.request(self.most)).flatten()
    }

    /// Counts a request in flight, now or as soon as others have ended.
    pub(super) async fn admit(self, patience: Patience) -> Result<Counted, Failure> {
        if let Some(counted) = self.count() {
            return Ok(counted);
        }
        let line = self.counters.over_limit();
        let patience = patience.until(now() + LIMIT_WAITS);
        let mut queue = Queue::new(self.counters.holding(), patience);
        let mut waiting = None;
        loop {
            let told = queue.wait(line, &mut waiting).await;
            told.map_err(|why| why.failure(Held::OverLimit))?;
            if let Some(counted) = self.counters.request(self.most) {
                if let Some(waiting) = waiting {
                    Waiting::leave(waiting);
                }
                return Ok(counted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use http::header::ACCEPT;
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;
    use crate::routing::Line;

    fn patience() -> Patience {
        Patience::of_request(now(), &Method::GET, &HeaderMap::new())
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beside_a_free_place() {
        let counters = &Arc::new(Counters::default());
        let limit = Limit { counters, most: 2 };
        let come = || Box::pin(limit.admit(patience()));
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

    #[tokio::test(start_paused = true)]
    async fn who_is_held_is_not_in_flight_and_leaves_room_for_others() {
        let counters = &Arc::new(Counters::default());
        let limit = Limit { counters, most: 1 };
        let line = Arc::new(Line::default());
        let mut queue = Queue::new(counters.holding(), patience());
        queue.in_flight = limit.count();
        assert_eq!((counters.in_flight(), counters.holding().count()), (1, 0));

        let mut waiting = None;
        // The first of a line is told to try once more.
        let told = queue.wait(&line, &mut waiting).await;

        assert_eq!(told, Ok(()));
        assert_eq!((counters.in_flight(), counters.holding().count()), (0, 1));
        assert!(limit.count().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_the_limit_beyond_its_own_patience() {
        let counters = &Arc::new(Counters::default());
        let limit = Limit { counters, most: 0 };
        let html = (ACCEPT, HeaderValue::from_static("text/html"));
        let html = HeaderMap::from_iter([html]);
        let came = now();
        let began = came - Duration::from_secs(7);
        let page = Patience::of_request(began, &Method::GET, &html);

        let answer = limit.admit(page).await;

        assert_eq!(answer.err(), Some(Failure::OverLimit));
        // A page has eight.
        assert_eq!(now() - came, Duration::from_secs(1));
    }
}

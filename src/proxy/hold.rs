//! Holding a request for a place that is about to be there.
//!
//! A replica that starts takes seconds, and a hall that reconnects comes within one. Whoever waits
//! here would otherwise get an error page and come again, and again with all the others.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failure;
use super::{Gateway, now};
use crate::names::Hostname;
use crate::routing::{Line, NoPick, Pick, Pool, Rank, SessionPick, Turn, Waiting};

/// Browsers and their proxies give up on a handshake after about 20 s.
const UPGRADE_WAITS: Duration = Duration::from_secs(18);
/// Somebody looks at an empty page meanwhile, and ours says what is going on.
const PAGE_WAITS: Duration = Duration::from_secs(8);
/// A script asks, and would not understand a page; common limits begin at 30 s.
const OTHER_WAITS: Duration = Duration::from_secs(25);

/// Replicas that stop all at once refuse before anybody has heard that they stop; by then it is known.
const NEWS_TAKES: Duration = Duration::from_secs(1);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(25);

/// How many replicas are asked of which none answers.
pub(super) const TRIES: usize = 4;

/// Who waits, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    rank: Rank,
    until: Instant,
}

impl Patience {
    /// As long as this, and in the same rank.
    pub(super) fn of_others(self, until: Instant) -> Self {
        Self { until, ..self }
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
        pick: impl Fn(&Pool) -> Result<Pick, NoPick>,
    ) -> Result<(Pick, Option<Turn>), Failure> {
        self.in_line(way.pool.calls(), way, pick).await
    }

    /// A place for a session, now or as soon as a replica is ready and has room.
    pub(super) async fn seat(
        &self,
        way: Way<'_>,
        pick: impl Fn(&Pool) -> Result<SessionPick, NoPick>,
    ) -> Result<(SessionPick, Option<Turn>), Failure> {
        self.in_line(way.pool.seats(), way, pick).await
    }

    /// A place, behind those who wait in this line for the same.
    async fn in_line<P>(
        &self,
        line: &Arc<Line>,
        way: Way<'_>,
        pick: impl Fn(&Pool) -> Result<P, NoPick>,
    ) -> Result<(P, Option<Turn>), Failure> {
        let mut waiting = None;
        loop {
            if waiting.is_some() || line.length() == 0 {
                match self.through_gate(way, &pick).await {
                    Ok(place) => {
                        if let Some(waiting) = waiting {
                            Waiting::leave(waiting);
                        }
                        return Ok(place);
                    }
                    Err(NoPick::Busy | NoPick::Full) => {}
                    Err(none) => return Err(none.into()),
                }
            }
            wait(line, &mut waiting, way.patience)
                .await
                .map_err(|Impatient| Failure::OverLimit)?;
        }
    }

    async fn through_gate<P>(
        &self,
        way: Way<'_>,
        pick: impl Fn(&Pool) -> Result<P, NoPick>,
    ) -> Result<(P, Option<Turn>), NoPick> {
        let gate = way.pool.gate();
        let mut waiting = None;
        let known_at = now() + NEWS_TAKES;
        loop {
            if waiting.is_some() || gate.length() == 0 {
                match pick(&self.newest(&way)) {
                    Ok(place) => return Ok((place, waiting.map(Waiting::served))),
                    Err(NoPick::Coming) => {}
                    // All have refused it. Those behind it have not met them and need not wait.
                    Err(NoPick::Tried) if waiting.is_none() && now() < known_at => {
                        sleep(LOOK_AGAIN_AFTER).await;
                        continue;
                    }
                    Err(none) => return Err(none),
                }
            }
            wait(gate, &mut waiting, way.patience)
                .await
                .map_err(|Impatient| NoPick::Coming)?;
        }
    }
}

/// Its patience has ended, or the line is too long.
pub(super) struct Impatient;

/// Joins the line at first, and then waits for a word.
pub(super) async fn wait(
    line: &Arc<Line>,
    waiting: &mut Option<Waiting>,
    patience: Patience,
) -> Result<(), Impatient> {
    match waiting {
        None => {
            let joined = waiting.insert(line.join(patience.rank, now()).ok_or(Impatient)?);
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

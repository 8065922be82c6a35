//! How long a request waits, and how: in a line, held and counted once.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::time::{Instant, timeout_at};

use super::failure::{Failure, Held};
use super::now;
use crate::routing::{Counted, Holding, Line, Rank, Stay, Waiting};

/// Browsers and their proxies give up on a handshake after about 20 s.
const UPGRADE_WAITS: Duration = Duration::from_secs(18);
/// Somebody looks at an empty page meanwhile, and ours says what is going on.
const PAGE_WAITS: Duration = Duration::from_secs(8);
/// A script asks, and would not understand a page; common limits begin at 30 s.
const OTHER_WAITS: Duration = Duration::from_secs(25);

/// Who waits, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    rank: Rank,
    /// When its request did: who has waited longest is the first to be sent away.
    began: Instant,
    until: Instant,
}

impl Patience {
    /// As long at most, and in the same rank.
    pub(super) fn until(self, until: Instant) -> Self {
        Self {
            until: until.min(self.until),
            ..self
        }
    }

    pub(super) fn of_upgrade(began: Instant) -> Self {
        Self {
            rank: Rank::Upgrade,
            began,
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
            began,
            until: began + if page { PAGE_WAITS } else { OTHER_WAITS },
        }
    }
}

/// How a request waits: it is held from the first line it joins on, and counted once in all of them.
pub(super) struct Queue<'a> {
    holding: &'a Arc<Holding>,
    patience: Patience,
    stay: Option<Stay>,
    /// Nobody works on a request that waits, so it is in flight or held, and never both.
    pub(super) in_flight: Option<Counted>,
}

/// Why a request waits no longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InVain {
    /// Too many came after it.
    Crowded,
    /// Its patience has ended.
    Impatient,
}

impl InVain {
    pub(super) fn failure(self, held: Held) -> Failure {
        match self {
            Self::Crowded => Failure::Crowded(held),
            Self::Impatient => held.in_vain(),
        }
    }
}

impl<'a> Queue<'a> {
    pub(super) fn new(holding: &'a Arc<Holding>, patience: Patience) -> Self {
        Self {
            holding,
            patience,
            stay: None,
            in_flight: None,
        }
    }

    /// Its request is not held until it waits again.
    pub(super) fn hold_no_longer(&mut self) {
        self.stay = None;
    }

    /// Joins the line at first, and then waits for a word.
    pub(super) async fn wait(
        &mut self,
        line: &Arc<Line>,
        waiting: &mut Option<Waiting>,
    ) -> Result<(), InVain> {
        self.in_flight = None;
        let patience = self.patience;
        let stay = self
            .stay
            .get_or_insert_with(|| self.holding.hold(patience.began));
        let waiting = match waiting {
            None => {
                let joined = waiting.insert(line.join(patience.rank, now()));
                // What happened before the first joined was told to nobody, so it tries once more at
                // once. Whoever finds others there is told after them.
                if line.length() == 1 {
                    return Ok(());
                }
                joined
            }
            Some(waiting) => {
                waiting.again();
                waiting
            }
        };
        let told = async {
            tokio::select! {
                biased;
                () = stay.sent_away() => Err(InVain::Crowded),
                () = waiting.told() => Ok(()),
            }
        };
        let told = timeout_at(patience.until, told).await;
        told.unwrap_or(Err(InVain::Impatient))
    }
}

//! Keeps the newest listing: subscribe, list, and list again on every hint.
//!
//! Hints may be lost, doubled or late; the listing is the truth. When the engine does not answer,
//! the last listing stays: silence is no news.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Engine, EngineError, Listing};
use crate::cause::chain;
use crate::inventory::Inventory;
use crate::shutdown::Shutdown;

/// A listing at least this often, whatever the hints say.
const RESYNC: Duration = Duration::from_secs(30);
/// A crash-looping container must not make the engine list all day.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Whoever serves the wrong replicas for longer than that after the engine is back is noticed.
const LAST_RETRY: Duration = Duration::from_secs(10);
/// While a listing takes longer, nobody acts on the last one.
const SLOW_AFTER: Duration = Duration::from_secs(5);
/// A listing that takes longer is as good as none.
const LIST_WITHIN: Duration = Duration::from_secs(20);

/// Publishes listings until shutdown.
pub async fn follow(
    engine: Arc<dyn Engine>,
    listings: watch::Sender<Listing>,
    mut shutdown: Shutdown,
) {
    let mut retry = FIRST_RETRY;
    loop {
        let error = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            error = follow_connection(&*engine, &listings, &mut retry) => error,
        };
        let text: Arc<str> = chain(&error).into();
        if listings.borrow().error.as_ref() != Some(&text) {
            warn!(error = %text, engine = engine.kind(), "engine does not answer; keeping what is known");
        }
        listings.send_modify(|listing| listing.error = Some(text));
        tokio::select! {
            biased;
            () = shutdown.begun() => return,
            () = sleep(jittered(retry)) => {}
        }
        retry = (retry * 2).min(LAST_RETRY);
    }
}

/// Half of it at least, so that several usher do not ask an engine that comes back all at once.
fn jittered(retry: Duration) -> Duration {
    retry.mul_f64(rand::random_range(0.5..=1.0))
}

/// The next listing. One that is slow is told at once and waited for: an engine with very many
/// containers would else never be listed.
async fn list(
    engine: &dyn Engine,
    listings: &watch::Sender<Listing>,
) -> Result<Inventory, EngineError> {
    let mut listing = pin!(timeout(LIST_WITHIN, engine.list()));
    let ended = match timeout(SLOW_AFTER, &mut listing).await {
        Ok(ended) => ended,
        Err(_) => {
            say_slow(engine, listings);
            listing.await
        }
    };
    ended.unwrap_or_else(|_| Err(no_answer(LIST_WITHIN)))
}

/// Where nothing is known yet there is nothing to act on, and whoever waits for the first listing
/// goes on waiting.
fn say_slow(engine: &dyn Engine, listings: &watch::Sender<Listing>) {
    listings.send_if_modified(|listing| {
        let news = listing.inventory.is_some() && listing.error.is_none();
        if news {
            let text = chain(&no_answer(SLOW_AFTER));
            warn!(error = %text, engine = engine.kind(), "engine is slow; nothing is changed until it answers");
            listing.error = Some(text.into());
        }
        news
    });
}

fn no_answer(within: Duration) -> EngineError {
    EngineError::Refused {
        what: "list its containers".to_owned(),
        why: format!("no answer within {} s", within.as_secs()),
        status: None,
    }
}

/// Runs until the connection fails, and says how.
async fn follow_connection(
    engine: &dyn Engine,
    listings: &watch::Sender<Listing>,
    retry: &mut Duration,
) -> EngineError {
    let mut hints = match engine.subscribe().await {
        Ok(hints) => hints,
        Err(error) => return error,
    };
    loop {
        let inventory = match list(engine, listings).await {
            Ok(inventory) => inventory,
            Err(error) => return error,
        };
        *retry = FIRST_RETRY;
        publish(engine, listings, inventory);
        let settled = sleep(AT_MOST_EVERY);
        let hinted = tokio::select! {
            hint = hints.next() => hint.is_some(),
            () = sleep(RESYNC) => true,
        };
        if !hinted {
            return EngineError::Refused {
                what: "go on sending events".to_owned(),
                why: "the stream ended".to_owned(),
                status: None,
            };
        }
        settled.await;
        // Everything hinted until now is answered by the one listing that follows.
        while let std::task::Poll::Ready(Some(())) = futures_util::poll!(hints.next()) {}
    }
}

fn publish(engine: &dyn Engine, listings: &watch::Sender<Listing>, inventory: Inventory) {
    listings.send_if_modified(|listing| {
        if listing.error.take().is_some() {
            info!(engine = engine.kind(), "engine answers again");
        }
        listing.last_sync = Some(wall());
        let same = listing
            .inventory
            .as_deref()
            .is_some_and(|known| *known == inventory);
        if !same {
            listing.inventory = Some(Arc::new(inventory));
        }
        true
    });
}

#[expect(clippy::disallowed_methods, reason = "when a listing was made")]
fn wall() -> SystemTime {
    SystemTime::now()
}

//! Telling whoever is to know when the status changes: an Alertmanager, a URL, a program.
//!
//! A cause is told once, with its consequences inside, and once more when it is over. Whoever cannot
//! be reached is tried again and is a warning in the status; nothing that serves waits for him.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

mod courier;
mod facts;
mod form;
mod ledger;
mod post;
mod program;
mod receiver;

use self::courier::Courier;
use crate::config::model::Alert;
use crate::config::watch::Current;
use crate::control::Status;
use crate::shutdown::Shutdown;

/// Receivers that cannot be told, by the names they have in the status, and why.
pub type Undelivered = Arc<BTreeMap<String, String>>;

/// Tells the receivers of the configuration, as it is at any time, until shutdown.
///
/// A receiver that stays in the configuration keeps what it knows.
pub async fn run(
    mut config: watch::Receiver<Current>,
    status: watch::Receiver<Arc<Status>>,
    undelivered: watch::Sender<Undelivered>,
    mut shutdown: Shutdown,
) {
    let undelivered = Arc::new(undelivered);
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<Alert, AbortHandle> = BTreeMap::new();
    loop {
        let wanted = Arc::clone(&config.borrow_and_update().config.alerts);
        running.retain(|alert, task| {
            let stays = wanted.contains(alert);
            if !stays {
                task.abort();
                forget(&undelivered, &alert.to.name());
            }
            stays
        });
        for alert in wanted.iter() {
            running.entry(alert.clone()).or_insert_with(|| {
                let courier = Courier::new(alert.to.clone());
                let (status, undelivered) = (status.clone(), Arc::clone(&undelivered));
                tasks.spawn(receiver::tell(
                    courier,
                    alert.min_status,
                    status,
                    undelivered,
                    shutdown.clone(),
                ))
            });
        }
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                Some(ended) = tasks.join_next() => {
                    // Until the configuration changes it is not tried again: it would end again.
                    if let Err(error) = ended
                        && error.is_panic()
                    {
                        error!(%error, "a receiver of alerts is told nothing any more");
                    }
                }
                Ok(()) = config.changed() => break,
                else => return,
            }
        }
    }
}

fn forget(undelivered: &watch::Sender<Undelivered>, name: &str) {
    undelivered.send_if_modified(|all| {
        all.contains_key(name) && Arc::make_mut(all).remove(name).is_some()
    });
}

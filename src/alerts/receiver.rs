//! One receiver: looks at every status, and tells what he does not know.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::courier::Courier;
use super::facts::Facts;
use super::form;
use super::ledger::{Ledger, Notice};
use super::{Undelivered, forget};
use crate::config::model::{AlertTarget, MinStatus};
use crate::control::Status;
use crate::control::status::Level;
use crate::moment::Now;
use crate::shutdown::Shutdown;

/// Between two attempts, doubled with each that fails.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);
/// So many failures in a row are a warning in the status; fewer are a receiver that restarts.
const FAILURES: u32 = 3;

/// Tells one receiver until shutdown.
pub(super) async fn tell(
    mut courier: Courier,
    least: MinStatus,
    mut status: watch::Receiver<Arc<Status>>,
    undelivered: Arc<watch::Sender<Undelivered>>,
    mut shutdown: Shutdown,
) {
    let least = match least {
        MinStatus::Critical => Level::Critical,
        MinStatus::Warning => Level::Warning,
    };
    let name = courier.to.name();
    let mut ledger = Ledger::default();
    let mut retry = Retry::default();
    let mut repeated = None;
    loop {
        // A status comes every second, and with it the time to look.
        tokio::select! {
            biased;
            () = shutdown.begun() => return,
            Ok(()) = status.changed() => {}
            else => return,
        }
        let newest = Arc::clone(&status.borrow_and_update());
        let now = now();
        ledger.observe(Facts::new(&newest, least, &name), now);
        let repeat = repeated.is_none_or(|at| now.at >= at);
        let letters = letters(&courier.to, &newest.edge, &ledger, repeat, now.wall);
        if letters.is_empty() && ledger.news().is_empty() && retry.failures > 0 {
            // What could not be told is over; whether he would hear it nobody knows.
            retry = Retry::default();
            forget(&undelivered, &name);
        }
        if letters.is_empty() || retry.waits(now.at) {
            continue;
        }
        for letter in letters {
            let carried = tokio::select! {
                biased;
                () = shutdown.begun() => return,
                carried = courier.carry(letter.text) => carried,
            };
            match carried {
                Ok(()) => {
                    for notice in &letter.notices {
                        ledger.told(notice);
                    }
                    if retry.failures > 0 {
                        info!(receiver = name, "alerts are delivered again");
                        retry = Retry::default();
                        forget(&undelivered, &name);
                    }
                    repeated = Some(self::now().at + form::REPEATED_EVERY);
                }
                Err(reason) => {
                    if retry.failures == 0 {
                        warn!(receiver = name, reason, "an alert could not be delivered");
                    }
                    retry.failed(self::now().at);
                    if retry.failures >= FAILURES {
                        undelivered.send_modify(|all| {
                            Arc::make_mut(all).insert(name.clone(), reason);
                        });
                    }
                    break;
                }
            }
        }
    }
}

/// What is carried at once, and what the receiver knows when it has arrived.
struct Letter {
    notices: Vec<Notice>,
    text: Vec<u8>,
}

/// Everything in one for Alertmanager, which wants to hear what stands from time to time; one by
/// one for others, who do not.
fn letters(
    to: &AlertTarget,
    edge: &str,
    ledger: &Ledger,
    repeat: bool,
    now: SystemTime,
) -> Vec<Letter> {
    let mut notices = ledger.news();
    match to {
        AlertTarget::Alertmanager { .. } => {
            if notices.is_empty() && !repeat {
                return Vec::new();
            }
            notices.extend(ledger.standing());
            if notices.is_empty() {
                return Vec::new();
            }
            let text = form::alertmanager(edge, &notices, now);
            vec![Letter { notices, text }]
        }
        AlertTarget::Command(_) | AlertTarget::Json { .. } => notices
            .into_iter()
            .map(|notice| Letter {
                text: form::plain(edge, &notice),
                notices: vec![notice],
            })
            .collect(),
    }
}

/// When the next attempt is due.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    at: Option<Instant>,
}

impl Retry {
    fn failed(&mut self, now: Instant) {
        let doubled = RETRY_FIRST * (1 << self.failures.min(6));
        self.failures += 1;
        self.at = Some(now + doubled.min(RETRY_AT_MOST));
    }

    fn waits(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now < at)
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of the alerts")]
fn now() -> Now {
    Now {
        at: Instant::now(),
        wall: SystemTime::now(),
    }
}

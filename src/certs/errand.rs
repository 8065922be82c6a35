//! What the room has under way: looks, questions and orders, and how each ends.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::task::{self, JoinError};
use tracing::{info, warn};

use super::disk::Disk;
use super::lineage::Lineage;
use super::orders::{CertificateId, Issued, Job, Refusal, RenewalWindow};
use super::preflight::Verdict;
use super::schedule::{Begun, Failure, ask_again};
use super::{Manager, wall};
use crate::cause::chain;
use crate::moment;

/// Something under way.
#[derive(Debug)]
pub(super) enum Errand {
    /// When does the authority want this certificate renewed?
    Ask {
        lineage: Lineage,
        certificate: CertificateId,
    },
    /// Does anything speak against an order?
    Look { lineage: Lineage },
    Order {
        lineage: Lineage,
        /// The URL of the directory.
        directory: String,
        begun: Begun,
    },
}

impl Errand {
    pub(super) fn is_ask(&self) -> bool {
        matches!(self, Self::Ask { .. })
    }

    pub(super) fn lineage(&self) -> &Lineage {
        match self {
            Self::Ask { lineage, .. } | Self::Look { lineage } | Self::Order { lineage, .. } => {
                lineage
            }
        }
    }
}

/// How it ended.
pub(super) enum Outcome {
    Asked(Result<Option<RenewalWindow>, Refusal>),
    Looked(Verdict),
    Ordered(Box<Job>, Result<Issued, Refusal>),
}

impl Manager {
    /// Takes in what has ended.
    pub(super) async fn end(&mut self, ended: Result<(task::Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Ok(outcome)),
            // Like every failure it waits before the next attempt.
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let Some(errand) = self.errands.remove(&id) else {
            return;
        };
        let Some(now) = self.schedule.now(wall()) else {
            return;
        };
        match (errand, outcome) {
            (
                Errand::Order {
                    lineage,
                    directory,
                    begun,
                },
                outcome,
            ) => {
                let installed = match outcome {
                    Ok(Outcome::Ordered(job, Ok(issued))) => {
                        install(self.shelf.disk().clone(), *job, issued).await
                    }
                    Ok(Outcome::Ordered(_, Err(refusal))) => Err(failure(&refusal, wall())),
                    Ok(_) => Err(broken("an order ended as something else".to_owned())),
                    Err(error) => Err(broken(error)),
                };
                self.ordered(lineage, &directory, &begun, installed);
            }
            (Errand::Look { lineage }, Ok(Outcome::Looked(verdict))) => {
                self.looks.took(lineage, verdict, now.steady);
            }
            (Errand::Look { lineage }, other) => {
                // A look that breaks is no reason to leave a site without a certificate.
                let why = other.err().unwrap_or_default();
                warn!(names = %lineage, error = %why, "preflight broke off");
                self.looks.took(lineage, Verdict::Clear, now.steady);
            }
            (
                Errand::Ask {
                    lineage,
                    certificate,
                },
                outcome,
            ) => {
                let (window, again) = match outcome {
                    Ok(Outcome::Asked(Ok(window))) => (
                        window.map(|window| (window.start, window.end)),
                        window.map(|window| from(now.wall, window.ask_again)),
                    ),
                    Ok(Outcome::Asked(Err(refusal))) => {
                        let again = refusal.retry_at().map(|at| from(now.wall, at));
                        info!(
                            names = %lineage,
                            error = %chain(&refusal),
                            "no renewal window; the lifetime decides"
                        );
                        (None, again)
                    }
                    Ok(_) | Err(_) => (None, None),
                };
                self.schedule.answered(
                    &lineage,
                    &certificate.to_string(),
                    window,
                    ask_again(again),
                    now,
                );
            }
        }
    }

    fn ordered(
        &mut self,
        lineage: Lineage,
        directory: &str,
        begun: &Begun,
        installed: Result<(), Failure>,
    ) {
        let Some(now) = self.schedule.now(wall()) else {
            return;
        };
        let answer = match installed {
            Ok(()) => {
                info!(names = %lineage, "certificate installed");
                self.counters.issued.fetch_add(1, Ordering::Relaxed);
                self.schedule.succeeded(&lineage, directory, begun, now);
                self.looks.forget(&lineage);
                Ok(format!("a new certificate for {lineage} is installed"))
            }
            Err(failure) => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.schedule
                    .failed(&lineage, directory, begun, &failure, now);
                let next = self
                    .schedule
                    .attempts(&lineage)
                    .map(|attempts| attempts.next(now.steady).on_the_wall(now));
                warn!(
                    names = %lineage,
                    error = %failure.error,
                    next = %next.map(moment::text).unwrap_or_default(),
                    "no certificate; what is served stays"
                );
                Err(failure.error)
            }
        };
        self.answer(&lineage, &answer);
    }
}

/// To the disk first, from where the next look serves it.
async fn install(disk: Disk, job: Job, issued: Issued) -> Result<(), Failure> {
    let write = move || {
        disk.write(&job.lineage, &issued.chain, &issued.key)
            .map_err(|error| broken(chain(&error)))?;
        job.done();
        Ok(())
    };
    match task::spawn_blocking(write).await {
        Ok(written) => written,
        Err(error) => Err(broken(error.to_string())),
    }
}

fn from(now: SystemTime, then: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or_default()
}

fn failure(refusal: &Refusal, now: SystemTime) -> Failure {
    Failure {
        error: chain(refusal),
        is_down: refusal.is_down(),
        was_ordered: refusal.was_ordered(),
        is_validation: refusal.is_failed_validation(),
        retry_after: refusal.retry_at().map(|at| from(now, at)),
    }
}

/// A fault of ours: the authority may have made an order, and nobody knows how far it got.
fn broken(error: String) -> Failure {
    Failure {
        error,
        is_down: false,
        was_ordered: true,
        is_validation: false,
        retry_after: None,
    }
}

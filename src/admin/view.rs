//! What can be seen, and whether usher is ready.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use super::feed::Feed;
use super::tail::Tails;
use crate::certs::OrderCounters;
use crate::control::Status;
use crate::plan::Report;
use crate::shutdown::Shutdown;

/// What can be seen.
#[derive(Clone, Debug)]
pub struct View {
    pub status: watch::Receiver<Arc<Status>>,
    pub reports: watch::Receiver<Arc<Report>>,
    pub feed: Arc<Feed>,
    pub orders: Arc<OrderCounters>,
    pub tails: Tails,
    /// Panics of the whole process.
    pub panics: &'static AtomicU64,
    pub shutdown: Shutdown,
}

/// Whether usher is ready: the one condition, whoever asks for it.
///
/// Listeners are bound and certificates loaded before anybody can ask; what remains is the first
/// listing, applied.
///
/// # Errors
/// What is missing, as a line.
pub fn readiness(
    status: &watch::Receiver<Arc<Status>>,
    reports: &watch::Receiver<Arc<Report>>,
    shutdown: &Shutdown,
) -> Result<(), &'static str> {
    if shutdown.has_begun() {
        return Err("stopping\n");
    }
    if !status.borrow().synced {
        return Err("the engine has not been listed yet\n");
    }
    if reports.borrow().applied.0 == 0 {
        return Err("no routes are in force yet\n");
    }
    Ok(())
}

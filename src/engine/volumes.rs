//! The volumes of all drivers, asked for without waiting for a driver that does not answer.
//!
//! The engine asks the drivers anew for each listing, and waits up to a minute for one that hangs. As
//! long as that takes, everything is listed without it: the volumes of its own driver, which answers at
//! once, and what was known of the others.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::Volume;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tracing::{info, warn};

use super::EngineError;
use super::docker::Engine;
use super::listed_volumes::{LOCAL, ListedVolumes};

/// A listing waits for drivers so long, once.
const PATIENCE: Duration = Duration::from_millis(500);

type Answer = BoxFuture<'static, Result<ListedVolumes, EngineError>>;

/// What was asked and has not been answered yet.
#[derive(Default)]
pub(super) struct AskedVolumes(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    under_way: Option<Answer>,
    /// That one does not answer.
    told: bool,
}

impl AskedVolumes {
    /// All volumes. While a driver does not answer, those of other drivers than the engine's own are as
    /// they were `known`.
    ///
    /// Cancel safe: the next one asks again.
    pub(super) async fn volumes(
        &self,
        engine: &Engine,
        known: &[Volume],
    ) -> Result<Vec<Volume>, EngineError> {
        let earlier = self.lock().under_way.take();
        let mut late = None;
        if let Some(mut earlier) = earlier {
            match (&mut earlier).now_or_never() {
                // What it says of the engine's own driver is as old as the question.
                Some(answer) => late = answer.ok().map(|listed| listed.completed(known)),
                None => {
                    self.lock().under_way = Some(earlier);
                    return without_others(engine, known).await;
                }
            }
        }
        let mut answer = engine.volumes(None)?;
        match timeout(PATIENCE, &mut answer).await {
            Ok(listed) => {
                if std::mem::take(&mut self.lock().told) {
                    info!("all volume drivers answer the engine again");
                }
                listed.map(|listed| listed.completed(known))
            }
            Err(_) => {
                self.wait_no_longer(answer);
                without_others(engine, late.as_deref().unwrap_or(known)).await
            }
        }
    }

    fn wait_no_longer(&self, answer: Answer) {
        let asked = &mut *self.lock();
        asked.under_way = Some(answer);
        if !std::mem::replace(&mut asked.told, true) {
            warn!("a volume driver does not answer the engine; what is known of its volumes stays");
        }
    }

    /// The connection is a new one.
    pub(super) fn forget(&self) {
        *self.lock() = Asked::default();
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        // Each field is set as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn without_others(engine: &Engine, known: &[Volume]) -> Result<Vec<Volume>, EngineError> {
    let mut listed = engine.volumes(Some(LOCAL))?.await?.volumes;
    let others = known.iter().filter(|volume| volume.driver != LOCAL);
    listed.extend(others.cloned());
    Ok(listed)
}

impl fmt::Debug for AskedVolumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedVolumes").finish_non_exhaustive()
    }
}

//! Carries out actions, side by side, and reports how each ended.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::{Action, Engine};
use crate::cause::chain;
use crate::shutdown::Shutdown;

/// How an action ended.
#[derive(Clone, Debug)]
pub struct Acted {
    pub action: Action,
    pub result: Result<(), Failure>,
}

/// Why it was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    pub text: String,
    /// Whether trying again may help.
    pub passing: bool,
}

/// Runs until shutdown. Whoever sends takes care that no two actions are about the same service.
pub async fn run(
    engine: Arc<dyn Engine>,
    mut actions: mpsc::Receiver<Action>,
    results: mpsc::Sender<Acted>,
    mut shutdown: Shutdown,
) {
    let mut running = JoinSet::new();
    let mut begun = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.begun() => return,
            Some(action) = actions.recv() => {
                info!(%action, "engine action begins");
                let engine = Arc::clone(&engine);
                let task = running.spawn({
                    let action = action.clone();
                    async move { engine.act(&action).await }
                });
                begun.insert(task.id(), action);
            }
            Some(ended) = running.join_next_with_id() => {
                let (id, result) = match ended {
                    Ok((id, result)) => (id, result.map_err(|error| Failure {
                        text: chain(&error),
                        passing: error.is_passing(),
                    })),
                    // A panic in an engine must not leave its service busy for ever.
                    Err(error) => (error.id(), Err(Failure {
                        text: "the action panicked".to_owned(),
                        passing: true,
                    })),
                };
                let Some(action) = begun.remove(&id) else { continue };
                if let Err(failure) = &result {
                    warn!(%action, error = %failure.text, "engine action failed");
                }
                if results.send(Acted { action, result }).await.is_err() {
                    return;
                }
            }
        }
    }
}

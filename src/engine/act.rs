//! Carries out actions, side by side, and reports how each ended.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::{Action, Engine, EngineError, StopWhen, Trouble};
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
    pub trouble: Trouble,
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
                match action {
                    // It may be asked for again and again.
                    Action::Stop { when: StopWhen::Idle | StopWhen::IdleOrUnseen, .. }
                    // One for each replica with every change of their number.
                    | Action::Weigh { .. } => debug!(%action, "engine action begins"),
                    _ => info!(%action, "engine action begins"),
                }
                let engine = Arc::clone(&engine);
                let task = running.spawn({
                    let action = action.clone();
                    async move { engine.act(&action).await }
                });
                begun.insert(task.id(), action);
            }
            Some(ended) = running.join_next_with_id() => {
                let put_off = matches!(
                    &ended,
                    Ok((_, Err(EngineError::Busy { .. }
                        | EngineError::Instead { .. }
                        | EngineError::NotItsTurn { .. }
                        | EngineError::Shared { .. })))
                );
                let (id, result) = match ended {
                    Ok((id, result)) => (id, result.map_err(|error| Failure {
                        text: chain(&error),
                        trouble: error.trouble(),
                    })),
                    // A panic in an engine must not leave its service busy for ever.
                    Err(error) => (error.id(), Err(Failure {
                        text: "the action panicked".to_owned(),
                        trouble: Trouble::Passing,
                    })),
                };
                let Some(action) = begun.remove(&id) else { continue };
                if let Err(failure) = &result {
                    if put_off {
                        debug!(%action, reason = %failure.text, "engine action put off");
                    } else {
                        warn!(%action, error = %failure.text, "engine action failed");
                    }
                }
                if results.send(Acted { action, result }).await.is_err() {
                    return;
                }
            }
        }
    }
}

//! One token that says the end has begun, and tasks that have a name, an owner and an end.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tracing::debug;

/// Begins the shutdown.
#[derive(Clone, Debug)]
pub struct Trigger(Arc<watch::Sender<bool>>);

/// Knows whether the shutdown has begun.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A fresh pair.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(Arc::new(sender)), Shutdown(receiver))
}

impl Trigger {
    /// A token for somebody who comes late.
    pub fn token(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }

    /// Tells everybody. Telling twice changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits for the beginning of the end; at once if it has begun. A dropped trigger counts.
    ///
    /// Cancel safe.
    pub async fn begun(&mut self) {
        // An error means that nobody is left who could trigger.
        let _ = self.0.wait_for(|begun| *begun).await;
    }

    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// The same token in the type that pingora takes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }
}

/// Long-lived tasks by name. One that ends before the shutdown is a fault of the program.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<()>,
    names: Vec<(Id, &'static str)>,
}

impl Tasks {
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(task);
        self.names.push((handle.id(), name));
    }

    /// Waits until any task has ended and gives its name. Waits forever when there is none.
    ///
    /// A panic inside the task is raised again here.
    pub async fn ended(&mut self) -> &'static str {
        let Some(joined) = self.set.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let id = match joined {
            Ok((id, ())) => id,
            Err(error) => {
                let id = error.id();
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
                id
            }
        };
        let name = self.names.iter().find(|(known, _)| *known == id);
        let name = name.map_or("unnamed task", |(_, name)| *name);
        debug!(task = name, "task ended");
        name
    }

    /// Waits until all tasks have ended. They have to know that they should.
    pub async fn finished(mut self) {
        while !self.set.is_empty() {
            self.ended().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("quick", async {});
        tasks.spawn("slow", std::future::pending());
        assert_eq!(tasks.ended().await, "quick");
    }

    #[tokio::test]
    async fn the_token_is_seen_by_whoever_asks_late() {
        let (trigger, shutdown) = channel();
        trigger.begin();
        shutdown.clone().begun().await;
        assert!(shutdown.has_begun());
    }
}

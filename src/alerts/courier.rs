//! The way to one receiver.

use super::post::Post;
use super::program;
use crate::config::model::AlertTarget;

/// Carries alerts to one receiver.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) to: AlertTarget,
    post: Post,
}

impl Courier {
    pub(super) fn new(to: AlertTarget) -> Self {
        Self {
            to,
            post: Post::default(),
        }
    }

    /// Hands a text in JSON over.
    ///
    /// # Errors
    /// Why the receiver does not have it, as a sentence without a full stop.
    pub(super) async fn carry(&mut self, text: Vec<u8>) -> Result<(), String> {
        match &self.to {
            AlertTarget::Alertmanager { url } | AlertTarget::Json { url } => {
                self.post.send(url, text).await
            }
            AlertTarget::Command(command) => program::run(command, &text).await,
        }
    }
}

//! What a container gets of the processors beside others, changed while it runs: its labels, and with
//! them what Compose thinks of it, stay as they are.

use serde_json::json;

use super::EngineError;
use super::compose::Compose;
use super::containers::started_at;
use crate::names::ReplicaId;

impl Compose {
    /// # Errors
    /// Whoever made it has said how much it gets: it has a value that is none of `own`.
    pub(super) async fn weigh(
        &self,
        replica: &ReplicaId,
        shares: u64,
        own: &[u64],
    ) -> Result<(), EngineError> {
        let id = replica.unit();
        let Some(container) = self.engine.inspect(id).await? else {
            return Ok(());
        };
        if started_at(&container) != replica.started() {
            return Ok(());
        }
        let known = container.host_config.and_then(|host| host.cpu_shares);
        let known = u64::try_from(known.unwrap_or(0)).unwrap_or(0);
        if known == shares {
            return Ok(());
        }
        if known != 0 && !own.contains(&known) {
            return Err(EngineError::Shared { shares: known });
        }
        // What a request does not name is not changed.
        let path = format!("/containers/{id}/update");
        match self
            .engine
            .raw_post(&path, &json!({ "CpuShares": shares }))
            .await
        {
            // It has gone meanwhile.
            Err(EngineError::Refused {
                status: Some(404), ..
            }) => Ok(()),
            result => result.map(drop),
        }
    }
}

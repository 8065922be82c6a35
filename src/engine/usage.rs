//! What a Docker engine says its containers take of the machine.

use std::time::Duration;

use serde_json::Value;

use super::compose::Compose;
use super::meter::Usage;
use super::{EngineError, Runner};

/// By which the engine marks the containers of a Swarm's tasks.
const TASK_ID: &str = "com.docker.swarm.task.id";
/// Before this version of the API a look takes the engine a second or two.
const ONE_SHOT_SINCE: (usize, usize) = (1, 41);

impl Compose {
    /// Everything that runs there, of whatever stack or none.
    pub(super) async fn everything_running(&self) -> Result<Vec<Runner>, EngineError> {
        if self.engine.version()? < ONE_SHOT_SINCE {
            return Ok(Vec::new());
        }
        let listed = self.engine.raw_get("/containers/json").await?;
        Ok(listed
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(runner)
            .collect())
    }

    /// `None`: it has gone.
    pub(super) async fn usage_of(&self, container: &str) -> Result<Option<Usage>, EngineError> {
        let path = format!("/containers/{container}/stats?stream=false&one-shot=true");
        let stats = match self.engine.raw_get(&path).await {
            Ok(stats) => stats,
            Err(EngineError::Refused {
                status: Some(404), ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Usage {
            reserved: self.memory_reserved_for(container),
            ..usage(&stats)
        }))
    }
}

fn runner(container: &Value) -> Option<Runner> {
    let id = container["Id"].as_str()?;
    let task = container["Labels"][TASK_ID].as_str();
    Some(Runner {
        unit: task.unwrap_or(id).to_owned(),
        handle: id.to_owned(),
    })
}

fn usage(stats: &Value) -> Usage {
    let memory = &stats["memory_stats"];
    // Pages of files that nobody has used lately are given back before anybody runs out. Of the two
    // kinds of control groups each has its own name for them.
    let of_files = ["total_inactive_file", "inactive_file"];
    let of_files = of_files
        .iter()
        .find_map(|key| memory["stats"][*key].as_u64());
    let memory = memory["usage"].as_u64();
    Usage {
        memory: memory.map(|used| match of_files {
            Some(of_files) if of_files < used => used - of_files,
            _ => used,
        }),
        processor: stats["cpu_stats"]["cpu_usage"]["total_usage"]
            .as_u64()
            .map(Duration::from_nanos),
        reserved: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_kernel_only_keeps_for_files_is_not_taken() {
        let taken = |memory: Value| {
            let stats = json!({
                "cpu_stats": { "cpu_usage": { "total_usage": 1_500_000_000_u64 } },
                "memory_stats": memory,
            });
            usage(&stats)
        };
        let second = json!({ "usage": 100, "stats": { "inactive_file": 30, "file": 60 } });
        assert_eq!(taken(second).memory, Some(70));
        let first =
            json!({ "usage": 100, "stats": { "inactive_file": 5, "total_inactive_file": 40 } });
        assert_eq!(taken(first).memory, Some(60));
        let odd = json!({ "usage": 100, "stats": { "inactive_file": 130 } });
        assert_eq!(taken(odd).memory, Some(100));
        let uncounted = taken(json!({}));
        assert_eq!(uncounted.memory, None);
        assert_eq!(uncounted.processor, Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn a_task_is_known_by_its_own_id_and_asked_about_by_its_containers() {
        let of_swarm = json!({ "Id": "c1", "Labels": { TASK_ID: "t1" } });
        let runner = runner(&of_swarm).expect("one");
        assert_eq!((&*runner.unit, &*runner.handle), ("t1", "c1"));
    }
}

//! What this process may use, and how much of it is in use.

use std::sync::Arc;

use tracing::warn;

use crate::host;
use crate::listener::{EdgeCounters, Measured};
use crate::routing::Routes;

/// File handles kept for replicas, the engine, certificates and the log.
const RESERVED_FILES: u64 = 1024;

/// Raises the limit of open files as far as it goes, and says how many connections fit under it:
/// each may need a second one to its replica.
pub(super) fn allowed_connections(wanted: u32) -> u32 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    );
    let files = match raised {
        Ok(()) => hard,
        Err(_) => limit.current,
    };
    let Some(files) = files else {
        return wanted;
    };
    let room = u32::try_from(files.saturating_sub(RESERVED_FILES) / 2).unwrap_or(u32::MAX);
    if wanted > room {
        warn!(
            wanted,
            allowed = room,
            open_files = files,
            "`listen.max-connections` is clamped to what the limit of open files allows"
        );
    }
    wanted.min(room)
}

/// Measures the share in use of whatever can run out: connections, which stand for open files,
/// requests in flight or held, and memory.
pub(super) fn look(
    routes: Routes,
    counters: Arc<EdgeCounters>,
    most_connections: u32,
) -> impl Fn() -> Measured + Send {
    let most = f64::from(most_connections.max(1));
    move || {
        let (average, requests) = routes.load_of_all();
        let open = u32::try_from(counters.open()).unwrap_or(u32::MAX);
        let used = [
            f64::from(open) / most,
            f64::from(requests) / most,
            host::memory_used().unwrap_or_default(),
        ];
        Measured {
            used: used.into_iter().fold(0.0, f64::max),
            average,
        }
    }
}

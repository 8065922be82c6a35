//! Waiting for a condition, and never for time.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Three times what anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until the answer is good; panics with the last bad one.
pub async fn eventually<T, E: Debug>(
    what: &str,
    condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    within(PATIENCE, what, condition).await.0
}

/// As [`eventually`], with a deadline of its own. Tells how long it took.
pub async fn within<T, E: Debug>(
    patience: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> (T, Duration) {
    let began = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return (value, began.elapsed()),
            Err(seen) => {
                assert!(
                    began.elapsed() < patience,
                    "{what}: not within {patience:?}; last seen: {seen:?}"
                );
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// The condition of a test as a result: good, or what was seen instead.
pub fn check<T: Debug>(good: bool, seen: T) -> Result<(), T> {
    if good { Ok(()) } else { Err(seen) }
}

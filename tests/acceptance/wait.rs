//! Waiting for conditions with a deadline, and saying what was waited for.

use std::fmt::Display;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A failure is one sentence for whoever runs this.
pub type Outcome<T> = Result<T, String>;

/// Often enough for the figures, and rare beside what is measured.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

static BEGAN: OnceLock<Instant> = OnceLock::new();

/// Starts the clock of all lines.
pub fn begin() {
    BEGAN.get_or_init(Instant::now);
}

/// Since the start of the run.
pub fn elapsed() -> Duration {
    BEGAN.get_or_init(Instant::now).elapsed()
}

/// Prints a line with the time of the run.
pub fn say(line: impl Display) {
    println!("[{:5.1} s] {line}", elapsed().as_secs_f64());
}

/// Waits until the condition is good, says how long it took, and gives that. The deadline is three
/// times what is expected.
pub async fn until<T>(
    expected: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Outcome<T>,
) -> Outcome<(T, Duration)> {
    let began = Instant::now();
    let deadline = expected * 3;
    loop {
        match condition().await {
            Ok(value) => {
                let took = began.elapsed();
                say(format_args!("{what}: after {:.1} s", took.as_secs_f64()));
                return Ok((value, took));
            }
            Err(seen) if began.elapsed() >= deadline => {
                let deadline = deadline.as_secs();
                return Err(format!(
                    "{what}: not within {deadline} s; last seen: {seen}"
                ));
            }
            Err(_) => sleep(BETWEEN_LOOKS).await,
        }
    }
}

/// A condition that has to hold.
pub fn ensure(good: bool, otherwise: impl FnOnce() -> String) -> Outcome<()> {
    if good { Ok(()) } else { Err(otherwise()) }
}

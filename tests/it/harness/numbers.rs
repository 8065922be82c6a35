//! How much the tests of endurance do: what fits into a run of minutes, or everything.

use std::time::Duration;

/// Plain numbers, and those of `USHER_LONG=1`.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Websockets that are held while everything around them changes.
    pub held: usize,
    /// Reloads, each with a new certificate.
    pub changes: usize,
    /// Replicas that are replaced under load.
    pub replaced: usize,
    /// Websockets that are open when usher is told to stop, and how long it may take.
    pub stopped: usize,
    pub stop_within: Duration,
    /// Connections that send one byte in a second.
    pub dribblers: usize,
    /// Handshakes that one address asks for at once.
    pub handshakes: usize,
    /// Pings without a pause.
    pub pings: usize,
    /// Sessions that come and go again before the books are looked at.
    pub turnover: usize,
}

const PLAIN: Numbers = Numbers {
    held: 2000,
    changes: 100,
    replaced: 30,
    stopped: 500,
    stop_within: Duration::from_secs(6),
    dribblers: 1000,
    handshakes: 1000,
    pings: 100_000,
    turnover: 500,
};

const LONG: Numbers = Numbers {
    held: 9000,
    changes: 100,
    replaced: 100,
    stopped: 2000,
    stop_within: Duration::from_secs(9),
    dribblers: 4000,
    handshakes: 2000,
    pings: 2_000_000,
    turnover: 10_000,
};

pub fn numbers() -> Numbers {
    if std::env::var_os("USHER_LONG").is_some() {
        LONG
    } else {
        PLAIN
    }
}

//! Doors for the fuzzer, which production does not have.

use super::guard::{Guard, Step};
use super::proxy_protocol::{self, Verdict};

/// What became of the bytes of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Passed {
    /// How many were let through.
    pub length: usize,
    pub end: End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    Handshake,
    Open,
    Refused,
}

/// Shows bytes to the guard, so many at a time.
pub fn passed(bytes: &[u8], chunk: usize) -> Passed {
    let mut guard = Guard::new();
    let mut inbox = Vec::new();
    let mut length = 0;
    for part in bytes.chunks(chunk) {
        inbox.extend_from_slice(part);
        loop {
            match guard.step(&inbox) {
                Step::More => break,
                Step::Skip(count) => drop(inbox.drain(..count)),
                Step::Pass(count) => {
                    inbox.drain(..count);
                    length += count;
                }
                Step::Handshake(_) => {
                    let end = End::Handshake;
                    return Passed { length, end };
                }
                Step::Refuse(_) => {
                    let end = End::Refused;
                    return Passed { length, end };
                }
            }
        }
    }
    Passed {
        length,
        end: End::Open,
    }
}

/// The length of the PROXY header that the bytes begin with.
pub fn proxy_header(bytes: &[u8]) -> Option<usize> {
    match proxy_protocol::inspect(bytes) {
        Verdict::Header { length, .. } => Some(length),
        Verdict::More | Verdict::Refuse(_) => None,
    }
}

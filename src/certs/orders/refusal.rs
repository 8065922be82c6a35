//! Why there is no certificate, in words an operator can act on.

use std::fmt;
use std::time::SystemTime;

use instant_acme::Error;

use super::why::Why;
use super::wire::{ClockOff, Notes, WireError};
use crate::cause::chain;
use crate::moment;

/// Why a directory gave no certificate, and what follows from it.
#[derive(Debug)]
pub(in crate::certs) struct Refusal {
    directory: String,
    why: Why,
    retry_at: Option<SystemTime>,
    was_ordered: bool,
    clock: Option<ClockOff>,
}

impl Refusal {
    /// With what the last exchanges told besides.
    pub(super) fn new(directory: &str, why: Why, notes: &Notes) -> Self {
        Self {
            directory: directory.to_owned(),
            why,
            retry_at: notes.retry_at(),
            was_ordered: notes.was_ordered(),
            clock: notes.clock(),
        }
    }

    /// Whether another authority should be asked: this one is down, not unwilling.
    pub(in crate::certs) fn is_down(&self) -> bool {
        matches!(self.why, Why::Unreachable { .. })
    }

    /// Before this moment the authority does not want to be asked for these names again.
    pub(in crate::certs) fn retry_at(&self) -> Option<SystemTime> {
        self.retry_at
    }

    /// Whether the authority made a new order of it, or may have. Going on with an order, and what it
    /// refused to make one of, costs nothing.
    pub(in crate::certs) fn was_ordered(&self) -> bool {
        self.was_ordered
    }

    /// Whether the authority looked and did not find the names here. Such failures are few per
    /// hour.
    pub(in crate::certs) fn is_failed_validation(&self) -> bool {
        matches!(self.why, Why::Validation { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the directory {} {}", self.directory, self.why)?;
        if let Some(at) = self.retry_at {
            write!(f, "; it asks to be left alone until {}", moment::text(at))?;
        }
        if let Some(clock) = &self.clock {
            write!(f, "; {clock}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

impl Why {
    /// What a failed call of instant-acme means.
    pub(super) fn of(url: &str, step: &'static str, error: &Error, notes: &Notes) -> Self {
        let refused = match error {
            Error::Api(_) => !notes.is_server_error(),
            // What came was no answer of this protocol.
            Error::Json(_) | Error::Str(_) => false,
            Error::Other(inner) => !inner.is::<WireError>(),
            _ => true,
        };
        if refused {
            return Self::Refused {
                step,
                reason: chain(error),
            };
        }
        Self::Unreachable {
            url: url.to_owned(),
            step,
            reason: chain(error),
        }
    }
}

pub(super) fn is_bad_nonce(error: &Error) -> bool {
    // RFC 8555 §6.5
    is_problem(error, "badNonce")
}

/// Whether the authority's answer is a problem of this type (RFC 8555 §6.7).
pub(super) fn is_problem(error: &Error, kind: &str) -> bool {
    let Error::Api(problem) = error else {
        return false;
    };
    let known = problem.r#type.as_deref().unwrap_or_default();
    known.strip_prefix("urn:ietf:params:acme:error:") == Some(kind)
}

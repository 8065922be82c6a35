//! What can go wrong with a directory.

use std::io;
use std::path::PathBuf;

/// Each completes "the directory `<name>` …".
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error("lost its account: {} {reason}; restore it from a backup, or remove the folder {} to register anew", path.display(), path.parent().unwrap_or(path).display())]
    Account { path: PathBuf, reason: String },
    #[error("is not asked: {} {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("cannot be shown that {name} leads here: {reason}")]
    Hook { name: String, reason: String },
    #[error("did not finish {step} in time; the order goes on at the next attempt")]
    Late { step: &'static str },
    #[error("offers no challenge for {name} that is configured here: it offers {offered}")]
    NoChallenge { name: String, offered: String },
    #[error("refused {step}: {reason}")]
    Refused { step: &'static str, reason: String },
    #[error("is not asked, because the state of the order cannot be kept in {}: {source}", path.display())]
    State { path: PathBuf, source: io::Error },
    #[error("({url}) does not answer as an ACME server at {step}: {reason}")]
    Unreachable {
        url: String,
        step: &'static str,
        reason: String,
    },
    #[error("gave a certificate that is not used: {reason}")]
    Unusable { reason: String },
    #[error("did not find the names here: {reason}")]
    Validation { reason: String },
}

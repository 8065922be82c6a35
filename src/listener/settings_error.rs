//! Why nobody can shake hands.

use rustls::server::VerifierBuilderError;

/// Why there are no settings for the clients of an instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("the client authorities cannot be used")]
    Verifier(#[from] VerifierBuilderError),
}

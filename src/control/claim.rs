//! Whether a stack is this usher's to change.

use tokio::time::Instant;

/// Whether the stack is this usher's to change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    Unasked,
    /// `refused`: what was said the last time.
    Asked {
        refused: Option<String>,
    },
    Held,
    Refused {
        at: Instant,
        why: String,
    },
}

impl Claim {
    /// Why it is not this usher's, as far as that is known.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { why, .. } | Self::Asked { refused: Some(why) } => Some(why),
            Self::Unasked | Self::Asked { refused: None } | Self::Held => None,
        }
    }
}
